"""What goes wrong, in words: one exception class per step of the story.

Every message is one sentence or two that name the object, the place, the reason and the fix. The
original error, where there is one, is chained as ``__cause__``.
"""


class ExplorerError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(ExplorerError, ValueError):
    """A configuration value, a name or an argument that cannot be used."""


class InputError(ExplorerError, ValueError):
    """Inputs that do not fit the signature, the declared dynamic dims, or what a graph can take."""


class CaptureError(ExplorerError):
    """Step 1: the model could not be captured as one graph."""


class SpecializedDim(CaptureError):
    """A dim that was asked to be dynamic became a constant.

    Attributes:
        path: of the tensor, or None where torch does not say.
        dim: the dim, or None.
        value: the constant, or None where it is not known.
        location: the line that fixed it, a ``SourceLocation``, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        dim: int | None = None,
        value: int | None = None,
        location: object = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.dim = dim
        self.value = value
        self.location = location


class NormaliseError(ExplorerError):
    """Step 2: a value of the graph has no normal form."""


class SplitError(ExplorerError):
    """Step 3: the graph could not be cut as asked."""


class UnknownSplittingOp(SplitError, ConfigError):
    """A splitting op that names nothing known; the message lists the nearest names."""


class DedupeError(ExplorerError):
    """Step 4: a piece holds something without a stable text, so it has no fingerprint."""


class CompileError(ExplorerError):
    """Step 5: the backend failed on one piece and size range."""


class StoreMiss(CompileError):
    """Step 5: an artifact is not in the store, and nothing may be compiled."""


class PlanError(ExplorerError):
    """Step 6: no stitching function could be written."""


class RunError(ExplorerError):
    """Step 7: base of what a call of a compiled model can raise on purpose."""


class SizeOutOfRange(RunError, ValueError):
    """The dispatch size of a call lies in none of the size ranges."""


class GuardViolation(RunError):
    """A call that the captured graph is not valid for.

    Attributes:
        guard: the condition that does not hold, in the user's words.
        source_line: ``file:line`` of the code that made the condition, or None.
        given: what the call had.
        accepted: what the graph is right for.
    """

    def __init__(
        self,
        message: str,
        *,
        guard: str = "",
        source_line: str | None = None,
        given: str = "",
        accepted: str = "",
    ) -> None:
        super().__init__(message)
        self.guard = guard
        self.source_line = source_line
        self.given = given
        self.accepted = accepted


class NotATensor(InputError, GuardViolation):
    """Something else stands in a call where a tensor was at capture; another graph may take it."""


class CUDAGraphAddressError(RunError, ValueError):
    """A tensor of a call lies elsewhere than the one that a CUDA graph was captured with.

    Attributes:
        path: of the tensor, in the user's words.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class VariantsLimit(RunError):
    """A model needs more captured graphs than ``variants_limit`` allows.

    Attributes:
        guard: the condition that makes most of them, in the user's words.
        source_line: ``file:line`` of the code that made it, or None.
    """

    def __init__(self, message: str, *, guard: str = "", source_line: str | None = None) -> None:
        super().__init__(message)
        self.guard = guard
        self.source_line = source_line


class GradRequired(RunError):
    """An input requires grad, and the compiled model has no backward."""


class StoreError(ExplorerError):
    """The store of artifacts has no safe place for something; never raised by looking one up."""


class Cancelled(ExplorerError):
    """The caller cancelled a long job; nothing of it was kept."""

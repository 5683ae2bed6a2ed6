"""What a capture assumed: conditions, tests in the source, inputs that became constants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from explorer.artifacts.common import Expression, SourceLocation


class GuardOrigin(Enum):
    """Who made a condition."""

    BRANCH = "branch"
    """A test in Python: ``if``, ``while``, a ternary, ``and``, ``or``."""
    ASSERT = "assert"
    """An ``assert`` statement."""
    TORCH_CHECK = "torch._check"
    """A ``torch._check`` in the model."""
    INT_SPECIALIZATION = "int"
    """A size was needed as a Python number: ``range(n)``, a dict key, a list index."""
    OPERATOR = "op"
    """An operator tested its arguments."""
    RANGE = "range"
    """The bounds that torch keeps of a size."""
    ZERO_ONE = "zero_one"
    """Torch assumed that a size is at least 2."""
    DUCK_EQUAL = "duck_equal"
    """Two dims had one size in the example, and torch made them one."""
    STATIC_DIM = "static_dim"
    """A dim that was not asked to be dynamic."""
    VALUE = "value"
    """A Python value: an int, a flag, a string, a dtype, an attribute of a module."""
    INDUCTOR = "inductor"
    """The compiler, when it chose a kernel."""
    DECLARED = "declared"
    """The user: one name for two dims, or the bounds of a mark."""
    OTHER = "other"
    """Somebody that is not recognised."""


class Phase(Enum):
    """When a condition was made."""

    DYNAMO = "dynamo"
    AOT = "aot"
    INDUCTOR = "inductor"


class Enforcement(Enum):
    """What happens at run time to a call that does not fulfil a condition."""

    CHECKED = "checked"
    """The call raises ``GuardViolation``, or another variant serves it."""
    RUNTIME_ASSERT = "asserted"
    """The graph itself has the test and raises."""
    ROUTED = "another artifact"
    """Another artifact, the FX graph, or the graph of another variant serves it."""
    DROPPED = "dropped"
    """Nothing looks: the answer may be wrong."""


@dataclass(frozen=True)
class GuardRecord:
    """One condition that the captured graph relies on.

    Attributes:
        expression: the condition over the symbols of ``Size.symbol``, and for an int argument over
            an integer symbol of its name; None when it is no condition on numbers.
        text: the same in the user's words: ``n % 8 == 0``, ``flag == True``.
        origin: who made it.
        location: the user's line, where known, with columns for a test in Python.
        sources: the inputs that it reads: ``x.size(0)``, ``k``, ``self.mode``.
        operator: the operator that asked, as ``aten.view.default``.
        user_stack: the user's frames, outermost first; the last one is ``location`` or near it.
        framework: torch's own place, ``file:line in function``; for display.
        phase: when it was made.
        runtime_assert: whether the graph tests it itself.
        operators: for ZERO_ONE, the operators that asked whether the size is 1.
        piece: for INDUCTOR, the artifact that relies on it: ``B 9–64``.
        value: for VALUE, what it was at capture.
    """

    expression: Expression | None
    text: str
    origin: GuardOrigin
    location: SourceLocation | None = None
    sources: tuple[str, ...] = ()
    operator: str | None = None
    user_stack: tuple[SourceLocation, ...] = ()
    framework: str | None = None
    phase: Phase = Phase.DYNAMO
    runtime_assert: bool = False
    operators: tuple[str, ...] = ()
    piece: str | None = None
    value: object = None

    @property
    def is_bound(self) -> bool:
        """Whether it is a bound that torch keeps of a size, not a test that something made."""
        return self.origin in (GuardOrigin.RANGE, GuardOrigin.ZERO_ONE)


class SiteKind(Enum):
    """What kind of code a test on sizes stands in."""

    IF = "if"
    WHILE = "while"
    TERNARY = "ternary"
    AND_OR = "and/or"
    ASSERT = "assert"
    INT = "int"
    """A size that became a number."""


class RecordedAs(Enum):
    """What torch kept of a test."""

    GUARD = "guard"
    IMPLIED = "implied"
    """It followed from earlier conditions, so torch kept nothing."""
    CACHED = "cached"
    """The same question had been answered before."""
    NOT_REACHED = "not reached"
    """It stands on a side that the capture did not take."""


@dataclass(frozen=True)
class BranchSite:
    """One test in the user's source that depends on sizes.

    Attributes:
        location: file, line and columns of the test.
        text: the test in the sizes' names: ``n == 4``; the source when it was not reached.
        kind: what it stands in.
        answers: what the capture answered: one of True and False, both in a loop, the number for
            INT, none when it was not reached.
        recorded_as: what torch kept of it.
        guards: indices in ``CapturedGraph.guards`` of the conditions that it made.
        expressions: what was asked, in order, without repeats, over the symbols of the sizes.
        user_stack: the user's frames, outermost first.
        behind: the site whose untaken side it stands on, when it was not reached.
    """

    location: SourceLocation
    text: str
    kind: SiteKind
    answers: tuple[bool | int, ...]
    recorded_as: RecordedAs
    guards: tuple[int, ...] = ()
    expressions: tuple[Expression, ...] = ()
    user_stack: tuple[SourceLocation, ...] = ()
    behind: SourceLocation | None = None


class SpecializationReason(Enum):
    """Why something that may vary became a constant or tied to something else."""

    EQUALITY_BRANCH = "equality test"
    TWO_SIDED_RANGE = "tests from both sides"
    OPERATOR = "operator"
    INT = "needed as a number"
    HINT_WAS_ONE = "the example had size 1"
    PYTHON_VALUE = "Python value"
    UNIFIED = "two dims must be equal"
    FIXED = "the graph is for this size only"


@dataclass(frozen=True)
class Specialization:
    """An input that the capture made a constant, or tied to another one.

    Attributes:
        source: in the user's words: ``x.size(0)``, ``k``.
        value: the constant, or the expression that it is tied to, as text.
        reason: what did it.
        guards: indices in ``CapturedGraph.guards`` of all culprits.
        location: the line of the first culprit, where known.
    """

    source: str
    value: int | str
    reason: SpecializationReason
    guards: tuple[int, ...] = ()
    location: SourceLocation | None = None


@dataclass(frozen=True)
class Evaluation:
    """One question about sizes that somebody asked during the trace, and its answer.

    Attributes:
        expression: over the symbols of the sizes.
        result: the answer.
        origin: who asked.
        operator: the operator that asked, if one did.
        location: the user's line.
    """

    expression: Expression
    result: bool | int
    origin: GuardOrigin
    operator: str | None = None
    location: SourceLocation | None = None

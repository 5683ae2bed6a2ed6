"""What a user may set: CompilationConfig and its parts, frozen, checked when made.

A field enters with the work that makes it do something; passing one that does not exist yet is a
TypeError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from explorer.errors import ConfigError

if TYPE_CHECKING:
    from explorer.stages.backends import Backend

_E = TypeVar("_E", bound=Enum)

LARGEST_SIZE = 2**31 - 1
"""Sizes above this do not fit the 32-bit indices that kernels may use."""


class CompilationMode(Enum):
    """How much of the work is done; each one is a rung of the ladder that ``bisect`` walks."""

    NONE = "none"
    """The model as it is."""
    STOCK_TORCH_COMPILE = "stock_torch_compile"
    """``torch.compile`` with its own guards."""
    DYNAMO_TRACE_ONCE = "dynamo_trace_once"
    """One captured graph, uncut and for all sizes, through the backend."""
    PIECEWISE = "piecewise"
    """One captured graph, cut at the splitting ops, each piece compiled once per size range."""

    @property
    def captures(self) -> bool:
        """Whether there is a captured graph, and so a Compilation."""
        return self in (CompilationMode.DYNAMO_TRACE_ONCE, CompilationMode.PIECEWISE)


class DynamicShapesType(Enum):
    """How dynamic dims are marked for the capture."""

    BACKED = "backed"
    """Symbols with an example value.

    The trace may branch on them, and each branch leaves a guard.
    """
    UNBACKED = "unbacked"
    """Symbols without a value: a branch on one is an error at capture, so no guard is possible."""
    BACKED_SIZE_OBLIVIOUS = "backed_size_oblivious"
    """Backed, but sizes 0 and 1 are not excluded up front.

    Where torch has a rule for sizes without a value, it is used instead of a guard.
    """


class GuardPolicy(Enum):
    """What happens at a call that the captured graph is not valid for."""

    DROP = "drop"
    """Nothing: the graph runs and may answer wrongly, as in vLLM."""
    CHECK = "check"
    """GuardViolation, with the condition, its line, and the sizes that the graph is right for."""
    VARIANTS = "variants"
    """Another graph is captured for such calls, and picked from then on."""


class OutOfRange(Enum):
    """What happens at a dispatch size above the last range; size 0 is always served eagerly."""

    ERROR = "error"
    """SizeOutOfRange, with the ranges that there are."""
    EAGER = "eager"
    """The model itself serves the call, uncompiled."""


class GradPolicy(Enum):
    """What happens when an input of a call requires grad while gradients are computed.

    Parameters that require grad are no such case: the model then runs without gradients, and that
    is said once.
    """

    ERROR = "error"
    """GradRequired: a compiled model has no backward."""
    EAGER = "eager"
    """The model itself serves the call, uncompiled, and its result has a backward."""


class CUDAGraphMode(Enum):
    """What is recorded once per capture size and replayed, on a CUDA device."""

    NONE = "none"
    """Nothing."""
    PIECEWISE = "piecewise"
    """Each compiled piece; splitting ops run between the replays."""
    FULL = "full"
    """The whole call, splitting ops included; a size at which that fails runs without."""
    FULL_AND_PIECEWISE = "full_and_piecewise"
    """The whole call at sizes where that succeeds, each compiled piece at the others."""


CAPTURE_SIZES = "cudagraph_capture_sizes"
"""Stands in ``compile_sizes`` for the capture sizes."""

_DEFAULT_CAPTURE_SIZES = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))


class FrozenSettings(dict[str, Any]):
    """A dict that cannot be changed, yet can be copied and pickled, unlike a mappingproxy."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("A configuration cannot be changed: make another with config.replace(...).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return FrozenSettings, (dict(self),)


@dataclass(frozen=True)
class DynamicShapesConfig:
    """How the sizes of dynamic dims enter the capture.

    Attributes:
        type: whether a size has an example value while the model is traced, on which the trace may
            branch.
        evaluate_guards: as in vLLM: evaluate only the conditions on sizes, whatever the policy,
            and fail the call where one does not hold; sizes 0 and 1 are not looked at. It needs
            backed sizes, and not GuardPolicy.VARIANTS.
    """

    type: DynamicShapesType = DynamicShapesType.BACKED
    evaluate_guards: bool = False

    def __post_init__(self) -> None:
        _set(self, "type", _member(DynamicShapesType, self.type, "dynamic_shapes.type"))
        if not isinstance(self.evaluate_guards, bool):
            raise ConfigError(
                f"evaluate_guards must be True or False, not {self.evaluate_guards!r}."
            )
        if self.evaluate_guards and self.type is DynamicShapesType.UNBACKED:
            raise ConfigError(
                "evaluate_guards has nothing to evaluate with dynamic_shapes.type UNBACKED: "
                "unbacked sizes add no guards. Use BACKED, or leave it out."
            )


@dataclass(frozen=True)
class StoreConfig:
    """Where artifacts are kept between processes.

    Attributes:
        root: a folder of the user's own, which nobody else may write to; None takes
            ``piecewise-explorer`` below ``XDG_CACHE_HOME`` or ``~/.cache``.
        enabled: whether artifacts are looked up and kept; without, each process compiles.
        require_hit: whether a miss is a ``StoreMiss`` instead of a compile; for processes that must
            not compile. It needs ``enabled``.
    """

    root: Path | None = None
    enabled: bool = True
    require_hit: bool = False

    def __post_init__(self) -> None:
        if self.root is not None:
            _set(self, "root", _folder(self.root, "store.root"))
        for name in ("enabled", "require_hit"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"store.{name} must be True or False, not {getattr(self, name)!r}."
                )
        if self.require_hit and not self.enabled:
            raise ConfigError("store.require_hit asks of a store that store.enabled switches off.")


@dataclass(frozen=True)
class CompilationConfig:
    """Everything that decides how a model is cut, compiled and run.

    Attributes:
        mode: how much is done; see ``in_force`` for what the modes leave out.
        backend: ``"inductor"``, ``"eager"``, or an object with the Backend protocol.
        splitting_ops: names of the ops at which the graph is cut: ``ns::op``, ``ns::op.overload``,
            a public torch name (``torch.nn.functional.scaled_dot_product_attention``,
            ``Tensor.view``), or ``module:glob`` over module paths. Empty leaves the graph whole; an
            unknown name is an error, one that does not occur a warning.
        compile_sizes: dispatch sizes, 1..max_size, with an artifact of their own; the word
            ``"cudagraph_capture_sizes"`` stands for those.
        compile_ranges_endpoints: ``e0 < e1 < ...`` make the ranges
            ``[1, e0] [e0+1, e1] ... [last+1, max_size]``; sorted, and those that make no range of
            their own are dropped with a note. Empty makes one range.
        max_size: upper end of the last range, 1..2**31-1; an exact size beyond it is an error.
        dispatch_dim: name of the size that picks the range; None means the first dynamic dim.
        out_of_range: what a call above the last range gets; an error unless you say otherwise.
        grad: what a call gets whose input requires grad; an error unless you say otherwise.
        dynamic_shapes: how dynamic dims are marked.
        guard_policy: what a call gets that the captured graph is not valid for.
        variants_limit: captured graphs of one model under VARIANTS, at most; at least 1. A call
            that needs one more is a ``VariantsLimit``.
        dedupe: whether equal pieces share one artifact; False compiles each piece, which tells
            whether sharing is at fault.
        cudagraph_mode: what CUDA graphs are captured of; the modes that capture no graph of the
            model leave it out.
        cudagraph_capture_sizes: dispatch sizes, 1..max_size, with a CUDA graph; a smaller call is
            padded to the next one. Empty means 1, 2, 4, 8, 16, ..., 256, 272, ..., 512 up to
            max_size.
        cudagraph_num_of_warmups: runs before each capture, at least 0.
        cudagraph_copy_inputs: whether the tensors of a call are copied into memory of the graphs.
            Without, a call whose size is a capture size has to pass the memory that was captured.
        use_inductor_graph_partition: whether Inductor cuts at the splitting ops, inside of one
            compiled piece, instead of the graph being cut before.
        inductor_config: settings for the Inductor backend, checked against its own list of
            settings; graph passes among them are ``GraphPass`` objects or functions of a graph.
        store: where artifacts are kept between processes.
        compile_workers: processes that compile pieces at once, at least 1; how fast artifacts are
            made, never what they are.
        debug_dump_path: folder in which every compilation writes its stages as files to read and to
            run; None writes nothing.
    """

    mode: CompilationMode = CompilationMode.PIECEWISE
    backend: str | Backend = "inductor"
    splitting_ops: tuple[str, ...] = ()
    compile_sizes: tuple[int | str, ...] = ()
    compile_ranges_endpoints: tuple[int, ...] = ()
    max_size: int = 8192
    dispatch_dim: str | None = None
    out_of_range: OutOfRange = OutOfRange.ERROR
    grad: GradPolicy = GradPolicy.ERROR
    dynamic_shapes: DynamicShapesConfig = field(default_factory=DynamicShapesConfig)
    guard_policy: GuardPolicy = GuardPolicy.CHECK
    variants_limit: int = 16
    dedupe: bool = True
    cudagraph_mode: CUDAGraphMode = CUDAGraphMode.NONE
    cudagraph_capture_sizes: tuple[int, ...] = ()
    cudagraph_num_of_warmups: int = 1
    cudagraph_copy_inputs: bool = False
    use_inductor_graph_partition: bool = False
    inductor_config: Mapping[str, Any] = field(default_factory=dict)
    store: StoreConfig = field(default_factory=StoreConfig)
    compile_workers: int = 1
    debug_dump_path: Path | None = None

    def __post_init__(self) -> None:
        _set(self, "mode", _member(CompilationMode, self.mode, "mode"))
        _check_backend(self.backend)
        _set(self, "splitting_ops", _strings(self.splitting_ops, "splitting_ops"))
        _set(self, "compile_sizes", _compile_sizes(self.compile_sizes))
        endpoints = _sizes(self.compile_ranges_endpoints, "compile_ranges_endpoints", smallest=0)
        _set(self, "compile_ranges_endpoints", endpoints)
        _sizes((self.max_size,), "max_size", smallest=1)
        self._check_graphs()
        _check_largest(self.exact_sizes, "compile_sizes", self.max_size)
        if self.dispatch_dim is not None and not isinstance(self.dispatch_dim, str):
            raise ConfigError(
                f"dispatch_dim must be the name of a size, not {self.dispatch_dim!r}."
            )
        _set(self, "out_of_range", _member(OutOfRange, self.out_of_range, "out_of_range"))
        _set(self, "grad", _member(GradPolicy, self.grad, "grad"))
        _set(self, "guard_policy", _member(GuardPolicy, self.guard_policy, "guard_policy"))
        _sizes((self.variants_limit,), "variants_limit", smallest=1)
        _sizes((self.compile_workers,), "compile_workers", smallest=1)
        if not isinstance(self.dynamic_shapes, DynamicShapesConfig):
            raise ConfigError(
                f"dynamic_shapes must be a DynamicShapesConfig, not {self.dynamic_shapes!r}."
            )
        if self.dynamic_shapes.evaluate_guards and self.guard_policy is GuardPolicy.VARIANTS:
            raise ConfigError(
                "evaluate_guards fails a call that guard_policy=GuardPolicy.VARIANTS would capture "
                "another graph for: choose one of them."
            )
        if not isinstance(self.dedupe, bool):
            raise ConfigError(f"dedupe must be True or False, not {self.dedupe!r}.")
        _set(self, "inductor_config", _settings(self.inductor_config))
        _set(self, "debug_dump_path", _folder(self.debug_dump_path, "debug_dump_path"))
        if not isinstance(self.store, StoreConfig):
            raise ConfigError(f"store must be a StoreConfig, not {self.store!r}.")

    def _check_graphs(self) -> None:
        _set(self, "cudagraph_mode", _member(CUDAGraphMode, self.cudagraph_mode, "cudagraph_mode"))
        sizes = _sizes(self.cudagraph_capture_sizes, CAPTURE_SIZES, smallest=1)
        _check_largest(sizes, CAPTURE_SIZES, self.max_size)
        _set(self, CAPTURE_SIZES, tuple(sorted(set(sizes))))
        _sizes((self.cudagraph_num_of_warmups,), "cudagraph_num_of_warmups", smallest=0)
        for name in ("cudagraph_copy_inputs", "use_inductor_graph_partition"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be True or False, not {getattr(self, name)!r}.")
        if self.use_inductor_graph_partition and self.backend != "inductor":
            raise ConfigError(
                "use_inductor_graph_partition=True lets Inductor cut at the splitting ops, so it "
                f"needs backend='inductor', not {self.backend!r}."
            )
        if CAPTURE_SIZES in self.compile_sizes and not self._sizes_of_word():
            raise ConfigError(
                f"compile_sizes holds {CAPTURE_SIZES!r}, and there are none: set "
                f"{CAPTURE_SIZES}, or a cudagraph_mode, which has some of its own."
            )
        for size in self.exact_sizes:
            padded = self.padded_size(size)
            if padded is not None and padded != size:
                raise ConfigError(
                    f"compile_sizes holds {size}, which would be padded to {padded}, the next of "
                    f"cudagraph_capture_sizes: drop it, or add {size} to those."
                )

    @property
    def capture_sizes(self) -> tuple[int, ...]:
        """The dispatch sizes with a CUDA graph, ascending; empty under CUDAGraphMode.NONE."""
        if self.cudagraph_mode is CUDAGraphMode.NONE:
            return ()
        default = tuple(size for size in _DEFAULT_CAPTURE_SIZES if size <= self.max_size)
        return self.cudagraph_capture_sizes or default

    def padded_size(self, size: int) -> int | None:
        """The capture size that serves a dispatch size, or None above the largest."""
        return next((each for each in self.capture_sizes if each >= size), None)

    @property
    def exact_sizes(self) -> tuple[int, ...]:
        """``compile_sizes`` as numbers."""
        found: list[int] = []
        for each in self.compile_sizes:
            found += [each] if isinstance(each, int) else self._sizes_of_word()
        return tuple(dict.fromkeys(found))

    def _sizes_of_word(self) -> tuple[int, ...]:
        return self.capture_sizes or self.cudagraph_capture_sizes

    @property
    def cuts_at(self) -> tuple[str, ...]:
        """The splitting ops at which the graph itself is cut."""
        return () if self.use_inductor_graph_partition else self.splitting_ops

    def replace(self, **changes: Any) -> CompilationConfig:
        """A copy with some fields changed; an unknown field is a TypeError."""
        return dataclasses.replace(self, **changes)

    def in_force(self) -> CompilationConfig:
        """What the steps go by: DYNAMO_TRACE_ONCE cuts nothing and has one range for all sizes.

        Words in ``compile_sizes`` have become numbers.
        """
        if self.mode is not CompilationMode.DYNAMO_TRACE_ONCE:
            has_words = self.compile_sizes != self.exact_sizes
            return self.replace(compile_sizes=self.exact_sizes) if has_words else self
        return self.replace(
            splitting_ops=(),
            compile_sizes=(),
            compile_ranges_endpoints=(),
            use_inductor_graph_partition=False,
        )

    def changed_fields(self, other: CompilationConfig) -> dict[str, tuple[Any, Any]]:
        """Field name -> (value here, value in ``other``) for the fields that differ."""
        names = [each.name for each in dataclasses.fields(self)]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _set(owner: object, name: str, value: object) -> None:
    object.__setattr__(owner, name, value)  # the frozen class normalises its own fields once


def _member(kind: type[_E], value: object, name: str) -> _E:
    if isinstance(value, kind):
        return value
    for member in kind:
        if isinstance(value, str) and value.lower() in (member.name.lower(), member.value):
            return member
    choices = ", ".join(member.name for member in kind)
    raise ConfigError(f"{name} must be one of {choices}, not {value!r}.")


def _check_backend(backend: object) -> None:
    if isinstance(backend, str):
        if backend not in ("inductor", "eager"):
            raise ConfigError(
                "backend must be 'inductor', 'eager' or an object with the Backend protocol, not "
                f"{backend!r}."
            )
        return
    missing = [name for name in ("name", "identity", "compile") if not hasattr(backend, name)]
    if missing:
        raise ConfigError(
            f"backend {backend!r} lacks {', '.join(missing)}: a backend has name, identity() and "
            "compile(...)."
        )


def _settings(values: object) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"inductor_config must be a mapping of setting to value, not {values!r}.")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(
                f"inductor_config maps the name of a setting to its value, not {key!r}."
            )
    return FrozenSettings(dict(values))


def _folder(value: object, name: str) -> Path | None:
    if value is None or (isinstance(value, str | Path) and str(value)):
        return None if value is None else Path(value)
    raise ConfigError(f"{name} must be the path of a folder or None, not {value!r}.")


def _strings(values: object, name: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ConfigError(f"{name} must be a tuple of names, not one string: write ({values!r},).")
    if not isinstance(values, tuple | list) or not all(isinstance(each, str) for each in values):
        raise ConfigError(f"{name} must be a tuple of strings, not {values!r}.")
    return tuple(dict.fromkeys(values))


def _compile_sizes(values: object) -> tuple[int | str, ...]:
    if not isinstance(values, tuple | list) or CAPTURE_SIZES not in values:
        return _sizes(values, "compile_sizes", smallest=1)
    _sizes([each for each in values if each != CAPTURE_SIZES], "compile_sizes", smallest=1)
    return tuple(values)


def _check_largest(sizes: tuple[int, ...], name: str, max_size: int) -> None:
    beyond = [size for size in sizes if size > max_size]
    if beyond:
        raise ConfigError(
            f"{name} holds {beyond[0]}, above max_size={max_size}: "
            f"drop it, or set max_size to at least {beyond[0]}."
        )


def _sizes(values: object, name: str, *, smallest: int) -> tuple[int, ...]:
    if not isinstance(values, tuple | list):
        raise ConfigError(f"{name} must be a tuple of ints, not {values!r}.")
    for each in values:
        if isinstance(each, bool) or not isinstance(each, int):
            raise ConfigError(f"{name} must hold ints, not {each!r}.")
        if not smallest <= each <= LARGEST_SIZE:
            raise ConfigError(f"{name} holds {each}, which is not in {smallest}..{LARGEST_SIZE}.")
    return tuple(values)

"""Compile a class of models: what an author writes above the class.

A decorated class keeps its bases, and its instances their class, attributes, hooks and pickles:
only ``__call__`` and ``__init__`` are wrapped. What was compiled hangs on the instance and is left
out of copies and pickles.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

import torch

from explorer.compilation import Compilation
from explorer.config import LARGEST_SIZE, CompilationConfig, CompilationMode
from explorer.current import DEFAULT_TAG, ModelTag, current_config, current_tag
from explorer.errors import ConfigError
from explorer.runtime.compiled_model import CompiledModel
from explorer.session import Session
from explorer.skipping import is_skipped
from explorer.stages.annotations import tensor_parameters
from explorer.torch_private.capture import PLAIN_CALL
from explorer.torch_private.hooks import call_with_hooks, has_forward_hooks

_C = TypeVar("_C", bound=type)
EnableIf = Callable[[CompilationConfig], bool]

_SPEC = "__piecewise_spec__"
_IGNORED = "__piecewise_ignored__"
_STATE = "_piecewise_state"
_WRAPPED_INIT = "__piecewise_wrapped_init__"
_TAKING = threading.Lock()


@dataclass(frozen=True, eq=False)
class _Spec:
    """What a class was decorated with."""

    dynamic_arg_dims: Mapping[str, Any] | None
    mark_unbacked_dims: Mapping[str, Any] | None
    enable_if: EnableIf | None
    is_encoder: bool
    shape_invariants: Callable[..., Any] | None
    class_name: str


class _State:
    """What one instance was made under, and what was compiled for it.

    Copies and pickles of the instance begin anew. A shallow copy shares the state with the instance
    that it was copied from, so the state knows whose it is.
    """

    def __init__(
        self, config: CompilationConfig | None = None, tag: ModelTag | None = None
    ) -> None:
        self.config = config or current_config()
        self.tag = tag or current_tag()
        self.owner: weakref.ref[Any] | None = None
        self.is_enabled = False
        self.compiled: CompiledModel | None = None
        self.lock = threading.RLock()

    def __deepcopy__(self, memo: Any) -> _State:
        return _State(self.config, self.tag)

    def __reduce__(self) -> Any:
        # The configuration may hold what no other process has, such as a backend.
        return _State, ()

    def belongs_to(self, model: Any) -> bool:
        """Whether it is this instance's, and decided whether that one is compiled."""
        return self.owner is not None and self.owner() is model

    def take(self, model: Any) -> None:
        """Makes it this instance's, and decides whether that one is compiled."""
        cls = type(model)
        enable_if = cast(_Spec, getattr(cls, _SPEC)).enable_if
        self.owner = weakref.ref(model)
        self.is_enabled = (
            self.config.mode is not CompilationMode.NONE
            and not getattr(cls, _IGNORED, False)
            and (enable_if is None or bool(enable_if(self.config)))
        )


@overload
def support_torch_compile(cls: _C) -> _C: ...


@overload
def support_torch_compile(
    cls: None = None,
    *,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    mark_unbacked_dims: Mapping[str, Any] | None = None,
    enable_if: EnableIf | None = None,
    is_encoder: bool = False,
    shape_invariants: Callable[..., Any] | None = None,
) -> Callable[[_C], _C]: ...


def support_torch_compile(
    cls: _C | None = None,
    *,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    mark_unbacked_dims: Mapping[str, Any] | None = None,
    enable_if: EnableIf | None = None,
    is_encoder: bool = False,
    shape_invariants: Callable[..., Any] | None = None,
) -> _C | Callable[[_C], _C]:
    """Compiles instances of a class at their first call, each for itself.

    What holds when an instance is made counts for it: ``use_config``, ``set_model_tag``. Inside
    ``skip_compiled``, inside a trace around it, and where ``model.forward`` is called directly, the
    model runs as it is. A subclass inherits this; decorated again it can have other settings.

    Args:
        cls: a class of modules with a ``forward``.
        dynamic_arg_dims: argument name or path -> dim, list of dims, or {dim: name of the size};
            dims may be negative. An argument with ``IntermediateTensors`` stands for every tensor
            in it, one that is None at the first call for nothing. None makes dim 0 dynamic of every
            argument that is annotated as a tensor.
        mark_unbacked_dims: dims that are marked unbacked in every mode, in the same form.
        enable_if: told the configuration that an instance was made under, before its first call;
            false: that instance is never compiled.
        is_encoder: the last size range has no upper end, as the sizes of an encoder's inputs cannot
            be foreseen.
        shape_invariants: called at the beginning of a capture with the arguments of the call; its
            ``torch._check`` calls say how sizes are related.

    Raises:
        TypeError: it is no class, or has no ``forward``.
        ConfigError: a name that is no argument of ``forward``, or no dim is dynamic.
    """
    spec = functools.partial(
        _Spec, dynamic_arg_dims, mark_unbacked_dims, enable_if, is_encoder, shape_invariants
    )
    if cls is None:
        return lambda decorated: _decorated(decorated, spec)
    return _decorated(cls, spec)


def ignore_torch_compile(cls: _C) -> _C:
    """Leaves instances of a class as they are, though a class above is decorated.

    A class below that is decorated again is compiled, and so are decorated submodules.
    """
    setattr(cls, _IGNORED, True)
    return cls


def compiled_model_of(model: Any) -> CompiledModel | None:
    """What serves the calls of a decorated instance; None before its first compiled call."""
    state = vars(model).get(_STATE)
    return state.compiled if isinstance(state, _State) else None


def compilation_of(model: Any) -> Compilation:
    """The compilation of a decorated instance.

    Raises:
        ConfigError: there is none, or not yet.
    """
    compiled = compiled_model_of(model)
    if compiled is None:
        raise ConfigError(
            f"This {type(model).__name__} has not been compiled: it is compiled at its first call, "
            "if its class is decorated with support_torch_compile and compiling is enabled for it."
        )
    return compiled.compilation


# ---------------------------------------------------------------------------------------- the class


def _decorated(cls: _C, make_spec: Callable[..., _Spec]) -> _C:
    if not isinstance(cls, type):
        raise TypeError(
            f"support_torch_compile decorates a class, not {cls!r}; for one module or function use "
            "compile_model."
        )
    forward = getattr(cls, "forward", None)
    if not callable(forward) or forward is getattr(torch.nn.Module, "forward", None):
        raise TypeError(f"{cls.__qualname__} has no forward method, which is what gets compiled.")
    if _SPEC in vars(cls):
        return cls  # decorated already
    spec = make_spec(class_name=cls.__name__)
    _check_names(cls, spec)
    setattr(cls, _SPEC, spec)
    setattr(cls, _IGNORED, False)
    wrapped = cast(Any, cls)
    if not hasattr(wrapped.__call__, PLAIN_CALL):
        wrapped.__call__ = _call_of(wrapped.__call__)
    if not hasattr(wrapped.__init__, _WRAPPED_INIT):
        wrapped.__init__ = _init_of(wrapped.__init__)
    return cls


def _check_names(cls: type, spec: _Spec) -> None:
    forward = cast(Any, cls).forward
    names = list(inspect.signature(forward).parameters)[1:]
    for field in ("dynamic_arg_dims", "mark_unbacked_dims"):
        for path in getattr(spec, field) or ():
            root = str(path).split("[", 1)[0].split(".", 1)[0]
            if root not in names:
                raise ConfigError(
                    f"Argument {root!r} of {field} is not found in the forward method of "
                    f"{cls.__qualname__}, whose arguments are {', '.join(names) or 'none'}."
                )
    known = tensor_parameters(forward)
    found = spec.dynamic_arg_dims
    if not (known.tensors or known.unresolved if found is None else found):
        raise ConfigError(
            f"No dynamic dimensions found in the forward method of {cls.__qualname__}: annotate "
            "its arguments as torch.Tensor, or give dynamic_arg_dims."
        )


def _init_of(init: Callable[..., None]) -> Callable[..., None]:
    accepts_prefix = _accepts(init, "prefix")

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if _STATE not in vars(self):  # else a decorated class below has done it
            vars(self)[_STATE] = _State()
        if not accepts_prefix:
            kwargs.pop("prefix", None)  # vLLM's models are all given one
        init(self, *args, **kwargs)

    setattr(__init__, _WRAPPED_INIT, True)
    return __init__


def _accepts(function: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(
        each.name == name or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters
    )


def _call_of(plain: Callable[..., Any]) -> Callable[..., Any]:
    runs_hooks = plain is torch.nn.Module.__call__

    @functools.wraps(plain)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return plain(self, *args, **kwargs)
        state = vars(self).get(_STATE)
        if state is None or not state.belongs_to(self):
            state = _state_for(self, state)
        if not state.is_enabled or is_skipped():
            return plain(self, *args, **kwargs)
        compiled = state.compiled
        if compiled is None:
            compiled = _compiled(self, state, args, kwargs)
        if runs_hooks and has_forward_hooks(self):
            return call_with_hooks(self, compiled, args, kwargs)
        return compiled(*args, **kwargs)

    setattr(__call__, PLAIN_CALL, plain)
    return __call__


def _state_for(model: Any, found: _State | None) -> _State:
    """At the first call, also of a copy, and of what a loader made without ``__init__``."""
    with _TAKING:
        state = vars(model).get(_STATE)
        if state is None or (state.owner is not None and not state.belongs_to(model)):
            state = _State(found.config, found.tag) if found is not None else _State()
            vars(model)[_STATE] = state
        if not state.belongs_to(model):
            state.take(model)
        return state


# ----------------------------------------------------------------------------------- the first call


def _compiled(
    model: Any, state: _State, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> CompiledModel:
    """Compiles for the call at hand; of several threads one does, and the others wait."""
    with state.lock:
        if state.compiled is not None:
            return state.compiled
        spec: _Spec = getattr(type(model), _SPEC)
        is_encoder = spec.is_encoder or state.tag.is_encoder
        config = state.config
        if is_encoder:
            config = dataclasses.replace(config, max_size=LARGEST_SIZE)
        dims, unbacked = _dims_of_call(model, spec, args, kwargs)
        session = Session(
            model,
            args,
            example_kwargs=kwargs,
            dynamic_arg_dims=dims,
            mark_unbacked_dims=unbacked,
            config=config,
            shape_invariants=spec.shape_invariants,
            name=_name(spec, state.tag, type(model)),
            tag=state.tag.name,
        )
        if config.mode.captures:
            with torch.no_grad():
                session.update()
        state.compiled = session.model()
        return state.compiled


def _name(spec: _Spec, tag: ModelTag, cls: type) -> str:
    """An encoder goes by its class, another part by its tag, a whole model by its class."""
    if spec.is_encoder:
        return spec.class_name
    return cls.__name__ if tag.name == DEFAULT_TAG else tag.name


def _dims_of_call(
    model: Any, spec: _Spec, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The wanted dims without those of arguments that are None in this call."""
    bound = inspect.signature(model.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    missing = {name for name, value in bound.arguments.items() if value is None}

    def present(dims: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if dims is None:
            return None
        return {path: each for path, each in dims.items() if path not in missing}

    return present(spec.dynamic_arg_dims), present(spec.mark_unbacked_dims)

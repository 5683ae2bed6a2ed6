"""Dynamo: trace a model once into one graph, bind calls, check what it assumed of the model.

Private names used (torch 2.13.0): ``torch._dynamo.convert_frame.fullgraph_capture`` and
``get_traced_fn``, ``torch._dynamo.utils.get_metrics_context`` and ``dynamo_timed``,
``torch._dynamo.config``, ``torch.fx.experimental._config``, the loggers in ``_LOGS_OF_ERRORS``,
``ShapeEnv.deferred_runtime_asserts``, and of a capture: ``backend_input``,
``forward_callable``, ``output_graph``.
"""

from __future__ import annotations

import contextlib
import dis
import logging
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any, cast

import torch
import torch._dynamo.config
import torch._dynamo.convert_frame as convert_frame
import torch._dynamo.decorators
import torch.fx.experimental._config
from torch._dynamo.exc import (
    ObservedException,
    TorchDynamoException,
    TorchRuntimeError,
    UncapturedHigherOrderOpError,
    Unsupported,
    UserError,
)
from torch._dynamo.utils import dynamo_timed, get_metrics_context
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, ShapeEnv

from explorer.artifacts.common import Expression
from explorer.artifacts.traced import TracedFunction
from explorer.errors import CaptureError
from explorer.intermediate_tensors import STEP_INSIDE
from explorer.invariants import with_invariants
from explorer.store.places import Live, arguments_of
from explorer.torch_private.beside import MOST_TRACES, StateChangedError, alone, quiet_dynamo
from explorer.torch_private.failures import constant_predicates
from explorer.torch_private.layout_questions import layout_questions
from explorer.torch_private.recorder import AskedBy, Asker, RawGuard, Recording, recorded
from explorer.torch_private.repeats import RepeatCounts, RepeatsFailedError, writing_repeats
from explorer.torch_private.state_guards import StateGuards, state_guards
from explorer.torch_private.traced_code import TracedCalls, noticed, traced_functions
from explorer.torch_private.value_guards import RawValueGuard, plain_records

logger = logging.getLogger("explorer")

TRACE_ERRORS = (Unsupported, UncapturedHigherOrderOpError, UserError, TorchDynamoException)
"""What a failed trace raises."""

MODEL_ERRORS = (ObservedException, TorchRuntimeError)
"""What a trace raises when the model's own code raised."""


@dataclass(frozen=True, eq=False, repr=False)
class RawCapture:
    """What one Dynamo trace left behind.

    Attributes:
        graph_module: the traced graph; None when the model ran no tensor operation.
        example_inputs: the real value of each placeholder.
        sources: Dynamo's source name of each placeholder, an expression over ``L`` and ``G``.
        shape_env: the symbols' environment; None when nothing was asked of sizes.
        shape_guards: conditions on sizes, in the order in which they were added.
        runtime_asserts: conditions on sizes that the graph tests itself.
        value_guards: conditions on Python values.
        recording: every question about sizes, and who asked.
        function: the Python function that was traced, a ``FunctionType``; a checker would take a
            field of that type for a method.
        receiver: what it is bound to, or None.
        state: what must hold of model state and Python values, to be checked at a call.
        output: torch's own object, to bind calls with.
        functions: the Python functions that the graph depends on, the traced one first.
        repeats: how many calls of repeated layers were traced, and written without a trace.
    """

    graph_module: torch.fx.GraphModule | None
    example_inputs: tuple[Any, ...]
    sources: tuple[str, ...]
    shape_env: ShapeEnv | None
    shape_guards: tuple[RawGuard, ...]
    runtime_asserts: tuple[RawGuard, ...]
    value_guards: tuple[RawValueGuard, ...]
    recording: Recording
    function: Any
    receiver: Any
    state: StateGuards
    output: Any
    functions: tuple[TracedFunction, ...] = ()
    repeats: RepeatCounts = field(default_factory=RepeatCounts)

    @property
    def is_empty(self) -> bool:
        """Whether the model ran no tensor operation."""
        return self.graph_module is None

    def has_side_effects(self) -> bool:
        """Whether a bound call may do more than run the graph and rebuild its output."""
        bytecode = list(dis.get_instructions(self.output.graph_capture_output.bytecode))
        return _sets_what_it_has_not_made(bytecode) or any(
            instruction.opname in _SIDE_EFFECT_OPCODES or instruction.argval in _SIDE_EFFECT_NAMES
            for instruction in bytecode
            if isinstance(instruction.argval, str) or instruction.opname in _SIDE_EFFECT_OPCODES
        )

    def assigned_globals(self) -> tuple[str, ...]:
        """Names of globals that a call assigns; a bound call assigns them in a dict of its own."""
        bytecode = self.output.graph_capture_output.bytecode
        names = (
            str(each.argval)
            for each in dis.get_instructions(bytecode)
            if each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")
        )
        return tuple(dict.fromkeys(names))

    def bind(self, flat_function: Callable[..., Any]) -> Callable[..., Any]:
        """``flat_function(*placeholder values) -> tuple``, seen like the traced function.

        The result is Dynamo's own bytecode: it looks the inputs up, calls ``flat_function``,
        rebuilds the output and replays side effects such as an assigned buffer. It takes the
        receiver first.
        """
        # Only what the bytecode reads: the whole dict would keep every object of a notebook alive.
        scope = self.function.__globals__
        read = self.output.graph_capture_output.bytecode.co_names
        return self.output.forward_callable(
            compiled_fn=flat_function,
            extra_globals={name: scope[name] for name in read if name in scope},
        )


# What SideEffects.codegen_update_mutated of torch 2.13.0 writes.
_SIDE_EFFECT_OPCODES = frozenset(
    {"STORE_ATTR", "STORE_SUBSCR", "STORE_GLOBAL", "STORE_DEREF", "DELETE_ATTR", "DELETE_SUBSCR"}
)
_SIDE_EFFECT_NAMES = frozenset(
    (
        *("clear", "extend", "update", "append", "insert", "setattr", "__setattr__"),
        *("__setitem__", "object_delattr_ignore_descriptor"),
        *("iter_next", "setstate", "set_torch_function_mode_stack"),
    )
)
_SETS_AN_ATTRIBUTE = "object_setattr_ignore_descriptor"


def _sets_what_it_has_not_made(bytecode: list[dis.Instruction]) -> bool:
    """Whether an attribute is set of an object that was there before, not of one in the output.

    A new object is the result of ``__new__``, kept in a local. Any other form counts as set.
    """
    made: set[str] = set()
    setters: set[str] = set()
    is_new = False
    for position, each in enumerate(bytecode[:-1]):
        following = bytecode[position + 1]
        if each.argval == "__new__":
            is_new = True
        elif each.opname == "CALL" and is_new:
            is_new = False
            if following.opname == "STORE_FAST":
                made.add(following.argval)
        begins = each.argval == _SETS_AN_ATTRIBUTE and each.opname == "LOAD_ATTR"
        if begins and following.opname == "COPY":  # kept for the next ones
            setters.add(bytecode[position + 2].argval)
            position += 2
        elif not begins and not (each.opname == "LOAD_FAST" and each.argval in setters):
            continue
        target, name = bytecode[position + 1 : position + 3]
        if target.opname != "LOAD_FAST" or target.argval not in made or name.opname != "LOAD_CONST":
            return True
    return False


_LOGS_OF_ERRORS = ("torch._guards", "torch._subclasses.fake_tensor")


@contextlib.contextmanager
def quiet_error_logs() -> Iterator[None]:
    """Torch logs a failing guard or op at error level before it raises; we raise our own words.

    What other threads log is logged, and what is no error.
    """
    owner = threading.get_ident()

    def is_said(record: logging.LogRecord) -> bool:
        return record.thread != owner or record.levelno < logging.ERROR

    loggers = [logging.getLogger(name) for name in _LOGS_OF_ERRORS]
    for each in loggers:
        each.addFilter(is_said)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(is_said)


@contextlib.contextmanager
def _clean_dynamo(size_oblivious: bool) -> Iterator[None]:
    """Settings under which earlier traces in the process cannot show through, for this thread only.

    Automatic dynamic shapes remember sizes of earlier traces of the same code object.
    """
    config = torch._dynamo.config.patch(
        automatic_dynamic_shapes=False,
        assume_static_by_default=True,
        skip_nnmodule_hook_guards=True,  # torch_private.hooks watches them, at a fifth of the time
    )
    # Torch puts ``patch`` there when it is imported.
    fx_config = cast(Any, torch.fx.experimental._config).patch(backed_size_oblivious=size_oblivious)
    with config, fx_config:
        yield


PLAIN_CALL = "__piecewise_plain_call__"
"""Attribute of a decorated ``__call__``: the one that the class had before."""


def traced_function(model: Callable[..., Any]) -> tuple[FunctionType, Any]:
    """The Python function that a trace of ``model`` starts in, and what it is bound to (or None).

    Raises:
        RuntimeError: ``model`` is no module, function or method.
    """
    return convert_frame.get_traced_fn(undecorated(model))


def start_of(
    model: Callable[..., Any], invariants: Callable[..., Any] | None
) -> tuple[FunctionType, Any]:
    """``traced_function``, with checks on the arguments called first where there are any.

    Raises:
        RuntimeError: ``model`` is no module, function or method.
    """
    function, receiver = traced_function(model)
    if invariants is None:
        return function, receiver
    return with_invariants(function, receiver, invariants), receiver


def undecorated(model: Callable[..., Any]) -> Callable[..., Any]:
    """What calls of a decorated module come to: its ``forward``, or the ``__call__`` of its class.

    Where that is the ``__call__`` of all modules, the decorated one runs the module's hooks itself.
    Anything else is returned as it is.
    """
    plain = getattr(getattr(type(model), "__call__", None), PLAIN_CALL, None)  # noqa: B004
    if plain is None:
        return model
    is_usual = plain is torch.nn.Module.__call__
    return cast(Any, model).forward if is_usual else MethodType(plain, model)


def trace(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    size_oblivious: bool = False,
    recording: Recording | None = None,
    checked: Iterable[torch.Tensor] = (),
    invariants: Callable[..., Any] | None = None,
    write_repeats: bool = True,
) -> RawCapture:
    """Traces one call into one graph; nothing is installed and no global setting stays changed.

    Args:
        model: a module, function or method.
        args: positional arguments; their tensors carry the marks.
        kwargs: keyword arguments.
        size_oblivious: do not set sizes 0 and 1 apart.
        recording: filled while tracing, so that a failed trace still says what it tested.
        checked: tensors in the arguments whose layout the runtime checks itself where they are
            inputs of the graph.
        invariants: called at the beginning of the trace with the same arguments, for its checks.
        write_repeats: whether a layer that repeats is traced once and written again, which gives
            the same graph sooner.

    Raises:
        TRACE_ERRORS: the trace failed.
        ConstraintViolationError: a marked dim became a constant.
        CaptureError: another thread changed settings of the process again and again.
    """
    recording = Recording() if recording is None else recording
    given = (model, args, kwargs, size_oblivious, recording, tuple(checked), invariants)
    changed: StateChangedError | None = None
    for _ in range(MOST_TRACES):
        try:
            return _trace_soon(given, recording, write_repeats)
        except StateChangedError as error:
            changed = error
            recording.forget()
    raise CaptureError(
        f"Other code changed settings of the process ({changed}) each time that the model was "
        "traced, so the graph may be a mixture: compile again when it has ended."
    )


def _trace_soon(given: Any, recording: Recording, write_repeats: bool) -> RawCapture:
    """One trace, where layers that repeat are written again if that works."""
    if write_repeats:
        try:
            with alone():
                return _trace(*given, write_repeats=True)
        except RepeatsFailedError as error:
            # It only saves time, so nobody has to do without it for long: the canary says more.
            logger.warning("repeated layers are traced one by one: %s", error)
            recording.forget()
    with alone():
        return _trace(*given, write_repeats=False)


def _trace(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    size_oblivious: bool,
    recording: Recording,
    checked: tuple[torch.Tensor, ...],
    invariants: Callable[..., Any] | None,
    *,
    write_repeats: bool,
) -> RawCapture:
    values: list[RawValueGuard] = []
    function, receiver = start_of(model, invariants)
    start = function if receiver is None else MethodType(function, receiver)
    # Others trace into the same globals: a cell's functions are in those of its models.
    names_before = set(function.__globals__)
    calls, repeats = TracedCalls(), RepeatCounts()
    layers = receiver if write_repeats else None
    with (
        quiet_dynamo(),
        torch.no_grad(),
        _clean_dynamo(size_oblivious),
        recorded(recording),
        constant_predicates(recording.constant_predicates),
        layout_questions(recording.layout_questions),
        noticed(calls),
        writing_repeats(layers, calls, recording, repeats),
        quiet_error_logs(),
        get_metrics_context(),
        dynamo_timed("piecewise_explorer_capture"),
    ):
        output = convert_frame.fullgraph_capture(start, tuple(args), dict(kwargs))
        guards = state_guards(
            output,
            {id(tensor) for tensor in checked},
            function,
            on_entries=lambda entries: values.extend(plain_records(entries)),
        )
    backend_input = output.backend_input
    graph_module = None if backend_input is None else backend_input.graph_module
    # A model that runs no tensor operation may still have tested sizes.
    shape_env = recording.shape_env
    if backend_input is not None:
        shape_env = backend_input.fake_mode.shape_env
    sources = cast(
        Mapping[int, Any],
        output.graph_capture_output.output_graph.export_metadata.graph_input_idx_to_local_source,
    )
    live = Live(function, receiver, arguments_of(function, receiver, args, kwargs))
    raw = RawCapture(
        graph_module=graph_module,
        example_inputs=() if backend_input is None else tuple(backend_input.example_inputs),
        sources=tuple(source.name for _, source in sorted(sources.items())),
        shape_env=shape_env,
        shape_guards=_kept_guards(recording, shape_env),
        runtime_asserts=_runtime_asserts(recording, shape_env),
        value_guards=tuple(values),
        recording=recording,
        function=function,
        receiver=receiver,
        state=guards,
        output=output,
        functions=traced_functions(calls, live, graph_module, guards.tree()),
        repeats=repeats,
    )
    if shape_env is not None:
        weakref.finalize(raw, _forget_fakes, shape_env)
    _clean_up_globals(raw, function.__globals__, names_before)
    return raw


def _clean_up_globals(raw: RawCapture, scope: dict[str, Any], names_before: set[str]) -> None:
    """Takes back what the trace put into the globals of the user's module.

    The compiled function goes at once: ``bind`` hands over another. The guards read the dict of
    builtins under the name that the trace gave it, so that goes when the capture does.
    """
    added = [name for name in scope if name not in names_before]
    for name in added:
        if name.startswith("__compiled_fn_"):
            del scope[name]
    needed = [name for name in added if name.startswith("__builtins_dict__")]
    weakref.finalize(raw, _forget, scope, needed)


def _forget_fakes(shape_env: ShapeEnv) -> None:
    """Torch's caches keep the environments of all traces; their fake tensors can go."""
    shape_env.tracked_fakes = None


def _forget(scope: dict[str, Any], names: list[str]) -> None:
    for name in names:
        scope.pop(name, None)


def _kept_guards(recording: Recording, shape_env: ShapeEnv | None) -> tuple[RawGuard, ...]:
    """The conditions that the environment kept, each with who made it."""
    if shape_env is None:
        return ()
    known = {guard.expression: guard for guard in reversed(recording.guards)}
    nobody = Asker(AskedBy.OTHER, None, None)
    empty = traceback.StackSummary()
    return tuple(
        known.get(guard.expr) or RawGuard(guard.expr, nobody, empty, str(guard.sloc))
        for guard in shape_env.guards
    )


def _runtime_asserts(recording: Recording, shape_env: ShapeEnv | None) -> tuple[RawGuard, ...]:
    """The conditions on sizes without a value: they are nodes of the graph."""
    if shape_env is None or not shape_env.deferred_runtime_asserts:
        return ()
    kept = {guard.expr for guard in shape_env.guards}
    found = {guard.expression: guard for guard in reversed(recording.guards)}
    return tuple(guard for guard in reversed(found.values()) if guard.expression not in kept)


def mark_backed(tensor: torch.Tensor, dim: int) -> None:
    """Asks for a symbol with an example value.

    The mark is an attribute of the tensor object: give a clone.
    """
    torch._dynamo.mark_dynamic(tensor, dim)


def mark_unbacked(tensor: torch.Tensor, dim: int, shape_id: str | None) -> None:
    """Asks for a symbol without a value; dims with one ``shape_id`` share it."""
    torch._dynamo.decorators.mark_unbacked(
        tensor, dim, hint_override=tensor.shape[dim], shape_id=shape_id
    )


def unwrap_compiled(model: Any) -> Any:
    """The module or function inside what ``torch.compile`` returned, else ``model``."""
    if isinstance(model, FunctionType) and not getattr(model, "_torchdynamo_disable", False):
        return getattr(model, "_torchdynamo_orig_callable", model)
    return getattr(model, "_orig_mod", model)


def is_error_of_model(error: BaseException) -> bool:
    """Whether a failed trace means that the model's own code raised."""
    return isinstance(error, MODEL_ERRORS) or getattr(error, "gb_type", "") == "Observed exception"


def symbol_sources(shape_env: ShapeEnv) -> dict[str, Expression]:
    """Dynamo source name of a size, ``L['x'].size()[0]`` -> the symbol that was made for it.

    A tensor in ``IntermediateTensors`` is named as one in a dict: ``L['it']['hidden']``.
    """
    return {
        source.replace(STEP_INSIDE, ""): symbol
        for source, symbol in shape_env.source_to_var.items()
    }


def replace_symbols(expression: Expression, shape_env: ShapeEnv) -> Expression:
    """The expression with the environment's known equalities applied."""
    return shape_env.replace(expression)


__all__ = [
    "MODEL_ERRORS",
    "TRACE_ERRORS",
    "ConstraintViolationError",
    "RawCapture",
    "RawGuard",
    "Recording",
    "is_error_of_model",
    "mark_backed",
    "mark_unbacked",
    "replace_symbols",
    "start_of",
    "symbol_sources",
    "trace",
    "traced_function",
    "unwrap_compiled",
]

"""Step 1: a model and example inputs in, a CapturedGraph out."""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import fx

from explorer.artifacts import (
    CapturedGraph,
    GraphInput,
    InputKind,
    LayoutQuestion,
    Size,
    UserTensor,
)
from explorer.artifacts.common import Expression
from explorer.as_it_is import as_it_is
from explorer.config import CompilationConfig, DynamicShapesType
from explorer.counters import counters
from explorer.current import DEFAULT_TAG
from explorer.errors import CaptureError, ConfigError, InputError
from explorer.guards.collect import collect
from explorer.guards.predicate_traps import constant_predicate_trap
from explorer.model_state import ModelState
from explorer.random_state import random_state_kept
from explorer.stages import effects, inputs
from explorer.stages.capture_errors import grown_text, specialised_dim, trace_error_text
from explorer.stages.capture_sizes import independent_sizes
from explorer.stages.dynamic_dims import dynamic_dims, inferred_dims
from explorer.stages.graphs import (
    dotted_path,
    example_value,
    expression_of,
    placeholders,
)
from explorer.stages.inputs import DynamicDim, TensorLeaf
from explorer.stages.layouts import layout_questions
from explorer.target import MakeInputs
from explorer.thread_settings import thread_state
from explorer.torch_private import capture as dynamo


@dataclass(frozen=True, eq=False, repr=False)
class CaptureRequest:
    """What a capture depends on.

    Attributes:
        model: what to capture.
        args: positional arguments of the example call.
        kwargs: keyword arguments of it.
        dynamic_arg_dims: see ``compile_model``.
        mark_unbacked_dims: dims that are marked unbacked in every mode, in the same form.
        make_inputs: makes inputs of other sizes, or None.
        invariants: called at the beginning of the trace with the call's arguments; its
            ``torch._check`` calls say how sizes are related. Or None.
        fixed_dims: (input path, dim) -> a constant that it becomes instead of dynamic: the model
            makes it one, or the graph for one size is wanted.
        tag: of the part of a model that it is; compilations of two parts are stored apart.
    """

    model: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    dynamic_arg_dims: Mapping[str, Any] | None = None
    mark_unbacked_dims: Mapping[str, Any] | None = None
    make_inputs: MakeInputs | None = None
    invariants: Callable[..., Any] | None = None
    fixed_dims: Mapping[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    tag: str = DEFAULT_TAG


def capture(
    request: CaptureRequest,
    config: CompilationConfig,
    *,
    fixed_dims: Mapping[tuple[str, int], int] | None = None,
) -> CapturedGraph:
    """Traces the model once, with the wanted dims dynamic.

    Args:
        request: the model and its example call.
        config: reads ``dynamic_shapes`` only.
        fixed_dims: more of the request's ``fixed_dims``; to probe size 1.

    Raises:
        InputError: the inputs do not fit.
        ConfigError: a dim or a name that is not there.
        CaptureError: the model does not trace into one graph, or makes a wanted dim constant.
    """
    model = checked_model(request.model)
    function, receiver = dynamo.traced_function(model)
    args, kwargs = request.args, dict(request.kwargs)
    leaves, arguments = _leaves(function, receiver, args, kwargs)
    inputs.check_tensors(leaves)
    wanted = request.dynamic_arg_dims
    if wanted is None:
        wanted = inferred_dims(function, arguments)
    dims = dynamic_dims(arguments, wanted, request.mark_unbacked_dims)
    fixed = {**request.fixed_dims, **(fixed_dims or {})}
    named = with_names(dims)
    live = tuple(each for each in dims if (each.path, each.dim) not in fixed)
    other_sizes = inputs.capture_sizes(leaves, live) | fixed
    if other_sizes:
        args, kwargs = _at_sizes(request, leaves, named, other_sizes)
        leaves, _ = _leaves(function, receiver, args, kwargs)
        _check_sizes(leaves, other_sizes)
    paths = frozenset(each.path for each in live)
    moved = [each.path for each in leaves if each.path in paths and not each.tensor.is_contiguous()]
    copies = inputs.capture_copies(leaves, paths)
    args, kwargs = inputs.replace_tensors(args, kwargs, copies)
    leaves = [TensorLeaf(leaf.path, copies[id(leaf.tensor)]) for leaf in leaves]
    _mark(leaves, live, config)
    state = thread_state()
    raw = _trace(model, args, kwargs, leaves, live, config, request.invariants)
    if isinstance(raw, _ModelRaised):
        if other_sizes:
            raise InputError(grown_text(other_sizes, raw.error)) from raw.error
        raise raw.error
    _check_trace(raw, state)
    counters.add(layers_traced=raw.repeats.traced, layers_written=raw.repeats.written)
    found = _captured(model, raw, leaves, live, named, state)
    _check_layouts(found, moved)
    # A dim that is fixed on purpose makes the tests on it constants.
    stacks = () if fixed else raw.recording.constant_predicates
    traps = [str(trap) for stack in stacks if (trap := constant_predicate_trap(stack)) is not None]
    copied = [
        f"{path} of the example is not contiguous, the graph is for {path}.contiguous(): a call "
        "with another layout runs on a copy, and is refused where the graph writes to it or "
        "returns a view of it"
        for path in moved
    ]
    notes = tuple(dict.fromkeys((*found.notes, *traps, *copied)))
    return dataclasses.replace(found, request=request, notes=notes)


def marked_call(
    request: CaptureRequest,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    config: CompilationConfig,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call with its dynamic dims marked, on tensors of its own over the same memory.

    Sizes 0 and 1 stay unmarked: torch gives them no symbol.

    Args:
        request: knows which dims are wanted dynamic.
        args: positional arguments.
        kwargs: keyword arguments.
        config: reads ``dynamic_shapes`` only.
    """
    call = dataclasses.replace(request, args=args, kwargs=dict(kwargs))
    leaves, named = named_dims(call)
    small = inputs.capture_sizes(leaves, named)
    live = tuple(each for each in named if (each.path, each.dim) not in small)
    copies = inputs.capture_copies(leaves, frozenset(each.path for each in live))
    _mark([TensorLeaf(leaf.path, copies[id(leaf.tensor)]) for leaf in leaves], live, config)
    return inputs.replace_tensors(args, kwargs, copies)


def call_at(
    request: CaptureRequest, sizes: Mapping[tuple[str, int], int]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example call with some dims at other sizes.

    Args:
        request: the model and its example call.
        sizes: (input path, dim) -> wanted size.
    """
    leaves, named = named_dims(request)
    return _at_sizes(request, leaves, named, sizes)


def named_dims(
    request: CaptureRequest,
) -> tuple[list[TensorLeaf], tuple[DynamicDim, ...]]:
    """The tensors of the example, and the dims that are wanted dynamic, each with a name.

    Raises:
        InputError: the example does not fit the signature.
        ConfigError: a dim or a name that is not there.
    """
    leaves, dims = wanted_dims(request)
    return leaves, with_names(dims)


def wanted_dims(
    request: CaptureRequest,
) -> tuple[list[TensorLeaf], tuple[DynamicDim, ...]]:
    """The same, where dims to which the user gave no name have none.

    Raises:
        InputError: see ``named_dims``.
        ConfigError: see ``named_dims``.
    """
    function, receiver = dynamo.traced_function(checked_model(request.model))
    leaves, arguments = _leaves(function, receiver, request.args, request.kwargs)
    wanted = request.dynamic_arg_dims
    if wanted is None:
        wanted = inferred_dims(function, arguments)
    return leaves, dynamic_dims(arguments, wanted, request.mark_unbacked_dims)


def _leaves(
    function: Any, receiver: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[TensorLeaf], dict[str, Any]]:
    """The tensors of a call with their paths, and the arguments by name.

    A decorated ``forward(*args, **kwargs)`` shows the signature of what it wraps, which is what
    users know.
    """
    bound = inputs.bind_arguments(function, receiver, args, kwargs)
    arguments = inputs.user_arguments(bound, receiver)
    return inputs.tensor_leaves(arguments), arguments


def checked_model(model: Any) -> Callable[..., Any]:
    """The callable that can be traced: a module, function or method.

    Raises:
        CaptureError: a class, a scripted module, something that cannot be called.
    """
    model = getattr(model, "model_before_compiling", model)  # a CompiledModel
    model = dynamo.unwrap_compiled(model)
    if isinstance(model, type):
        raise CaptureError(f"{model.__qualname__} is a class: make an instance and pass that.")
    if isinstance(model, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        raise CaptureError(
            "The model is a TorchScript module, which has no Python code to trace: pass the "
            "original module."
        )
    if not callable(model):
        raise CaptureError(f"The model is a {type(model).__name__}, which cannot be called.")
    if isinstance(model, partial):
        return _plain_function(model)
    try:
        dynamo.traced_function(model)
    except (RuntimeError, AttributeError):
        method = cast(Any, type(model).__call__)
        if hasattr(method, "__code__"):
            return method.__get__(model)
        raise CaptureError(
            f"The model is a {type(model).__name__} without Python code to trace: pass a module or "
            "a function."
        ) from None
    return model


def _plain_function(model: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return model(*args, **kwargs)

    return call


def with_names(dims: tuple[DynamicDim, ...]) -> tuple[DynamicDim, ...]:
    """Every dim with a name; unnamed ones are called after their input: ``x_0``."""
    taken = {each.name for each in dims if each.name}
    named = []
    for each in dims:
        name = each.name
        if name is None:
            root = "".join(c if c.isalnum() else "_" for c in each.path).strip("_")
            name = f"{root}_{each.dim}"
            while name in taken:
                name += "_"
            taken.add(name)
        named.append(DynamicDim(each.path, each.dim, name, each.unbacked))
    return tuple(named)


def _at_sizes(
    request: CaptureRequest,
    leaves: list[TensorLeaf],
    named: tuple[DynamicDim, ...],
    sizes: Mapping[tuple[str, int], int],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if request.make_inputs is None:
        changed = inputs.resized_tensors(leaves, sizes)
        return inputs.replace_tensors(request.args, request.kwargs, changed)
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    by_name = {
        str(each.name): sizes.get((each.path, each.dim), tensors[each.path].shape[each.dim])
        for each in named
    }
    return call_make_inputs(request.make_inputs, by_name)


def _check_sizes(leaves: list[TensorLeaf], wanted: Mapping[tuple[str, int], int]) -> None:
    """Refuses inputs of other sizes than ``make_inputs`` was asked for."""
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    for (path, dim), size in wanted.items():
        if path not in tensors or tensors[path].dim() <= dim:
            raise InputError(f"make_inputs gave no tensor at {path} with a dim {dim}.")
        if tensors[path].shape[dim] != size:
            raise InputError(
                f"make_inputs was asked for {path}.size({dim}) = {size} and gave "
                f"{tensors[path].shape[dim]}."
            )


def call_make_inputs(make_inputs: MakeInputs, sizes: Mapping[str, int]) -> tuple[Any, Any]:
    """Calls the user's ``make_inputs`` and checks what it gives.

    Raises:
        InputError: it failed, or returned something else than ``(args, kwargs)``.
    """
    try:
        with random_state_kept():
            made = make_inputs(dict(sizes))
    except Exception as error:
        raise InputError(f"make_inputs failed for sizes {dict(sizes)}: {error}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], dict)):
        raise InputError(
            f"make_inputs must return (args tuple, kwargs dict), not {type(made).__name__}."
        )
    return tuple(made[0]), made[1]


def _mark(
    leaves: list[TensorLeaf], dims: tuple[DynamicDim, ...], config: CompilationConfig
) -> None:
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    all_unbacked = config.dynamic_shapes.type is DynamicShapesType.UNBACKED
    for each in dims:
        if each.unbacked or all_unbacked:
            dynamo.mark_unbacked(tensors[each.path], each.dim, each.name)
        else:
            dynamo.mark_backed(tensors[each.path], each.dim)


def _check_trace(raw: dynamo.RawCapture, state: tuple[tuple[str, Any], ...]) -> None:
    """Refuses a trace whose graph could not stand for the model.

    Args:
        raw: the trace.
        state: settings of the thread before it; they are part of what the capture is known by.

    Raises:
        CaptureError: they changed meanwhile, or a call has an effect that the graph has not.
    """
    if thread_state() != state:
        raise CaptureError(
            "The default dtype was changed by other code while the model was traced, so the graph "
            "would be of neither: compile again."
        )
    names = () if raw.is_empty else raw.assigned_globals()
    if names:
        raise CaptureError(
            f"The model assigns the global {' and '.join(names)}, which a call of the graph would "
            "not do: keep it in an attribute of the model, which a call sets."
        )


def _check_layouts(captured: CapturedGraph, moved: list[str]) -> None:
    """Refuses what no graph can answer, or only one of the example's own layout.

    Args:
        captured: the graph.
        moved: paths of tensors that were captured as contiguous copies.

    Raises:
        CaptureError: naming the line that asks.
    """
    for each in captured.user_inputs:
        for question in each.layout_questions:
            if question.method == "untyped_storage":
                raise CaptureError(
                    f"The model asks for the memory that {each.path} is a part of: {question}. "
                    "Other calls have other memory, so a graph cannot answer: take that out of it."
                )
        if each.layout_questions and each.path in moved:
            raise CaptureError(
                f"{each.path} of the example is not contiguous, and the model asks how it lies in "
                f"memory: {each.layout_questions[0]}. A graph with dynamic dims is for contiguous "
                f"tensors: pass {each.path}.contiguous(), or do that in the model first."
            )


def _trace(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    leaves: list[TensorLeaf],
    dims: tuple[DynamicDim, ...],
    config: CompilationConfig,
    invariants: Callable[..., Any] | None,
) -> dynamo.RawCapture | _ModelRaised:
    recording = dynamo.Recording()
    oblivious = config.dynamic_shapes.type is DynamicShapesType.BACKED_SIZE_OBLIVIOUS
    try:
        return dynamo.trace(
            model,
            args,
            kwargs,
            size_oblivious=oblivious,
            recording=recording,
            checked=[leaf.tensor for leaf in leaves],
            invariants=invariants,
        )
    except dynamo.ConstraintViolationError as error:
        raise specialised_dim(error, recording, dims) from error
    except (*dynamo.MODEL_ERRORS, *dynamo.TRACE_ERRORS) as error:
        failed = error
    # Outside the handler, so that what the model raises carries no trace of torch's.
    if dynamo.is_error_of_model(failed):
        raised = _error_of_eager(model, args, kwargs, leaves)
        if raised is not None:
            return _ModelRaised(raised)
    raise CaptureError(trace_error_text(failed, recording)) from failed


def _error_of_eager(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    leaves: list[TensorLeaf],
) -> Exception | None:
    """What the model itself raises for these inputs: users get that one, from their own line.

    The model, its inputs and the random state stay as they were.
    """
    copies = {id(leaf.tensor): leaf.tensor.clone() for leaf in leaves}
    args, kwargs = inputs.replace_tensors(args, kwargs, copies)
    state = ModelState(model)
    try:
        with torch.no_grad(), random_state_kept():
            as_it_is(model)(*args, **kwargs)
    except Exception as error:
        return error
    finally:
        state.restore()
    return None


@dataclass(frozen=True, eq=False)
class _ModelRaised:
    """The model itself failed on the inputs that were to be captured."""

    error: Exception


# ------------------------------------------------------------------------------- the captured graph


def _captured(
    model: Callable[..., Any],
    raw: dynamo.RawCapture,
    leaves: list[TensorLeaf],
    dims: tuple[DynamicDim, ...],
    named: tuple[DynamicDim, ...],
    thread_state: tuple[tuple[str, Any], ...],
) -> CapturedGraph:
    names_of_dim = {(each.path, each.dim): str(each.name) for each in named}
    if raw.graph_module is None or raw.shape_env is None:
        sizes = ()
        if raw.shape_env is not None:
            sizes, _ = independent_sizes(raw, dims, names_of_dim, {}, leaves)
        return _empty_capture(model, raw, sizes, thread_state)
    leaf_of = {id(leaf.tensor): leaf for leaf in leaves}
    graph, graph_inputs = _own_graph(raw, leaf_of, names_of_dim)
    nodes = placeholders(graph)
    value_of = {
        graph_input.path: example_value(node)
        for graph_input, node in zip(graph_inputs, nodes, strict=True)
        if graph_input.kind is InputKind.USER
    }
    sizes, notes = independent_sizes(raw, dims, names_of_dim, value_of, leaves)
    alias = {torch_symbol: size.symbol for size in sizes for torch_symbol in size.torch_symbols}
    written = effects.written_inputs(graph)
    asked = layout_questions(raw, graph, [each.source for each in graph_inputs])
    user_inputs = tuple(
        _user_tensor(
            graph_input, example_value(node), alias, node in written, asked[graph_input.source]
        )
        for graph_input, node in zip(graph_inputs, nodes, strict=True)
        if graph_input.kind is InputKind.USER
    )
    found = collect(raw, sizes, user_inputs, thread_state, names_of_dim=names_of_dim)
    return CapturedGraph(
        graph=graph,
        inputs=graph_inputs,
        example_values=raw.example_inputs,
        sizes=sizes,
        guards=found.guards,
        notes=notes,
        user_inputs=user_inputs,
        raw=raw,
        model=model,
        hints={size.name: size.hint for size in sizes},
        outside=tuple(
            dict.fromkeys(
                path for size in sizes for path, _ in size.sources if path not in value_of
            )
        ),
        thread_state=thread_state,
        runtime_asserts=found.runtime_asserts,
        value_guards=found.value_guards,
        branch_sites=found.branch_sites,
        specializations=found.specializations,
        evaluations=found.evaluations,
        unknown=found.unknown,
        functions=raw.functions,
    )


def _empty_capture(
    model: Callable[..., Any],
    raw: dynamo.RawCapture,
    sizes: tuple[Size, ...],
    thread_state: tuple[tuple[str, Any], ...],
) -> CapturedGraph:
    """What was asked of a model that runs no tensor operation: it may run some at other sizes."""
    graph = fx.Graph()
    graph.output(())
    note = (
        "the model runs no tensor operation, so there is nothing to compile: calls run it as it is"
    )
    captured = CapturedGraph(
        graph, (), (), sizes, (), (note,), (), raw, model, functions=raw.functions
    )
    if raw.shape_env is None:
        return captured
    found = collect(raw, sizes, (), thread_state)
    return dataclasses.replace(
        captured,
        guards=found.guards,
        value_guards=found.value_guards,
        branch_sites=found.branch_sites,
        specializations=found.specializations,
        evaluations=found.evaluations,
        unknown=found.unknown,
        hints={size.name: size.hint for size in sizes},
        outside=tuple(dict.fromkeys(path for size in sizes for path, _ in size.sources)),
        thread_state=thread_state,
    )


def _own_graph(
    raw: dynamo.RawCapture,
    leaf_of: Mapping[int, TensorLeaf],
    names_of_dim: Mapping[tuple[str, int], str],
) -> tuple[fx.Graph, tuple[GraphInput, ...]]:
    """A copy of the traced graph whose placeholders are called as the user calls them.

    Each ``get_attr`` node carries what it refers to, so that the graph needs no module.
    """
    assert raw.graph_module is not None
    graph = fx.Graph()
    new_of: dict[fx.Node, fx.Node] = {}
    graph_inputs: list[GraphInput] = []
    path_of_source = {
        source: leaf_of[id(value)].path
        for source, value in zip(raw.sources, raw.example_inputs, strict=True)
        if isinstance(value, torch.Tensor) and id(value) in leaf_of
    }
    for node in raw.graph_module.graph.nodes:
        if node.op == "placeholder":
            position = len(graph_inputs)
            kind, path = _kind_and_path(
                node, raw.sources[position], raw.example_inputs[position], leaf_of
            )
            if kind is InputKind.SIZE:
                tensor_source, size, dim = raw.sources[position].rpartition(".size()")
                tensor_path = path_of_source.get(tensor_source, dotted_path(tensor_source))
                path = f"{tensor_path}{size}{dim}"
            new = graph.placeholder(_input_name(kind, path, names_of_dim))
            new.meta = dict(node.meta)
            graph_inputs.append(GraphInput(new.name, kind, raw.sources[position], path))
        else:
            new = graph.node_copy(node, new_of.__getitem__)
        if node.op == "get_attr":
            value: Any = raw.graph_module
            for part in str(node.target).split("."):
                value = getattr(value, part)
            new.meta["attribute"] = value
        new_of[node] = new
    return graph, tuple(graph_inputs)


def _input_name(kind: InputKind, path: str, names_of_dim: Mapping[tuple[str, int], str]) -> str:
    if kind is InputKind.SIZE:
        found = re.fullmatch(r"(.*)\.size\(\)\[(\d+)\]", path)
        name = names_of_dim.get((found[1], int(found[2]))) if found else None
        if name is not None:
            return name
    name = re.sub(r"\W+", "_", path).strip("_") or "input"
    return f"input_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _kind_and_path(
    node: fx.Node, source: str, value: Any, leaf_of: Mapping[int, TensorLeaf]
) -> tuple[InputKind, str]:
    leaf = leaf_of.get(id(value)) if isinstance(value, torch.Tensor) else None
    if leaf is not None:
        return InputKind.USER, leaf.path
    path = dotted_path(source)
    if isinstance(example_value(node), torch.SymInt | int) and not isinstance(value, torch.Tensor):
        return InputKind.SIZE, path
    if isinstance(value, torch.nn.Parameter):
        return InputKind.PARAMETER, path
    if "_buffers[" in source:
        return InputKind.BUFFER, path
    return InputKind.OTHER, path


def _user_tensor(
    graph_input: GraphInput,
    value: torch.Tensor,
    alias: Mapping[Expression, Expression],
    written: bool,
    asked: tuple[LayoutQuestion, ...],
) -> UserTensor:
    def dim_of(size: Any) -> int | Expression:
        expression = expression_of(size)
        assert expression is not None
        return expression if isinstance(expression, int) else expression.xreplace(dict(alias))

    return UserTensor(
        source=graph_input.source,
        path=graph_input.path,
        dtype=value.dtype,
        device=value.device,
        shape=tuple(dim_of(size) for size in value.shape),
        stride=tuple(dim_of(stride) for stride in value.stride()),
        written=written,
        layout_questions=asked,
    )


__all__ = [
    "CaptureRequest",
    "ConfigError",
    "call_make_inputs",
    "capture",
    "checked_model",
    "named_dims",
]

"""What the tests of the cut share.

That is three custom ops, and ways to compile, run and look at small programs. The ops:
``demo::attn(query, key, value, out!)`` writes the sum of three tensors into ``out``,
``demo::step(x)`` is ``x + 1``, ``demo::two(x)`` is ``(x + 1, x * 2)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sympy
import torch
from torch import fx

import explorer
from explorer.artifacts import CapturedGraph, NormalisedGraph, Piece, SplitGraph
from explorer.artifacts.common import Expression
from explorer.config import CompilationConfig
from explorer.runtime.stitch import PER_CALL, write_program
from explorer.stages.capture import CaptureRequest, capture
from explorer.stages.dedupe import dedupe
from explorer.stages.graphs import (
    copy_graph,
    example_value,
    module_of,
    output_node,
    placeholders,
)
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from explorer.torch_private.ops import storage_id

ATTENTION, STEP, TWO = "demo::attn", "demo::step", "demo::two"
SPLITTING_OPS = (ATTENTION, STEP, TWO)
SIZES = (2, 3, 6, 17)

Model = Callable[..., Any]


def register_demo_ops() -> None:
    """Makes the three ops, once a process."""

    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, out: torch.Tensor
    ) -> None:
        out.copy_(query + key + value)

    _register(
        ATTENTION,
        "(Tensor query, Tensor key, Tensor value, Tensor(a!) out) -> ()",
        attention,
        lambda query, key, value, out: None,
    )
    _register(STEP, "(Tensor x) -> Tensor", lambda x: x + 1, torch.empty_like)
    _register(
        TWO,
        "(Tensor x) -> (Tensor, Tensor)",
        lambda x: (x + 1, x * 2),
        lambda x: (torch.empty_like(x), torch.empty_like(x)),
    )


def _register(name: str, schema: str, implementation: Model, fake: Model) -> None:
    if hasattr(torch.ops.demo, name.partition("::")[2]):
        return
    torch.library.define(name, schema)
    torch.library.impl(name, "default", implementation)
    torch.library.register_fake(name, fake)


register_demo_ops()


# ---------------------------------------------------------------------------- compiling and running


def compile_cut(
    model: Model,
    *inputs: Any,
    splitting_ops: Iterable[str] = SPLITTING_OPS,
    dynamic: Mapping[str, Any] | None = None,
    **settings: Any,
) -> explorer.CompiledModel:
    """The model, cut at those of the splitting ops that are known to occur, on backend eager."""
    config = CompilationConfig(backend="eager", splitting_ops=tuple(splitting_ops), **settings)
    return explorer.compile_model(model, inputs, dynamic_arg_dims=dynamic, config=config)


def captured_graph(
    model: Model, *inputs: Any, dynamic: Mapping[str, Any] | None = None, **settings: Any
) -> CapturedGraph:
    """Step 1 alone."""
    request = CaptureRequest(model, inputs, {}, dynamic)
    return capture(request, CompilationConfig(backend="eager", **settings))


def normalised_graph(model: Model, *inputs: Any, **settings: Any) -> NormalisedGraph:
    """Steps 1 and 2."""
    return normalise(captured_graph(model, *inputs, **settings))


def split_graph(
    model: Model, *inputs: Any, splitting_ops: Iterable[str] = SPLITTING_OPS, **settings: Any
) -> SplitGraph:
    """Steps 1 to 3."""
    return split(normalised_graph(model, *inputs, **settings), tuple(splitting_ops))


# ------------------------------------------------------------------------------------- beside eager


def random_rows(*shape: int, seed: int = 0) -> torch.Tensor:
    """Reproducible normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors of a result or of arguments, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [tensor for each in value for tensor in tensors_in(each)]
    return []


def plain(value: Any) -> Any:
    """A result with every tensor as dtype, shape, strides and exact content.

    So ``==`` compares bit by bit.
    """
    if isinstance(value, torch.Tensor):
        fresh = value.resolve_conj().clone(memory_format=torch.contiguous_format)
        content = fresh.flatten().view(torch.uint8)
        return (str(value.dtype), tuple(value.shape), value.stride(), content.numpy().tobytes())
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return (type(value).__name__, *(plain(item) for item in value))
    return (type(value).__name__, value)


def shared_memory(inputs: Any, outputs: Any) -> list[tuple[int, int, bool]]:
    """Which tensors of a call share storage, by position, and whether they are the same object."""
    tensors = tensors_in(inputs) + tensors_in(outputs)
    return [
        (i, j, tensors[i] is tensors[j])
        for j in range(len(tensors))
        for i in range(j)
        if storage_id(tensors[i]) == storage_id(tensors[j])
    ]


def assert_equal_to_eager(
    model: Model, compiled: Model, make_inputs: Callable[..., tuple[Any, ...]], *sizes: Any
) -> None:
    """Same bits, same written inputs and same sharing of memory as in eager.

    Args:
        model: what was compiled.
        compiled: the compiled model.
        make_inputs: size, or sizes, -> fresh arguments of one call.
        sizes: each an int or a tuple of ints; ``SIZES`` when none is given.
    """
    for size in sizes or SIZES:
        each = size if isinstance(size, tuple) else (size,)
        expected_inputs, given_inputs = make_inputs(*each), make_inputs(*each)
        with torch.no_grad():
            expected, given = model(*expected_inputs), compiled(*given_inputs)
        assert plain(given) == plain(expected), f"the result differs from eager at {size}"
        assert plain(given_inputs) == plain(expected_inputs), f"a written input differs at {size}"
        wanted = shared_memory(expected_inputs, expected)
        assert shared_memory(given_inputs, given) == wanted, f"memory is shared otherwise at {size}"


# ------------------------------------------------------------------------------ graphs made by hand


class GraphEditor:
    """Adds nodes to a copy of a captured graph with an input ``x``.

    They have the values that a trace would give them.
    """

    def __init__(self, captured: CapturedGraph) -> None:
        self.captured = captured
        self.graph, _ = copy_graph(captured.graph)
        self.output = output_node(self.graph)
        self.node = {node.name: node for node in self.graph.nodes}

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """A call before the output; a text as target is a method of the first argument."""
        values, named = fx.map_arg((args, kwargs), example_value)
        with self.graph.inserting_before(self.output), example_value(self.node["x"]).fake_mode:
            if isinstance(target, str):
                node = self.graph.call_method(target, args, kwargs)
                value = getattr(values[0], target)(*values[1:], **named)
            else:
                node = self.graph.call_function(target, args, kwargs)
                value = target(*values, **named)
        node.meta["example_value"] = value
        return node

    def constant(self, name: str, value: torch.Tensor) -> fx.Node:
        """A tensor that the graph holds itself."""
        with self.graph.inserting_before(self.output):
            node = self.graph.create_node("get_attr", name)
        fake = example_value(self.node["x"]).fake_mode.from_tensor(value)
        node.meta |= {"attribute": value, "example_value": fake}
        return node

    def returning(self, *values: Any) -> CapturedGraph:
        """The edited graph with these outputs."""
        self.output.args = (values,)
        return dataclasses.replace(self.captured, graph=self.graph)


def run_pieces(split_result: SplitGraph, *inputs: Any) -> tuple[Any, ...]:
    """Runs the pieces through the stitching function, flat inputs in order."""
    unique = dedupe(split_result)
    program = write_program(unique, "run")
    graph_inputs = split_result.normalised.inputs
    value_of = dict(zip((each.name for each in graph_inputs), inputs, strict=True))
    runners = {piece.name: _runner(piece) for piece in split_result.pieces}
    function = program.bind(value_of, runners)
    return function(*(value_of[each.name] for each in graph_inputs if each.kind in PER_CALL))


def _runner(piece: Piece) -> Callable[[list[Any]], Any]:
    forward = piece.graph_module().forward
    return lambda arguments: forward(*arguments)


def run_graph(graph: fx.Graph, *inputs: Any) -> Any:
    """Runs a graph in one go, without its own ``get_attr`` nodes."""
    return module_of(graph)(*inputs)


# -------------------------------------------------------------------------------- looking at pieces


def kinds(pieces: Iterable[Piece]) -> str:
    """One letter per piece: ``C`` compiled, ``S`` splitting."""
    return "".join(piece.kind.value[0].upper() for piece in pieces)


def calls(piece: Piece) -> list[str]:
    """What a piece calls, by the last part of its name, size computations included."""
    return [
        getattr(node.target, "__name__", str(node.target)).partition(".")[0]
        for node in piece.graph.nodes
        if node.op in ("call_function", "call_method")
    ]


def assert_only_tensors_and_base_sizes_cross(pieces: Iterable[Piece]) -> None:
    """No tuple, ``torch.Size`` or computed size is an input of a piece.

    No size comes in twice.
    """
    for piece in pieces:
        seen: set[Expression] = set()
        for node in placeholders(piece.graph):
            value = example_value(node)
            assert isinstance(value, torch.Tensor | torch.SymInt), f"{node} of {piece} is {value}"
            if isinstance(value, torch.SymInt):
                expression = value.node.expr
                assert isinstance(expression, sympy.Symbol), f"{expression} enters {piece}"
                assert expression not in seen, f"{expression} enters {piece} twice"
                seen.add(expression)


def assert_well_formed(split_result: SplitGraph) -> None:
    """What holds for every cut.

    Indices are dense, values made before they are read, inputs as the graph says.
    """
    known = {each.name for each in split_result.normalised.inputs}
    for index, piece in enumerate(split_result.pieces):
        assert piece.index == index
        assert piece.name == f"piece_{index}"
        assert piece.inputs == tuple(node.name for node in placeholders(piece.graph))
        assert set(piece.inputs) <= known, f"{piece} reads what is not there yet"
        assert len(set(piece.inputs)) == len(piece.inputs)
        assert not known & set(piece.outputs), f"{piece} makes a value twice"
        piece.graph.lint()
        known |= set(piece.outputs)
    for before, after in zip(split_result.pieces, split_result.pieces[1:], strict=False):
        assert before.kind is not after.kind, f"{before} and {after} should be one piece"
    assert_only_tensors_and_base_sizes_cross(split_result.pieces)

"""The generated function.

It reads like a program, holds nothing that a user wrote, and frees values early.
"""

import ast
import dataclasses
import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import sympy
import torch
from torch import nn

from explorer.artifacts import ComputedSize, InputKind, SplitGraph, UniquePieces
from explorer.errors import PlanError
from explorer.runtime.stitch import write_program
from explorer.stages.dedupe import dedupe
from explorer.stages.graphs import example_value
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from tests.explorer.cutting import (
    ATTENTION,
    STEP,
    TWO,
    GraphEditor,
    assert_equal_to_eager,
    captured_graph,
    compile_cut,
    random_rows,
    run_pieces,
    split_graph,
)

demo = torch.ops.demo
Boxed = Callable[[list[Any]], Any]


def rows(size: int) -> tuple[torch.Tensor]:
    return (random_rows(size, 8),)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 8, bias=False)
        self.down = nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        hidden = self.up(x)
        out = torch.empty_like(hidden)
        demo.attn(hidden, hidden, hidden, out)
        left, right = demo.two(out)
        return self.down(left) + right, x.shape[0] * 2


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    return Block().requires_grad_(False)


EXPECTED = """\
def run_1_8192(n, x):
    # piece_0 · compiled A · 2 nodes · up
    (hidden, out,) = piece_0([x, up_weight, n])
    # piece_1 · splits at demo::attn, demo::two
    attn(hidden, hidden, hidden, out)
    two_ = two(out)
    left = two_[0]
    right = two_[1]
    del two_
    del hidden, out
    # piece_2 · compiled B · 2 nodes · down
    arguments = [left, down_weight, right, n]
    del left, right
    (add,) = piece_2(arguments)
    del arguments
    return (add, (2 * n))
"""


def test_source_reads_like_a_program(block) -> None:
    compiled = compile_cut(block, *rows(6), splitting_ops=[ATTENTION, TWO], dynamic={"x": {0: "n"}})
    assert compiled.compilation.stitching_source == EXPECTED
    assert_equal_to_eager(block, compiled, rows)


def test_every_row_of_the_table_has_its_function(block) -> None:
    settings = {"compile_sizes": (16,), "compile_ranges_endpoints": (8,), "max_size": 64}
    compiled = compile_cut(block, *rows(6), splitting_ops=[ATTENTION], **settings)
    names = [entry.function_name for entry in compiled.compilation.plan.entries]
    assert names == ["run_16", "run_1_8", "run_9_64"]
    assert compiled.compilation.stitching_source.startswith("def run_9_64(")
    assert_equal_to_eager(block, compiled, rows, 6, 8, 9, 16, 64)


# --------------------------------------------------------------------------- what the text may hold


NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Expr, ast.Call, ast.Name,
    ast.Load, ast.Store, ast.Del, ast.Delete, ast.Tuple, ast.List, ast.Dict, ast.Constant,
    ast.Return, ast.Attribute, ast.Subscript, ast.keyword, ast.UnaryOp, ast.USub, ast.BinOp,
    ast.Mult, ast.Add,
)  # fmt: skip

HOSTILE_TEXTS = [
    '"; import os; "',
    "'''",
    "\n    return None\n",
    "{x}",
    "\\",
    "\x00\x1b[31m",
    "ü",
    "#",
]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        *[
            ("torch.full_like", lambda x, value=value: torch.full_like(x, value))
            for value in (math.inf, -math.inf, math.nan, -0.0, 5e-324, 1 / 3, True, 2**40, -7)
        ],
        ("Tensor.to", lambda x: x.to(torch.float64, memory_format=torch.contiguous_format)),
        ("torch.zeros", lambda x: torch.zeros((3,), dtype=torch.int64, device=torch.device("cpu"))),
        ("F.pad", lambda x: torch.nn.functional.pad(x, (1, 2), value=-1.5)),
        ("operator.getitem", lambda x: x[1:, ::2]),
        ("operator.getitem", lambda x: x[..., None]),
        ("operator.getitem", lambda x: x[None, -1]),
        ("operator.getitem", lambda x: x[:, [0, 2]]),
        ("operator.getitem", lambda x: x[: x.shape[0] // 2]),
        ("Tensor.permute", lambda x: x.permute((1, 0))),
        ("torch.split", lambda x: torch.split(x, [4, 4], dim=-1)),
        ("Tensor.sum", lambda x: x.sum((0,), keepdim=True)),
        ("Tensor.view", lambda x: x.view(x.shape[0] * 2, 4)),
        ("torch.einsum", lambda x: torch.einsum("ij,ij->i", x, x)),
    ],
)
def test_constants_of_every_kind_are_written_out(name, model) -> None:
    compiled = compile_cut(lambda x: model(x), *rows(6), splitting_ops=[name])
    assert "piece_0(" not in compiled.compilation.stitching_source
    assert_equal_to_eager(model, compiled, rows)


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=ascii)
def test_text_of_the_model_is_never_code(text) -> None:
    edit = GraphEditor(captured_graph(lambda x: x * 2, *rows(6)))
    stepped = edit.call(demo.step, edit.node["x"])
    stepped.meta["nn_module_stack"] = {"m": (f"L['self'].{text}", nn.Linear)}
    divided = edit.call(torch.div, stepped, 3, rounding_mode=None)
    divided.kwargs = {"rounding_mode": text}
    pieces = split(normalise(edit.returning(divided)), (STEP, "torch.div"))
    source = write_program(dedupe(pieces), "run").source
    (function,) = ast.parse(source).body
    assert {type(node) for node in ast.walk(function)} <= {*NODES, ast.arguments}
    constants = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
    assert text in constants
    with pytest.raises(RuntimeError, match="rounding_mode to be one of"):
        run_pieces(pieces, 3, *rows(3))


class AwkwardNames(nn.Module):
    """Its parameters are called like what the function itself uses."""

    names = ("run", "piece_0", "clock", "times", "arguments", "len", "step", "_maximum", "None_")
    run: nn.Parameter
    piece_0: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        for name in self.names:
            self.register_parameter(name, nn.Parameter(torch.randn(8)))

    def forward(
        self, x: torch.Tensor, piece_1: torch.Tensor, max: torch.Tensor, attn: torch.Tensor
    ) -> torch.Tensor:
        x = demo.step(x + self.run) + self.piece_0 * piece_1 + max
        for name in self.names:
            x = x * getattr(self, name)
        out = torch.empty_like(x)
        demo.attn(x, attn, x, out)
        return out + self.run


@pytest.mark.parametrize("dynamic", [{}, None, {"x": {0: "run"}, "attn": {0: "run"}}])
def test_names_of_the_model_do_not_meet_those_of_the_function(dynamic) -> None:
    model = AwkwardNames().requires_grad_(False)

    def inputs(size: int) -> tuple[torch.Tensor, ...]:
        return tuple(random_rows(size, 8, seed=seed) for seed in range(4))

    if dynamic:
        dynamic = {name: {0: "run"} for name in ("x", "piece_1", "max", "attn")}
    compiled = compile_cut(model, *inputs(6), splitting_ops=[STEP, ATTENTION], dynamic=dynamic)
    assert_equal_to_eager(model, compiled, inputs, 6, *([] if dynamic == {} else [2, 3]))
    with compiled.record() as record:
        compiled(*inputs(6))
    assert len(record.piece_microseconds) == len(compiled.compilation.pieces)


# ---------------------------------------------------------------------------------- what it returns


@pytest.mark.parametrize(
    "model",
    [
        lambda x: (),
        lambda x: demo.step(x),
        lambda x: (demo.step(x),),
        lambda x: [x, x, demo.step(x)],
        lambda x: {"a": (demo.step(x), None, 3), "b": x.shape},
        lambda x: (x.shape[0], x.shape[0] // 2 + 1, x.shape[0] % 4, 2 - x.shape[0], x.relu()),
        lambda x: (max(x.shape[0], 4), min(x.shape[0], 4, 3), x.shape[0] ** 3, demo.step(x)),
    ],
)
def test_outputs_of_every_form(model) -> None:
    assert_equal_to_eager(model, compile_cut(model, *rows(6), splitting_ops=()), rows)


@pytest.fixture
def stepped_split() -> SplitGraph:
    return split_graph(lambda x: demo.step(x * 2) + 1, *rows(6), splitting_ops=[STEP])


def test_output_that_has_no_text_is_refused_by_name(stepped_split) -> None:
    n = stepped_split.normalised.captured.sizes[0].symbol
    strange = ComputedSize(sympy.Function("Strange")(n), {n: "x_0"})
    changed = dataclasses.replace(stepped_split, outputs=(strange,))
    with pytest.raises(PlanError, match=r"The output Strange\(.*\) cannot be computed from sizes"):
        write_program(dedupe(changed), "run")


def test_method_without_a_proper_name_is_refused(stepped_split) -> None:
    piece = stepped_split.pieces[1]
    call = next(node for node in piece.graph.nodes if node.op == "call_function")
    call.op, call.target = "call_method", "step); import os; (x"
    with pytest.raises(PlanError, match="calls a method without a proper name"):
        write_program(dedupe(stepped_split), "run")


# -------------------------------------------------------------------------- parameters and liveness


def test_parameters_are_bound_once_and_inputs_are_arguments(block) -> None:
    result = split_graph(block, *rows(6), splitting_ops=[ATTENTION, TWO])
    program = write_program(dedupe(result), "run")
    inputs = result.normalised.inputs
    parameters = [each.name for each in inputs if each.kind is InputKind.PARAMETER]
    assert set(program.bound_names) == set(parameters) == {"up_weight", "down_weight"}
    values = dict.fromkeys(parameters, "a weight")
    function = program.bind(values, {})
    assert function.__code__.co_varnames[: function.__code__.co_argcount] == ("x_0", "x")
    assert function.__globals__["up_weight"] == "a weight"


def test_functions_share_nothing() -> None:
    result = split_graph(lambda x: demo.step(x * 2) + 1, *rows(6), splitting_ops=[STEP])
    program = write_program(dedupe(result), "run")
    first = program.bind({}, {"piece_0": lambda a: [a[0] * 2], "piece_2": lambda a: [a[0]]})
    second = program.bind({}, {"piece_0": lambda a: [a[0] * 3], "piece_2": lambda a: [a[0]]})
    one = torch.ones(2, 8)
    assert torch.equal(first(2, one)[0], one * 2 + 1)
    assert torch.equal(second(2, one)[0], one * 3 + 1)


def chain(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Five compiled pieces.

    ``kept`` lives to the end, every other value to the next piece but one.
    """
    kept = x * 2
    value = kept
    for _ in range(4):
        value = torch.relu(demo.step(value + 1))
    return value, kept


class Watcher:
    """Runs pieces and notes how many tensors are alive when each begins and ends.

    Only the tensors that they made count.

    Attributes:
        alive: per piece, at its begin and at its end, without its own.
    """

    def __init__(self, unique: UniquePieces, *, empties: bool) -> None:
        self.empties = empties
        self.made: list[weakref.ref[torch.Tensor]] = []
        self.alive: list[tuple[int, int]] = []
        self.runners = {piece.name: self._runner(piece) for piece in unique.pieces}

    def _runner(self, piece: Any) -> Boxed:
        forward = piece.graph_module().forward

        def run(arguments: list[Any]) -> Any:
            before = self.count()
            values = list(arguments)
            if self.empties:
                arguments.clear()
            results = forward(*values)
            del values
            self.alive.append((before, self.count()))
            self.made += [weakref.ref(each) for each in results]
            return results

        return run

    def count(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.made)


@pytest.mark.parametrize("empties", [True, False])
def test_values_are_dropped_after_their_last_use(empties) -> None:
    unique = dedupe(split_graph(chain, *rows(6), splitting_ops=[STEP]))
    watcher = Watcher(unique, empties=empties)
    function = write_program(unique, "run").bind({}, watcher.runners)
    result = function(3, *rows(3))
    assert torch.equal(result[0], chain(*rows(3))[0])
    assert len(watcher.alive) == 5
    # Before a piece there are ``kept`` and nothing else that a compiled piece made: the sum that
    # went into the splitting op is gone. A runner that keeps its list must not make a difference.
    assert [before for before, _ in watcher.alive] == [0, 1, 1, 1, 1]


def test_value_that_only_a_runner_holds_is_freed_inside_the_call() -> None:
    model: Callable[..., Any] = lambda x: torch.sin(torch.cos(demo.step(torch.relu(x)))) + 1  # noqa: E731
    unique = dedupe(split_graph(model, *rows(6), splitting_ops=["torch.cos", STEP]))
    references: list[weakref.ref[torch.Tensor]] = []

    def first(arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        result = torch.relu(arguments[0])
        references.append(weakref.ref(result))
        return [result]

    def last(arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        (value, *_) = arguments
        references.append(weakref.ref(value))
        arguments.clear()
        del value
        gc.collect()
        assert [reference() for reference in references] == [None, None]
        return [torch.ones(1)]

    function = write_program(unique, "run").bind({}, {"piece_0": first, "piece_2": last})
    function(6, *rows(6))
    assert len(references) == 2


def test_inputs_of_the_call_are_never_dropped_and_outputs_survive() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        early = demo.step(x)
        late = demo.step(torch.relu(early))
        return early, late, x

    compiled = compile_cut(model, *rows(6), splitting_ops=[STEP])
    source = compiled.compilation.stitching_source
    assert "del early" not in source
    assert "del x" not in source
    assert_equal_to_eager(model, compiled, rows)


def test_long_splitting_piece_is_called_and_short_one_written_out() -> None:
    def model(x: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            x = demo.step(x)
        return x * 2

    short = split_graph(lambda x: model(x, 3), *rows(6), splitting_ops=[STEP])
    long = split_graph(lambda x: model(x, 4), *rows(6), splitting_ops=[STEP])
    assert "piece_0(" not in write_program(dedupe(short), "run").source
    assert "piece_0(" in write_program(dedupe(long), "run").source
    for result, count in ((short, 3), (long, 4)):
        assert torch.equal(run_pieces(result, 2, *rows(2))[0], model(*rows(2), count))


def test_recording_takes_the_clock_around_every_piece(stepped_split) -> None:
    program = write_program(dedupe(stepped_split), "run", recording=True)
    times: list[int] = []
    ticks = iter(range(100))
    runners: dict[str, Boxed] = {"piece_0": lambda a: [a[0]], "piece_2": lambda a: [a[0]]}
    function = program.bind({}, runners, {"clock": lambda: next(ticks)})
    function(times, 2, torch.ones(2, 8))
    assert times == [0, 1, 2, 3, 4, 5]
    assert "times" not in write_program(dedupe(stepped_split), "run").source


def test_writing_leaves_the_pieces_as_they_are(stepped_split) -> None:
    before = [str(piece.graph) for piece in stepped_split.pieces]
    values = [example_value(node) for piece in stepped_split.pieces for node in piece.graph.nodes]
    write_program(dedupe(stepped_split), "run")
    assert [str(piece.graph) for piece in stepped_split.pieces] == before
    after = [example_value(node) for piece in stepped_split.pieces for node in piece.graph.nodes]
    assert all(one is other for one, other in zip(values, after, strict=True))

"""Step 2: sizes become separate dims, equal sizes become one, constants become inputs."""

import operator

import pytest
import torch
import torch._dynamo.config
from torch import fx

from explorer.artifacts import CapturedGraph, InputKind, NormalisedGraph
from explorer.stages.graphs import example_value, output_node, placeholders
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from tests.explorer.cutting import (
    ATTENTION,
    STEP,
    GraphEditor,
    assert_equal_to_eager,
    assert_well_formed,
    captured_graph,
    compile_cut,
    random_rows,
    run_graph,
    run_pieces,
)

sym_size = torch.ops.aten.sym_size.int


def rows(size: int) -> tuple[torch.Tensor]:
    return (random_rows(size, 8),)


def attended(x: torch.Tensor) -> torch.Tensor:
    """Three times x, by way of a cut."""
    out = torch.empty_like(x)
    torch.ops.demo.attn(x, x, x, out)
    return out


def hand_made() -> GraphEditor:
    """A graph with the inputs ``x_0``, a size, and ``x`` (x_0, 8).

    What it computes is added by the test.
    """
    return GraphEditor(captured_graph(lambda x: x * 2, random_rows(6, 8)))


def node_called(normalised: NormalisedGraph, name: str) -> fx.Node:
    return next(node for node in normalised.graph.nodes if node.name == name)


def nodes_with_a_whole_size(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if isinstance(example_value(node), torch.Size)]


def assert_runs_like(captured: CapturedGraph, normalised: NormalisedGraph) -> None:
    for size in (2, 3, 6):
        expected = run_graph(captured.graph, size, *rows(size))
        given = run_graph(normalised.graph, size, *rows(size))
        for wanted, got in zip(expected, given, strict=True):
            assert torch.equal(torch.as_tensor(wanted), torch.as_tensor(got))


# -------------------------------------------------------------------------------- sizes in programs


@pytest.mark.parametrize(
    "use",
    [
        lambda t, s: torch.reshape(t, s),
        lambda t, s: torch.broadcast_to(t[:1], s),
        lambda t, s: t.new_full(s, 2.0),
        lambda t, s: t.view(s),
        lambda t, s: t.view(*s),
        lambda t, s: t[:1].expand(s),
        lambda t, s: torch.zeros(s) + t,
        lambda t, s: t + torch.zeros(size=s),
        lambda t, s: torch.reshape(t, shape=s),
        lambda t, s: t.view(size=s),
        lambda t, s: t.reshape(*s[:-1], 2, 4),
        lambda t, s: torch.ones(s[::-1]) + t.t(),
        lambda t, s: torch.zeros(s[1:] + s[:1]) + t.t(),
        lambda t, s: torch.zeros((2, *s)) + t,
        lambda t, s: t[: s[0] // 2, : s[1]],
        lambda t, s: torch.full((s.numel(),), 1.0) + t.flatten(),
    ],
    ids=[
        "reshape", "broadcast_to", "new_full", "view", "view of its dims", "expand", "zeros",
        "size keyword", "shape keyword", "size keyword of a method", "front of it", "reversed",
        "turned round", "inside a tuple", "slices", "numel",
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", ["shape", "size"])
def test_whole_size_is_used_behind_a_cut(use, read) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        size = x.shape if read == "shape" else x.size()
        return use(attended(x) * 2, size)

    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[ATTENTION])
    assert nodes_with_a_whole_size(compiled.compilation.normalised.graph) == []
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


def test_whole_size_has_consumers_in_many_pieces() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        size = x.size()
        for _ in range(3):
            x = torch.ops.demo.step(x.view(size)).flatten().reshape(size) + torch.zeros(size)
        return x.expand(size)

    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[STEP])
    assert len(compiled.compilation.pieces) == 7
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


def test_size_of_a_computed_tensor_is_computed_from_base_sizes() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        joined = torch.cat([x, x, x])
        stepped = torch.ops.demo.step(joined)
        return (
            stepped.view(joined.shape),
            torch.zeros(joined.shape[0] // 2),
            torch.ones(joined.numel()),
        )

    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[STEP])
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


def test_sizes_are_returned() -> None:
    def model(x: torch.Tensor) -> tuple[object, ...]:
        n = x.shape[0]
        joined = torch.cat([x, x])
        numbers = (n, n * 2, n // 2, n % 4, n + 1, 5 - n, -n, n**2, max(n, 4), min(n, 4), n / 2)
        return (
            torch.ops.demo.step(x),
            x.shape,
            joined.size(),
            x.shape[1:] + joined.shape[:1],
            *numbers,
        )

    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[STEP])
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


def test_size_is_a_number_in_a_computation() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        stepped = torch.ops.demo.step(x * n)
        return stepped * n + stepped / n**0.5 - torch.arange(n)[:, None] * float(n)

    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[STEP])
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


def test_rewrites_name_what_they_touched() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.reshape(attended(x), x.size())

    normalised = normalise(captured_graph(model, random_rows(6, 8)))
    assert [(each.kind, each.node) for each in normalised.rewrites] == [("size", "size")]
    assert normalised.rewrites[0].touched == ("reshape",)
    assert "size was a whole size" in normalised.rewrites[0].text
    assert "1 rewrites" in normalised.summary()


def test_static_dim_is_a_number_and_dynamic_dim_the_input() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return attended(x).clone().view(x.shape)

    normalised = normalise(captured_graph(model, random_rows(6, 8)))
    view = node_called(normalised, "view")
    assert view.args[1] == (placeholders(normalised.graph)[0], 8)


def test_input_is_left_as_it_is() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.reshape(attended(x), x.size()) + x.shape[0]

    captured = captured_graph(model, random_rows(6, 8))
    before = str(captured.graph)
    normalised = normalise(captured)
    assert str(captured.graph) == before
    assert str(normalised.graph) != before
    assert str(normalise(captured).graph) == str(normalised.graph)


# ----------------------------------------------------------------------- graphs that no trace makes


def test_item_of_a_size_becomes_the_dim() -> None:
    edit = hand_made()
    size = edit.call("size", edit.node["x"])
    width, length = edit.call(operator.getitem, size, 1), edit.call(operator.getitem, size, -2)
    captured = edit.returning(edit.call("view", edit.node["x"], width, length))
    normalised = normalise(captured)
    assert nodes_with_a_whole_size(normalised.graph) == []
    assert node_called(normalised, "view").args[1:] == (8, placeholders(normalised.graph)[0])
    assert_runs_like(captured, normalised)


@pytest.mark.parametrize(
    "part", [slice(None, -1), slice(1, None), slice(None, None, -1), slice(0, 0), slice(None)]
)
def test_slice_of_a_size_becomes_the_dims(part) -> None:
    edit = hand_made()
    size = edit.call("size", edit.node["x"])
    captured = edit.returning(edit.call(torch.zeros, edit.call(operator.getitem, size, part)))
    normalised = normalise(captured)
    assert nodes_with_a_whole_size(normalised.graph) == []
    assert_runs_like(captured, normalised)


def test_sum_and_copy_of_sizes_become_the_dims() -> None:
    edit = hand_made()
    size = edit.call("size", edit.node["x"])
    both = edit.call(operator.add, size, edit.call(operator.getitem, size, slice(None, 1)))
    copied = edit.call(torch.Size, [edit.call(operator.getitem, size, 0), 3])
    captured = edit.returning(edit.call(torch.zeros, both), edit.call(torch.ones, copied))
    normalised = normalise(captured)
    assert nodes_with_a_whole_size(normalised.graph) == []
    assert_runs_like(captured, normalised)


def test_size_inside_containers_and_slices() -> None:
    edit = hand_made()
    x = edit.node["x"]
    size, length = edit.call("size", x), edit.call("size", x, 0)
    stack = edit.call(torch.zeros, size=[edit.call(operator.getitem, size, 1), length])
    rows_but_one = edit.call(operator.getitem, x, (slice(1, length), slice(None)))
    captured = edit.returning(stack, rows_but_one)
    normalised = normalise(captured)
    n = placeholders(normalised.graph)[0]
    assert node_called(normalised, "zeros").kwargs["size"] == [8, n]
    assert node_called(normalised, "getitem_1").args[1] == (slice(1, n), slice(None))
    assert_runs_like(captured, normalised)


def test_size_without_an_input_of_its_own_is_asked_from_the_tensor() -> None:
    edit = hand_made()
    length = edit.node["x_0"]
    edit.graph.erase_node(length)
    size = edit.call("size", edit.node["x"])
    first, again = edit.call(operator.getitem, size, 0), edit.call(operator.getitem, size, 0)
    whole = edit.call(torch.ones, size)
    captured = edit.returning(edit.call(torch.zeros, first, 2), edit.call("sum", whole, 1), again)
    normalised = normalise(captured)
    asked = [node for node in normalised.graph.nodes if node.target is sym_size]
    assert len(asked) == 1
    for count in (2, 5):
        zeros, ones, length = run_graph(normalised.graph, *rows(count))
        assert zeros.shape == (count, 2)
        assert ones.shape == (count,)
        assert length == count


def test_computed_size_that_a_tensor_tells_is_computed_from_base_sizes() -> None:
    edit = hand_made()
    joined = edit.call(torch.cat, [edit.node["x"]] * 4)
    stepped = edit.call(torch.ops.demo.step, edit.node["x"])
    long, longer = edit.call("size", joined, 0), edit.call(sym_size, joined, 0)
    captured = edit.returning(stepped, edit.call(torch.zeros, long), edit.call(torch.ones, longer))
    normalised = normalise(captured)
    pieces = split(normalised, (STEP,))
    assert_well_formed(pieces)
    assert "mul" in str(pieces.pieces[-1].graph)
    assert_runs_like(captured, normalised)


def test_sizes_with_one_name_are_one_input() -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        stepped = torch.ops.demo.step(x)
        return stepped.sum() + torch.zeros(y.shape[0], 2) + torch.ones(x.shape[0], 2)

    named = {"x": {0: "n"}, "y": {0: "n"}}
    inputs = (random_rows(6, 8), random_rows(6, 3))
    compiled = compile_cut(model, *inputs, splitting_ops=[STEP], dynamic=named)
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, lambda n: (random_rows(n, 8), random_rows(n, 3)))


# -------------------------------------------------------------------------- sizes made in the graph


def nonzero_rows(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    found = x[:, 0].relu().nonzero()
    whole = found.shape
    zeros = torch.zeros(whole)
    stepped = torch.ops.demo.step(x[found[:, 0]])
    wide = torch.ops.demo.step((stepped * 2).view(found.shape[0], 2, -1))
    return wide.reshape(-1, 8), torch.zeros(2 * found.shape[0]) + zeros.sum(), zeros


def length_from_the_content(x: torch.Tensor) -> tuple[object, ...]:
    length = int(x.abs().sum().to(torch.int64).item()) % 7 + 2
    torch._check(length >= 2)
    stepped = torch.ops.demo.step(torch.zeros(length, 3))
    return stepped.view(length, -1) * x.sum(), torch.ones(length * 2), length


@pytest.mark.parametrize("model", [nonzero_rows, length_from_the_content])
def test_size_that_the_graph_makes_crosses_as_itself(model) -> None:
    settings = {"capture_dynamic_output_shape_ops": True, "capture_scalar_outputs": True}
    with torch._dynamo.config.patch(settings):
        compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[STEP])
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, rows)


# ---------------------------------------------------------------------------------------- constants


def test_constant_tensor_becomes_the_last_input() -> None:
    edit = hand_made()
    constant = torch.arange(8.0)
    x, first, second = (
        edit.node["x"],
        edit.constant("table", constant),
        edit.constant("table", constant),
    )
    captured = edit.returning(edit.call(torch.add, edit.call(torch.mul, x, first), second))
    normalised = normalise(captured)
    assert [each.kind for each in normalised.inputs[-2:]] == [InputKind.USER, InputKind.CONSTANT]
    assert normalised.example_values[-1] is constant
    assert len(normalised.inputs) == len(placeholders(normalised.graph)) == 3
    assert [each.kind for each in normalised.rewrites] == ["constant", "constant"]
    pieces = split(normalised, ("torch.mul",))
    (result,) = run_pieces(pieces, 3, random_rows(3, 8), constant)
    assert torch.equal(result, random_rows(3, 8) * constant + constant)


def test_constant_tensor_in_a_graph_without_inputs() -> None:
    edit = hand_made()
    constant = edit.constant("table", torch.arange(3.0))
    doubled = edit.call(torch.mul, constant, 2)
    for node in list(reversed(edit.graph.nodes)):
        if node.name in ("x", "x_0", "mul"):
            edit.output.args = ((doubled,),)
            edit.graph.erase_node(node)
    captured = edit.returning(doubled)
    normalised = normalise(captured)
    assert [node.op for node in normalised.graph.nodes] == [
        "placeholder",
        "call_function",
        "output",
    ]
    (result,) = run_graph(normalised.graph, torch.arange(3.0))
    assert torch.equal(result, torch.arange(3.0) * 2)


def test_outputs_that_repeat_and_that_are_no_tensors() -> None:
    edit = hand_made()
    x, n = edit.node["x"], edit.node["x_0"]
    size = edit.call("size", x)
    captured = edit.returning(x, x, n, edit.call(operator.getitem, size, 0), 3, None)
    normalised = normalise(captured)
    returned = output_node(normalised.graph).args[0]
    first, second = placeholders(normalised.graph)
    assert returned == (second, second, first, first, 3, None)

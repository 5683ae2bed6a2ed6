"""Step 3: where the graph is cut, what crosses, and that the pieces together do what eager does."""

import operator
import warnings
from typing import Any, cast

import pytest
import torch
from torch import nn

from explorer import (
    CompilationConfig,
    DynamicShapesConfig,
    DynamicShapesType,
    GuardViolation,
    PieceKind,
    SizeOutOfRange,
    SplittingOpWarning,
    UnknownSplittingOp,
    compile_model,
)
from explorer.artifacts import ComputedSize, Literal, SplitGraph
from explorer.stages.graphs import example_value, placeholders
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from tests.explorer.cutting import (
    ATTENTION,
    SPLITTING_OPS,
    STEP,
    TWO,
    GraphEditor,
    assert_equal_to_eager,
    assert_well_formed,
    calls,
    captured_graph,
    compile_cut,
    kinds,
    normalised_graph,
    random_rows,
    run_pieces,
    split_graph,
)

Tensors = tuple[torch.Tensor, ...]
demo = torch.ops.demo
FOREACH_ADD = cast(Any, torch)._foreach_add_  # torch has no public name for it


def rows(size: int) -> Tensors:
    return (random_rows(size, 8),)


def two_of(size: int, other: int | None = None) -> Tensors:
    return random_rows(size, 8), random_rows(size if other is None else other, 8, seed=1)


def rows_and_index(size: int) -> Tensors:
    return random_rows(size, 8), torch.tensor([1, 0, 1])


def check(model, make_inputs=rows, *sizes, splitting_ops=SPLITTING_OPS, **settings):
    """Compiles at size 6, compares with eager at several sizes, and returns the pieces."""
    example = make_inputs(*sizes[0]) if sizes and isinstance(sizes[0], tuple) else make_inputs(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplittingOpWarning)  # not each program has all three ops
        compiled = compile_cut(model, *example, splitting_ops=splitting_ops, **settings)
    assert_well_formed(compiled.compilation.split)
    assert_equal_to_eager(model, compiled, make_inputs, *sizes)
    return compiled.compilation.pieces


# ------------------------------------------------------------------- programs that were cut wrongly


def reads_by_index_after_a_write(x: torch.Tensor, index: torch.Tensor) -> Tensors:
    out = torch.zeros_like(x)
    demo.attn(x, x, x, out)
    return out[index] * 2, out[[0, 1]]


def reads_by_index_around_a_write(x: torch.Tensor, index: torch.Tensor) -> Tensors:
    copy = x.clone()
    stepped = demo.step(x)
    before = copy[index]
    copy.add_(stepped)
    return copy[index], before


@pytest.mark.parametrize("model", [reads_by_index_after_a_write, reads_by_index_around_a_write])
def test_indexing_copy_is_not_moved_across_a_write(model) -> None:
    pieces = check(model, rows_and_index)
    assert "getitem" not in calls(pieces[0])
    assert calls(pieces[-1]).count("getitem") == 2


def test_index_that_comes_from_another_piece() -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> Tensors:
        stepped = demo.step(x)
        largest = torch.relu(y).argmax(0) % 2
        return stepped[largest] * 2, stepped[: y.shape[0] // 2] + 1

    check(model, two_of, (6, 6), (4, 8), (17, 5))


def test_slice_of_a_splitting_op_is_no_part_of_its_piece() -> None:
    def model(x: torch.Tensor) -> Tensors:
        stepped = demo.step(x)
        return stepped[:, :4] * 2, stepped[..., None], stepped[None, 1:, ::2]

    pieces = check(model)
    assert kinds(pieces) == "SC"
    assert calls(pieces[0]) == ["step"]


def test_splitting_ops_with_only_items_between_share_a_piece() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        left, right = demo.two(x)
        return demo.step(left) + right

    pieces = check(model)
    assert kinds(pieces) == "SC"
    assert calls(pieces[0]) == ["two", "getitem", "getitem", "step"]
    assert pieces[0].splitting_names == (TWO, STEP)


def test_splitting_ops_with_only_sizes_between_share_a_piece() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        stepped = demo.step(x)
        half = x.shape[0] // 2
        return demo.step(stepped)[:half]

    assert kinds(check(model)) == "SC"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda x: demo.step(x) * 2, "SC"),
        (lambda x: demo.step(x * 2), "CS"),
        (lambda x: demo.step(x), "S"),
        (lambda x: x * 2, "C"),
        (lambda x: demo.step(demo.step(x)), "S"),
        (lambda x: demo.step(demo.step(x) * 2) * 2, "SCSC"),
    ],
    ids=["first", "last", "only", "never", "twice", "in turn"],
)
def test_splitting_op_anywhere(model, expected) -> None:
    assert kinds(check(model)) == expected


def test_size_is_passed_once() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        size = x.shape
        out = torch.empty_like(x)
        demo.attn(x, x, x, out)
        return out.clone().view(size) + torch.zeros(x.shape[0], 8)

    pieces = check(model)
    sizes = [n for n in placeholders(pieces[2].graph) if isinstance(example_value(n), torch.SymInt)]
    assert len(sizes) == 1
    assert pieces[2].inputs == ("out", "x_0")


def test_computed_size_that_comes_first_does_not_pick_the_range() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        half = x.shape[0] // 2
        early = torch.ones(half)
        out = torch.empty_like(x)
        demo.attn(x, x, x, out)
        late = torch.ones(half, 8)
        return out.sum() + late.sum() + early.sum()

    settings = {"compile_sizes": (16,), "compile_ranges_endpoints": (8, 32)}
    pieces = check(model, rows, 6, 8, 9, 16, 32, 33, splitting_ops=[ATTENTION], **settings)
    assert [piece.size_names for piece in pieces] == [("x_0",)] * 3
    for piece in pieces:
        assert "floordiv" not in piece.inputs


def test_independent_sizes_stay_apart() -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        demo.attn(x, x, x, out)
        return y.sum(0) + out.sum(0)

    settings: dict[str, Any] = {"compile_sizes": (16,), "compile_ranges_endpoints": (8,)}
    example = two_of(6, 5)
    compiled = compile_cut(model, *example, splitting_ops=[ATTENTION], **settings)
    assert_equal_to_eager(model, compiled, two_of, (6, 5), (16, 3), (3, 16), (16, 16), (9, 2))
    last = compiled.compilation.pieces[-1]
    assert set(last.size_names) == {"x_0", "y_0"}


def test_frozen_branch_is_refused_where_it_is_wrong() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(x * 2 if x.shape[0] == 4 else x + 1)

    compiled = compile_cut(model, *rows(6), splitting_ops=[STEP])
    assert_equal_to_eager(model, compiled, rows, 2, 3, 5, 6, 17)
    with pytest.raises(GuardViolation, match=r"x_0 = 4: it holds only where x_0 != 4 .*test_split"):
        compiled(*rows(4))


def test_piece_without_sizes_has_one_artifact_under_several_ranges() -> None:
    def model(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x + demo.step(torch.relu(w)).sum()

    compiled = compile_cut(
        model,
        *rows(6),
        random_rows(4, 4),
        splitting_ops=[STEP],
        dynamic={"x": 0},
        compile_ranges_endpoints=(8, 32),
    )
    assert_equal_to_eager(model, compiled, lambda n: (*rows(n), random_rows(4, 4)), 2, 8, 9, 33)
    artifacts = compiled.compilation.artifacts
    assert [each.unique_id for each in artifacts] == ["A", "B", "B", "B"]
    assert artifacts[0].size_range is None


def test_size_zero_runs_and_size_beyond_the_ranges_is_refused() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(x) * 2

    compiled = compile_cut(model, *rows(6), splitting_ops=[STEP], max_size=64)
    assert_equal_to_eager(model, compiled, rows, 0, 1, 2, 64)
    with pytest.raises(SizeOutOfRange, match=r"x_0 = 65 .*1–64"):
        compiled(*rows(65))


def test_marks_do_not_stick_to_the_inputs() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(x + 1 if x.shape[0] >= 4 else x - 1)

    def plain(x: torch.Tensor) -> torch.Tensor:
        return demo.step(x + 1)

    x = random_rows(6, 8)
    before = dict(x.__dict__)
    unbacked = DynamicShapesConfig(DynamicShapesType.UNBACKED)
    compile_cut(plain, x, splitting_ops=[STEP], dynamic_shapes=unbacked)
    compiled = compile_cut(model, x, splitting_ops=[STEP])
    assert x.__dict__ == before
    assert_equal_to_eager(model, compiled, rows, 4, 6, 17)


@pytest.mark.parametrize("mode", ["backed", "unbacked", "backed_size_oblivious"])
def test_every_way_to_mark_sizes_cuts_alike(mode) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        size = x.size()
        out = torch.empty_like(x)
        demo.attn(x, x, x, out)
        long = torch.cat([out, out])
        stepped = demo.step(long)
        return (
            stepped.reshape(2, *size) + torch.zeros(size=size) + torch.ones(long.shape[0] // 2, 1)
        )

    pieces = check(model, dynamic_shapes=DynamicShapesConfig(mode))
    assert kinds(pieces) == "CSCSC"


# --------------------------------------------------------------------------------- tuples and items


def test_split_of_a_tensor_as_splitting_op() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(x, x.shape[0] // 2)
        return torch.cat([torch.relu(first), torch.relu(second)])

    pieces = check(model, rows, 6, 4, 18, splitting_ops=["aten::split"])
    assert kinds(pieces) == "SC"
    assert calls(pieces[0])[-3:] == ["split", "getitem", "getitem"]
    assert "getitem" not in calls(pieces[1])


def test_overload_of_split_is_found_under_both_names() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        first, second = torch.ops.aten.split.Tensor(x, 4, 1)
        return torch.relu(first) + second

    for name in ("aten::split", "aten::split.Tensor", "torch.ops.aten.split.Tensor"):
        assert kinds(check(model, splitting_ops=[name])) == "SC"


def test_tuple_is_used_before_and_after_another_cut() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(x, 4, dim=1)
        stepped = demo.step(torch.sigmoid(first))
        return torch.sigmoid(second) + stepped

    assert kinds(check(model, splitting_ops=["aten::split", STEP])) == "SCSC"


def test_item_that_a_graph_takes_late_stays_with_its_tuple() -> None:
    edit = GraphEditor(captured_graph(lambda x: x * 2, *rows(6)))
    both = edit.call(demo.two, edit.node["x"])
    stepped = edit.call(demo.step, edit.node["x"])
    between = edit.call(torch.relu, stepped)
    late = edit.call(operator.getitem, both, 1)
    pieces = split(normalise(edit.returning(edit.call(torch.add, between, late))), (STEP,))
    assert_well_formed(pieces)
    x = random_rows(3, 8)
    (result,) = run_pieces(pieces, 3, x)
    assert torch.equal(result, torch.relu(x + 1) + x * 2)


def test_nested_and_repeated_results_cross() -> None:
    def model(x: torch.Tensor) -> dict[str, object]:
        values, indices = torch.max(demo.step(x), dim=-1)
        parts = torch.split(demo.step(x * 2), 2, dim=-1)
        stepped = demo.step(values)
        return {"all": [parts, (stepped, stepped)], "x": x, "none": None, "n": 3, "where": indices}

    assert_well = check(model)
    assert kinds(assert_well) == "SCSCS"


# ----------------------------------------------------------------------------------- chains of cuts


def test_two_kinds_of_splitting_ops_next_to_each_other() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        root = torch.sqrt(torch.relu(x))
        out = torch.empty_like(root)
        demo.attn(root, root, root, out)
        return torch.sigmoid(out)

    pieces = check(model, splitting_ops=["aten::sqrt", ATTENTION])
    # The memory that attention writes to depends on the root, so it cannot be made earlier.
    assert kinds(pieces) == "CSCSC"

    def without_memory(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        root = torch.sqrt(torch.relu(x))
        demo.attn(root, root, root, out)
        return torch.sigmoid(out)

    pieces = check(without_memory, splitting_ops=["aten::sqrt", ATTENTION])
    assert kinds(pieces) == "CSC"
    assert [node.op for node in pieces[1].graph.nodes] == [
        "placeholder", "placeholder", "call_function", "call_function", "output",
    ]  # fmt: skip


def test_sizes_read_once_are_used_behind_every_cut() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        batch, hidden = x.shape
        for _ in range(3):
            x = torch.sigmoid(x).view(batch, hidden) + 1
        return x

    pieces = check(model, splitting_ops=["torch.sigmoid"])
    assert kinds(pieces) == "SCSCSC"
    assert [piece.inputs[1:] for piece in pieces if piece.kind is PieceKind.COMPILED] == [
        ("x_0",)
    ] * 3


def test_static_sizes_are_numbers_not_inputs() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        size = x.size()
        return torch.sigmoid(x).clone().view(size)

    pieces = check(model, splitting_ops=["torch.sigmoid"])
    for piece in pieces:
        for node in placeholders(piece.graph):
            assert not isinstance(example_value(node), int)
            assert example_value(node) is not None
    assert "8" in str(pieces[-1].graph)


def test_allocations_join_the_piece_before_where_they_can() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        first = torch.empty_like(x)
        demo.attn(x, x, x, first)
        second = torch.empty(x.shape[0], 8)
        demo.attn(first, x, x, second)
        third = second.new_empty(x.shape)
        demo.attn(second, first, x, third)
        return third * 2

    pieces = check(model)
    assert kinds(pieces) == "CSC"
    assert calls(pieces[0]) == ["empty_like", "empty", "new_empty"]
    assert calls(pieces[1]) == ["attn"] * 3


def test_allocation_of_a_given_tensor_writes_and_stays() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        copy = x.clone()
        stepped = demo.step(copy)
        torch.zeros(x.shape, out=copy)
        return demo.step(copy) + stepped

    assert kinds(check(model)) == "CSCSC"


# ------------------------------------------------------------------------------- writes around cuts


def writes_its_input(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    stepped = demo.step(x)
    x.mul_(2)
    return stepped


def writes_through_views(x: torch.Tensor) -> Tensors:
    copy = x.clone()
    view = copy[1:]
    stepped = demo.step(copy)
    view.add_(1)
    demo.attn(view, view, view, copy[1:])
    view[0] = stepped[0]
    return copy, view, stepped, copy.t()


def writes_items(x: torch.Tensor) -> Tensors:
    copy = x.clone()
    copy[:, :2] = 0
    stepped = demo.step(copy)
    copy[:, 2:4] = stepped[:, :2]
    copy[[0, 1]] += 1
    return copy, stepped


def writes_given_memory(x: torch.Tensor) -> Tensors:
    out, low = torch.zeros_like(x), torch.zeros(x.shape[0])
    stepped = demo.step(x)
    torch.add(x, stepped, out=out)
    torch.sum(stepped, dim=1, out=low)
    return out, low


def writes_many_at_once(x: torch.Tensor) -> Tensors:
    first, second = x.clone(), x.clone()
    stepped = demo.step(x)
    FOREACH_ADD([first, second], [stepped, x])
    return first, second


def returns_inputs_and_views(x: torch.Tensor) -> Tensors:
    stepped = demo.step(x)
    return x, stepped, x[1:], stepped.view(-1), x.t(), x.detach()


def returns_nothing(x: torch.Tensor) -> None:
    x.add_(demo.step(x))


def returns_what_it_wrote(x: torch.Tensor) -> Tensors:
    written = x.add_(1)
    stepped = demo.step(written)
    return written, stepped.mul_(2), x


def changes_the_shape_in_place(x: torch.Tensor) -> Tensors:
    copy = x.clone()
    stepped = demo.step(copy)
    copy.t_()
    again = demo.step(copy)
    copy.unsqueeze_(0)
    return copy, stepped, again, torch.zeros_like(copy)


WRITERS = [
    writes_its_input,
    writes_through_views,
    writes_items,
    writes_given_memory,
    writes_many_at_once,
    returns_inputs_and_views,
    returns_nothing,
    returns_what_it_wrote,
    changes_the_shape_in_place,
]


@pytest.mark.parametrize("model", WRITERS)
def test_writes_and_shared_memory_are_as_in_eager(model) -> None:
    check(model)


@pytest.mark.parametrize("model", WRITERS)
def test_cut_at_every_op_does_what_eager_does(model) -> None:
    names = {
        "torch.Tensor.add_", "Tensor.mul_", "Tensor.clone", "Tensor.view", "Tensor.t",
        "Tensor.detach", "Tensor.t_", "operator.getitem", "operator.setitem", "operator.iadd",
        "torch.add", "torch.sum", "torch.zeros",
        "torch.zeros_like", "Tensor.unsqueeze_", *SPLITTING_OPS,
    }  # fmt: skip
    pieces = check(model, splitting_ops=sorted(names))
    assert kinds(pieces) in ("S", "CS", "SC", "SCS", "CSC")


def test_alternating_cuts_at_every_op() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        for _ in range(20):
            x = torch.relu(demo.step(x) - 1)
        return x

    assert kinds(check(model)) == "SC" * 20


# -------------------------------------------------------------------- branches, autocast, inference


def branches(x: torch.Tensor) -> torch.Tensor:
    doubled = x * 2
    chosen = torch.cond(doubled.sum() > 0, lambda a: a * 2, lambda a: a - 1, (doubled,))
    return demo.step(chosen) + 1


def test_branch_on_data_inside_a_piece() -> None:
    for model_inputs in (rows, lambda n: (-random_rows(n, 8).abs(),)):
        assert kinds(check(branches, model_inputs, splitting_ops=[STEP])) == "CSC"


@pytest.mark.parametrize(
    "name", ["torch.cond", "higher_order::cond", "torch.ops.higher_order.cond"]
)
def test_branch_on_data_as_splitting_op(name) -> None:
    pieces = check(branches, splitting_ops=[name])
    assert kinds(pieces) == "CSC"
    assert pieces[1].splitting_names == ("torch.cond",)


def lower_precision(x: torch.Tensor) -> Tensors:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = demo.step(x @ x.t())
        again = product @ x
        with torch.autocast("cpu", enabled=False):
            exact = demo.step(x @ x.t()) @ x
        last = demo.step(again) @ again.t()
    return product, again, exact, last, x @ x.t()


def test_autocast_region_is_opened_in_every_piece_that_it_covers() -> None:
    pieces = check(lower_precision)
    assert kinds(pieces) == "CSCSCSC"
    for piece in pieces:
        names = calls(piece)
        assert names.count("_enter_autocast") == names.count("_exit_autocast")
    assert calls(pieces[1]) == ["_enter_autocast", "step", "_exit_autocast"]
    assert not torch.is_autocast_enabled("cpu")


@torch.inference_mode()
def inference(x: torch.Tensor) -> torch.Tensor:
    return demo.step(x * 2) + 1


def test_inference_region_is_opened_in_every_piece() -> None:
    pieces = check(inference)
    assert kinds(pieces) == "CSC"
    assert all("_enter_inference_mode" in calls(piece) for piece in pieces)


def test_check_of_a_size_stands_in_a_piece() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[0] >= 2)
        stepped = demo.step(x)
        torch._check(stepped.shape[0] < 1000)
        return stepped

    check(model)


# ------------------------------------------------------------------------------------------ modules


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.project(x), dim=-1) @ x.new_ones(8, 8)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.attn(x) * 2)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(3)])
        self.norms = nn.ModuleDict({"last": nn.LayerNorm(8)})
        self.shared = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.shared(layer(x))
        return self.norms["last"](x)


@pytest.fixture(scope="module")
def stack() -> Stack:
    torch.manual_seed(0)
    return Stack().requires_grad_(False)


@pytest.mark.parametrize(
    ("pattern", "expected", "first_path"),
    [
        ("layers.*.attn", "SCSCSC", "layers.0.attn"),
        ("layers.*.attn.project", "SCSCSC", "layers.0.attn.project"),
        ("layers.[02].attn", "SCSC", "layers.0.attn"),
        ("layers.1", "CSC", "layers.1"),
        ("layers.*.mlp.*", "CSCSCSC", "layers.0.mlp.0"),
        ("layers.*.mlp", "CSCSCSC", "layers.0.mlp"),
        ("layers", "SCSCSC", "layers"),
        ("norms.last", "CS", "norms.last"),
        ("norms", "CS", "norms"),
        ("shared", "CSCSCSC", "shared"),
        ("*", "S", "layers"),
    ],
)
def test_modules_become_splitting_pieces(stack, pattern, expected, first_path) -> None:
    pieces = check(stack, splitting_ops=[f"module:{pattern}"])
    assert kinds(pieces) == expected
    first = next(piece for piece in pieces if piece.kind is PieceKind.SPLITTING)
    assert first.splitting_names[0] == f"module:{first_path}"


def test_modules_and_ops_are_mixed(stack) -> None:
    pieces = check(stack, splitting_ops=["module:layers.*.attn", "F.layer_norm"])
    assert kinds(pieces) == "SCSCSCS"


def test_module_of_a_method_and_of_a_function(stack) -> None:
    assert kinds(check(stack.forward, splitting_ops=["module:layers.*.attn"])) == "SCSCSC"

    def run(x: torch.Tensor) -> torch.Tensor:
        return stack(x) * 2

    assert kinds(check(run, splitting_ops=["module:layers.*.attn"])) == "SCSCSC"


def test_unknown_module_names_the_nearest(stack) -> None:
    with pytest.raises(UnknownSplittingOp, match=r"No module matches .*layers\.2\.attn"):
        split_graph(stack, *rows(6), splitting_ops=["module:layers.*.attnn"])
    with pytest.raises(UnknownSplittingOp, match="No module matches"):
        split_graph(stack, *rows(6), splitting_ops=["module:"])
    with pytest.raises(UnknownSplittingOp, match="3007 characters"):
        split_graph(stack, *rows(6), splitting_ops=["module:" + "x" * 3000])


def test_module_that_is_never_called_is_a_warning(stack) -> None:
    with pytest.warns(SplittingOpWarning, match=r"no call was traced .*traced: layers, layers\.0"):
        result = split_graph(stack, *rows(6), splitting_ops=["module:unused"])
    assert kinds(result.pieces) == "C"
    assert len(result.notes) == 1


# -------------------------------------------------------------------------------- what a piece says


def layered(x: torch.Tensor) -> tuple[torch.Tensor, int, None, torch.Tensor]:
    out = torch.empty_like(x)
    demo.attn(x, x, x, out)
    return out * 2, x.shape[0] * 2, None, x


@pytest.fixture
def layered_split() -> SplitGraph:
    return split_graph(layered, *rows(6), splitting_ops=[ATTENTION])


def test_piece_knows_what_it_takes_makes_and_comes_from(layered_split) -> None:
    first, second, third = layered_split.pieces
    assert [piece.name for piece in layered_split.pieces] == ["piece_0", "piece_1", "piece_2"]
    assert (first.inputs, first.outputs) == (("x", "x_0"), ("out",))
    assert (second.inputs, second.outputs) == (("x", "out"), ())
    assert (third.inputs, third.outputs) == (("out", "x_0"), ("mul",))
    assert [piece.node_count for piece in layered_split.pieces] == [1, 1, 1]
    assert second.splitting_names == (ATTENTION,)
    assert [line.text for line in third.source_lines] == ["return out * 2, x.shape[0] * 2, None, x"]
    assert layered_split.crossing == {"out": (1, 2)}
    assert layered_split.summary() == "split into 3 pieces, 2 compiled, 1 splitting"
    assert "out * 2" in third.readable()
    assert repr(third) == "<piece_2 compiled 1 nodes>"


def test_outputs_are_values_numbers_and_constants() -> None:
    edit = GraphEditor(captured_graph(lambda x: x * 2, *rows(6)))
    x, n = edit.node["x"], edit.node["x_0"]
    double = edit.call(operator.mul, n, 2)
    captured = edit.returning(edit.call(demo.step, x), double, None, x, n, 2.5)
    result = split(normalise(captured), (STEP,))
    value, computed, nothing, given, size, number = result.outputs
    assert (value, given, size) == ("step", "x", "x_0")
    assert isinstance(computed, ComputedSize)
    assert list(computed.names.values()) == ["x_0"]
    assert (nothing, number) == (Literal(None), Literal(2.5))
    values = run_pieces(result, 3, *rows(3))
    assert torch.equal(values[0], rows(3)[0] + 1)
    assert values[1:3] + values[4:] == (6, None, 3, 2.5)


def test_input_is_left_as_it_is() -> None:
    normalised = normalised_graph(layered, *rows(6))
    before = str(normalised.graph)
    result = split(normalised, (ATTENTION,))
    assert str(normalised.graph) == before
    again = split(normalised, (ATTENTION,))
    assert [str(piece.graph) for piece in again.pieces] == [
        str(piece.graph) for piece in result.pieces
    ]


def test_nodes_keep_names_lines_and_values(layered_split) -> None:
    names = {node.name for node in layered_split.normalised.graph.nodes}
    for piece in layered_split.pieces:
        for node in piece.graph.nodes:
            if node.op in ("call_function", "call_method"):
                assert node.name in names
                assert "test_split.py" in node.meta["stack_trace"]


def test_cut_does_not_depend_on_what_was_compiled_before() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(x * 2) + 1

    graphs = []
    for size in (6, 9, 4, 6):
        result = split_graph(model, *rows(size), splitting_ops=[STEP])
        graphs.append([str(piece.graph) for piece in result.pieces])
    assert graphs == [graphs[0]] * 4


def test_piece_count_of_many_layers() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        for _ in range(12):
            out = torch.empty_like(x)
            demo.attn(x, x, x, out)
            x = torch.relu(out) + x
        return x

    compiled = compile_model(
        model, rows(6), config=CompilationConfig(backend="eager", splitting_ops=(ATTENTION,))
    )
    assert len(compiled.compilation.pieces) == 25
    assert len(compiled.compilation.unique_pieces) == 3

"""Which nodes write, and which only allocate: held against what torch itself does to memory."""

import operator
from typing import Any, cast

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from torch import fx

from explorer.stages import effects
from explorer.stages.graphs import placeholders
from tests.explorer.cutting import GraphEditor, captured_graph, random_rows

FOREACH_ADD = cast(Any, torch)._foreach_add_  # torch has no public name for it


def editor() -> GraphEditor:
    """A graph with the inputs ``x`` and ``y``, both (rows, 8)."""
    edit = GraphEditor(captured_graph(lambda x, y: x * y, random_rows(6, 8), random_rows(6, 8)))
    return edit


def names(nodes) -> list[str]:
    return [node.name for node in nodes]


WRITING = {
    "method": lambda e, x, y: e.call("add_", x, y),
    "method on a view": lambda e, x, y: e.call("mul_", e.call("view", x, -1), 2),
    "method through two views": lambda e, x, y: e.call(
        "zero_", e.call("t", e.call(operator.getitem, x, 0))
    ),
    "function": lambda e, x, y: e.call(torch.relu_, x),
    "functional": lambda e, x, y: e.call(F.relu_, x),
    "in place by keyword": lambda e, x, y: e.call(F.silu, x, inplace=True),
    "in place by position": lambda e, x, y: e.call(F.relu, x, True),
    "item": lambda e, x, y: e.call(operator.setitem, x, 0, 1.0),
    "operator": lambda e, x, y: e.call(operator.iadd, x, y),
    "out": lambda e, x, y: e.call(torch.add, y, y, out=x),
    "outs": lambda e, x, y: e.call(
        torch.frexp, y, out=(x, e.call(torch.empty_like, y, dtype=torch.int32))
    ),
    "overload": lambda e, x, y: e.call(torch.ops.aten.add_.Tensor, x, y),
    "packet": lambda e, x, y: e.call(torch.ops.aten.copy_, x, y),
    "custom op": lambda e, x, y: e.call(torch.ops.demo.attn, y, y, y, x),
    "custom op by keyword": lambda e, x, y: e.call(torch.ops.demo.attn, y, y, value=y, out=x),
    "list": lambda e, x, y: e.call(FOREACH_ADD, [x], [y]),
    "running statistics": lambda e, x, y: e.call(
        F.batch_norm, y, e.call(operator.getitem, x, 0), e.call("new_ones", y, 8), None, None, True
    ),
    "renormalised table": lambda e, x, y: e.call(F.embedding, e.call("long", y), x, None, 1.0),
}  # fmt: skip

READING = {
    "method": lambda e, x, y: e.call("add", x, y),
    "function": lambda e, x, y: e.call(torch.relu, x),
    "view": lambda e, x, y: e.call("view", x, -1),
    "operator": lambda e, x, y: e.call(operator.add, x, y),
    "functional": lambda e, x, y: e.call(F.layer_norm, x, (8,)),
    "builtin": lambda e, x, y: e.call(F.gelu, x),
    "overload": lambda e, x, y: e.call(torch.ops.aten.add.Tensor, x, y),
    "custom op": lambda e, x, y: e.call(torch.ops.demo.two, x),
    "not in place": lambda e, x, y: e.call(F.relu, x, inplace=False),
    "table": lambda e, x, y: e.call(F.embedding, e.call("long", y), x),
    "write to a copy": lambda e, x, y: e.call("add_", e.call("clone", x), y),
    "dunder": lambda e, x, y: e.call("__add__", x, y),
    "attribute": lambda e, x, y: e.call(getattr, x, "T"),
    "write to other memory": lambda e, x, y: e.call(
        torch.add, x, y, out=e.call(torch.empty_like, x)
    ),
}  # fmt: skip


def written_placeholders(build) -> list[str]:
    edit = editor()
    build(edit, edit.node["x"], edit.node["y"])
    return names(sorted(effects.written_inputs(edit.graph), key=lambda node: node.name))


@pytest.mark.parametrize("build", WRITING.values(), ids=WRITING)
def test_write_is_seen(build) -> None:
    assert written_placeholders(build) == ["x"]


@pytest.mark.parametrize("build", READING.values(), ids=READING)
def test_read_is_no_write(build) -> None:
    assert written_placeholders(build) == []


def doubles_in_place(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.mul_(2)


def test_function_that_is_not_known_counts_as_writing_to_all() -> None:
    assert written_placeholders(lambda e, x, y: e.call(doubles_in_place, x)) == ["x"]
    assert written_placeholders(lambda e, x, y: e.call(lambda a, b: a + b, x, y)) == ["x", "y"]


def test_function_that_the_user_allows_in_graphs_counts_as_writing() -> None:
    allowed = cast(Any, torch._dynamo.allow_in_graph(doubles_in_place))
    captured = captured_graph(lambda x: allowed(x) + 1, random_rows(6, 8))
    assert names(effects.written_inputs(captured.graph)) == ["x"]
    assert [each.written for each in captured.user_inputs] == [True]


def test_branches_count_as_writing_to_what_they_take() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,))

    graph = captured_graph(model, random_rows(6, 8)).graph
    assert names(effects.written_inputs(graph)) == ["x"]


def test_written_storages_are_those_of_the_base() -> None:
    edit = editor()
    x = edit.node["x"]
    view = edit.call("view", x, -1)
    write = edit.call("add_", view, 1)
    assert effects.written_nodes(write) == (view,)
    assert effects.written_storages([write]) == {effects.storage_of(x)}
    assert effects.storage_of(view) == effects.storage_of(x) != effects.storage_of(edit.node["y"])
    assert effects.storage_of(placeholders(edit.graph)[0]) is None, "a size has no memory"


ALLOCATING = {
    "function": lambda e, x: e.call(torch.empty, 3),
    "like": lambda e, x: e.call(torch.empty_like, x),
    "strided": lambda e, x: e.call(torch.empty_strided, (2, 3), (3, 1)),
    "method": lambda e, x: e.call("new_empty", x, (3,)),
    "overload": lambda e, x: e.call(torch.ops.aten.empty_like.default, x),
}
NOT_ALLOCATING = {
    "zeros": lambda e, x: e.call(torch.zeros, 3),
    "method with content": lambda e, x: e.call("new_zeros", x, (3,)),
    "given memory": lambda e, x: e.call(torch.empty, (6, 8), out=x),
    "function": lambda e, x: e.call(torch.relu, x),
    "overload": lambda e, x: e.call(torch.ops.aten.zeros_like.default, x),
}


@pytest.mark.parametrize("build", ALLOCATING.values(), ids=ALLOCATING)
def test_allocation_is_seen(build) -> None:
    edit = editor()
    assert effects.is_allocation(build(edit, edit.node["x"]))


@pytest.mark.parametrize("build", NOT_ALLOCATING.values(), ids=NOT_ALLOCATING)
def test_what_has_content_is_no_allocation(build) -> None:
    edit = editor()
    x = edit.node["x"]
    node: fx.Node = build(edit, x)
    assert not effects.is_allocation(node)
    assert not effects.is_allocation(x)

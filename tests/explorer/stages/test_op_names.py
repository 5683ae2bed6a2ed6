"""Which names mean which ops, and that no text of a user is ever more than looked up."""

import os
import re
import warnings

import pytest
import torch
import torch.nn.functional as F

from explorer import ConfigError, SplittingOpWarning, UnknownSplittingOp
from explorer.stages import op_names
from explorer.stages.split import find_splitting_nodes
from tests.explorer.cutting import normalised_graph, random_rows

demo = torch.ops.demo


def many_ops(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    by_operator = x + x
    by_function = torch.add(x, x)
    by_method = x.add(x)
    by_packet = torch.ops.aten.mul(x, x)
    by_overload = torch.ops.aten.add.Tensor(x, x)
    relu_function, relu_module, relu_method = torch.relu(x), F.relu(x), x.relu()
    in_place = x.clone()
    in_place += 1
    linear = F.linear(x, x.new_ones(8, 8))
    convolution = F.conv1d(x[None], x.new_ones(1, 1, 1).expand(1, x.shape[0], 1))
    attention = F.scaled_dot_product_attention(x[None], x[None], x[None])
    viewed = x.view(-1, 4)
    row = x[0]
    chunk, _ = x.chunk(2, -1)
    norm = torch.linalg.norm(x)
    expit, transposed = torch.special.expit(x), x.T
    floats, half = x.float(), x.shape[0] // 2
    padded = F.pad(x, (1, 1))
    stepped = demo.step(x)
    left, right = demo.two(x)
    return (
        by_operator, by_function, by_method, by_packet, by_overload, relu_function, relu_module,
        relu_method, in_place, linear, convolution, attention, viewed, row, chunk, norm, expit,
        transposed, floats,
        torch.zeros(half), padded, stepped, left, right,
    )  # fmt: skip


@pytest.fixture(scope="module")
def normalised():
    return normalised_graph(many_ops, random_rows(6, 8))


def matches(normalised, name: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplittingOpWarning)
        found, _ = find_splitting_nodes(normalised, (name,))
    return [node.name for node in found]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aten::add", "by_operator by_function by_method by_overload"),
        ("torch.ops.aten.add", "by_operator by_function by_method by_overload"),
        ("torch.add", "by_operator by_function by_method"),
        ("operator.add", "by_operator"),
        ("Tensor.add", "by_operator by_method"),
        ("torch.Tensor.add", "by_method"),
        ("aten::add.Tensor", "by_overload"),
        ("torch.ops.aten.add.Tensor", "by_overload"),
        ("aten::add_", "in_place_1"),
        ("operator.iadd", "in_place_1"),
        ("aten::mul", "by_packet"),
        ("aten::relu", "relu_function relu_module relu_method"),
        ("torch.relu", "relu_function relu_module relu_method"),
        ("F.relu", "relu_module"),
        ("torch.nn.functional.relu", "relu_module"),
        ("Tensor.relu", "relu_method"),
        ("F.linear", "linear"),
        ("aten::linear", "linear"),
        ("F.conv1d", "convolution"),
        ("torch.conv1d", "convolution"),
        ("torch.nn.functional.conv1d", "convolution"),
        ("F.scaled_dot_product_attention", "attention"),
        ("torch.nn.functional.scaled_dot_product_attention", "attention"),
        ("aten::scaled_dot_product_attention", "attention"),
        ("F.pad", "padded"),
        ("torch.nn.functional.pad", "padded"),
        ("aten::pad", "padded"),
        ("Tensor.view", "viewed"),
        ("aten::view", "viewed"),
        ("torch.linalg.norm", "norm"),
        ("aten::linalg_norm", "norm"),
        ("torch.special.expit", "expit"),
        ("aten::special_expit", "expit"),
        ("Tensor.float", "floats"),
        ("demo::step", "stepped"),
        ("demo::step.default", "stepped"),
        ("torch.ops.demo.step", "stepped"),
        ("torch.ops.demo.step.default", "stepped"),
        ("demo::two", "two"),
    ],
)
def test_name_finds_its_nodes(normalised, name, expected) -> None:
    assert matches(normalised, name) == expected.split()


@pytest.mark.parametrize(
    "name",
    [
        "aten::norm", "torch.norm", "aten::bmm", "torch.bmm", "F.gelu", "F.conv2d",
        "Tensor.softmax", "torch.Tensor.softmax", "operator.matmul", "aten::add.Scalar",
        "demo::attn", "demo::attn.default", "torch.ops.demo.attn", "aten::select",
        "aten::floor_divide", "operator.floordiv", "higher_order::cond", "torch.cond",
    ],
)  # fmt: skip
def test_known_name_that_does_not_occur_is_a_warning_that_lists_what_does(normalised, name) -> None:
    with pytest.warns(SplittingOpWarning) as caught:
        found, notes = find_splitting_nodes(normalised, (name,))
    assert found == {}
    text = str(caught[0].message)
    assert text == notes[0]
    assert text.startswith(f"the splitting op {name!r} does not occur in the graph; ops present: ")
    assert re.search(r"operator\.add \(1\), torch\.add \(1\), Tensor\.add \(1\)", text)
    listed = text.partition("present: ")[2]
    assert "floordiv" not in listed, "sizes are computed in every piece, so a cut has no effect"
    assert listed.endswith("and 6 more")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("relu", "torch.relu"),
        ("mul", "aten::mul"),
        ("demo::stepp", "demo::step"),
        ("aten::attn", "demo::attn"),
        ("demo.attn", "demo::attn"),
        ("aten.add", "aten::add"),
        ("aten::expit", "torch.special.expit"),
        ("torch._C._nn.linear", "F.linear"),
        ("torch.nn.functional.reluu", "torch.nn.functional.relu"),
        ("F.scaled_dot_product_attenton", "F.scaled_dot_product_attention"),
        ("Tensor.veiw", "Tensor.view"),
        ("aten::add.default", "aten::add"),
        ("vllm::unified_attention", ""),
        ("", ""),
        (" ", ""),
        ("torch.ops", ""),
        ("torch.", ""),
        ("::", ""),
    ],
)
def test_unknown_name_is_refused_with_the_three_nearest(normalised, name, nearest) -> None:
    with pytest.raises(UnknownSplittingOp) as caught:
        find_splitting_nodes(normalised, (name,))
    text = str(caught.value)
    named = re.search(r"the nearest names are (.*)\. Accepted are ns::op", text)
    assert named, text
    shown = named[1].split(", ")
    assert len(shown) == len(set(shown)) == 3
    assert not nearest or nearest in shown
    assert isinstance(caught.value, ConfigError)


HOSTILE = [
    "os.system",
    '__import__("os")',
    "aten.__class__",
    "aten::__class__",
    "torch.__class__",
    "Tensor.__class__",
    "Tensor.__init__",
    "Tensor._make_subclass",
    "torch.ops.aten.__class__",
    "torch.ops.aten.add.__call__",
    "torch.ops.load_library",
    "torch.os.system",
    "operator.attrgetter.__call__",
    "lambda: 0",
    "{0.__class__}",
    "%s",
    "\n\x1b[31mred\x00",
    "demo::step; os.remove('x')",
    "module:__class__",
    "module:[",
    "module:" + "*" * 300,
]


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:20] for name in HOSTILE])
def test_text_is_looked_up_and_never_evaluated(normalised, name, monkeypatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("a name was executed")

    monkeypatch.setattr(os, "system", fail)
    monkeypatch.setattr(torch.ops, "load_library", fail)
    with pytest.raises(UnknownSplittingOp) as caught:
        find_splitting_nodes(normalised, (name,))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("prefix", ["", "module:", "aten::", "torch."])
def test_very_long_name_is_refused_without_repeating_it(normalised, prefix) -> None:
    with pytest.raises(UnknownSplittingOp, match=r"has 1\d{6} characters") as caught:
        find_splitting_nodes(normalised, (prefix + "x" * 2**20,))
    assert len(str(caught.value)) < 300


def test_op_that_only_computes_sizes_is_no_place_to_cut(normalised) -> None:
    assert matches(normalised, "operator.floordiv") == []


def test_item_of_a_tuple_is_no_place_to_cut_and_indexing_is(normalised) -> None:
    found = matches(normalised, "operator.getitem")
    assert "row" in found
    assert not {"left", "right", "chunk"} & set(found)


def test_every_node_has_one_canonical_name_that_finds_it(normalised) -> None:
    table = op_names.name_table(normalised.graph.nodes)
    for node in normalised.graph.nodes:
        if node.op in ("call_function", "call_method"):
            canonical = op_names.canonical_name(node)
            assert op_names.names_of(node)[0] == canonical
            assert node in table[canonical]
            assert not canonical.startswith("torch._")


def test_known_names_are_found_under_their_own_name() -> None:
    known = op_names.known_names()
    for name in (
        "aten::add",
        "aten::add.Tensor",
        "demo::step",
        "torch.cat",
        "F.gelu",
        "Tensor.view",
    ):
        assert name in known
    assert not [name for name in known if name.startswith(("os.", "__"))]

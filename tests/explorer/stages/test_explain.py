"""Why two pieces are not the same, in words: the difference that helps comes first."""

import dataclasses
import re
from typing import Any

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F

from explorer.artifacts import Difference
from explorer.stages.graphs import copy_graph, placeholders
from tests.explorer.cutting import ATTENTION, STEP, compile_cut, random_rows
from tests.explorer.naming import NamedLayers, compile_named

demo = torch.ops.demo

if not hasattr(torch.ops.demo, "tagged"):
    torch.library.define("demo::tagged", "(Tensor x, str tag) -> Tensor")
    torch.library.impl("demo::tagged", "default", lambda x, tag: x + len(tag))
    torch.library.register_fake("demo::tagged", lambda x, tag: torch.empty_like(x))


def differences(model, *inputs, pieces=(0, 1), splitting_ops=(STEP,), **settings):
    """Why two of the compiled pieces differ, counted without the splitting ones."""
    compilation = compile_cut(model, *inputs, splitting_ops=splitting_ops, **settings).compilation
    compiled = [piece for piece in compilation.pieces if piece.unique_id is not None]
    return compilation.explain_difference(*(compiled[number] for number in pieces))


def words(found: tuple[Difference, ...]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.a, each.b) for each in found]


X = random_rows(6, 8)


def test_text_argument_is_named_with_a_hint() -> None:
    weights = [random_rows(8, 8, seed=seed) for seed in range(4)]

    def model(x: torch.Tensor) -> torch.Tensor:
        for number, weight in enumerate(weights):
            x = demo.tagged(torch.relu(x @ weight), f"layers.{number}.attn")
            out = torch.empty_like(x)
            demo.attn(x, x, x, out)
            x = out * 2
        return x

    (found,) = differences(model, X, pieces=(1, 2), splitting_ops=[ATTENTION])
    assert found.kind == "constant"
    assert found.a == "'layers.1.attn' in demo::tagged"
    assert found.b == "'layers.2.attn' in demo::tagged"
    assert found.hint == (
        "This text keeps the pieces apart: it is part of the graph, so each text makes a graph of "
        "its own. Declare the parameter of demo::tagged as explorer.LayerName and pass "
        "LayerName('layers.1.attn'), made once: it is an input of the graph."
    )
    assert re.match(
        r"The constant differs: 'layers\.1\.attn' in demo::tagged against "
        r"'layers\.2\.attn' in demo::tagged \(.*test_explain\.py:\d+\)\. This text keeps ",
        str(found),
    )


def test_text_that_torch_takes_is_no_name_of_a_layer() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        one = demo.step(torch.div(x, 3, rounding_mode="floor"))
        return demo.step(torch.div(one, 3, rounding_mode="trunc"))

    (found,) = differences(model, X)
    assert words((found,)) == [("constant", "'floor' in torch.div", "'trunc' in torch.div")]
    assert found.hint.startswith("A text argument is part of the graph")
    assert "LayerName" not in found.hint


def test_layer_names_are_no_difference() -> None:
    compilation = compile_named(NamedLayers(3)).compilation
    first, *others = [piece for piece in compilation.pieces if piece.unique_id is not None]
    assert [compilation.explain_difference(first, other) for other in others] == [(), ()]


def test_numbers_that_differ_are_named_with_their_lines() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        one = demo.step(torch.clamp(x * 2, 0.5))
        return demo.step(torch.clamp(one * 2, 0.25))

    (found,) = differences(model, X)
    assert words((found,)) == [("constant", "0.5 in torch.clamp", "0.25 in torch.clamp")]
    first, second = found.source_lines
    assert first.text.startswith("one = demo.step(torch.clamp(x * 2, 0.5))")
    assert second.line == first.line + 1
    assert found.hint == ""


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (
            lambda x, first: x.to(torch.float64 if first else torch.bfloat16).float(),
            ("torch.float64 in Tensor.to", "torch.bfloat16 in Tensor.to"),
        ),
        (
            lambda x, first: x[..., :1] if first else x[..., :2],
            ("1 in operator.getitem", "2 in operator.getitem"),
        ),
        (
            lambda x, first: torch.div(x, 3, rounding_mode="floor" if first else "trunc"),
            ("'floor' in torch.div", "'trunc' in torch.div"),
        ),
        (
            lambda x, first: x.sum((0,) if first else [0]),
            ("a tuple in Tensor.sum", "a list in Tensor.sum"),
        ),
        (
            lambda x, first: torch.zeros(size=(x.shape[0], 2 if first else 3)),
            ("2 in torch.zeros", "3 in torch.zeros"),
        ),
        (
            lambda x, first: F.gelu(x, approximate="none") if first else F.gelu(x),
            (
                "torch.nn.functional.gelu(x, approximate='none')",
                "torch.nn.functional.gelu(stepped)",
            ),
        ),
    ],
)
def test_constants_of_every_kind_are_named(use, expected) -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        one = use(x, True)
        stepped = demo.step(x)
        return one, use(stepped, False), demo.step(x)

    (found,) = differences(model, X)
    assert found.kind == "constant"
    assert (found.a, found.b) == expected


def test_function_made_twice_under_one_name() -> None:
    def make(amount: float) -> Any:
        return torch._dynamo.allow_in_graph(lambda tensor: tensor + amount)

    one, other = make(1.0), make(2.0)

    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(other(demo.step(one(x))))

    (found,) = differences(model, X)
    assert found.kind == "call"
    assert found.a.endswith("<lambda>")
    assert found.b == f"another {found.a}"


def test_argument_that_one_call_has_more_is_shown_with_its_call() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(torch.clamp(demo.step(torch.clamp(x, 0.5)), 0.5, 1.0))

    assert words(differences(model, X)) == [
        ("constant", "torch.clamp(x, 0.5)", "torch.clamp(step, 0.5, 1.0)")
    ]


def test_other_function_is_named() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(torch.cos(demo.step(torch.sin(x) * 2)) * 2)

    assert words(differences(model, X)) == [("call", "torch.sin", "torch.cos")]


def test_call_that_only_one_piece_makes_is_named() -> None:
    table = random_rows(9, 8)

    def model(x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        embedded = F.embedding(ids, table) + x
        return demo.step(torch.relu(demo.step(torch.relu(embedded) * 2) + x) * 2)

    inputs = (X, torch.arange(6))
    same = {"x": {0: "n"}, "ids": {0: "n"}}
    found = differences(model, *inputs, dynamic=same)
    assert words(found) == [
        ("call", "torch.nn.functional.embedding", "no such call in piece_2"),
    ]
    assert "F.embedding(ids, table)" in found[0].source_lines[0].text
    turned = differences(model, *inputs, pieces=(1, 0), dynamic=same)
    assert words(turned) == [
        ("call", "no such call in piece_2", "torch.nn.functional.embedding"),
    ]


def test_calls_are_matched_up_where_some_are_missing() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        one = demo.step(torch.exp(torch.relu(x).sin() * 2))
        return demo.step(torch.exp(one.sin().cos() * 2))

    assert words(differences(model, X)) == [
        ("call", "torch.relu", "no such call in piece_2"),
        ("call", "no such call in piece_0", "Tensor.cos"),
    ]


def test_other_values_in_the_same_calls() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        one = torch.relu(x)
        first = demo.step(one - x)
        two = torch.relu(first)
        return demo.step(first - two), one

    found = differences(model, X)
    assert words(found)[0] == ("argument", "operator.sub(one, x)", "operator.sub(first, two)")


def test_one_value_where_another_piece_takes_two() -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return demo.step(x - y), demo.step(x - x)

    inputs = (X, random_rows(6, 8))
    found = differences(model, *inputs, dynamic={"x": {0: "n"}, "y": {0: "n"}})
    assert words(found) == [("argument", "operator.sub(x, y)", "operator.sub(x, x)")]


def test_value_where_another_piece_passes_none() -> None:
    def model(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        return demo.step(F.linear(x, weight, None)), demo.step(F.linear(x, weight, bias))

    inputs = (X, random_rows(8, 8), random_rows(1, 8)[0])
    (found,) = differences(model, *inputs, dynamic={"x": {0: "n"}})
    linear = "torch.nn.functional.linear"
    assert words((found,)) == [
        ("argument", f"{linear}(x, weight, None)", f"{linear}(x, weight, bias)")
    ]


def test_dtype_of_an_input() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        exact = x.double()
        one = demo.step(exact)
        return demo.step(one * 2), demo.step(demo.step(x) * 2)

    found = differences(model, X, pieces=(1, 2))
    assert words(found) == [
        ("dtype", "torch.float64 of input one", "torch.float32 of input step_2"),
    ]
    assert len(found[0].source_lines) == 2


def test_shape_of_an_input_in_the_names_of_the_sizes() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        narrow = x[:, :4]
        one = demo.step(narrow)
        return demo.step(one * 2), demo.step(demo.step(x) * 2), demo.step(torch.cat([x, x])) * 2

    found = differences(model, X, pieces=(1, 2), dynamic={"x": {0: "n"}})
    assert words(found) == [("shape", "(n, 4) of input one", "(n, 8) of input step_2")]
    found = differences(model, X, pieces=(2, 4), dynamic={"x": {0: "n"}})
    assert words(found) == [("shape", "(n, 8) of input step_2", "(2*n, 8) of input step_4")]


def test_strides_of_an_input() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        square = x.new_ones(8, 8) + 1
        turned = square.t()
        one = demo.step(x)
        first = turned * 2
        two = demo.step(one)
        return first, square * 2, demo.step(two)

    found = differences(model, X, pieces=(1, 2))
    assert words(found) == [("stride", "(1, 8) of input turned", "(8, 1) of input square")]


def test_memory_that_inputs_share() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        base = x * 2
        view, copy = base.t(), base.t().clone()
        one = demo.step(x)
        shared = base @ view
        two = demo.step(one)
        return shared, base @ copy, demo.step(two)

    assert words(differences(model, X, pieces=(1, 2))) == [
        ("alias", "input view shares memory with base", "input copy has memory of its own")
    ]


def test_bits_that_strides_do_not_show() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        number = torch.complex(x, x)
        conjugate = number.conj()
        one = demo.step(x)
        first = conjugate * 2
        two = demo.step(one)
        return first, number * 2, demo.step(two)

    (found,) = differences(model, X, pieces=(1, 2))
    assert found.kind == "layout"
    assert found.a == "a lazy conjugate in input conjugate"
    assert found.b == "no lazy bit in input number"


def test_values_that_are_handed_on() -> None:
    def model(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        one = x * 2
        other = demo.step(one + 1) * 2
        return demo.step(other + 1), other

    (found,) = differences(model, X)
    assert words((found,)) == [("output", "piece_0 hands on add", "piece_2 hands on other, add_1")]
    assert (found.source_lines, found.hint) == ((), "")
    assert str(found) == (
        "The output differs: piece_0 hands on add against piece_2 hands on other, add_1."
    )


def test_input_that_only_one_piece_takes() -> None:
    compilation = compile_cut(lambda x: demo.step(x * 2), X, splitting_ops=[STEP]).compilation
    piece = compilation.pieces[0]
    graph, _ = copy_graph(piece.graph)
    last = placeholders(graph)[-1]
    with graph.inserting_after(last):
        graph.placeholder("spare").meta.update(last.meta)
    other = dataclasses.replace(piece, graph=graph, inputs=(*piece.inputs, "spare"))
    (found,) = compilation.explain_difference(piece, other)
    taken = ", ".join(piece.inputs)
    assert words((found,)) == [("input", f"piece_0 takes {taken}", f"piece_0 takes {taken}, spare")]
    assert (found.source_lines, found.hint) == ((), "")


def test_branch_of_a_condition() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        one = demo.step(torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,)))
        return demo.step(torch.cond(one.sum() > 0, lambda a: a * 2, lambda a: a - 2, (one,)))

    assert words(differences(model, X)) == [
        ("call", "operator.sub with 1 in a branch", "operator.sub with 2 in a branch")
    ]


def doubled(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if y.shape[0] % 5 == 0:
        x = x + 1
    return demo.step(x * 2), demo.step(y * 2), demo.step(z * 2)


THREE = (random_rows(6, 8), random_rows(5, 8), random_rows(4, 8))


def test_size_that_picks_the_range() -> None:
    found = differences(doubled, *THREE, pieces=(0, 2), dynamic={"x": {0: "n"}, "z": {0: "k"}})
    assert words(found)[0][0] == "call"

    def model(x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return demo.step(x * 2), demo.step(z * 2)

    (found,) = differences(model, THREE[0], THREE[2], dynamic={"x": {0: "n"}, "z": {0: "k"}})
    assert found.kind == "symbol"
    assert found.a == "n picks the size range, 2 to any size"
    assert found.b == "k does not pick the size range, 2 to any size"
    assert found.hint.startswith("One artifact serves one size range")


def test_condition_on_a_size() -> None:
    named = {"x": {0: "n"}, "y": {0: "m"}, "z": {0: "k"}}
    assert words(differences(doubled, *THREE, pieces=(1, 2), dynamic=named)) == [
        ("guard", "(m % 5) == 0", "nothing")
    ]


def test_kind_of_a_piece() -> None:
    compilation = compile_cut(lambda x: demo.step(x * 2), X, splitting_ops=[STEP]).compilation
    assert words(compilation.explain_difference(0, 1)) == [("kind", "compiled", "splitting")]


def test_pieces_that_are_the_same_have_no_difference() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(demo.step(x * 2) * 2)

    compilation = compile_cut(model, X, splitting_ops=[STEP]).compilation
    assert compilation.explain_difference(0, 2) == ()
    assert compilation.explain_difference(compilation.pieces[0], compilation.pieces[0]) == ()
    assert compilation.explain_difference(1, 3) == ()


@pytest.mark.parametrize("count", [1, 40, 400])
def test_few_differences_are_listed_and_none_twice(count) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        for _ in range(count):
            x = torch.sin(x)
        x = demo.step(x)
        for _ in range(count):
            x = torch.cos(x)
        return demo.step(x)

    found = differences(model, X)
    assert words(found) == [("call", "torch.sin", "torch.cos")]
    assert len(found[0].source_lines) == 2

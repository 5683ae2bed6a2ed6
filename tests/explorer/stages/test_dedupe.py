"""Step 4: pieces that run the same compiled code are one, whatever they are called.

Any other two are not.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn

from explorer import (
    CompilationConfig,
    DynamicShapesConfig,
    DynamicShapesType,
    GuardPolicy,
    Session,
)
from explorer.artifacts import PieceKind, SplitGraph
from explorer.stages.compile_plan import WantedArtifact, plan_compile
from explorer.stages.dedupe import dedupe, record_of, unique_label
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from sample_models import toy_llama
from tests.explorer import naming
from tests.explorer.cutting import (
    ATTENTION,
    STEP,
    GraphEditor,
    assert_equal_to_eager,
    captured_graph,
    compile_cut,
    random_rows,
    split_graph,
)

demo = torch.ops.demo
ROOT = Path(__file__).resolve().parents[3]


class Layers(nn.Module):
    """Equal layers with weights of their own, each with a cut in the middle."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(8, 8) for _ in range(count)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.weights:
            x = torch.relu(x @ weight)
            out = torch.empty_like(x)
            demo.attn(x, x, x, out)
            x = out * 2
        return x


def labels(result: SplitGraph, dispatch: str | None = "x_0", **options: Any) -> list[str]:
    """The unique ids of the compiled pieces, in order."""
    unique = dedupe(result, dispatch=dispatch, **options)
    return [piece.unique_id for piece in unique.pieces if piece.unique_id is not None]


def labels_of(model: Callable, *inputs: torch.Tensor, **settings: object) -> list[str]:
    return labels(split_graph(model, *inputs, splitting_ops=[STEP], **settings))


def fingerprints(result: SplitGraph, dispatch: str | None = "x_0") -> list[str]:
    captured = result.normalised.captured
    return [
        record_of(piece, captured, dispatch).fingerprint
        for piece in result.pieces
        if piece.kind is PieceKind.COMPILED
    ]


# ------------------------------------------------------------------------------------- equal pieces


def test_equal_layers_share_one_group() -> None:
    model = Layers(6).requires_grad_(False)
    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=[ATTENTION])
    unique = compiled.compilation.unique
    assert [piece.unique_id for piece in unique.pieces] == [
        "A", None, "B", None, "B", None, "B", None, "B", None, "B", None, "C",
    ]  # fmt: skip
    assert [each.piece_indices for each in unique.unique_pieces] == [(0,), (2, 4, 6, 8, 10), (12,)]
    assert unique.unique_pieces[1].representative.index == 2
    assert unique.unique_pieces[1].size_names == ("x_0",)
    assert len(compiled.compilation.artifacts) == 3
    assert unique.summary() == "deduped 7 compiled pieces to 3 unique"
    assert_equal_to_eager(model, compiled, lambda n: (random_rows(n, 8),))


def test_dedupe_can_be_switched_off() -> None:
    model = Layers(3).requires_grad_(False)
    result = split_graph(model, random_rows(6, 8), splitting_ops=[ATTENTION])
    assert labels(result, enabled=False) == ["A", "B", "C", "D"]
    fingerprint_of = {each.fingerprint for each in dedupe(result, enabled=False).unique_pieces}
    assert len(fingerprint_of) == 3


def test_labels_go_on_after_z() -> None:
    assert [unique_label(n) for n in (0, 25, 26, 51, 52, 701, 702)] == [
        "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip


def test_names_and_lines_do_not_count() -> None:
    def one(x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(x * 2)
        return demo.step(first) + x.shape[0]

    def other(values: torch.Tensor) -> torch.Tensor:
        # A line more.
        doubled = values * 2
        rectified = torch.relu(doubled)
        stepped = demo.step(rectified)
        return stepped + values.shape[0]

    left = split_graph(one, random_rows(6, 8), splitting_ops=[STEP], dynamic={"x": {0: "n"}})
    right = split_graph(
        other, random_rows(9, 8), splitting_ops=[STEP], dynamic={"values": {0: "rows"}}
    )
    assert fingerprints(left, "n") == fingerprints(right, "rows")


def test_content_of_weights_and_constants_does_not_count() -> None:
    found = []
    for content in (torch.zeros(8), torch.ones(8)):
        edit = GraphEditor(captured_graph(lambda x: x * 2, random_rows(6, 8)))
        table = edit.constant(f"table_{int(content[0])}", content)
        captured = edit.returning(edit.call(torch.add, edit.node["x"], table))
        found.append(fingerprints(split(normalise(captured), ())))
    assert found[0] == found[1]


def test_fingerprint_is_the_same_in_two_captures() -> None:
    first, second = (
        split_graph(Layers(2).requires_grad_(False), random_rows(6, 8), splitting_ops=[ATTENTION])
        for _ in range(2)
    )
    assert fingerprints(first) == fingerprints(second)


PRINT_FINGERPRINTS = """
from explorer.stages.compile_plan import WantedArtifact, plan_compile
from explorer.stages.dedupe import dedupe
from sample_models import toy_llama
from tests.explorer.cutting import split_graph
sample = toy_llama.sample(layers=2, hidden=32)
result = split_graph(
    sample.model,
    *sample.example_inputs,
    splitting_ops=sample.splitting_ops,
    dynamic=sample.dynamic_arg_dims,
)
print(*[each.fingerprint for each in dedupe(result, dispatch="n").unique_pieces])
"""


def test_fingerprint_is_the_same_in_another_process() -> None:
    sample = toy_llama.sample(layers=2, hidden=32)
    result = split_graph(
        sample.model,
        *sample.example_inputs,
        splitting_ops=sample.splitting_ops,
        dynamic=sample.dynamic_arg_dims,
    )
    here = [each.fingerprint for each in dedupe(result, dispatch="n").unique_pieces]
    finished = subprocess.run(
        [sys.executable, "-c", PRINT_FINGERPRINTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == here


def test_input_is_left_as_it_is() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        chosen = torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a - 1, (x,))
        return demo.step(chosen) + 1

    result = split_graph(model, random_rows(6, 8), splitting_ops=[STEP])
    before = [str(piece.graph) for piece in result.pieces]
    unique = dedupe(result, dispatch="x_0")
    assert [str(piece.graph) for piece in result.pieces] == before
    assert [piece.unique_id for piece in result.pieces] == [None] * 3
    assert [str(piece.graph) for piece in unique.pieces] == before


def test_of_a_layer_name_only_counts_that_it_is_one() -> None:
    result = split_graph(naming.NamedLayers(3), random_rows(6, 8), splitting_ops=[STEP])
    assert labels(result) == ["A", "A", "A"]
    other = split_graph(naming.NamedLayers(1, 9.0), random_rows(6, 8), splitting_ops=[STEP])
    assert fingerprints(other)[0] == fingerprints(result)[0]
    captured = result.normalised.captured
    inputs = [
        node for node in record_of(result.pieces[0], captured, "x_0").nodes if node[0] == "input"
    ]
    assert "explorer.layer_name.LayerName" in [node[1] for node in inputs]


def test_splitting_op_takes_a_layer_name() -> None:
    model = naming.NamedLayers(3)
    compiled = compile_cut(model, random_rows(6, 8), splitting_ops=["explorer::test_scale_named"])
    assert [piece.unique_id for piece in compiled.compilation.unique.pieces] == [
        "A", None, "B", None, "B", None, "C",
    ]  # fmt: skip
    assert_equal_to_eager(model, compiled, lambda n: (random_rows(n, 8),))


# ------------------------------------------------------------------------------- pieces that differ


def by_number(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(x * 2) * 3)


def by_kind_of_number(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(x * 1) * 1.0)


def by_sign_of_zero(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(x + 0.0) + -0.0)


def by_flag(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(x.sum(0, keepdim=True) + x).sum(0, keepdim=False) + x)


def by_target(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(torch.sin(x)).cos())


def by_keyword(x: torch.Tensor) -> torch.Tensor:
    return demo.step(torch.clamp(demo.step(torch.clamp(x, min=0.5)), max=0.5))


def by_order_of_arguments(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    one = demo.step(x - y)
    return one, demo.step(y - x), demo.step(x - x)


def by_dtype(x: torch.Tensor) -> torch.Tensor:
    return demo.step(demo.step(demo.step(x).double()) * 2).float() + demo.step(x * 2)


def by_stride(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    square = demo.step(torch.ones(8, 8))
    turned = square.t()
    return demo.step(demo.step(turned) * 2), demo.step(square * 2), x


def by_outputs(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    one = x * 2
    other = demo.step(one + 1) * 2
    return demo.step(other + 1), other


def by_shared_memory(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    base = x * 2
    view, copy = base.t(), base.t().clone()
    stepped = demo.step(x)
    shared = base @ view
    stepped = demo.step(stepped)
    apart = base @ copy
    return shared, apart, demo.step(stepped)


def by_bits_that_strides_do_not_show(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    number = torch.complex(x, x)
    conjugate = number.conj()
    stepped = demo.step(x)
    one = conjugate * 2
    stepped = demo.step(stepped)
    return one, number * 2, demo.step(stepped)


def by_branch(x: torch.Tensor) -> torch.Tensor:
    for amount in (1, 2, 1):
        x = demo.step(
            torch.cond(x.sum() > 0, lambda a: a * 2, lambda a, amount=amount: a - amount, (x,))
        )
    return x


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (by_number, "AB"),
        (by_kind_of_number, "AB"),
        (by_sign_of_zero, "AB"),
        (by_flag, "AB"),
        (by_target, "AB"),
        (by_keyword, "AB"),
        (by_dtype, "ABCD"),
        (by_stride, "ABCD"),
        (by_outputs, "AB"),
        (by_shared_memory, "ABC"),
        (by_bits_that_strides_do_not_show, "ABC"),
    ],
)
def test_pieces_that_differ_do_not_share(model, expected) -> None:
    assert "".join(labels_of(model, random_rows(6, 8))) == expected


def test_branches_of_a_condition_count() -> None:
    # Without a dynamic size, which Dynamo hands to the branches in an order that depends on names.
    found = labels_of(by_branch, random_rows(6, 8), dynamic={})
    assert found == ["A", "B", "A"]


def test_order_of_arguments_counts_and_which_tensor_comes_first_does_not() -> None:
    inputs = (random_rows(6, 8), random_rows(6, 8))
    same = {"x": {0: "n"}, "y": {0: "n"}}
    result = split_graph(by_order_of_arguments, *inputs, splitting_ops=[STEP], dynamic=same)
    # x - y and y - x are one program on two inputs; x - x is another.
    assert labels(result, "n") == ["A", "A", "B"]


def doubled_three_times(
    x: torch.Tensor, y: torch.Tensor, z: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    return demo.step(x * 2), demo.step(y * 2), demo.step(z * 2)


def test_size_that_picks_the_range_counts_and_which_other_size_does_not() -> None:
    inputs = (random_rows(6, 8), random_rows(5, 8), random_rows(4, 8))
    result = split_graph(doubled_three_times, *inputs, splitting_ops=[STEP])
    assert labels(result, "x_0") == ["A", "B", "B"]
    assert labels(result, "z_0") == ["A", "A", "B"]


def test_static_and_dynamic_dims_do_not_share() -> None:
    inputs = (random_rows(6, 8), random_rows(6, 8), random_rows(6, 8))
    dynamic = {"x": {0: "n"}, "z": {0: "m"}}
    result = split_graph(doubled_three_times, *inputs, splitting_ops=[STEP], dynamic=dynamic)
    assert labels(result, "n") == ["A", "B", "C"]


def test_condition_on_a_size_counts() -> None:
    def model(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if y.shape[0] % 5 == 0:  # leaves no bound behind, as a comparison would
            x = x + 1
        return doubled_three_times(x, y, z)

    inputs = (random_rows(6, 8), random_rows(5, 8), random_rows(4, 8))
    result = split_graph(model, *inputs, splitting_ops=[STEP])
    assert labels(result, "x_0") == ["A", "B", "C"]


def asserted(x: torch.Tensor) -> torch.Tensor:
    torch._check(x.shape[0] != 60)
    return torch.relu(x * 3) + x.shape[0]


def not_asserted(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x * 3) + x.shape[0]


def last_wanted(model: Callable, policy: str) -> tuple[str, WantedArtifact]:
    """The last piece of an unbacked capture: its fingerprint, and what is asked for it."""
    config = CompilationConfig(
        backend="eager",
        splitting_ops=("torch.relu",),
        guard_policy=GuardPolicy(policy),
        dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType.UNBACKED),
    )
    unique = Session(model, (torch.ones(6, 3),), config=config).compilation.unique
    assert len(unique.split.normalised.captured.runtime_asserts) == (model is asserted)
    return unique.unique_pieces[-1].fingerprint, plan_compile(unique, config).wanted[-1]


def test_condition_that_the_graph_asserts_itself_counts() -> None:
    # The last piece has not the assertion in it, but is compiled for sizes that fulfil it ...
    (one, _), (other, _) = last_wanted(asserted, "check"), last_wanted(not_asserted, "check")
    assert one != other
    # ... or, under VARIANTS, cut where they do.
    (one, first), (other, second) = (
        last_wanted(model, "variants") for model in (asserted, not_asserted)
    )
    assert one == other
    assert first.key == second.key
    assert first.own_key != second.own_key


def test_bound_of_a_size_counts() -> None:
    inputs = (random_rows(6, 8), random_rows(5, 8), random_rows(4, 8))
    result = split_graph(doubled_three_times, *inputs, splitting_ops=[STEP])
    first, second, third = result.normalised.captured.sizes
    captured = dataclasses.replace(
        result.normalised.captured, sizes=(first, dataclasses.replace(second, high=64), third)
    )
    normalised = dataclasses.replace(result.normalised, captured=captured)
    assert labels(dataclasses.replace(result, normalised=normalised), "x_0") == ["A", "B", "C"]


def test_relation_of_two_sizes_counts() -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        square, oblong = x @ x.t(), x @ y.t()
        stepped = demo.step(x)
        one = torch.relu(square)
        stepped = demo.step(stepped)
        return one, torch.relu(oblong), demo.step(stepped)

    assert labels_of(model, random_rows(6, 8), random_rows(5, 8)) == ["A", "B", "C"]


def test_function_made_twice_under_one_name_does_not_share() -> None:
    def make(amount: float) -> Any:
        def add(tensor: torch.Tensor) -> torch.Tensor:
            return tensor + amount

        torch._dynamo.allow_in_graph(add)
        return add

    one, other = make(1.0), make(2.0)

    def model(x: torch.Tensor) -> torch.Tensor:
        return demo.step(one(demo.step(other(demo.step(one(x))))))

    assert labels_of(model, random_rows(6, 8)) == ["A", "B", "A"]


def test_number_and_text_that_look_alike_do_not_share() -> None:
    found = []
    for constant in (1.0, "1.0", 1, True, None, "None"):
        edit = GraphEditor(captured_graph(lambda x: x * 2, random_rows(6, 8)))
        call = edit.call(torch.mul, edit.node["x"], 1.0)
        captured = edit.returning(call)
        call.args = (edit.node["x"], constant)
        found += fingerprints(split(normalise(captured), ()))
    assert len(set(found)) == len(found)

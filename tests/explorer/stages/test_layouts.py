"""What a model asks about how an input lies in memory: a call has eager's result or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CaptureError, CompilationConfig, GuardViolation, compile_model, counters
from explorer.artifacts import CapturedGraph
from explorer.stages.capture import CaptureRequest, capture
from tests.explorer.comparing import EAGER, filled
from tests.explorer.keeping import GraphKeeping


def asks_contiguity(x):
    return x * 2 if x.is_contiguous() else x * 3


def asks_format(x):
    return x * 2 if x.is_contiguous(memory_format=torch.contiguous_format) else x * 3


def asks_one_stride(x):
    return x * 2 if x.stride(-1) == 1 else x * 3


def computes_with_strides(x):
    return x * x.stride()[0]


def asks_order(x):
    return x + x.dim_order()[0]


def reads_memory(x):
    return x.as_strided((x.shape[0], 2), (4, 1)) + 1


def reads_memory_by_a_function(x):
    return torch.as_strided(x, (x.shape[0], 2), (4, 1)) + 1


def reads_memory_by_an_operator(x):
    return torch.ops.aten.as_strided(x, [x.shape[0], 2], [4, 1]) + 1


def asks_of_a_result(x):
    y = x * 2
    return y + 1 if y.is_contiguous() else y - 1


def asks_in_a_branch(x):
    return torch.cond(x.sum() > 0, lambda x: x + x.stride(0), lambda x: x - x.stride(0), (x,))


ASKING = [
    asks_contiguity,
    asks_format,
    asks_one_stride,
    computes_with_strides,
    asks_order,
    reads_memory,
    reads_memory_by_a_function,
    reads_memory_by_an_operator,
    asks_of_a_result,
    asks_in_a_branch,
]


def captured(model: Callable[..., Any], *args: Any, dims: Any = None) -> CapturedGraph:
    return capture(CaptureRequest(model, args, {}, dims), EAGER)


def of_layouts(rows: int, columns: int) -> list[torch.Tensor]:
    """The same numbers: contiguous, transposed, columns of a wider one, rows of a longer one."""
    plain = filled(rows, columns)
    wide, long = torch.zeros(rows, 2 * columns), torch.zeros(rows + 2, columns)
    wide[:, :columns], long[2:] = plain, plain
    return [plain, plain.t().contiguous().t(), wide[:, :columns], long[2:]]


@pytest.mark.parametrize("model", ASKING)
@pytest.mark.parametrize("is_dynamic", [True, False])
def test_call_of_another_layout_is_refused(model: Callable[..., Any], is_dynamic: bool) -> None:
    dims = {"x": 0} if is_dynamic else {}
    compiled = compile_model(model, (filled(6, 4),), dynamic_arg_dims=dims, config=EAGER)
    plain, transposed, columns, rows = of_layouts(7 if is_dynamic else 6, 4)
    for accepted in (plain, rows):
        torch.testing.assert_close(compiled(accepted), model(accepted))
    for refused in (transposed, columns):
        with pytest.raises(GuardViolation, match=r"x has strides .* depends on them \(") as raised:
            compiled(refused)
        assert "test_layouts.py:" in str(raised.value)
        assert "pass x.contiguous()" in str(raised.value)


@pytest.mark.parametrize("model", ASKING)
def test_example_of_a_layout_that_is_not_captured_is_refused(model: Callable[..., Any]) -> None:
    with pytest.raises(CaptureError, match=r"x of the example is not contiguous.*pass x\.contig"):
        captured(model, filled(4, 6).t(), dims={"x": 0})


@pytest.mark.parametrize("model", [asks_contiguity, asks_one_stride, asks_of_a_result])
def test_static_tensor_is_captured_as_it_lies(model: Callable[..., Any]) -> None:
    transposed = filled(4, 6).t()
    compiled = compile_model(model, (transposed,), dynamic_arg_dims={}, config=EAGER)
    torch.testing.assert_close(compiled(transposed), model(transposed))
    with pytest.raises(GuardViolation, match=r"depends on them .*pass it in that layout"):
        compiled(filled(6, 4))


def test_variants_have_a_graph_for_each_layout_of_a_static_tensor() -> None:
    config = EAGER.replace(guard_policy="variants")
    compiled = compile_model(asks_one_stride, (filled(6, 4),), dynamic_arg_dims={}, config=config)
    for _ in range(2):
        for each in of_layouts(6, 4):
            torch.testing.assert_close(compiled(each), asks_one_stride(each))
    assert len(compiled.variants) == 2  # beside the first: transposed, and rows further apart


def test_variants_name_the_line_where_no_graph_can_be_captured() -> None:
    config = EAGER.replace(guard_policy="variants")
    compiled = compile_model(asks_contiguity, (filled(6, 4),), config=config)
    with pytest.raises(CaptureError, match=r"is_contiguous\(\) at .*test_layouts\.py"):
        compiled(filled(4, 7).t())
    torch.testing.assert_close(compiled(filled(7, 4)), asks_contiguity(filled(7, 4)))


def test_stride_of_a_dim_of_one_counts_where_it_is_asked_for() -> None:
    compiled = compile_model(
        computes_with_strides, (filled(1, 4),), dynamic_arg_dims={}, config=EAGER
    )
    odd = torch.as_strided(filled(1, 4), (1, 4), (9, 1))
    assert odd.is_contiguous()
    with pytest.raises(GuardViolation, match=r"x has strides \(9, 1\)"):
        compiled(odd)
    plain = compile_model(asks_contiguity, (filled(1, 4),), dynamic_arg_dims={}, config=EAGER)
    torch.testing.assert_close(plain(odd), asks_contiguity(odd))


def test_model_that_makes_it_contiguous_first_takes_any_layout() -> None:
    def model(x):
        x = x.contiguous()
        return x * 2 + x.stride(1) if x.is_contiguous() else x * 3

    for example in of_layouts(6, 4):
        compiled = compile_model(model, (example,), config=EAGER)
        assert not compiled.compilation.captured.user_inputs[0].layout_questions
        for each in of_layouts(7, 4):
            torch.testing.assert_close(compiled(each), model(each))


def test_what_asks_nothing_takes_any_layout_and_says_so() -> None:
    def model(x):
        return x.sum(1) * 2

    for example in of_layouts(6, 4):
        compiled = compile_model(model, (example,), config=EAGER)
        notes = compiled.compilation.captured.notes
        assert any("x of the example is not contiguous" in each for each in notes) == (
            not example.is_contiguous()
        )
        for each in of_layouts(7, 4):
            torch.testing.assert_close(compiled(each), model(each))


def test_only_the_inputs_that_the_answer_follows_from_are_bound() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, y):
            if self.linear.weight.t().is_contiguous():
                x = x * 5
            return self.linear(x) + (y * 2 if (y + 1).stride(1) == 1 else y)

    graph = captured(Model(), filled(6, 4), filled(6, 4), dims={"x": 0, "y": 0})
    asked = {each.path: each.layout_questions for each in graph.user_inputs}
    assert asked["x"] == ()
    (question,) = asked["y"]
    assert question.method == "stride"
    assert question.location is not None
    assert "(y + 1).stride(1)" in question.location.text


class Asking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x * 2 if x.is_contiguous() else x * 3)


class Repeating(nn.Module):
    """The layer that asks about ``other`` is written, as the one before it was traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Asking() for _ in range(6))

    def forward(self, x, other):
        given = [x, x, x, other, x, x]
        return sum(layer(each * 1) for layer, each in zip(self.layers, given, strict=True))


def test_layers_that_are_written_without_a_trace_bind_every_input() -> None:
    torch.manual_seed(0)
    model = Repeating().eval()
    with counters.expect(layers_traced=1, layers_written=5):
        compiled = compile_model(
            model, (filled(6, 4), filled(6, 4)), dynamic_arg_dims={}, config=EAGER
        )
    transposed = filled(4, 6).t()
    for refused in ((transposed, filled(6, 4)), (filled(6, 4), transposed)):
        with pytest.raises(GuardViolation, match=r"depends on them \(is_contiguous\(\) at"):
            compiled(*refused)
    with torch.no_grad():
        torch.testing.assert_close(
            compiled(filled(6, 4), filled(6, 4)), model(filled(6, 4), filled(6, 4))
        )


def test_memory_that_an_input_is_a_part_of_is_no_question_for_a_graph() -> None:
    def model(x):
        return x + x.untyped_storage().size()

    with pytest.raises(CaptureError, match=r"memory that x is a part of: untyped_storage\(\) at"):
        captured(model, filled(6, 4))


def test_stored_compilation_knows_what_was_asked() -> None:
    config = CompilationConfig(backend=GraphKeeping(), max_size=64)
    is_loaded = []
    for _ in range(2):
        compiled = compile_model(asks_contiguity, (filled(6, 4),), config=config)
        is_loaded.append(compiled.compilation.was_loaded_whole)
        with pytest.raises(GuardViolation, match=r"is_contiguous\(\) at .*test_layouts\.py"):
            compiled(filled(4, 7).t())
    assert is_loaded == [False, True]

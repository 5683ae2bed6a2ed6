"""What a captured graph returns at one point, beside the model as it is."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explorer.artifacts.diagnosed import AnswerKind
from explorer.guards.answers import LARGEST_ANSWERED_SIZE, EagerResult, answer_of, answer_of_graph
from tests.explorer.comparing import compiled, filled
from tests.explorer.guards.diagnosing import CONFIG, compilation_of_cell

BRANCH = """
def f(x):
    if x.shape[0] == 30:
        raise ValueError("30 are too many\\nof them")
    return x * 2 if x.shape[0] == 4 else x + 1
"""


@pytest.fixture(scope="module")
def captured() -> Any:
    return compilation_of_cell(BRANCH).captured


@pytest.mark.parametrize("size", range(1, 12))
def test_every_size_as_in_eager(captured: Any, size: int) -> None:
    x = filled(size, 3)
    equal = torch.equal(captured.model(x), x + 1)
    answer = answer_of_graph(captured, {"n": size})
    assert answer.kind is (AnswerKind.SAME if equal else AnswerKind.WRONG)
    assert answer.sizes == {"n": size}


def test_a_wrong_answer_is_counted_and_measured(captured: Any) -> None:
    x = filled(4, 3)
    apart = (x * 2 - (x + 1)).abs()
    answer = answer_of_graph(captured, {"n": 4})
    assert answer.problem == f"output differs in {int((apart > 2e-4).sum())} of 12 elements"
    assert answer.largest == pytest.approx(float(apart.max()), abs=1e-6)


def test_where_the_model_fails_nothing_is_compared(captured: Any) -> None:
    answer = answer_of_graph(captured, {"n": 30})
    assert answer.kind is AnswerKind.EAGER_FAILS
    assert answer.problem == "ValueError: 30 are too many"
    assert not EagerResult(captured, {"n": 30}).is_there


def test_large_sizes_are_not_run(captured: Any) -> None:
    answer = answer_of_graph(captured, {"n": LARGEST_ANSWERED_SIZE + 1})
    assert answer.kind is AnswerKind.NOT_KNOWN
    assert answer.problem == "sizes above 8192 are not run"


def test_what_fails_where_the_model_does_not(captured: Any) -> None:
    def fails(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError

    answer = answer_of(captured, fails, {"n": 5})
    assert (answer.kind, answer.problem) == (AnswerKind.RAISES, "RuntimeError")


def test_another_shape_is_wrong(captured: Any) -> None:
    answer = answer_of(captured, lambda x: x[1:], {"n": 5})
    assert answer.kind is AnswerKind.WRONG
    assert "has shape torch.Size([4, 3]) instead of" in answer.problem


def test_a_name_that_the_call_does_not_have_is_not_known(captured: Any) -> None:
    answer = answer_of_graph(captured, {"n": 5, "k": 1})
    assert answer.kind is AnswerKind.NOT_KNOWN
    assert "k is no argument of the call" in answer.problem


def test_a_graph_without_operations_is_not_known() -> None:
    answer = answer_of_graph(compilation_of_cell("def f(x):\n    return 3\n").captured, {"n": 4})
    assert answer.kind is AnswerKind.NOT_KNOWN


class Counting(nn.Module):
    """It counts its calls, draws random numbers and warns."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x = x + self.calls
        return x * 2 if x.shape[0] == 4 else x + 1


def test_nothing_is_left_behind() -> None:
    model = Counting().eval()

    def make_inputs(sizes: Any) -> Any:
        warnings.warn("inputs are made", UserWarning, stacklevel=1)
        random.random()
        np.random.rand()
        return (torch.randn(sizes["n"], 3),), {}

    compilation = compiled(
        model,
        torch.randn(6, 3),
        config=CONFIG,
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
    ).compilation
    before = (float(model.calls), torch.get_rng_state(), random.getstate(), np.random.get_state())
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong = answer_of_graph(compilation.captured, {"n": 4})
        same = answer_of_graph(compilation.captured, {"n": 5})
        assert torch.is_grad_enabled()
    assert (wrong.kind, same.kind) == (AnswerKind.WRONG, AnswerKind.SAME)
    assert float(model.calls) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[3], strict=True))

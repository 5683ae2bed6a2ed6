"""Size 1: the same program as the general graph, or another one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import sympy
import torch

from explorer.artifacts import NormalisedGraph
from explorer.guards.size_one import same_at, settle, settle_with_conditions
from explorer.stages.capture import CaptureRequest, call_at, capture
from explorer.stages.normalise import normalise
from tests.explorer.comparing import EAGER, filled


def nested_cond(x: torch.Tensor) -> torch.Tensor:
    def if_false() -> torch.Tensor:
        return torch.cond(x.shape[0] > 30, lambda: x * 3, lambda: x * 5, ())

    return torch.cond(x.shape[0] == 4, lambda: x * 2, if_false, ())


CASES = [
    pytest.param(nested_cond, True, id="torch.cond inside torch.cond"),
    pytest.param(lambda x: torch.ones(x.sum(0).shape) + x, True, id="shape that is used whole"),
    pytest.param(lambda x: x * 2 + 1, True, id="pointwise"),
    pytest.param(lambda x: x + x.shape[0], True, id="size as a number"),
    pytest.param(lambda x: x.view(-1, x.shape[0]), True, id="view"),
    pytest.param(lambda x: x[: x.shape[0] - 1], True, id="slice"),
    pytest.param(lambda x: (x + 1, x.shape[0], x), True, id="size in the output"),
    pytest.param(
        lambda x: (x + 1, 5 if x.shape[0] == 1 else x.shape[0]), False, id="other number in output"
    ),
    pytest.param(lambda x: x * 2 if x.shape[0] == 1 else x + 1, False, id="branch"),
    pytest.param(lambda x: x + 1 if x.shape[0] > 1 else x + 2, False, id="constant"),
    pytest.param(lambda x: x.sin().sin() if x.shape[0] < 2 else x.sin(), False, id="one op more"),
    pytest.param(lambda x: x.sum(1 if x.shape[0] == 1 else 0), False, id="another argument"),
]


@pytest.mark.parametrize(("model", "same"), CASES)
def test_programs_are_compared(model: Any, same: bool) -> None:
    request = CaptureRequest(model, (filled(5, 3),), {})
    general = normalise(capture(request, EAGER))
    special = normalise(capture(request, EAGER, fixed_dims={("x", 0): 1}))
    difference = same_at(general, special, {"x_0": 1}, call_at(request, {("x", 0): 1}))
    assert (difference is None) is same
    if difference is not None:
        assert "against" in difference
        assert "\n" not in difference


@pytest.mark.parametrize(("model", "same"), CASES)
def test_settling_captures_again_from_the_request(model: Any, same: bool) -> None:
    general = normalise(capture(CaptureRequest(model, (filled(5, 3),), {}), EAGER))
    assert (settle(general, EAGER, ("x_0",)) is None) is same


def two_sizes(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    both = x.sum(0) + y.sum(0)
    return both * 2 if x.shape[0] + y.shape[0] > 3 else both * 3


def _with_symbol(normalised: NormalisedGraph, symbol: Any) -> NormalisedGraph:
    """The same with another symbol for the second size."""
    first, second = normalised.captured.sizes
    sizes = (first, dataclasses.replace(second, symbol=symbol))
    captured = dataclasses.replace(normalised.captured, sizes=sizes)
    return dataclasses.replace(normalised, captured=captured)


def test_what_a_capture_at_one_relies_on_is_over_the_general_sizes() -> None:
    dims = {"x": {0: "a"}, "y": {0: "b"}}
    request = CaptureRequest(two_sizes, (filled(5, 3), filled(9, 3)), {}, dims)
    general = _with_symbol(normalise(capture(request, EAGER)), sympy.Symbol("own", integer=True))
    found = settle_with_conditions(general, EAGER, ("a",), others={"b": 17})
    assert found.difference is None
    assert found.conditions is not None
    symbol = general.captured.sizes[1].symbol
    assert str(symbol) == "own"
    (condition,) = found.conditions
    expression: Any = condition.expression
    assert expression.free_symbols == {symbol}
    assert [expression.xreplace({symbol: n}) for n in (2, 3)] == [False, True]


def test_what_cannot_be_captured_at_one_says_why() -> None:
    dims = {"x": {0: "a"}, "y": {0: "b"}}
    request = CaptureRequest(two_sizes, (filled(5, 3), filled(9, 3)), {}, dims)
    general = normalise(capture(request, EAGER))
    found = settle_with_conditions(general, EAGER, ("a",), others={"b": 2})
    assert found.conditions is None
    assert found.difference is not None
    assert found.difference.startswith("it cannot be captured there: y.size(0)")


def test_a_capture_made_by_hand_cannot_be_settled() -> None:
    general = normalise(capture(CaptureRequest(lambda x: x + 1, (filled(5, 3),), {}), EAGER))
    captured = dataclasses.replace(general.captured, request=None)
    by_hand = dataclasses.replace(general, captured=captured)
    assert settle(by_hand, EAGER, ("x_0",)) == (
        "it was captured by hand, so it cannot be captured again"
    )


def of_two_sizes(change: float) -> Any:
    def model(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        both = x.sum() + y.sum()
        factor = change if y.shape[0] == 1 else 2.0
        return torch.cond(x.shape[0] > 3, lambda: both * factor, lambda: both * 3, ())

    return model


@pytest.mark.parametrize(("change", "same"), [(2.0, True), (5.0, False)])
def test_branches_that_stay_undecided_are_compared_by_what_they_do(change, same) -> None:
    dims = {"x": {0: "nx"}, "y": {0: "ny"}}
    request = CaptureRequest(of_two_sizes(change), (filled(5, 3), filled(4, 3)), {}, dims)
    assert (settle(normalise(capture(request, EAGER)), EAGER, {"ny"}) is None) is same

"""Size 1: the same program as the general graph, or another one."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.guards.size_one import same_at
from explorer.stages.capture import CaptureRequest, call_at, capture
from explorer.stages.normalise import normalise
from tests.explorer.comparing import EAGER, filled

CASES = [
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

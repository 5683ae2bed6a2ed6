"""For which sizes a captured graph is right, compared with eager size by size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from explorer.guards import valid
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest, capture
from tests.explorer.comparing import EAGER, compiled, filled


def branch_equal(x):
    return x * 2 if x.shape[0] == 4 else x + 1


def branch_modulo(x):
    return x * 2 if x.shape[0] % 8 == 0 else x + 1


def branch_twice(x):
    if x.shape[0] > 10:
        x = x * 2
    if x.shape[0] * 2 < 60:
        x = x + 1
    return x


def branch_quotient(x):
    return x * 2 if x.shape[0] // 4 == 3 else x + 1


CASES = [
    pytest.param(branch_equal, 6, lambda n: n != 4, id="equal"),
    pytest.param(branch_modulo, 6, lambda n: n % 8 != 0, id="modulo, not taken"),
    pytest.param(branch_modulo, 16, lambda n: n % 8 == 0, id="modulo, taken"),
    pytest.param(branch_twice, 20, lambda n: 10 < n < 30, id="two branches"),
    pytest.param(branch_twice, 40, lambda n: n >= 30, id="two branches, above"),
    pytest.param(branch_quotient, 13, lambda n: n // 4 == 3, id="quotient"),
]


@pytest.mark.parametrize(("model", "example", "right"), CASES)
def test_valid_sizes_are_those_where_the_branch_is_taken(
    model: Any, example: int, right: Any
) -> None:
    graph = capture(CaptureRequest(model, (filled(example, 3),), {}), EAGER)
    found = valid.valid_sizes(graph, graph.sizes[0], SizeRange(1, 64))
    assert found.tolist() == [n for n in range(2, 65) if right(n)]


@pytest.mark.parametrize(("model", "example", "right"), CASES)
def test_call_is_right_or_refused_at_every_size(model: Any, example: int, right: Any) -> None:
    from explorer import GuardViolation

    fast = compiled(model, filled(example, 3), config=EAGER.replace(max_size=64))
    for n in range(2, 65):
        if right(n):
            assert torch.equal(fast(filled(n, 3)), model(filled(n, 3)))
        else:
            with pytest.raises(GuardViolation, match=rf"x_0 = {n}\b.*test_valid\.py:\d+"):
                fast(filled(n, 3))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([5], [(5, 5)]),
        ([2, 3, 5, 6, 7], [(2, 3), (5, 7)]),
        ([2, 4, 6], [(2, 2), (4, 4), (6, 6)]),
    ],
)
def test_runs(sizes: list[int], expected: list[tuple[int, int]]) -> None:
    found = valid.runs(np.array(sizes, dtype=np.int64))
    assert [(each.start, each.end) for each in found] == expected


def test_very_long_range_is_looked_at_from_both_ends() -> None:
    sizes = valid.sizes_of(SizeRange(1, 2**31 - 1))
    assert len(sizes) == valid.LARGEST_ENUMERATION
    assert (sizes[0], sizes[-1]) == (1, 2**31 - 1)
    assert (np.diff(sizes) > 0).all()


def test_a_condition_on_two_sizes_rules_nothing_out_for_compiled_code() -> None:
    def model(x, y):
        return x.sum(0) + y.sum(0) if x.shape[0] > y.shape[0] else x.sum(0) - y.sum(0)

    graph = capture(CaptureRequest(model, (filled(9, 3), filled(5, 3)), {}), EAGER)
    domain = SizeRange(1, 20)
    assert valid.runs(valid.valid_sizes(graph, graph.sizes[0], domain)) == (SizeRange(6, 20),)
    at_two = valid.valid_sizes(graph, graph.sizes[0], domain, {"y_0": 2})
    assert valid.runs(at_two) == (SizeRange(3, 20),)
    # Torch knows that y has at least 2 rows, so x has at least 3.
    assert valid.runs(valid.possible_sizes(graph, graph.sizes[0], domain)) == (SizeRange(3, 20),)

"""paired_difference: an interval from the order of the differences, and when it decides."""

from __future__ import annotations

import math
import random

import pytest

from explorer.paired import paired_difference


def test_drift_that_falls_on_both_hides_nothing() -> None:
    drift = [100.0 * number for number in range(20)]
    slower = [each + 7 for each in drift]
    found = paired_difference(slower, drift)
    assert (found.median, found.low, found.high, found.rounds) == (7, 7, 7, 20)
    assert found.can_be_told
    assert paired_difference(drift, slower).median == -7


def test_noise_around_nothing_is_no_difference() -> None:
    first = [10, 12, 9, 14, 11, 8, 13, 10, 12, 9]
    second = [11, 10, 12, 11, 13, 10, 9, 12, 10, 11]
    found = paired_difference(first, second)
    assert found.low < 0 < found.high
    assert not found.can_be_told


@pytest.mark.parametrize(("rounds", "told"), [(5, False), (6, True)])
def test_too_few_rounds_tell_nothing(rounds: int, told: bool) -> None:
    """All heads in five throws happens too often, in six it does not: 2 / 2**6 < 5 %."""
    found = paired_difference([2.0] * rounds, [1.0] * rounds)
    assert found.can_be_told is told
    assert math.isinf(found.low) is not told


def test_interval_holds_the_true_median_as_often_as_it_says() -> None:
    source = random.Random(0)
    held = 0
    for _ in range(400):
        first = [source.expovariate(1.0) for _ in range(25)]
        found = paired_difference(first, [0.0] * 25)
        held += found.low <= math.log(2) <= found.high
    assert 0.93 <= held / 400 <= 1.0


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 rounds cannot be paired"):
        paired_difference([1, 2], [1])
    with pytest.raises(ValueError, match="0 and 0 rounds"):
        paired_difference([], [])

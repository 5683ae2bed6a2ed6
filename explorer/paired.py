"""Times of two things that took turns in, whether one of them is faster out.

Rounds are compared with each other: what disturbs the machine in one round falls on both. The
answer is an interval for the median difference that assumes no distribution, from the order of the
differences alone (that of the sign test).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""How surely the true median difference lies in the interval, at least."""


@dataclass(frozen=True)
class PairedDifference:
    """How much longer the first of two takes than the second, in their unit.

    Attributes:
        median: of the differences, round by round.
        low: lower end of the interval; minus infinity when there were too few rounds.
        high: upper end.
        rounds: how many there were.
    """

    median: float
    low: float
    high: float
    rounds: int

    @property
    def can_be_told(self) -> bool:
        """Whether the interval leaves no doubt which of the two is faster."""
        return self.low > 0 or self.high < 0


def paired_difference(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Compares two things that were timed in the same rounds.

    Args:
        first: one time a round.
        second: those of the other, in the same order.

    Raises:
        ValueError: they have different numbers of rounds, or none.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} rounds cannot be paired")
    differences = sorted(a - b for a, b in zip(first, second, strict=True))
    count = len(differences)
    left_out = _left_out(count)
    median = statistics.median(differences)
    if left_out is None:
        return PairedDifference(median, -math.inf, math.inf, count)
    return PairedDifference(median, differences[left_out], differences[-1 - left_out], count)


def _left_out(count: int) -> int | None:
    """Differences left out at each end of the interval; None when even all are too few.

    All but ``k`` at each end hold the median unless at most ``k`` of the differences lie on one
    side of it, which happens like that many heads in ``count`` throws of a coin.
    """
    found, tail = None, 0.0
    for heads in range(count // 2):
        tail += math.comb(count, heads) * 0.5**count
        if 1 - 2 * tail < CONFIDENCE:
            break
        found = heads
    return found


__all__ = ["CONFIDENCE", "PairedDifference", "paired_difference"]

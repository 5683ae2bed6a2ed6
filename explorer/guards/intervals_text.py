"""Intervals of sizes in, short text out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from explorer.artifacts.audited import Intervals

_MOST_INTERVALS = 6


def intervals_text(intervals: Intervals) -> str:
    """``2-3, 5-8192``; the first ones when there are many."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in intervals]
    if len(texts) <= _MOST_INTERVALS:
        return ", ".join(texts) or "none"
    count = interval_count(intervals)
    steps = {after[0] - before[0] for before, after in itertools.pairwise(intervals)}
    if all(first == last for first, last in intervals) and len(steps) == 1:
        return f"{texts[0]}..{texts[-1]} step {steps.pop()} ({count:,} sizes)"
    return f"{', '.join(texts[:_MOST_INTERVALS])}, ... ({count:,} sizes)"


def counted_intervals(intervals: Intervals) -> str:
    """The same with how many sizes there are."""
    text = intervals_text(intervals)
    count = interval_count(intervals)
    return text if text.endswith("sizes)") else f"{text} ({count:,} size{'s' * (count != 1)})"


def interval_count(intervals: Intervals) -> int:
    """How many sizes there are."""
    return sum(last - first + 1 for first, last in intervals)


def merged(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Intervals in any order, ascending and without overlaps; neighbours become one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def point_text(sizes: Mapping[str, int]) -> str:
    """``n = 4, k = 5``."""
    return ", ".join(f"{name} = {value}" for name, value in sizes.items()) or "the example"

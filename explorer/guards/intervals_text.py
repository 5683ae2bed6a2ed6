"""Intervals of sizes in, short text out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from explorer.artifacts.audited import Intervals
from explorer.report.wording import listed

_MOST_INTERVALS = 6
_MOST_POINTS = 8


def intervals_text(intervals: Intervals) -> str:
    """``2-3, 5-8192``; the first ones when there are many, and how many sizes that is."""
    text = short_intervals(intervals)
    is_long = len(intervals) > _MOST_INTERVALS
    return f"{text} ({interval_count(intervals):,} sizes)" if is_long else text


def short_intervals(intervals: Intervals) -> str:
    """The same without the number of sizes."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in intervals]
    if len(texts) <= _MOST_INTERVALS:
        return ", ".join(texts) or "none"
    steps = {after[0] - before[0] for before, after in itertools.pairwise(intervals)}
    if all(first == last for first, last in intervals) and len(steps) == 1:
        return f"{texts[0]}..{texts[-1]} step {steps.pop()}"
    return f"{', '.join(texts[:_MOST_INTERVALS])}, ..."


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


def points_text(points: Sequence[Mapping[str, int]]) -> str:
    """``n = 1, 4, 64`` for points of one name, ``n = 4, k = 1; n = 5, k = 2`` for others."""
    names = {tuple(each) for each in points}
    if len(names) == 1 and len(next(iter(names))) == 1:
        (name,) = names.pop()
        values = sorted({each[name] for each in points})
        return f"{name} = {listed(map(str, values), _MOST_POINTS)}"
    shown = "; ".join(point_text(each) for each in points[:_MOST_POINTS])
    more = len(points) - _MOST_POINTS
    return f"{shown} and {more} more" if more > 0 else shown

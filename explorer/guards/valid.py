"""For which sizes the conditions of a captured graph hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from explorer.artifacts import CapturedGraph, GuardRecord, Size
from explorer.artifacts.common import Expression
from explorer.guards.arrays import ArrayEvaluator, UnknownExpression
from explorer.size_range import SizeRange, interval_text

LARGEST_ENUMERATION = 2**20
"""Sizes of a range that are looked at one by one.

Of a longer range the first and last half of this many.
"""


def sizes_of(size_range: SizeRange) -> np.ndarray:
    """The sizes of a range, ascending, int64; of a very long range those near both ends."""
    count = size_range.end - size_range.start + 1
    if count <= LARGEST_ENUMERATION:
        return np.arange(size_range.start, size_range.end + 1, dtype=np.int64)
    half = LARGEST_ENUMERATION // 2
    first = np.arange(size_range.start, size_range.start + half, dtype=np.int64)
    last = np.arange(size_range.end - half + 1, size_range.end + 1, dtype=np.int64)
    return np.concatenate([first, last])


def holds(
    conditions: Iterable[Expression],
    symbol: Expression,
    sizes: np.ndarray,
    others: Mapping[Expression, int],
) -> np.ndarray:
    """Per size, whether all conditions hold there.

    A condition that cannot be evaluated counts as false.

    Args:
        conditions: over ``symbol`` and ``others``.
        symbol: the size that varies.
        sizes: its values, int64.
        others: values of the other symbols.
    """
    result = np.ones(sizes.shape, dtype=bool)
    evaluator = ArrayEvaluator({symbol: sizes, **others})
    for condition in conditions:
        try:
            result &= np.broadcast_to(evaluator.holds(condition), sizes.shape)
        except UnknownExpression:
            result &= False
    return result


def checked_guards(captured: CapturedGraph) -> tuple[GuardRecord, ...]:
    """What a call is checked for: the conditions of the trace, and what the graph asserts on sizes.

    A graph that runs as it is asserts the latter itself. Inductor drops that where a size has a
    value, which it has in the code of a range.
    """
    symbols = {size.symbol for size in captured.sizes}
    asserted = (
        each
        for each in captured.runtime_asserts
        if each.expression is not None and each.expression.free_symbols <= symbols
    )
    return (*captured.guards, *asserted)


def shape_conditions(captured: CapturedGraph) -> tuple[Expression, ...]:
    """The conditions that a call is checked for, bounds of sizes left out."""
    return tuple(g.expression for g in checked_guards(captured) if not g.is_bound)


def valid_sizes(
    captured: CapturedGraph,
    size: Size,
    size_range: SizeRange,
    others: Mapping[str, int] | None = None,
) -> np.ndarray:
    """The sizes of a range for which the graph is right, other sizes at given values.

    Sizes 0 and 1 are left out.

    Args:
        captured: the graph's conditions.
        size: the size that varies.
        size_range: its values.
        others: size name -> value of the other sizes; those at capture where it is not given.
    """
    values = {**captured.hints, **(others or {})}
    points = {each.symbol: values[each.name] for each in captured.sizes if each is not size}
    return _fulfilling(shape_conditions(captured), size, size_range, points)


def possible_sizes(captured: CapturedGraph, size: Size, size_range: SizeRange) -> np.ndarray:
    """The sizes of a range that no condition on this size alone rules out.

    What a condition on two sizes rules out depends on the call, so compiled code may not rely on
    it.
    """
    alone = [each for each in shape_conditions(captured) if each.free_symbols <= {size.symbol}]
    return _fulfilling(alone, size, size_range, {})


def _fulfilling(
    conditions: Iterable[Expression],
    size: Size,
    size_range: SizeRange,
    points: Mapping[Expression, int],
) -> np.ndarray:
    sizes = sizes_of(size_range)
    mask = holds(conditions, size.symbol, sizes, points) & (sizes >= max(2, size.low))
    if size.high is not None:
        mask &= sizes <= size.high
    return sizes[mask]


def runs(sizes: np.ndarray) -> tuple[SizeRange, ...]:
    """Ascending sizes as maximal ranges."""
    if len(sizes) == 0:
        return ()
    parts = np.split(sizes, np.flatnonzero(np.diff(sizes) > 1) + 1)
    return tuple(SizeRange(int(part[0]), int(part[-1])) for part in parts)


def sizes_text(sizes: np.ndarray) -> str:
    """Ascending sizes as text: ``2-3, 5-8192``, or ``528..8192 step 16 (480 sizes)``."""
    if len(sizes) == 0:
        return "none"
    steps = np.diff(sizes)
    if len(sizes) > 2 and steps[0] > 1 and (steps == steps[0]).all():
        return f"{sizes[0]}..{sizes[-1]} step {steps[0]} ({len(sizes)} sizes)"
    found = runs(sizes)
    if len(found) > 8:
        return f"{interval_text(found[:6])}, ... ({len(found)} runs, {len(sizes)} sizes)"
    return interval_text(found)

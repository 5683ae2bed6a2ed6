"""Timings in, plain data out: rows of tables, and sentences about what pays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from torch.utils.benchmark.utils.common import trim_sigfig

from explorer.artifacts.measured import (
    BreakEven,
    Execution,
    PieceTiming,
    Timing,
    Timings,
)
from explorer.paired import PairedDifference, paired_difference
from explorer.report.views import Row
from explorer.report.wording import counted, seconds_text

NOTHING_TO_TELL = "no difference can be told"
_COMPARED = (
    (Execution.EXACT, Execution.RANGE),
    (Execution.CUDA_GRAPH, Execution.EXACT),
    (Execution.CUDA_GRAPH, Execution.RANGE),
    (Execution.RANGE, Execution.EAGER),
    (Execution.CALL, Execution.EAGER),
    (Execution.CALL, Execution.STOCK),
)


def point_text(sizes: Mapping[str, int]) -> str:
    """``n = 17``; ``the example`` when nothing is dynamic."""
    return ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "the example"


def points(timings: Timings) -> list[Mapping[str, int]]:
    """The sizes that were asked for, in order."""
    found: dict[str, Mapping[str, int]] = {}
    for each in timings.timings:
        found.setdefault(point_text(each.sizes), each.sizes)
    return list(found.values())


def microseconds_text(timing: Timing) -> str:
    """``412 ± 15``: the median, and half the distance between the quartiles."""
    digits = _digits(timing)
    return f"{_trimmed(timing.median, digits)} ± {_trimmed(timing.spread / 2, 2)}"


def _digits(timing: Timing) -> int:
    """How many digits of the median can be relied on, as torch.utils.benchmark estimates it."""
    from torch.utils.benchmark import Measurement, TaskSpec

    seconds = [each * 1e-6 for each in timing.microseconds]
    measurement = Measurement(1, seconds, TaskSpec("call()", ""))
    return max(3, measurement.significant_figures)


def _trimmed(value: float, digits: int) -> str:
    trimmed = trim_sigfig(value, digits) if value else 0.0
    places = max(0, digits - 1 - math.floor(math.log10(abs(trimmed)))) if trimmed else 0
    return f"{trimmed:,.{min(places, 2)}f}"


# ------------------------------------------------------------------------------------------- tables


def timing_rows(timings: Timings) -> list[Row]:
    """One row per size and execution."""
    eager = {
        point_text(each.sizes): each.median
        for each in timings.timings
        if each.execution is Execution.EAGER and each.is_timed
    }
    return [_timing_row(timings, each, eager) for each in timings.timings]


def _timing_row(timings: Timings, timing: Timing, eager: Mapping[str, float]) -> Row:
    point = point_text(timing.sizes)
    known = timing.is_timed
    low, high = timing.quartiles if known else (None, None)
    base = eager.get(point)
    return {
        "sizes": point,
        "size": timing.sizes.get(timings.dispatch),
        "execution": timing.execution.value,
        "served_by": timing.served_by,
        "median_microseconds": timing.median if known else None,
        "lower_quartile_microseconds": low,
        "upper_quartile_microseconds": high,
        "iqr_microseconds": timing.spread if known else None,
        "runs": len(timing.microseconds),
        "calls_per_run": timing.calls_per_run,
        "ratio_to_eager": timing.median / base if known and base else None,
        "problem": timing.problem,
    }


def piece_rows(timings: Timings) -> list[Row]:
    """One row per size, row of the dispatch table and piece; ``share`` is of all pieces there."""
    totals: dict[tuple[str, str], float] = {}
    for each in timings.pieces:
        key = (point_text(each.sizes), each.served_by)
        totals[key] = totals.get(key, 0.0) + each.median
    return [_piece_row(timings, each, totals) for each in timings.pieces]


def _piece_row(
    timings: Timings, piece: PieceTiming, totals: Mapping[tuple[str, str], float]
) -> Row:
    point = point_text(piece.sizes)
    total = totals[point, piece.served_by]
    return {
        "sizes": point,
        "size": piece.sizes.get(timings.dispatch),
        "served_by": piece.served_by,
        "index": piece.index,
        "kind": piece.kind.value,
        "unique_id": piece.unique_id,
        "splits_at": piece.splits_at,
        "median_microseconds": piece.median,
        "iqr_microseconds": piece.spread,
        "runs": len(piece.microseconds),
        "share": piece.median / total if total else None,
    }


def group_rows(timings: Timings) -> list[Row]:
    """The pieces added up by group, splitting ones by what they split at; largest share first."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in piece_rows(timings):
        what = row["unique_id"] or f"▨ {row['splits_at']}"
        groups.setdefault((row["sizes"], row["served_by"], what), []).append(row)
    found = [
        {
            "sizes": sizes,
            "served_by": served_by,
            "piece": what,
            "occurs": len(rows),
            "median_microseconds": sum(row["median_microseconds"] for row in rows),
            "share": sum(row["share"] or 0.0 for row in rows),
        }
        for (sizes, served_by, what), rows in groups.items()
    ]
    order = list(dict.fromkeys((row["sizes"], row["served_by"]) for row in found))
    return sorted(
        found, key=lambda row: (order.index((row["sizes"], row["served_by"])), -row["share"])
    )


def compile_rows(timings: Timings) -> list[Row]:
    """One row per artifact: what it took to compile, when it was compiled."""
    return [
        {
            "unique_id": each.unique_id,
            "served_by": each.served_by,
            "seconds": each.seconds,
            "origin": each.origin,
        }
        for each in timings.compile_costs
    ]


# -------------------------------------------------------------------------------------- differences


def difference_sentences(timings: Timings) -> list[str]:
    """What is faster than what, at each size; and where the noise hides it."""
    return [
        f"{point_text(sizes)}: {_difference_text(first, second)}"
        for sizes in points(timings)
        for first, second in _pairs(timings, sizes)
    ]


def _pairs(timings: Timings, sizes: Mapping[str, int]) -> Iterable[tuple[Timing, Timing]]:
    own = {
        each.execution: each
        for each in timings.timings
        if each.is_timed and point_text(each.sizes) == point_text(sizes)
    }
    for first, second in _COMPARED:
        if first in own and second in own:
            yield own[first], own[second]


def _difference_text(first: Timing, second: Timing) -> str:
    found = paired_difference(first.microseconds, second.microseconds)
    numbers = f"{microseconds_text(first)} against {microseconds_text(second)} µs"
    names = f"{first.execution.value} and {second.execution.value}"
    if not found.can_be_told:
        return f"{NOTHING_TO_TELL} between {names}: {numbers}"
    faster, slower = (first, second) if found.median < 0 else (second, first)
    ratio = slower.median / faster.median
    return (
        f"{faster.execution.value}, {ratio:.2f} times as fast as {slower.execution.value}: "
        f"{microseconds_text(faster)} against {microseconds_text(slower)} µs"
    )


# --------------------------------------------------------------------------------------- break-even


def break_even_rows(timings: Timings) -> list[Row]:
    """The rows of ``break_evens``."""
    return [
        {
            "sizes": point_text(each.sizes),
            "what": each.what.value,
            "instead_of": each.instead_of.value,
            "seconds": each.seconds,
            "saved_microseconds": each.saved_microseconds,
            "saved_at_least_microseconds": each.interval[0],
            "saved_at_most_microseconds": each.interval[1],
            "calls": each.calls,
            "text": each.text,
        }
        for each in break_evens(timings)
    ]


def break_evens(timings: Timings) -> list[BreakEven]:
    """What was compiled for a size, beside what would run there without it."""
    return [
        _break_even(timings, first, second)
        for sizes in points(timings)
        for first, second in _pairs(timings, sizes)
        if (point_text(sizes), first.execution) in timings.costs_at
    ]


def _break_even(timings: Timings, compiled: Timing, other: Timing) -> BreakEven:
    saved = paired_difference(other.microseconds, compiled.microseconds)
    seconds = timings.costs_at[point_text(compiled.sizes), compiled.execution]
    calls = None
    if seconds is not None and saved.can_be_told and saved.median > 0:
        calls = math.ceil(seconds * 1e6 / saved.median)
    return BreakEven(
        sizes=compiled.sizes,
        what=compiled.execution,
        instead_of=other.execution,
        seconds=seconds,
        saved_microseconds=saved.median,
        interval=(saved.low, saved.high),
        calls=calls,
        text=_break_even_text(compiled, other, saved, seconds, calls),
    )


def _break_even_text(
    compiled: Timing,
    other: Timing,
    saved: PairedDifference,
    seconds: float | None,
    calls: int | None,
) -> str:
    what = f"{point_text(compiled.sizes)}: the {compiled.execution.value} ({compiled.served_by})"
    cost = "compile seconds that are not known" if seconds is None else seconds_text(seconds)
    numbers = (
        f"{microseconds_text(compiled)} against {microseconds_text(other)} µs with "
        f"{other.execution.value}"
    )
    if not saved.can_be_told:
        return f"{what} cost {cost}; {NOTHING_TO_TELL}: {numbers}"
    if saved.median <= 0:
        return f"{what} never pay back {cost}: {numbers}"
    if calls is None:
        return f"{what} save {_trimmed(saved.median, 2)} µs a call and cost {cost}: {numbers}"
    return f"{what} pay back {cost} after {counted(_rounded(calls), 'call')}: {numbers}"


def _rounded(calls: int) -> int:
    """Two digits: more would not be true."""
    digits = len(str(calls)) - 2
    return calls if digits <= 0 else math.ceil(calls / 10**digits) * 10**digits

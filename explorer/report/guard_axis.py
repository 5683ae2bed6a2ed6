"""A GuardAudit in, its sizes as segments of an axis out; of two dimensions also a coarse map."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.artifacts.audited import (
    AuditStatus,
    EagerOutcome,
    GuardAudit,
    Intervals,
    PointState,
)
from explorer.guards.intervals_text import interval_count, short_intervals
from explorer.guards.judge import pairs
from explorer.report.views import Row
from explorer.report.wording import clean, counted, listed, place_text, shortened

MOST_RUNS = 120
"""Segments of an axis; where there are more, those too narrow to be drawn apart become one."""

MOST_CELLS = 24
"""Rows and columns of a map."""

STATES = {
    "right": "right: every condition of the graph holds",
    "probe": "right: a capture at this size gives the same graph",
    "eager": "size 0: served by the model as it is",
    "wrong": "wrong: a condition of the graph does not hold, and the model itself works, as far as "
    "it was run",
    "fails": "no fault of the graph: the model itself fails there as well",
    "unknown": "not known",
    "mixed": "several of these, too many to be drawn apart",
    "unseen": "not looked at",
}
"""Name of a state -> what it means. An axis, a map and a legend say no other."""

_OF_POINT = {
    PointState.VALID: "right",
    PointState.VALID_BY_PROBE: "probe",
    PointState.RUNS_EAGERLY: "eager",
    PointState.WRONG: "wrong",
    PointState.EAGER_FAILS: "fails",
    PointState.NOT_KNOWN: "unknown",
}
_NAMES = tuple(_OF_POINT[each] for each in PointState)
_SHORT = {
    "right": "right",
    "probe": "right, settled by a capture at this size",
    "eager": "served by the model as it is",
    "wrong": "wrong",
    "fails": "the model itself fails there",
    "unknown": "not known",
    "unseen": "not looked at",
}
_BINS = 240
_LONGEST_REASON = 200
_MOST_REASONS = 3


@dataclass(frozen=True)
class Run:
    """Neighbouring sizes of one state.

    Attributes:
        first: smallest size.
        last: largest size.
        state: its name; ``mixed`` when there are several.
        parts: of a mixed one, state -> its sizes.
    """

    first: int
    last: int
    state: str
    parts: Mapping[str, Intervals] | None = None

    @property
    def sizes(self) -> str:
        """``4``, ``5–64``."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def axis_rows(audit: GuardAudit, example: Mapping[str, int], gets: str) -> list[Row]:
    """One axis per dimension: ``key name first last example fixed text segments``.

    Of several dimensions each has the others as in the example; its sentence says so.

    Args:
        audit: of the graph.
        example: name -> value in the capture.
        gets: what a call gets where a condition does not hold, in words.
    """
    rows = []
    for name, (first, last) in audit.domain.items():
        sizes, states = _line(audit, name, example)
        others = {k: v for k, v in example.items() if k != name and k in audit.domain}
        reasons = _reasons(audit, name, others)
        runs = folded(runs_of(sizes, states, first))
        segments = [_segment(audit, name, run, reasons(run), gets) for run in runs]
        fixed = ", ".join(f"{clean(k)} = {v}" for k, v in others.items())
        text = f"{clean(name)} = {first}–{last}"
        rows.append(
            {
                "key": name,
                "name": clean(name),
                "first": first,
                "last": last,
                "example": example.get(name),
                "fixed": fixed,
                "text": f"{text}, at {fixed} as in the example" if fixed else text,
                "segments": segments,
            }
        )
    return rows


def _line(
    audit: GuardAudit, name: str, example: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of one dimension, ascending, and the state of each, the others as in the example.

    Where there are several dimensions, not every size was looked at. Whether the graph is right
    there is exact all the same; what the model itself does is taken from the nearest size.
    """
    if len(audit.domain) == 1:
        return audit.region.axes[name], audit.region.states
    judge: Any = audit.judge
    first, last = audit.domain[name]
    sizes = judge.axes[name]
    sizes = sizes[(sizes >= first) & (sizes <= last)]
    others = {k: v for k, v in example.items() if k != name}
    known, states = _looked_at(audit, name, example)
    is_wrong = np.isin(states, [_NAMES.index("wrong"), _NAMES.index("fails")])
    found = np.full(len(sizes), _NAMES.index("wrong"))
    if audit.status is AuditStatus.UNKNOWN:
        found[:] = _NAMES.index("unknown")
    elif is_wrong.any():
        nearest = np.searchsorted(known[is_wrong], sizes, side="right") - 1
        found = states[is_wrong][np.clip(nearest, 0, None)]
    for low, high in audit.intervals(name, fixing=others):
        found[(sizes >= low) & (sizes <= high)] = _NAMES.index("right")
    if any(each.name == name and each.is_size for each in judge.conditions.dimensions):
        found[sizes <= 1] = _NAMES.index("unknown")
    place = np.searchsorted(sizes, known)
    found[place] = states
    return sizes, found


def _looked_at(
    audit: GuardAudit, name: str, example: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of a dimension that were looked at where the others are as in the example."""
    region = audit.region
    if not region.is_grid:
        here: np.ndarray = np.ones(len(region.states), dtype=bool)
        for other, values in region.axes.items():
            here &= (other == name) | (values == example.get(other))
        order = np.argsort(region.axes[name][here])
        return region.axes[name][here][order], region.states[here][order]
    states = region.states
    for place, (other, values) in reversed(list(enumerate(region.axes.items()))):
        if other == name:
            continue
        at = np.flatnonzero(values == example.get(other))
        if not len(at):
            return np.array([], dtype=np.int64), np.array([], dtype=np.int64)
        states = np.take(states, int(at[0]), axis=place)
    return region.axes[name], states


def runs_of(sizes: np.ndarray, states: np.ndarray, first: int) -> list[Run]:
    """Runs of equal states, ascending; sizes between them that are missing were not looked at."""
    if not len(sizes):
        return []
    starts = np.flatnonzero((np.diff(states) != 0) | (np.diff(sizes) != 1)) + 1
    begins, ends = np.r_[0, starts], np.r_[starts - 1, len(sizes) - 1]
    found: list[Run] = []
    expected = first
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        low, high = int(sizes[begin]), int(sizes[end])
        if low > expected:
            found.append(Run(expected, low - 1, "unseen"))
        found.append(Run(low, high, _NAMES[int(states[begin])]))
        expected = high + 1
    return found


def folded(runs: Sequence[Run]) -> list[Run]:
    """The same with runs that share a place on a logarithmic axis as one, when there are many."""
    if len(runs) <= MOST_RUNS:
        return list(runs)
    found: list[Run] = []
    for crowded, group in itertools.groupby(
        zip(runs, _crowded(runs), strict=True), key=lambda each: each[1]
    ):
        together = [run for run, _ in group]
        found += _mixed(together) if crowded else together
    return found


def _crowded(runs: Sequence[Run]) -> list[bool]:
    """For each run, whether it shares its place on the axis with others, or is among such runs."""
    low, high = np.log1p(runs[0].first), np.log1p(runs[-1].last)
    scale = (_BINS - 1) / max(high - low, 1e-9)
    places = [int(scale * (np.log1p(each.first) - low)) for each in runs]
    count = Counter(places)
    found = [count[place] > 2 for place in places]
    narrow = [scale * (np.log1p(r.last + 1) - np.log1p(r.first)) < 2 for r in runs]
    for at in range(1, len(runs)):  # a narrow one between them would only flicker
        found[at] = found[at] or (found[at - 1] and narrow[at])
    return found


def _mixed(runs: Sequence[Run]) -> list[Run]:
    if len(runs) < 2:
        return list(runs)
    parts: dict[str, list[tuple[int, int]]] = {}
    for each in runs:
        parts.setdefault(each.state, []).append((each.first, each.last))
    return [Run(runs[0].first, runs[-1].last, "mixed", {k: tuple(v) for k, v in parts.items()})]


# ------------------------------------------------------------------------------------------- words


def _segment(audit: GuardAudit, name: str, run: Run, rejecting: Sequence[int], gets: str) -> Row:
    """``first last state text guards``; the last are the conditions that do not hold there."""
    text = f"{clean(name)} = {run.sizes} ({counted(run.last - run.first + 1, 'size')}): "
    if run.parts is not None:
        text += "; ".join(_part(state, sizes) for state, sizes in run.parts.items())
    else:
        text += _SHORT[run.state]
        reason = _problem(audit, name, run)
        if run.state == "wrong":
            reason = listed([_condition(audit, each) for each in rejecting], _MOST_REASONS)
        text += f": {reason}" if reason else ""
    if run.state == "wrong" or (run.parts and "wrong" in run.parts):
        text += f". {gets}"
    return {
        "first": run.first,
        "last": run.last,
        "state": run.state,
        "text": f"{text}.",
        "guards": list(rejecting),
    }


def _part(state: str, sizes: Intervals) -> str:
    """One state of a mixed run; sizes that follow no pattern are only counted."""
    count, shown = counted(interval_count(sizes), "size"), short_intervals(sizes)
    return f"{_SHORT[state]} at {count if shown.endswith('...') else f'{shown} ({count})'}"


def _reasons(
    audit: GuardAudit, name: str, others: Mapping[str, int]
) -> Callable[[Run], Sequence[int]]:
    """Says which conditions do not hold somewhere in a run where the graph is wrong."""
    rejected: list[tuple[int, np.ndarray]] = []
    if len(audit.domain) == 1:
        for each in audit.violations:
            rejected.append((each.index, np.array(each.intervals).reshape(-1, 2)))
    else:
        judge: Any = audit.judge
        sizes = judge.axes[name]
        truth = judge.conditions.truth({**others, name: sizes}, sizes.shape)
        for index in np.flatnonzero(~truth.holds.all(axis=1)).tolist():
            rejected.append((index, np.array(pairs(sizes[~truth.holds[index]])).reshape(-1, 2)))

    def rejecting(run: Run) -> Sequence[int]:
        if run.state not in ("wrong", "mixed"):
            return ()
        meets = [index for index, sizes in rejected if _overlaps(sizes, run)]
        return [index for index in meets if not audit.guards[index].is_bound] or meets

    return rejecting


def _problem(audit: GuardAudit, name: str, run: Run) -> str:
    """Why the model itself fails in a run, where it was seen."""
    if run.state != "fails":
        return ""
    for group in audit.groups:
        for probe in group.probes:
            is_here = run.first <= probe.sizes.get(name, -1) <= run.last
            if is_here and probe.outcome is EagerOutcome.FAILS:
                return shortened(clean(probe.problem).rstrip("."), _LONGEST_REASON)
    return ""


def _overlaps(intervals: np.ndarray, run: Run) -> bool:
    at = int(np.searchsorted(intervals[:, 1], run.first))
    return at < len(intervals) and int(intervals[at, 0]) <= run.last


def _condition(audit: GuardAudit, index: int) -> str:
    guard = audit.guards[index]
    place = place_text(guard.location)
    text = shortened(clean(guard.text), _LONGEST_REASON)
    return f"{text} does not hold{f' ({clean(place)})' if place else ''}"


# ----------------------------------------------------------------------------------------- the map


def map_view(audit: GuardAudit) -> Row | None:
    """A coarse map of exactly two dimensions: ``keys x y columns rows cells text``; else None.

    A cell is ``[state, text]``; rows ascend in the second dimension, columns in the first.
    """
    region = audit.region
    if len(region.axes) != 2 or not region.is_grid or not region.states.size:
        return None
    (x, xs), (y, ys) = region.axes.items()
    columns, rows = _bins(xs, audit.domain[x]), _bins(ys, audit.domain[y])
    counts = np.zeros((len(columns), len(rows), len(_NAMES)), dtype=np.int64)
    x_bin = np.searchsorted([a for a, _ in columns], xs, side="right") - 1
    y_bin = np.searchsorted([a for a, _ in rows], ys, side="right") - 1
    np.add.at(counts, (x_bin[:, None], y_bin[None, :], region.states), 1)
    cells = [
        [_cell(f"{clean(x)} = {_span(c)}, {clean(y)} = {_span(r)}", counts[i, j])
         for i, c in enumerate(columns)]
        for j, r in enumerate(rows)
    ]  # fmt: skip
    return {
        "keys": [x, y],
        "x": clean(x),
        "y": clean(y),
        "columns": [list(each) for each in columns],
        "rows": [list(each) for each in rows],
        "cells": cells,
        "text": f"{clean(x)} runs to the right, {clean(y)} upwards; each cell holds "
        "one or several sizes of both.",
    }


def _span(sizes: tuple[int, int]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]}–{sizes[1]}"


def _bins(values: np.ndarray, domain: tuple[int, int]) -> list[tuple[int, int]]:
    """At most ``MOST_CELLS`` parts of a domain, each with a size that was looked at."""
    first, last = domain
    if len(values) <= MOST_CELLS:
        starts = values.tolist()
    else:
        wanted = np.expm1(np.linspace(np.log1p(values[0]), np.log1p(values[-1]), MOST_CELLS + 1))
        starts = np.unique(values[np.searchsorted(values, np.round(wanted[:-1]))]).tolist()
    starts[0] = min(first, starts[0])
    return [(a, b - 1) for a, b in zip(starts, [*starts[1:], last + 1], strict=True)]


def _cell(where: str, counts: np.ndarray) -> list[str]:
    present = [(name, int(n)) for name, n in zip(_NAMES, counts, strict=True) if n]
    if not present:
        return ["unseen", f"{where}: not looked at."]
    if len(present) == 1:
        return [present[0][0], f"{where}: {_SHORT[present[0][0]]}."]
    said = ", ".join(f"{_SHORT[name]} at {n:,}" for name, n in present)
    return ["mixed", f"{where}: {said} of {int(counts.sum()):,} points looked at."]


__all__ = ["MOST_CELLS", "MOST_RUNS", "STATES", "Run", "axis_rows", "folded", "map_view", "runs_of"]

"""A trial of a size, or a coverage, in; plain data with sentences out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.artifacts.covered import Coverage, CoveredRegion
from explorer.guards.intervals_text import counted_intervals, point_text
from explorer.report.guard_axis import Run, folded
from explorer.report.views import Row
from explorer.report.wording import clean, counted, listed, shortened, with_short_paths

if TYPE_CHECKING:
    from explorer.trying import Ran, Trial

COLOURS = 8
"""Colours of graphs; they start again after the last, and the number tells graphs apart."""

LONGEST_TEXT = 1_000
"""Characters of one sentence."""

_LONGEST_NAME = 200
_MOST_ROWS = 200


def sentence(text: object, width: int = LONGEST_TEXT) -> str:
    """Text for one line of a view: clean, with short paths, with an ellipsis where it is long."""
    return shortened(clean(with_short_paths(shortened(str(text), 2 * LONGEST_TEXT))), width)


def trial_view(trial: Trial) -> Row:
    """One trial: ``sizes sizes_text outcome is_wrong columns policy``."""
    columns = [_ran("model as it is", trial.eager)]
    if trial.compiled is not None:
        columns.append(_ran("compiled", trial.compiled))
    if trial.unchecked is not None:
        columns.append(_ran("graph, if nothing checked", trial.unchecked))
    wrong = trial.outcome.value == "different"
    return {
        "sizes": {clean(name): value for name, value in trial.sizes.items()},
        "sizes_text": sentence(trial.sizes_text, _LONGEST_NAME),
        "outcome": trial.outcome.value,
        "is_wrong": wrong,
        "columns": columns,
        "policy": sentence(trial.policy),
    }


def _ran(head: str, ran: Ran) -> Row:
    return {
        "head": head,
        "text": sentence(ran.text),
        "has_failed": ran.has_failed,
        "difference": sentence(ran.difference),
    }


def coverage_view(coverage: Coverage) -> Row:
    """Which graph serves which sizes: ``summary is_complete dimensions lane regions uncovered``.

    ``lane`` has the sizes of an axis in order, each with its graph; of several dimensions it is
    empty.
    """
    fails = coverage.eager_fails
    return {
        "summary": sentence(coverage.summary()),
        "is_complete": coverage.is_complete,
        "dimensions": [clean(each) for each in coverage.dimensions],
        "lane": _lane(coverage),
        "regions": [
            {
                "variant": each.variant,
                "label": f"#{each.variant}",
                "colour": each.variant % COLOURS,
                "text": _region_text(each),
            }
            for each in coverage.regions
        ],
        "uncovered": [
            sentence(f"Not covered: {point_text(each.sizes)}: {each.reason}")
            for each in coverage.uncovered[:_MOST_ROWS]
        ],
        "fails_text": sentence(f"The model itself fails at {counted_intervals(fails)}.")
        if fails
        else "",
    }


def _lane(coverage: Coverage) -> list[Row]:
    """Runs of sizes with the graph that serves them; ``colour`` is None where several do."""
    texts = {str(each.variant): _region_text(each) for each in coverage.regions}
    runs = sorted(
        (Run(first, last, str(each.variant)) for each in coverage.regions
         for first, last in each.intervals),
        key=lambda run: run.first,
    )  # fmt: skip
    rows = []
    for run in folded(runs):
        graphs = [f"#{each}" for each in sorted(run.parts or {}, key=int)]
        text = texts.get(run.state) or f"{run.sizes}: the graphs {listed(graphs, 8)} in turn."
        rows.append(
            {
                "first": run.first,
                "last": run.last,
                "label": "/".join(graphs[:3]) if graphs else f"#{run.state}",
                "colour": None if graphs else int(run.state) % COLOURS,
                "text": text,
            }
        )
    return rows


def _region_text(region: CoveredRegion) -> str:
    where = counted(region.points, "point")
    if region.intervals:
        where = counted_intervals(region.intervals)
    same = "" if region.same_graph_as is None else f", the same program as #{region.same_graph_as}"
    captured = point_text(region.example)
    return sentence(f"Graph #{region.variant}, captured at {captured}, serves {where}{same}.")


__all__ = ["COLOURS", "LONGEST_TEXT", "coverage_view", "sentence", "trial_view"]

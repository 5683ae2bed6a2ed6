"""Timings in, text and a fragment of HTML out; all that the pictures show stands in both."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.artifacts.measured import Timings
from explorer.report import timings_view
from explorer.report.html import styles
from explorer.report.markup import Column, bullets, details, escaped, paragraph
from explorer.report.markup import table as html_table
from explorer.report.text import table
from explorer.report.views import Row
from explorer.report.wording import clean, counted, seconds_text

METHOD = (
    "Wall time, which is not CPU time: work of several threads overlaps in it. The executions took "
    "turns in each round, after their results were found equal to eager's. ± is half the distance "
    "between the quartiles; a difference is called one where the rounds leave less than 5 % doubt "
    "of its sign."
)
"""How it was measured."""


def report(timings: Timings) -> str:
    """All of it in words and tables."""
    parts = [
        clean(heading(timings)),
        table(shown_rows(timings)),
        *_listed("Differences", timings_view.difference_sentences(timings)),
        *_listed("What pays", [each.text for each in timings_view.break_evens(timings)]),
        *_tabled("Pieces, by group", _group_rows(timings)),
        *_tabled("Compile time", _compile_rows(timings)),
        *_listed("Notes", [*timings.notes, METHOD]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(timings: Timings) -> str:
    """Model, device and threads in a line."""
    where = ", ".join(timings.devices) or "no device"
    return f"{timings.name} on {where}, {counted(timings.threads, 'thread')}"


def shown_rows(timings: Timings) -> list[Row]:
    """The rows of the main table, with units and as few digits as can be relied on."""
    found = []
    for timing, row in zip(timings.timings, timings_view.timing_rows(timings), strict=True):
        ratio = row["ratio_to_eager"]
        found.append(
            {
                "sizes": row["sizes"],
                "execution": row["execution"],
                "served by": row["served_by"],
                "µs a call": timings_view.microseconds_text(timing) if timing.is_timed else "–",
                "of eager": f"{ratio:.2f}" if ratio is not None else "–",
                "runs": f"{row['runs']} of {counted(row['calls_per_run'], 'call')}"
                if timing.is_timed
                else f"not timed: {timing.problem}",
            }
        )
    return found


def _group_rows(timings: Timings) -> list[Row]:
    return [
        {
            "sizes": row["sizes"],
            "served by": row["served_by"],
            "piece": row["piece"],
            "occurs": f"{row['occurs']}×",
            "µs in all": f"{row['median_microseconds']:,.1f}",
            "share": f"{row['share']:.0%}",
        }
        for row in timings_view.group_rows(timings)
    ]


def _compile_rows(timings: Timings) -> list[Row]:
    return [
        {
            "piece": row["unique_id"],
            "sizes": row["served_by"],
            "compile time": "not known" if row["seconds"] is None else seconds_text(row["seconds"]),
            "origin": row["origin"],
        }
        for row in timings_view.compile_rows(timings)
    ]


def _listed(head: str, sentences: Sequence[str]) -> list[str]:
    lines = [f"  {clean(each)}" for each in sentences]
    return ["\n".join([head, *lines])] if lines else []


def _tabled(head: str, rows: Sequence[Row]) -> list[str]:
    text = table(rows)
    return ["\n".join([head, *[f"  {line}" for line in text.splitlines()]])] if text else []


def fragment(timings: Timings) -> str:
    """The same for the output of a notebook cell."""
    parts = [
        f"<style>{styles('fragment.css', 'report.css')}</style>",
        f"<strong>{escaped(heading(timings))}</strong>",
        _html_rows(shown_rows(timings)),
        bullets(timings_view.difference_sentences(timings)),
    ]
    pays = [each.text for each in timings_view.break_evens(timings)]
    parts += [bullets(pays)] if pays else []
    groups = _group_rows(timings)
    parts += [details("Pieces, by group", _html_rows(groups))] if groups else []
    parts.append(details("Compile time", _html_rows(_compile_rows(timings))))
    parts += [paragraph(note) for note in (*timings.notes, METHOD)]
    return f'<div class="explorer-report">{"".join(parts)}</div>'


def _html_rows(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    return html_table(rows, [Column(name, name) for name in rows[0]])


__all__ = ["fragment", "heading", "report", "shown_rows"]

"""Lines of code in, rows of a pane out: what every pane of code has in common.

A row is a dict with ``kind`` (``line``, ``file``, ``fold`` or ``note``), ``text``, and for a line
those of the following that are not empty: ``number``, ``spans`` (``code_tokens``), ``full`` (the
text of a line that was shortened), ``nodes`` (ids), ``lines`` (``[file, line]`` each), ``letters``
(``letter colour count`` each), ``pieces``, ``guards``, ``sites`` (indices), ``count`` (nodes),
``ran`` (whether the capture went through it), ``inferred``, ``about`` (sentences), ``decided``
(how many of them, the first ones, are about tests and conditions), ``select`` (what a click
selects: kind and key).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from explorer.report.code_tokens import Span
from explorer.report.wording import clean, counted, shortened

Row: TypeAlias = dict[str, Any]

MOST_CHARACTERS = 400
"""Of a line of code; a longer one ends with an ellipsis."""

MOST_FULL = 4_000
"""Characters that a tooltip has of a longer line."""

MOST_NODES = 40
"""Nodes that a row names; of more, their number has to do."""


def clean_lines(text: str) -> list[str]:
    """A source as lines without control characters and direction marks; tabs become spaces."""
    return [clean(line.expandtabs(8)).rstrip() for line in text.split("\n")]


def line_row(number: int, text: str, spans: list[Span], **marks: Any) -> Row:
    """A line of code; marks that are empty are left out.

    Args:
        number: 1-based, as its file or text counts.
        text: clean.
        spans: of the text.
        marks: as above.
    """
    row: Row = {"kind": "line", "number": number, "text": shortened(text, MOST_CHARACTERS)}
    if len(text) > MOST_CHARACTERS:
        row["full"] = shortened(text, MOST_FULL)
        spans = [span for span in spans if int(span[1]) < MOST_CHARACTERS]
    marks["spans"] = spans
    return row | {name: value for name, value in marks.items() if _is_something(value)}


def _is_something(value: Any) -> bool:
    return value is False or bool(value)


def other_row(kind: str, text: str, **details: Any) -> Row:
    """A row that is no line of code: the name of a file, a fold, a sentence."""
    return {"kind": kind, "text": clean(text)} | details


def fold_row(count: int) -> Row:
    """Stands for lines that are left out."""
    return other_row("fold", f"⋯ {counted(count, 'line')}")

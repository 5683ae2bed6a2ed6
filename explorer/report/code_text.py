"""The view of a compilation's code in, plain text out: source with a gutter, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.report.code_marks import letter_text
from explorer.report.code_rows import Row
from explorer.report.wording import shortened

WIDTH = 110
"""Columns of a line."""

KEY = "? a test on sizes   ! a condition   × left out of the graph   ▨ splits the graph"

_MOST_LETTERS = 3


def code_text(view: Mapping[str, Any], *, width: int = WIDTH, explains: bool = True) -> str:
    """The model's source, at the left of each line its pieces, tests and conditions.

    Args:
        view: of ``code_view``, ``fx_view`` or ``generated_view``.
        width: columns; longer lines end with an ellipsis.
        explains: whether what is known of tests, conditions and lines that were left out stands
            below them.
    """
    if view["problem"]:
        return f"{view['problem']}\n"
    blocks = view.get("blocks", ())
    rows = [{**blocks[row["block"]], **row} if "block" in row else row for row in view["rows"]]
    gutters = [_gutter(row) for row in rows]
    room = max((len(gutter) for gutter in gutters), default=0)
    digits = max((len(str(row.get("number", ""))) for row in rows), default=1)
    lines = [KEY] if any(marks_text(row) for row in rows) else []
    for row, gutter in zip(rows, gutters, strict=True):
        lines += _lines_of(row, f"{gutter:<{room}} {row.get('number', ''):>{digits}} │ ")
        if explains and row["kind"] == "line":
            below = f"{'':<{room + digits}}   │   "
            for text in _explained(row):
                first, rest = f"{below}^ ", f"{below}  "
                lines += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest)
    return "\n".join(shortened(line, width).rstrip() for line in lines) + "\n"


def _lines_of(row: Row, gutter: str) -> list[str]:
    if row["kind"] == "line":
        return [f"{gutter}{row['text']}"]
    return ["", row["text"]] if row["kind"] == "file" else [row["text"]]


def _explained(row: Row) -> Sequence[str]:
    """What is said of tests and conditions; of nodes the letters say enough."""
    is_test = row.get("sites") or row.get("guards")
    return row["about"][: row["decided"]] if is_test else ()


def _gutter(row: Row) -> str:
    letters = row.get("letters", ())
    texts = [letter_text(each) for each in letters[:_MOST_LETTERS]]
    more = len(letters) - _MOST_LETTERS
    pieces = " ".join([*texts, f"+{more}"] if more > 0 else texts)
    return f"{marks_text(row):<2} {pieces}"


def marks_text(row: Row) -> str:
    """``?`` for a test, ``!`` for a condition, ``×`` for left out, ``≈`` for found by name."""
    marks = ("?" if row.get("sites") else "", "!" if row.get("guards") else "")
    left_out, inferred = row.get("ran") is False, row.get("inferred")
    return "".join([*marks, "×" if left_out else "", "≈" if inferred else ""])

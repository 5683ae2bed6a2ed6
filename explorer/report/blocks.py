"""What a view is made of: headings, sentences, tables, code, bars, plots, and what asks for more.

A view is a tuple of blocks. ``view()`` of a block is plain data with clean, short texts, and all
that draws a block draws that: ``blocks_text`` for a terminal, ``blocks_html`` for a page, and the
live widget. So they say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from explorer.report.wording import clean, shortened

Target: TypeAlias = tuple[str, str | int | tuple[str, int]]
"""What a click selects: kind and key, as ``selection.Selected`` has them."""

ColumnKind: TypeAlias = Literal["text", "number", "code", "letter", "bar", "mark"]
NoticeKind: TypeAlias = Literal["info", "good", "warning", "error"]
LineMark: TypeAlias = Literal["same", "changed", "left", "right"]
"""Of two lines side by side: ``left`` and ``right`` are those that only one side has."""

LONGEST_TEXT = 240
"""Characters of a cell or a label that are shown."""

LONGEST_HINT = 2_000
"""Characters of what a pointer that rests on a shortened text shows."""

LONGEST_SENTENCE = 2_000
MOST_LINES = 600
"""Lines of code that are shown."""

MOST_ROWS = 2_000
"""Rows of a table that are shown."""


class Block(Protocol):
    """One part of a view."""

    def view(self) -> dict[str, Any]:
        """As JSON has it; ``block`` says which block it is."""
        ...


def short(text: object, longest: int = LONGEST_TEXT) -> str:
    """One line of clean text of bounded length."""
    return shortened(clean(str(text)[: 2 * longest]), longest)


def hint_of(text: object, longest: int = LONGEST_TEXT) -> str:
    """What is behind a shortened text; empty where nothing was left out."""
    cut = str(text)[: 2 * LONGEST_HINT]
    return shortened(clean(cut), LONGEST_HINT) if len(clean(cut)) > longest else ""


def code_text(source: str) -> str:
    """Source code with its line breaks, without what could act on a terminal, of bounded length."""
    lines = source.strip("\n").split("\n")
    kept = [shortened(clean(each, keep="\t"), LONGEST_HINT) for each in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        kept.append(f"… {len(lines) - MOST_LINES:,} more lines")
    return "\n".join(kept)


def target_view(target: Target | None) -> dict[str, Any] | None:
    """``{"kind", "key"}``."""
    if target is None:
        return None
    kind, key = target
    return {"kind": kind, "key": list(key) if isinstance(key, tuple) else key}


def _without_blanks(**entries: Any) -> dict[str, Any]:
    """The entries that say something: a table has many cells, so their data is kept small."""
    return {name: value for name, value in entries.items() if value not in (None, "", False)}


# -------------------------------------------------------------------------------------------- words


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"block": "heading", "text": short(self.text)}


@dataclass(frozen=True)
class Sentence:
    """One paragraph.

    Attributes:
        text: the words.
        quiet: whether it only explains how to read something.
    """

    text: str
    quiet: bool = False

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "block": "sentence",
            "text": short(self.text, LONGEST_SENTENCE),
            "quiet": self.quiet,
        }


@dataclass(frozen=True)
class Sentences:
    """A list of sentences."""

    texts: tuple[str, ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"block": "sentences", "texts": [short(t, LONGEST_SENTENCE) for t in self.texts]}


@dataclass(frozen=True)
class Facts:
    """Labels with a short text each."""

    pairs: tuple[tuple[str, str], ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it; without the pairs that have no text."""
        pairs = [
            _without_blanks(label=short(label), text=short(text), hint=hint_of(text))
            for label, text in self.pairs
            if text
        ]
        return {"block": "facts", "pairs": pairs}


@dataclass(frozen=True)
class Notice:
    """A sentence that must not be overlooked."""

    kind: NoticeKind
    text: str

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"block": "notice", "kind": self.kind, "text": short(self.text, LONGEST_SENTENCE)}


@dataclass(frozen=True)
class Code:
    """Source code.

    Attributes:
        source: as it is.
        title: what it is.
        folded: whether it is opened by a click; then it has a title.
        is_diff: whether lines begin with ``+``, ``-`` and a space.
    """

    source: str
    title: str = ""
    folded: bool = False
    is_diff: bool = False

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "block": "code",
            "source": code_text(self.source),
            "title": short(self.title),
            "folded": self.folded and bool(self.title),
            "is_diff": self.is_diff,
        }


# ------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        value: what the column is sorted by, and the length of a bar; None sorts last. A cell
            without a value that is not a number is sorted by its text.
        detail: a second, quiet line.
        target: what a click on it selects, where that is something else than the row's.
        colour: of a letter; None is hatched.
        mark: ``good``, ``bad``, ``same`` or ``changed``: shows as a sign before the text.
    """

    text: str
    value: float | None = None
    detail: str = ""
    target: Target | None = None
    colour: int | None = None
    mark: Literal["", "good", "bad", "same", "changed"] = ""

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return _without_blanks(
            text=short(self.text),
            hint=hint_of(self.text),
            detail=short(self.detail),
            target=target_view(self.target),
            mark=self.mark,
        ) | {
            name: value
            for name, value in (("value", self.value), ("colour", self.colour))
            if value is not None
        }


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: text above it.
        kind: how its cells look.
    """

    head: str
    kind: ColumnKind = "text"


@dataclass(frozen=True)
class Row:
    """One row of a table: a cell per column, and what a click on it selects."""

    cells: tuple[Cell, ...]
    target: Target | None = None


@dataclass(frozen=True)
class Table:
    """Rows and columns; columns without any text are left out.

    Attributes:
        title: what it lists; empty where the heading above says it.
        columns: in order.
        rows: each with as many cells as there are columns.
        empty: the sentence that stands in its place when there are no rows.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str = "There is nothing to list."

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row.cells) == len(self.columns), (self.title, row)

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = self.rows[:MOST_ROWS]
        shown = [n for n in range(len(self.columns)) if any(row.cells[n].text for row in rows)]
        left_out = len(self.rows) - len(rows)
        return {
            "block": "table",
            "title": short(self.title),
            "columns": [
                {"head": short(self.columns[n].head), "kind": self.columns[n].kind} for n in shown
            ],
            "rows": [
                _without_blanks(target=target_view(row.target))
                | {"cells": [row.cells[n].view() for n in shown]}
                for row in rows
            ],
            "empty": "" if rows else short(self.empty, LONGEST_SENTENCE),
            "more": f"and {left_out:,} more rows" if left_out else "",
        }


def texts(values: Sequence[object]) -> tuple[Cell, ...]:
    """Cells that only say something."""
    return tuple(Cell("" if value is None else str(value)) for value in values)


# ---------------------------------------------------------------------------------- asking for more


@dataclass(frozen=True)
class Choice:
    """One of several; choosing sends the intent ``name`` with its value.

    Attributes:
        name: of the intent.
        label: before the choice.
        options: value and text of each.
        value: the chosen one.
    """

    name: str
    label: str
    options: tuple[tuple[str | int, str], ...]
    value: str | int

    def view(self) -> dict[str, Any]:
        """As JSON has it; ``text`` is that of the chosen one."""
        options = [{"value": value, "text": short(text, 100)} for value, text in self.options]
        chosen = [each["text"] for each in options if each["value"] == self.value]
        return {
            "block": "choice",
            "name": self.name,
            "label": short(self.label),
            "options": options,
            "value": self.value,
            "text": chosen[0] if chosen else "nothing",
        }


@dataclass(frozen=True)
class Choices:
    """Choices that stand in one line."""

    choices: tuple[Choice, ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"block": "choices", "choices": [each.view() for each in self.choices]}


@dataclass(frozen=True)
class Action:
    """A button; a press sends the intent ``name`` with the text of its field.

    Attributes:
        name: of the intent.
        label: on the button.
        enabled: whether it can be pressed.
        why_not: why it cannot be pressed, in a sentence.
        field: label of a text field beside it; empty for none.
        value: what stands in that field.
    """

    name: str
    label: str
    enabled: bool = True
    why_not: str = ""
    field: str = ""
    value: str = ""

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "block": "action",
            "name": self.name,
            "label": short(self.label),
            "enabled": self.enabled,
            "why_not": "" if self.enabled else short(self.why_not, LONGEST_SENTENCE),
            "field": short(self.field),
            "value": short(self.value),
        }


def views_of(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Each block as JSON has it."""
    return [each.view() for each in blocks]


__all__ = [
    "Action",
    "Block",
    "Cell",
    "Choice",
    "Choices",
    "Code",
    "Column",
    "ColumnKind",
    "Facts",
    "Heading",
    "LineMark",
    "Notice",
    "NoticeKind",
    "Row",
    "Sentence",
    "Sentences",
    "Table",
    "Target",
    "code_text",
    "hint_of",
    "short",
    "target_view",
    "texts",
    "views_of",
]

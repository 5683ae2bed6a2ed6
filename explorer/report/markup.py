"""Plain data in, pieces of HTML out. Every text is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.report.wording import LONGEST_TEXT, clean, label_of, shortened

LETTERED_COLOURS = 8
"""Colours repeat after this many; the letter tells pieces apart."""


def escaped(text: object) -> str:
    """Text for an element or a quoted attribute: escaped, without control characters, cut off."""
    return html.escape(label_of(text), quote=True)


def escaped_code(text: str) -> str:
    """Source code for a ``pre`` element: line breaks and tabs stay, endless lines are cut off."""
    lines = (shortened(line, LONGEST_TEXT) for line in clean(text, keep="\n\t").split("\n"))
    return html.escape("\n".join(lines), quote=True)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: of the rows.
        head: text above it.
        show: value -> text; None shows the value itself.
        kind: class of the cells: ``text``, ``number``, ``code``, ``letter``, ``bar``.
    """

    key: str
    head: str
    show: Callable[[Any], str] | None = None
    kind: str = "text"


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Iterable[Column],
    colours: Mapping[str, int] | None = None,
    *,
    row_id: str = "",
) -> str:
    """A table; columns that are empty in every row are left out.

    Args:
        rows: plain data.
        columns: what to show of it, in order.
        colours: text of a ``letter`` cell -> number of its colour.
        row_id: prefix of the rows' ids, followed by their ``index``; none when empty.
    """
    shown = [c for c in columns if any(row.get(c.key) not in (None, "") for row in rows)]
    head = "".join(f'<th scope="col" class="{c.kind}">{escaped(c.head)}</th>' for c in shown)
    largest = {
        c.key: max((row[c.key] or 0 for row in rows), default=0) for c in shown if c.kind == "bar"
    }
    lines = []
    for row in rows:
        cells = "".join(_cell(row.get(c.key), c, largest, colours or {}) for c in shown)
        name = f' id="{escaped(row_id)}{escaped(row["index"])}"' if row_id else ""
        lines.append(f"<tr{name}>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(
    value: Any, column: Column, largest: Mapping[str, float], colours: Mapping[str, int]
) -> str:
    text = "–" if value is None else escaped(column.show(value) if column.show else value)
    if column.kind == "letter":
        return f'<td class="letter">{letter(str(value or "▨"), colours.get(str(value)))}</td>'
    if column.kind == "code" and value not in (None, ""):
        return f'<td class="code"><code>{text}</code></td>'
    if column.kind == "bar" and largest[column.key] and value is not None:
        share = round(100 * float(value) / largest[column.key])
        fill = f'<span class="fill" style="width:{share}%"></span>'
        return f'<td class="bar">{fill}<span>{text}</span></td>'
    return f'<td class="{column.kind}">{text}</td>'


def letter(label: str, colour: int | None, title: str = "", *, link: str = "") -> str:
    """One piece as a coloured box with its letter; hatched when it has no colour."""
    look = "hatched" if colour is None else f"colour{colour % LETTERED_COLOURS}"
    hint = f' title="{escaped(title)}"' if title else ""
    if link:
        return f'<a class="piece {look}" href="#{escaped(link)}"{hint}>{escaped(label)}</a>'
    return f'<span class="piece {look}"{hint}>{escaped(label)}</span>'


def section(name: str, head: str, explanation: str, *parts: str) -> str:
    """A part of the page with a heading and one sentence that says how to read it."""
    lead = f'<p class="lead">{escaped(explanation)}</p>' if explanation else ""
    return f'<section id="{escaped(name)}"><h2>{escaped(head)}</h2>{lead}{"".join(parts)}</section>'


def details(head: str, *parts: str, is_open: bool = False) -> str:
    """Something that opens on a click, without a script."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escaped(head)}</summary>{''.join(parts)}</details>"


def code_block(source: str) -> str:
    """Source code as it is."""
    return f'<pre tabindex="0"><code>{escaped_code(source)}</code></pre>'


def bullets(texts: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in texts)}</ul>"


def sentences(texts: Iterable[str]) -> str:
    """A list of sentences of our own, in which what stands between backticks is code."""
    items = (re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text)) for text in texts)
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def paragraph(text: str) -> str:
    """One paragraph."""
    return f"<p>{escaped(text)}</p>"


def fact_list(facts: Mapping[str, str]) -> str:
    """Label and text, side by side."""
    pairs = (
        f"<div><dt>{escaped(label)}</dt><dd>{escaped(text)}</dd></div>"
        for label, text in facts.items()
        if text
    )
    return f'<dl class="facts">{"".join(pairs)}</dl>'

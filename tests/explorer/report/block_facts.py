"""What a reader sees of blocks, and whether all their forms say it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from explorer.report.blocks import Block, views_of
from explorer.report.blocks_html import blocks_html
from explorer.report.blocks_text import blocks_text
from tests.widgets.markup_reading import Read

SAID = frozenset(
    [
        "text",
        "texts",
        "title",
        "label",
        "head",
        "detail",
        "source",
        "empty",
        "more",
        "why_not",
        "field",
        "x_label",
        "y_label",
        "name",
        "names",
        "summary",
        "left",
        "right",
        "left_title",
        "right_title",
        "caption",
    ]
)
"""Keys of a view whose strings a reader sees; the others say how they look."""


def said(view: Any, key: str = "") -> Iterator[str]:
    """Every text of a view that is seen."""
    if isinstance(view, str):
        if key in SAID and view.strip():
            yield view
    elif isinstance(view, dict):
        if view.get("block") == "choice":
            view = {name: view[name] for name in ("label", "text")}  # the others wait in the list
        if view.get("block") == "action":
            view = view | {"name": None}
        for name, value in view.items():
            if name not in ("x_ticks", "y_ticks"):  # a scale is no fact
                yield from said(value, name)
    elif isinstance(view, list):
        for item in view:
            yield from said(item, key)


def words(text: str) -> str:
    """Without what a form adds between words: line breaks, padding, signs of a table."""
    return re.sub(r"[\s│]+", "", text)


def assert_same_facts(blocks: Sequence[Block]) -> None:
    """Each text of the data is in the text form and in the HTML form, which is passive."""
    views = views_of(blocks)
    assert json.loads(json.dumps(views)) == views
    page = Read(blocks_html(blocks))
    page.assert_passive()
    as_text, as_html = words(blocks_text(blocks)), words(page.text)
    for text in said(views):
        for line in text.split("\n"):
            assert words(line) in as_text, line
            assert words(line) in as_html, line


def of_kind(blocks: Sequence[Block], kind: str) -> list[dict[str, Any]]:
    """The data of the blocks of one kind."""
    return [view for view in views_of(blocks) if view["block"] == kind]


def column(table: dict[str, Any], head: str) -> list[str]:
    """The texts of one column of a table."""
    number = [each["head"] for each in table["columns"]].index(head)
    return [row["cells"][number].get("text", "") for row in table["rows"]]

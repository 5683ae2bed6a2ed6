"""Blocks in, text for a terminal out; all that the pictures show stands in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from explorer.report.blocks import Block, views_of
from explorer.report.folding import SPLITTING_MARK
from explorer.report.text import table
from explorer.report.wording import shortened

MARKS = {"good": "✓", "bad": "✗", "same": "=", "changed": "≠"}
"""Signs before the text of a cell."""

LINE_MARKS = {"same": " ", "changed": "≠", "left": "−", "right": "+"}
"""Signs before lines side by side."""

NOTICES = {"info": "i", "good": "✓", "warning": "⚠", "error": "✗"}
"""Signs before a notice."""

_BAR_WIDTH = 24
_SIDE_WIDTH = 78

View = Mapping[str, Any]


def blocks_text(blocks: Sequence[Block]) -> str:
    """All blocks, an empty line between them; ends with a line break."""
    return "\n\n".join(text for view in views_of(blocks) if (text := block_text(view))) + "\n"


def block_text(view: View) -> str:
    """One block, as its ``view()`` has it."""
    return _WRITERS[view["block"]](view)


def cell_text(cell: View) -> str:
    """All that a cell says, in one line."""
    sign = MARKS.get(cell.get("mark", ""), "")
    detail = f"({cell['detail']})" if cell.get("detail") else ""
    return " ".join(part for part in (sign, cell.get("text", ""), detail) if part)


# --------------------------------------------------------------------------------------- the blocks


def _heading(view: View) -> str:
    return f"{view['text']}\n{'─' * min(len(view['text']), 100)}"


def _sentence(view: View) -> str:
    return str(view["text"])


def _sentences(view: View) -> str:
    return "\n".join(f"- {text}" for text in view["texts"])


def _facts(view: View) -> str:
    width = max((len(each["label"]) for each in view["pairs"]), default=0)
    return "\n".join(f"{each['label']:<{width}}  {each['text']}" for each in view["pairs"])


def _notice(view: View) -> str:
    return f"{NOTICES[view['kind']]} {view['text']}"


def _code(view: View) -> str:
    body = "\n".join(f"  {line}".rstrip() for line in view["source"].split("\n"))
    return f"{view['title']}\n{body}" if view["title"] else body


def _table(view: View) -> str:
    if view["empty"]:
        return f"{view['title']}: {view['empty']}" if view["title"] else str(view["empty"])
    heads = _distinct([column["head"] for column in view["columns"]])
    numeric = [column["kind"] in ("number", "bar") for column in view["columns"]]
    cells = [
        [_in_column(cell, view, n) for n, cell in enumerate(row["cells"])] for row in view["rows"]
    ]
    for n, is_number in enumerate(numeric):
        width = max(len(row[n]) for row in cells)
        for row in cells:
            row[n] = row[n].rjust(width) if is_number else row[n]
    rows = [dict(zip(heads, row, strict=True)) for row in cells]
    parts = [view["title"], *(f"  {line}" for line in table(rows).splitlines()), view["more"]]
    return "\n".join(part for part in parts if part)


def _in_column(cell: View, view: View, number: int) -> str:
    if view["columns"][number]["kind"] == "letter" and not cell.get("text"):
        return SPLITTING_MARK
    return cell_text(cell)


def _distinct(heads: Sequence[str]) -> list[str]:
    """The heads as keys; a second one of the same name gets spaces that nobody sees."""
    found: list[str] = []
    for head in heads:
        while head in found:
            head += " "
        found.append(head)
    return found


def _choice(view: View) -> str:
    return f"{view['label']}: {view['text']}"


def _choices(view: View) -> str:
    return " · ".join(_choice(each) for each in view["choices"])


def _action(view: View) -> str:
    field = f" {view['field']}: {view['value']}" if view["field"] else ""
    why_not = f": {view['why_not']}" if view["why_not"] else ""
    return f"[{view['label']}]{field}{why_not}"


def _bars(view: View) -> str:
    rows = [
        {
            "": each["label"],
            "of it": each["text"],
            "length": "█" * max(round(each["share"] * _BAR_WIDTH), 1 if each["share"] else 0),
        }
        for each in view["bars"]
    ]
    width = max((len(row["of it"]) for row in rows), default=0)
    rows = [row | {"of it": row["of it"].rjust(width)} for row in rows]
    lines = table(rows).splitlines()[1:]
    return "\n".join([view["title"], *(f"  {line}" for line in lines)])


def _lines(view: View) -> str:
    lines = [view["title"], f"  {view['x_label']}; {view['y_label']}"]
    for each in view["series"]:
        lines.append(f"  {each['name']}")
        lines += [f"    {point['text']}" for point in each["points"]]
    return "\n".join(lines)


def _side_by_side(view: View) -> str:
    rows = [(" ", view["left_title"], view["right_title"])]
    for line in view["lines"]:
        rows.append((LINE_MARKS[line["mark"]], _words(line["left"]), _words(line["right"])))
    width = min(max(len(row[1]) for row in rows), _SIDE_WIDTH)
    lines = [line for row in rows for line in _side_lines(*row, width)]
    return "\n".join([view["summary"], *lines])


def _side_lines(sign: str, left: str, right: str, width: int) -> list[str]:
    """Both sides in one line; below each other where the left one is too long for that."""
    if len(left) <= width:
        return [f"{sign} {left:<{width}} │ {right}".rstrip()]
    below = [f"  {'':<{width}} │ {right}"] if right else []
    return [f"{sign} {left}", *below]


def _words(words: Sequence[Sequence[Any]] | None) -> str:
    return "".join(text for text, _ in words or ())


def _strips(view: View) -> str:
    width = max(map(len, view["names"]))
    lines = []
    for name, side in zip(view["names"], ("first", "second"), strict=True):
        labels = [pair[side]["label"] if pair[side] else "·" for pair in view["pairs"]]
        other = [pair["second" if side == "first" else "first"] for pair in view["pairs"]]
        widths = [
            max(len(label), len(each["label"]) if each else 1)
            for label, each in zip(labels, other, strict=True)
        ]
        padded = [label.ljust(size) for label, size in zip(labels, widths, strict=True)]
        lines.append(f"{name:<{width}}  {' '.join(padded)}".rstrip())
    return "\n".join([view["caption"], *(shortened(line, 2_000) for line in lines)])


_WRITERS: Mapping[str, Callable[[View], str]] = {
    "heading": _heading,
    "sentence": _sentence,
    "sentences": _sentences,
    "facts": _facts,
    "notice": _notice,
    "code": _code,
    "table": _table,
    "choice": _choice,
    "choices": _choices,
    "action": _action,
    "bars": _bars,
    "lines": _lines,
    "side_by_side": _side_by_side,
    "strips": _strips,
}

__all__ = ["LINE_MARKS", "MARKS", "NOTICES", "block_text", "blocks_text", "cell_text"]

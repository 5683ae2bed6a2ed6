"""Blocks in, HTML out that needs neither a script nor anything from outside. All is escaped here.

What asks for more stands there in words: on a page nobody answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from explorer.report import markup
from explorer.report.blocks import Block, views_of
from explorer.report.blocks_plot import plot_svg
from explorer.report.blocks_text import LINE_MARKS, NOTICES, cell_text
from explorer.report.graph_svg import PALETTE
from explorer.report.html import styles
from explorer.report.markup import (
    bullets,
    code_block,
    details,
    escaped,
    fact_list,
    letter,
    paragraph,
)

View = Mapping[str, Any]


def blocks_html(blocks: Sequence[Block]) -> str:
    """A fragment with its style, for the output of a notebook cell or a part of a page."""
    body = "".join(block_html(view) for view in views_of(blocks))
    style = styles("fragment.css", "report.css", "blocks.css")
    return f'<style>{style}</style><div class="explorer-report">{body}</div>'


def block_html(view: View) -> str:
    """One block, as its ``view()`` has it."""
    return _WRITERS[view["block"]](view)


def _heading(view: View) -> str:
    return f"<h3>{escaped(view['text'])}</h3>"


def _sentence(view: View) -> str:
    if view["quiet"]:
        return f'<p class="lead">{escaped(view["text"])}</p>'
    return paragraph(view["text"])


def _sentences(view: View) -> str:
    return bullets(view["texts"])


def _facts(view: View) -> str:
    return fact_list({each["label"]: each["text"] for each in view["pairs"]})


def _notice(view: View) -> str:
    text = f"{NOTICES[view['kind']]} {view['text']}"
    return f'<p class="notice {view["kind"]}">{escaped(text)}</p>'


def _code(view: View) -> str:
    body = code_block(view["source"])
    if view["folded"]:
        return details(view["title"], body)
    return paragraph(view["title"]) + body if view["title"] else body


def _table(view: View) -> str:
    title = f'<p class="caption">{escaped(view["title"])}</p>' if view["title"] else ""
    if view["empty"]:
        return title + paragraph(view["empty"])
    columns = [_column(view, number) for number in range(len(view["columns"]))]
    rows = [
        {str(number): _value(cell, view, number) for number, cell in enumerate(row["cells"])}
        for row in view["rows"]
    ]
    colours = {
        cell["text"]: cell["colour"]
        for row in view["rows"]
        for cell in row["cells"]
        if "text" in cell and "colour" in cell
    }
    more = paragraph(view["more"]) if view["more"] else ""
    return title + markup.table(rows, columns, colours) + more


def _column(view: View, number: int) -> markup.Column:
    column = view["columns"][number]
    show = None
    if column["kind"] == "bar":  # the value is the length of the bar, the text stands on it
        cells = [row["cells"][number] for row in view["rows"]]
        said = {cell["value"]: cell_text(cell) for cell in cells if "value" in cell}
        show = said.__getitem__
    return markup.Column(str(number), column["head"], show, column["kind"])


def _value(cell: View, view: View, number: int) -> Any:
    if view["columns"][number]["kind"] == "bar":
        return cell.get("value")
    return cell_text(cell)


def _choice(view: View) -> str:
    return paragraph(f"{view['label']}: {view['text']}")


def _choices(view: View) -> str:
    return paragraph(" · ".join(f"{each['label']}: {each['text']}" for each in view["choices"]))


def _action(view: View) -> str:
    field = f" {view['field']}: {view['value']}" if view["field"] else ""
    why_not = f": {view['why_not']}" if view["why_not"] else ""
    return paragraph(f"[{view['label']}]{field}{why_not}")


def _bars(view: View) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escaped(each["label"])}</th><td class="bar">'
        f'<span class="fill{_hatch(each)}" style="{_length(each)}"></span></td>'
        f'<td class="number">{escaped(each["text"])}</td></tr>'
        for each in view["bars"]
    )
    return (
        f'<p class="caption">{escaped(view["title"])}</p>'
        f'<table class="bars"><tbody>{rows}</tbody></table>'
    )


def _length(bar: View) -> str:
    width = f"width:{100 * bar['share']:.1f}%"
    if bar["colour"] is None:
        return width
    return f"{width};background:{PALETTE[bar['colour'] % len(PALETTE)]}66"


def _hatch(bar: View) -> str:
    return " hatched" if bar["colour"] is None else ""


def _lines(view: View) -> str:
    points = [
        f"{each['name']}: {point['text']}" for each in view["series"] for point in each["points"]
    ]
    return (
        f'<p class="caption">{escaped(view["title"])}</p><div class="scroll">{plot_svg(view)}</div>'
        + details("The points in words", bullets(points))
    )


def _side_by_side(view: View) -> str:
    rows = "".join(
        f'<tr class="{line["mark"]}"><td class="sign">{LINE_MARKS[line["mark"]]}</td>'
        f"{_side(line['left'])}{_side(line['right'])}</tr>"
        for line in view["lines"]
    )
    return (
        f"{paragraph(view['summary'])}"
        '<div class="scroll"><table class="pair"><thead><tr><th scope="col"></th>'
        f'<th scope="col">{escaped(view["left_title"])}</th>'
        f'<th scope="col">{escaped(view["right_title"])}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _side(words: Sequence[Sequence[Any]] | None) -> str:
    if words is None:
        return '<td class="none"></td>'
    parts = (
        f"<strong>{markup.escaped_code(text)}</strong>" if differs else markup.escaped_code(text)
        for text, differs in words
    )
    return f'<td class="line"><code>{"".join(parts)}</code></td>'


def _strips(view: View) -> str:
    rows = []
    for name, side in zip(view["names"], ("first", "second"), strict=True):
        cells = "".join(
            f"<td>{letter(pair[side]['label'], pair[side]['colour'], pair[side]['hint'])}</td>"
            if pair[side]
            else '<td title="no counterpart">·</td>'
            for pair in view["pairs"]
        )
        rows.append(f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>')
    caption = f'<p class="lead">{escaped(view["caption"])}</p>'
    body = "".join(rows)
    return f'{caption}<div class="scroll"><table class="strips"><tbody>{body}</tbody></table></div>'


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

__all__ = ["block_html", "blocks_html"]

"""A piece in, its FX source as rows out, each linked to the node that it makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import Piece
from explorer.guards.user_words import in_user_words
from explorer.report.code_choices import item_at, letter_of
from explorer.report.code_marks import value_text
from explorer.report.code_rows import Row, clean_lines, line_row
from explorer.report.code_tokens import Span, python_spans
from explorer.report.graph_parts import Naming
from explorer.report.selection import line_of, node_id
from explorer.report.source_text import piece_source
from explorer.report.wording import clean, counted, place_text
from explorer.stages.graphs import example_value, user_location

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def fx_view(compilation: Compilation, piece_index: int) -> dict[str, Any]:
    """One piece as FX source.

    Args:
        compilation: that has it.
        piece_index: of the piece.

    Returns:
        ``piece`` (its index), ``title``, ``rows``, ``problem``.

    Raises:
        ConfigError: there is no such piece.
    """
    piece = item_at(compilation.pieces, piece_index, "piece")
    naming = Naming(compilation)
    nodes = {node.name: node for node in piece.graph.nodes if node.op != "output"}
    lines = _wrapped_head(clean_lines(piece_source(compilation, piece).rstrip("\n")))
    owners = _owners(lines, nodes)
    spans = python_spans(lines)
    rows = [
        _fx_row(piece, naming, number, line, (spans[number - 1], owner))
        for number, (line, owner) in enumerate(zip(lines, owners, strict=True), start=1)
    ]
    what = f"{counted(piece.node_count, 'node')}, {counted(len(piece.inputs), 'input')}"
    title = f"piece {piece.index} · {letter_of(piece)}: {what}"
    return {"piece": piece.index, "title": title, "rows": rows, "problem": ""}


def _wrapped_head(lines: list[str]) -> list[str]:
    """The ``def`` with an input on each line, as its one line has hundreds of characters."""
    head = re.fullmatch(r"(def \w+\()(.*)(\):)", lines[0]) if lines else None
    if head is None:
        return lines
    inputs = re.findall(r'\w+(?:: "[^"]*")?', head[2])
    return [head[1], *(f"    {each}," for each in inputs), head[3], *lines[1:]]


_ASSIGNED = re.compile(r'\s+(\w+)(?:: "[^"]*")?(?: = .*|,)$')


def _owners(lines: list[str], nodes: dict[str, fx.Node]) -> list[fx.Node | None]:
    """For each line the node that it makes; for a comment the node behind it."""
    found: list[fx.Node | None] = []
    for line in reversed(lines):
        assigned = _ASSIGNED.match(line)
        node = nodes.get(assigned[1]) if assigned else None
        if node is None and line.lstrip().startswith("# File:") and found:
            node = found[-1]
        found.append(node)
    return found[::-1]


def _fx_row(
    piece: Piece,
    naming: Naming,
    number: int,
    line: str,
    known: tuple[list[Span], fx.Node | None],
) -> Row:
    spans, node = known
    if node is None:
        return line_row(number, line, spans)
    location = user_location(node)
    place = line_of(location)
    if line.lstrip().startswith("#"):
        if place is None:
            return line_row(number, line, spans)
        about = [f"The nodes below come from {clean(place_text(location))}."]
        marks: dict[str, Any] = {"lines": [list(place)], "select": ["line", list(place)]}
    else:
        name = node_id(piece, node)
        source = f", from {place_text(location)}" if location else ""
        about = [clean(f"Node {node.name}: {value_text(node, naming)}{source}.")]
        marks = {"nodes": [name], "select": ["node", name]}
        marks["lines"] = [list(place)] if place else []
        if node.op == "placeholder":  # its line is that of its first reader
            path = in_user_words(naming.path(node.name))
            about = [clean(f"Input {path}: {naming.value(example_value(node))}.")]
            marks["lines"] = []
    return line_row(number, line, spans, about=about, **marks)

"""A Compilation in, the view of its groups of equal pieces out, as blocks.

It answers why two pieces are not one: their difference in words, and their sources side by side.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from explorer.artifacts import Difference, Piece, PieceKind
from explorer.report import views
from explorer.report.blocks import (
    Block,
    Cell,
    Choice,
    Choices,
    Column,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
)
from explorer.report.side_by_side import side_by_side
from explorer.report.wording import counted, listed, seconds_text, with_short_paths

if TYPE_CHECKING:
    from explorer.compilation import Compilation
    from explorer.report.drawn_blocks import SideBySide

FIRST, SECOND = "compare_first", "compare_second"
"""Intents of the two choices; their value is the index of a piece."""

_GROUPS = (
    Column("piece", "letter"),
    Column("occurs", "number"),
    Column("pieces"),
    Column("nodes", "number"),
    Column("depends on"),
    Column("compile time", "number"),
    Column("first one spans, and its lines", "code"),
)
_DIFFERENCES = (
    Column("piece", "letter"),
    Column("and", "letter"),
    Column("differ in"),
    Column("first has", "code"),
    Column("second has", "code"),
    Column("at", "code"),
    Column("hint"),
)
_COMMENT = re.compile(r"^\s*# File: .*\n", re.M)


def dedupe_view(compilation: Compilation, pair: tuple[int, int] | None = None) -> tuple[Block, ...]:
    """The groups, why they are not one, and two pieces side by side.

    Args:
        compilation: what to show.
        pair: indices of two pieces to compare; None takes two that might be thought equal.
    """
    first, second = pair or default_pair(compilation)
    return (
        Heading("Groups of equal pieces"),
        Sentence(_summary(compilation)),
        _groups(compilation),
        *_differences(compilation),
        Heading("Compare two pieces"),
        Choices(
            (
                _choice(compilation, FIRST, "first piece", first),
                _choice(compilation, SECOND, "second piece", second),
            )
        ),
        *_comparison(compilation, first, second),
    )


def default_pair(compilation: Compilation) -> tuple[int, int]:
    """Indices of two compiled pieces of different groups that are nearest in length, if there are.

    Else of the first two compiled pieces; the same piece twice where there is one only.
    """
    uniques = compilation.unique_pieces
    pairs = [
        (abs(a.representative.node_count - b.representative.node_count), a, b)
        for number, b in enumerate(uniques[: views.MOST_DIFFERENCES])
        for a in uniques[:number]
    ]
    if pairs:
        _, a, b = min(pairs, key=lambda each: each[0])
        return a.representative.index, b.representative.index
    compiled = [each.index for each in compilation.pieces if each.kind is PieceKind.COMPILED]
    indices = compiled or [0]
    return indices[0], indices[min(1, len(indices) - 1)]


def _summary(compilation: Compilation) -> str:
    compiled = sum(piece.kind is PieceKind.COMPILED for piece in compilation.pieces)
    groups = len(compilation.unique_pieces)
    if not compilation.config.dedupe:
        return (
            f"Dedupe is switched off: each of the {counted(compiled, 'compiled piece')} is "
            "compiled on its own."
        )
    if compiled <= 1:
        return f"There is {counted(compiled, 'compiled piece')}, so nothing can be equal."
    if groups == compiled:
        return f"No two of the {counted(compiled, 'compiled piece')} are equal."
    return (
        f"{counted(compiled, 'compiled piece')} in {counted(groups, 'group')}: "
        f"{counted(compiled - groups, 'piece is', 'pieces are')} not compiled, since the artifact "
        "of an equal one serves."
    )


def _groups(compilation: Compilation) -> Table:
    colours = views.colour_of(compilation)
    rows = []
    for row in views.group_rows(compilation):
        letter = row["unique_id"]
        cells = (
            Cell(letter, colour=colours[letter]),
            Cell(f"{row['count']}×", row["count"]),
            Cell(row["pieces"]),
            Cell(str(row["nodes"]), row["nodes"]),
            Cell(row["sizes"]),
            Cell(seconds_text(row["seconds"]), row["seconds"]),
            Cell(row["modules"] or "no module", detail=row["source"]),
        )
        rows.append(Row(cells, ("unique", letter)))
    empty = "No piece is compiled: every node belongs to a splitting piece."
    return Table("", _GROUPS, tuple(rows), empty)


def _differences(compilation: Compilation) -> tuple[Block, ...]:
    if len(compilation.unique_pieces) < 2:
        return ()
    colours = views.colour_of(compilation)
    rows = []
    for row in views.difference_rows(compilation):
        a, b = row["a"], row["b"]
        cells = (
            Cell(a, colour=colours[a], target=("unique", a)),
            Cell(b, colour=colours[b], target=("unique", b)),
            *(Cell(row[name]) for name in ("kind", "in_a", "in_b", "source", "hint")),
        )
        rows.append(Row(cells))
    title = "Why each group is not the earlier one that is nearest in length"
    empty = "No difference is known: dedupe is switched off." if not rows else ""
    return (Table(title, _DIFFERENCES, tuple(rows), empty),)


def _choice(compilation: Compilation, name: str, label: str, chosen: int) -> Choice:
    options = tuple((piece.index, piece_text(piece)) for piece in compilation.pieces)
    return Choice(name, label, options, chosen)


def piece_text(piece: Piece) -> str:
    """``piece 4: B, layers.1.mlp … layers.2.attention``; a splitting one says at what."""
    what = piece.unique_id or f"splits at {listed(piece.splitting_names, 2)}"
    modules = views.modules_text(piece)
    return f"piece {piece.index}: {what}{', ' if modules else ''}{modules}"


def _comparison(compilation: Compilation, first: int, second: int) -> tuple[Block, ...]:
    if first == second:
        return (Notice("info", "This is the same piece twice: choose another one."),)
    a, b = compilation.pieces[first], compilation.pieces[second]
    found = compilation.explain_difference(a, b)
    if found:
        said: tuple[Block, ...] = (
            Notice("warning", f"Pieces {first} and {second} are not the same:"),
            Sentences(tuple(difference_text(each) for each in found)),
        )
    else:
        said = (Notice("good", _same_text(compilation, a, b)),)
    return (*said, sources_beside(compilation, a, compilation, b))


def _same_text(compilation: Compilation, a: Piece, b: Piece) -> str:
    if a.unique_id is not None and a.unique_id == b.unique_id:
        return (
            f"Pieces {a.index} and {b.index} are the same: both run the artifacts of {a.unique_id}."
        )
    if not compilation.config.dedupe and a.kind is PieceKind.COMPILED:
        return (
            f"Pieces {a.index} and {b.index} are the same, but dedupe is switched off: each has "
            "artifacts of its own."
        )
    return f"Pieces {a.index} and {b.index} are the same."


def difference_text(difference: Difference) -> str:
    """A difference in a sentence, with short paths."""
    return with_short_paths(str(difference))


def sources_beside(
    first: Compilation, a: Piece, second: Compilation, b: Piece, names: tuple[str, str] = ("", "")
) -> SideBySide:
    """Two pieces as Python source, line beside line.

    Args:
        first: the compilation of ``a``.
        a: a piece.
        second: the compilation of ``b``.
        b: another.
        names: of the compilations, for the titles.
    """
    titles = (f"{names[0]} {piece_text(a)}".strip(), f"{names[1]} {piece_text(b)}".strip())
    left, right = comparable_source(first, a), comparable_source(second, b)
    return side_by_side(titles, left, right, (_names_in(a), _names_in(b)))


def comparable_source(compilation: Compilation, piece: Piece) -> str:
    """The piece's source without the lines that say where it came from, an input per line."""
    source = _COMMENT.sub("", views.piece_source(compilation, piece))
    lines = [line for line in source.split("\n") if line.strip()]
    return "\n".join([*_signature(lines[0]), *lines[1:]]) if lines else ""


def _signature(line: str) -> list[str]:
    """``def piece(a: "f32[n, 4]", b: ...):`` with an input per line; any other line as it is."""
    found = re.match(r"^(def \w+\()(.+)(\).*:)$", line)
    if found is None:
        return [line]
    inputs = re.findall(r'\w+(?:: ?"[^"]*")?(?: ?= ?[^,]*)?', found[2])
    if ", ".join(inputs) != found[2].strip():  # written in a way that is not known
        return [line]
    return [found[1], *(f"        {each}," for each in inputs), f"    {found[3]}"]


def _names_in(piece: Piece) -> set[str]:
    """Words that are names of values, or of the piece."""
    return {piece.name, *(node.name for node in piece.graph.nodes)}


__all__ = [
    "FIRST",
    "SECOND",
    "comparable_source",
    "dedupe_view",
    "default_pair",
    "difference_text",
    "piece_text",
    "sources_beside",
]

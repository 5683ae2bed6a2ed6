"""Two compilations and their differences in, one view out: as blocks, as text and as HTML."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from explorer.artifacts import Piece, PieceKind, UniquePiece
from explorer.report import account_text, views
from explorer.report.blocks import (
    Block,
    Cell,
    Choice,
    Choices,
    Column,
    ColumnKind,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
    texts,
)
from explorer.report.blocks_html import blocks_html
from explorer.report.blocks_text import blocks_text
from explorer.report.dedupe_view import sources_beside
from explorer.report.drawn_blocks import AlignedStrips, StripCell
from explorer.report.wording import counted, listed, seconds_text

if TYPE_CHECKING:
    from explorer.compilation import Compilation
    from explorer.diff import CompilationDiff

FIRST, SECOND = "diff_first", "diff_second"
"""Intents of the choices of a unique piece of each side; their value is its letter."""

NAMES = ("before", "after")
"""What the two sides are called where they have no better names."""

_ABSENT = "absent"


def diff_view(
    before: Compilation,
    after: Compilation,
    diff: CompilationDiff,
    names: tuple[str, str] = NAMES,
    pair: tuple[str, str] | None = None,
) -> tuple[Block, ...]:
    """Both sides with what differs, their strips, and a piece of each side by side.

    Args:
        before: the first side.
        after: the second side.
        diff: of ``explorer.diff.compare(before, after)``.
        names: of the sides: ``("#1", "#2")``.
        pair: letters of a unique piece of each side; None takes two without a counterpart.
    """
    return (
        Heading(f"{names[0]} against {names[1]}"),
        Sentence(_sides(before, after, names)),
        *differences(diff, names),
        Heading("Pieces"),
        _strips(before, after, names),
        *_without_counterpart(before, after, names),
        *_compared_pieces(before, after, names, pair),
        Heading("Time"),
        *_timings(diff, names),
        *_accounts(before, after, names),
    )


def differences(diff: CompilationDiff, names: tuple[str, str] = NAMES) -> tuple[Block, ...]:
    """What can be said from the differences alone."""
    gone, new = diff.guards
    guards = [(text, "gone") for text in gone] + [(text, "new") for text in new]
    tables = (
        _side_table("Settings that differ", "setting", names, _settings(diff), "code"),
        _side_table("Artifacts that only one side has", "artifact", names, _artifacts(diff)),
        Table(
            "Conditions on sizes",
            (Column("condition", "code"), Column("now", "mark")),
            tuple(Row((Cell(text), Cell(now, mark="changed"))) for text, now in guards),
        ),
    )
    shown: list[Block] = [table for table in tables if table.rows]
    if diff.pieces:
        shown.insert(1 if diff.config else 0, Sentences(diff.pieces))
    return tuple(shown) or (Sentence("Nothing differs."),)


def _settings(diff: CompilationDiff) -> list[tuple[str, str, str]]:
    return [(name, _value(a), _value(b)) for name, (a, b) in diff.config.items()]


def _artifacts(diff: CompilationDiff) -> list[tuple[str, str, str]]:
    return [(label, a or _ABSENT, b or _ABSENT) for label, (a, b) in diff.artifacts.items()]


def _value(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    return str(getattr(value, "name", value))


def _side_table(
    title: str,
    what: str,
    names: tuple[str, str],
    rows: Sequence[tuple[str, str, str]],
    kind: ColumnKind = "text",
) -> Table:
    columns = (Column(what), Column(names[0], kind), Column(names[1], kind))
    return Table(title, columns, tuple(Row(texts(row)) for row in rows))


def _sides(before: Compilation, after: Compilation, names: tuple[str, str]) -> str:
    return (
        "; ".join(
            f"{name}: {views.facts(each)['pieces']}, {counted(len(each.artifacts), 'artifact')}"
            for name, each in zip(names, (before, after), strict=True)
        )
        + "."
    )


# --------------------------------------------------------------------------------------------- time


def _timings(diff: CompilationDiff, names: tuple[str, str]) -> tuple[Block, ...]:
    rows = tuple(
        Row((Cell(step), _seconds(a), _seconds(b))) for step, (a, b) in diff.timings.items()
    )
    return (_time_table("Wall time of each step", "step", names, rows),) if rows else ()


def _accounts(before: Compilation, after: Compilation, names: tuple[str, str]) -> tuple[Block, ...]:
    sides = [
        {row["part"]: row["seconds"] for row in account_text.account_rows(each.account)}
        for each in (before, after)
    ]
    parts = dict.fromkeys([*sides[0], *sides[1]])
    rows = tuple(
        Row((Cell(part), *(_seconds(side.get(part, 0.0)) for side in sides))) for part in parts
    )
    return (_time_table("Where the seconds went", "part", names, rows),) if rows else ()


def _time_table(title: str, what: str, names: tuple[str, str], rows: tuple[Row, ...]) -> Table:
    columns = (Column(what), Column(names[0], "number"), Column(names[1], "number"))
    return Table(title, columns, rows)


def _seconds(seconds: float) -> Cell:
    return Cell(seconds_text(seconds) if seconds else "not run", seconds)


# ------------------------------------------------------------------------------------------- pieces


def _key_of(compilation: Compilation, piece: Piece) -> Hashable:
    """Equal for pieces that do the same, whatever they are called."""
    if piece.kind is PieceKind.SPLITTING:
        return piece.splitting_names
    return _fingerprints(compilation)[piece.unique_id or ""]


def _fingerprints(compilation: Compilation) -> dict[str, str]:
    return {each.unique_id: each.fingerprint for each in compilation.unique_pieces}


def aligned(before: Compilation, after: Compilation) -> list[tuple[Piece | None, Piece | None]]:
    """The pieces of both in order, equal ones together; None where a side has no counterpart."""
    keys = [[_key_of(side, piece) for piece in side.pieces] for side in (before, after)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    found: list[tuple[Piece | None, Piece | None]] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        ours, theirs = before.pieces[a:b], after.pieces[c:d]
        if kind == "equal":
            found += zip(ours, theirs, strict=True)
        else:
            found += [(piece, None) for piece in ours] + [(None, piece) for piece in theirs]
    return found


def _strips(before: Compilation, after: Compilation, names: tuple[str, str]) -> AlignedStrips:
    colour_of = _colours(before, after)
    prints = (_fingerprints(before), _fingerprints(after))

    def cell(piece: Piece | None, side: int) -> StripCell | None:
        if piece is None:
            return None
        what = piece.unique_id or f"splits at {listed(piece.splitting_names, 2)}"
        text = f"{names[side]} piece {piece.index}: {what}"
        colour = colour_of.get(prints[side].get(piece.unique_id or "", ""))
        return StripCell(views.piece_label(piece), colour, text)

    pairs = tuple((cell(a, 0), cell(b, 1)) for a, b in aligned(before, after))
    return AlignedStrips(names, pairs)


def _colours(before: Compilation, after: Compilation) -> dict[str, int]:
    """Fingerprint -> number of a colour: equal pieces have one colour, whatever their letters."""
    found = [each.fingerprint for side in (before, after) for each in side.unique_pieces]
    return {fingerprint: number for number, fingerprint in enumerate(dict.fromkeys(found))}


def _without_counterpart(
    before: Compilation, after: Compilation, names: tuple[str, str]
) -> tuple[Block, ...]:
    pairs = aligned(before, after)
    alone = (
        [a for a, b in pairs if b is None and a is not None],
        [b for a, b in pairs if a is None and b is not None],
    )
    found = []
    for side, pieces in enumerate(alone):
        if pieces:
            indices = views.indices_text([piece.index for piece in pieces])
            found.append(
                f"{counted(len(pieces), 'piece')} of {names[side]} "
                f"{'has' if len(pieces) == 1 else 'have'} no counterpart in {names[1 - side]}: "
                f"{indices}."
            )
    if not found:
        return (Sentence("Each piece has a counterpart on the other side, in the same order."),)
    return (Sentences(tuple(found)),)


def _compared_pieces(
    before: Compilation,
    after: Compilation,
    names: tuple[str, str],
    pair: tuple[str, str] | None,
) -> tuple[Block, ...]:
    sides = ([*before.unique_pieces], [*after.unique_pieces])
    if not sides[0] or not sides[1]:
        return ()
    first, second = _chosen(sides, pair)
    choices = tuple(
        Choice(name, f"piece of {side}", tuple((u.unique_id, unique_text(u)) for u in own), chosen)
        for name, side, own, chosen in zip(
            (FIRST, SECOND), names, sides, (first.unique_id, second.unique_id), strict=True
        )
    )
    if first.fingerprint == second.fingerprint:
        text = f"{first.unique_id} of {names[0]} and {second.unique_id} of {names[1]} are the same."
        said: Block = Notice("good", text)
    else:
        said = Notice("warning", "They are not the same; the lines that differ are marked.")
    beside = sources_beside(before, first.representative, after, second.representative, names)
    return (Heading("Compare two pieces"), Choices(choices), said, beside)


def default_pair(before: Compilation, after: Compilation) -> tuple[str, str]:
    """Letters of the two unique pieces that ``diff_view`` compares when none are given."""
    first, second = _chosen(([*before.unique_pieces], [*after.unique_pieces]), None)
    return first.unique_id, second.unique_id


def unique_text(unique: UniquePiece) -> str:
    """``B, 11× of 50 nodes``."""
    nodes = counted(unique.representative.node_count, "node")
    return f"{unique.unique_id}, {len(unique.piece_indices)}× of {nodes}"


def _chosen(
    sides: tuple[list[UniquePiece], list[UniquePiece]], pair: tuple[str, str] | None
) -> tuple[UniquePiece, UniquePiece]:
    """The pieces of these letters, else two that have no counterpart, else the first of each."""
    by_letter = [{each.unique_id: each for each in own} for own in sides]
    if pair is not None and pair[0] in by_letter[0] and pair[1] in by_letter[1]:
        return by_letter[0][pair[0]], by_letter[1][pair[1]]
    prints = [{each.fingerprint for each in own} for own in sides]
    alone = [
        [each for each in own if each.fingerprint not in prints[1 - side]] or own
        for side, own in enumerate(sides)
    ]
    first = alone[0][0]
    nodes = first.representative.node_count
    return first, min(alone[1], key=lambda each: abs(each.representative.node_count - nodes))


# -------------------------------------------------------------------------------------------- forms


def _blocks(diff: CompilationDiff, names: tuple[str, str]) -> tuple[Block, ...]:
    if diff.before is None or diff.after is None:
        return differences(diff, names)
    return diff_view(diff.before, diff.after, diff, names)


def diff_text(diff: CompilationDiff, names: tuple[str, str] = NAMES) -> str:
    """All of it as text."""
    return blocks_text(_blocks(diff, names))


def diff_html(diff: CompilationDiff, names: tuple[str, str] = NAMES) -> str:
    """All of it as HTML, for the output of a notebook cell."""
    return blocks_html(_blocks(diff, names))


__all__ = [
    "FIRST",
    "NAMES",
    "SECOND",
    "aligned",
    "default_pair",
    "diff_html",
    "diff_text",
    "diff_view",
    "differences",
]

"""UniquePieces or a SplitGraph in, the whole cut graph out as Python source: pieces and parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer.artifacts import (
    ComputedSize,
    InputKind,
    Literal,
    Piece,
    PieceKind,
    SplitGraph,
    UniquePieces,
)
from explorer.guards.expression import UnknownExpression, python_source
from explorer.report.wording import clean, counted, listed


def split_source(unique: UniquePieces) -> str:
    """The function that calls the pieces in order, then every piece once, for reading."""
    parent = parent_source(unique.split, unique.pieces, "forward")
    return parent + "".join(f"\n\n{each.readable()}" for each in unique.pieces)


def parent_source(
    split: SplitGraph,
    pieces: Sequence[Piece],
    name: str,
    function_of: Mapping[str, str] | None = None,
) -> str:
    """A function of the graph's inputs that calls the pieces in order.

    Args:
        split: the cut graph.
        pieces: its pieces, with their ``unique_id`` where they are deduped.
        name: of the function.
        function_of: piece name -> what to call instead of the piece's own name.
    """
    called = {piece.name: piece.name for piece in pieces} | dict(function_of or {})
    lines = [f"# {_counts(split, pieces)}", f"def {name}("]
    lines += [
        f"    {each.name},  # {clean(each.path)}"
        + ("" if each.kind is InputKind.USER else f" ({each.kind.value})")
        for each in split.normalised.inputs
    ]
    lines.append("):")
    for piece in pieces:
        lines.append(f"    # {heading(piece)}")
        targets = "".join(f"{each}, " for each in piece.outputs).rstrip()
        call = f"{called[piece.name]}({', '.join(piece.inputs)})"
        lines.append(f"    {f'({targets}) = ' if targets else ''}{call}")
    returned = "".join(f"{_output(value)}, " for value in split.outputs).rstrip()
    lines.append(f"    return ({returned})")
    return "\n".join(lines) + "\n"


def _counts(split: SplitGraph, pieces: Sequence[Piece]) -> str:
    splitting = [piece for piece in pieces if piece.kind is PieceKind.SPLITTING]
    names = dict.fromkeys(clean(name) for piece in splitting for name in piece.splitting_names)
    sizes = listed([f"{s.name} = {s.label}" for s in split.normalised.captured.sizes], 4)
    return clean(
        f"{counted(len(pieces), 'piece')}, {len(pieces) - len(splitting)} compiled, "
        f"{len(splitting)} splitting at {listed(names, 3) or 'nothing'}; "
        f"{sizes or 'no dynamic size'}"
    )


def heading(piece: Piece) -> str:
    """One line about a piece: what it is and which modules it came from."""
    kind = f"compiled {piece.unique_id or ''}".strip()
    if piece.kind is PieceKind.SPLITTING:
        kind = f"splits at {listed(piece.splitting_names, 3)}"
    modules = f" · {listed(piece.modules, 2)}" if piece.modules else ""
    return clean(f"{piece.name} · {kind} · {counted(piece.node_count, 'node')}{modules}")


def _output(value: Any) -> str:
    if isinstance(value, Literal):
        return repr(value.value)
    if isinstance(value, ComputedSize):
        try:
            return python_source(value.expression, value.names)
        except UnknownExpression:
            return repr(str(value.expression))
    return str(value)

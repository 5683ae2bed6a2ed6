"""Step 4: UniquePieces, and in words why two pieces differ."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.artifacts.common import SourceLocation
from explorer.artifacts.pieces import Piece, PieceKind, SplitGraph


@dataclass(frozen=True)
class Difference:
    """One way in which two pieces differ.

    Attributes:
        kind: ``call``, ``constant``, ``argument``, ``input``, ``output``, ``dtype``, ``device``,
            ``shape``, ``stride``, ``storage offset``, ``layout``, ``value``, ``alias``, ``symbol``,
            ``guard`` or ``kind``.
        a: what the first piece has.
        b: what the second has.
        source_lines: where in the user's code, first piece then second.
        hint: what to do about it, or empty.
    """

    kind: str
    a: str
    b: str
    source_lines: tuple[SourceLocation, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        places = " and ".join(dict.fromkeys(str(line) for line in self.source_lines))
        where = f" ({places})" if places else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"The {self.kind} differs: {self.a} against {self.b}{where}.{hint}"


@dataclass(frozen=True, eq=False, repr=False)
class UniquePiece:
    """Pieces that share one artifact per size range.

    Attributes:
        unique_id: ``A``, ``B`` ... ``Z``, ``AA`` ... in order of first appearance.
        fingerprint: sha256 of the canonical record, 64 hex digits.
        piece_indices: the pieces in the group, ascending.
        representative: the first of them; it is what gets compiled.
    """

    unique_id: str
    fingerprint: str
    piece_indices: tuple[int, ...]
    representative: Piece

    @property
    def size_names(self) -> tuple[str, ...]:
        """Names of the dynamic sizes that the group depends on."""
        return self.representative.size_names

    def __repr__(self) -> str:
        return f"<unique {self.unique_id} x {len(self.piece_indices)}>"


@dataclass(frozen=True, eq=False, repr=False)
class UniquePieces:
    """Step 4: groups of identical compiled pieces.

    Attributes:
        split: the step before.
        pieces: the pieces, now with their ``unique_id``.
        unique_pieces: the groups, in order of first appearance.
    """

    split: SplitGraph
    pieces: tuple[Piece, ...]
    unique_pieces: tuple[UniquePiece, ...]

    def summary(self) -> str:
        """One line."""
        compiled = sum(piece.kind is PieceKind.COMPILED for piece in self.pieces)
        return f"deduped {compiled} compiled pieces to {len(self.unique_pieces)} unique"

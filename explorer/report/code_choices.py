"""A Compilation in, the pieces and artifacts whose code can be looked at out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.artifacts import Piece, PieceKind
from explorer.errors import ConfigError
from explorer.report.folding import SPLITTING_MARK
from explorer.report.views import colour_of
from explorer.report.wording import clean, counted, listed, range_text

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def choices(compilation: Compilation) -> dict[str, Any]:
    """``pieces`` and ``artifacts`` to choose from, and those to begin with."""
    pieces = compilation.pieces
    compiled = [each.index for each in pieces if each.kind is PieceKind.COMPILED]
    colours = colour_of(compilation)
    artifacts = artifact_groups(compilation)
    return {
        "pieces": [
            {
                "index": each.index,
                "label": f"piece {each.index} · {letter_of(each)}",
                "colour": colours.get(each.unique_id or ""),
            }
            for each in pieces
        ],
        "artifacts": artifacts,
        "first_piece": compiled[0] if compiled else (pieces[0].index if pieces else None),
        "first_artifact": artifacts[0]["index"] if artifacts else None,
    }


def letter_of(piece: Piece) -> str:
    """``B``; of a splitting piece where it splits."""
    if piece.kind is PieceKind.SPLITTING:
        return f"{SPLITTING_MARK} {clean(listed(piece.splitting_names, 2))}"
    return piece.unique_id or ""


def artifact_groups(compilation: Compilation) -> list[dict[str, Any]]:
    """The artifacts, those of one piece and equal code as one.

    ``index`` (of the first one), ``unique_id``, ``artifacts`` (indices), ``label``, ``colour``.
    """
    colours = colour_of(compilation)
    groups: dict[tuple[str, str], list[int]] = {}
    for index, artifact in enumerate(compilation.artifacts):
        groups.setdefault((artifact.unique_id, artifact.generated_code()), []).append(index)
    found = []
    for (unique_id, _), indices in groups.items():
        ranges = [range_text(compilation.artifacts[index].size_range) for index in indices]
        found.append(
            {
                "index": indices[0],
                "unique_id": unique_id,
                "artifacts": indices,
                "label": f"{unique_id} · {listed(ranges, 4)}",
                "colour": colours.get(unique_id),
            }
        )
    return found


def item_at(items: tuple[Any, ...], index: Any, what: str) -> Any:
    """One of the items.

    Raises:
        ConfigError: there is none at that place.
    """
    is_index = isinstance(index, int) and not isinstance(index, bool)
    if not is_index or not 0 <= index < len(items):
        raise ConfigError(
            f"There is no {what} {clean(index)} in this compilation, which has "
            f"{counted(len(items), what)}: choose one that its views show."
        )
    return items[index]

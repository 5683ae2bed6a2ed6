"""The pieces of a model in a row, as plain data: cells, their legend, and the row in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts import PieceKind, UniquePieces
from explorer.planned_compilation import PlannedCompilation
from explorer.report.folding import SPLITTING_MARK
from explorer.report.views import colour_of, strip_cells, strip_runs
from explorer.report.wording import counted, label_of

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_IN_LEGEND = 12
"""Unique pieces that the legend names one by one."""

_TITLE_WIDTH = 200
_WORDS_WIDTH = 240


def strip_view(source: Compilation | PlannedCompilation | UniquePieces) -> dict[str, Any]:
    """The strip of a compilation, or of a split that is planned and not compiled yet.

    Returns:
        ``cells``: ``index label unique_id colour nodes title``, in order; ``legend``: ``unique_id
        label colour text title`` of each unique piece, then of all splitting ones together;
        ``more``: how many unique pieces the legend leaves out, in words; ``words``: the strip with
        repeated bodies folded; ``text``: one sentence; ``planned``: whether it is a plan.
    """
    planned = isinstance(source, PlannedCompilation)
    unique = source.unique if not isinstance(source, UniquePieces) else source
    splitting = sum(piece.kind is PieceKind.SPLITTING for piece in unique.pieces)
    shown = unique.unique_pieces[:MOST_IN_LEGEND]
    more = len(unique.unique_pieces) - len(shown)
    text = (
        f"{counted(len(unique.pieces), 'piece')}, "
        f"{len(unique.pieces) - splitting} compiled ({len(unique.unique_pieces)} unique), "
        f"{splitting} splitting"
    )
    return {
        "cells": [_cell(cell) for cell in strip_cells(unique)],
        "legend": _legend(unique, splitting),
        "more": f"and {more:,} more" if more else "",
        "words": label_of(" ".join(map(str, strip_runs(unique))), _WORDS_WIDTH),
        "text": f"planned, not compiled yet: {text}" if planned else text,
        "planned": planned,
    }


def strip_text(view: Mapping[str, Any]) -> str:
    """What ``strip_view`` shows, as three lines of text."""
    legend = "  ".join(f"{each['label']} {each['text']}" for each in view["legend"])
    return f"{view['text']}\n{view['words']}\n{legend} {view['more']}".rstrip()


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    is_splitting = cell["colour"] is None
    return {
        "index": cell["index"],
        "label": SPLITTING_MARK if is_splitting else cell["label"],
        "unique_id": None if is_splitting else cell["label"],
        "colour": cell["colour"],
        "nodes": cell["nodes"],
        "title": label_of(cell["title"], _TITLE_WIDTH),
    }


def _legend(unique: UniquePieces, splitting: int) -> list[dict[str, Any]]:
    colours = colour_of(unique)
    found: list[dict[str, Any]] = []
    for each in unique.unique_pieces[:MOST_IN_LEGEND]:
        count, nodes = len(each.piece_indices), each.representative.node_count
        found.append(
            {
                "unique_id": each.unique_id,
                "label": each.unique_id,
                "colour": colours[each.unique_id],
                "text": f"{count}×",
                "title": f"unique piece {each.unique_id}: occurs {count}×, "
                f"{counted(nodes, 'node')}",
            }
        )
    if splitting:
        found.append(
            {
                "unique_id": None,
                "label": SPLITTING_MARK,
                "colour": None,
                "text": f"split {splitting}×",
                "title": f"{counted(splitting, 'splitting piece')}, run as the model wrote them",
            }
        )
    return found

"""An artifact in, its generated code as rows out, linked to nodes and lines where known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import Artifact, Piece
from explorer.report.code_choices import artifact_groups, item_at
from explorer.report.code_rows import MOST_NODES, Row, clean_lines, fold_row, line_row
from explorer.report.code_tokens import CPP, PYTHON, Span, line_spans, python_spans
from explorer.report.generated_code import MOST_LINES, Attribution, attributed
from explorer.report.selection import node_id
from explorer.report.wording import clean, counted, lines_text, listed
from explorer.stages.graphs import user_location

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def generated_view(compilation: Compilation, artifact_index: int) -> dict[str, Any]:
    """The generated code of one artifact, its parts linked to nodes and lines where known.

    Args:
        compilation: that has it.
        artifact_index: in ``Compilation.artifacts``.

    Returns:
        ``artifact`` (its index), ``artifacts`` (all with the same code), ``unique_id``, ``title``,
        ``rows`` (``block`` is where in ``blocks`` is what a row is linked to), ``blocks``,
        ``problem`` (a sentence where there is no code), ``note``.

    Raises:
        ConfigError: there is no such artifact.
    """
    artifact = item_at(compilation.artifacts, artifact_index, "artifact")
    group = next(g for g in artifact_groups(compilation) if artifact_index in g["artifacts"])
    code = artifact.generated_code().strip("\n")
    rows, blocks = _generated_rows(compilation, artifact, code) if code else ([], [])
    linked = sum("block" in row for row in rows)
    return {
        "artifact": artifact_index,
        "artifacts": group["artifacts"],
        "unique_id": artifact.unique_id,
        "title": f"{group['label']}: {counted(len(rows), 'line')}, {linked:,} linked to nodes",
        "rows": rows,
        "blocks": blocks,
        "problem": "" if code else _no_code(artifact),
        "note": INFERRED if any(block["inferred"] for block in blocks) else "",
    }


INFERRED = (
    "Inductor names the nodes of its calls, but not of C++ kernels: theirs (≈) are found by the "
    "ops in the kernel's name."
)


def _no_code(artifact: Artifact) -> str:
    return f"The backend {clean(artifact.backend)} does not say what code it generated."


def _generated_rows(
    compilation: Compilation, artifact: Artifact, code: str
) -> tuple[list[Row], list[Row]]:
    """The rows, and what they are linked to: many rows, those of a kernel, have that in common."""
    unique = {each.unique_id: each for each in compilation.unique_pieces}[artifact.unique_id]
    lines = clean_lines(code)
    found = attributed(lines, unique.representative.graph)
    spans = _generated_spans(lines, found)
    blocks: dict[tuple[tuple[fx.Node, ...], bool], int] = {}
    rows = []
    for at, line in enumerate(lines[:MOST_LINES]):
        row = line_row(at + 1, line, spans[at])
        if at in found.nodes:
            key = (found.nodes[at], at in found.inferred)
            row["block"] = blocks.setdefault(key, len(blocks))
        rows.append(row)
    left_out = len(lines) - MOST_LINES
    rows += [fold_row(left_out)] if left_out > 0 else []
    return rows, [_block(unique.representative, *key) for key in blocks]


def _generated_spans(lines: list[str], found: Attribution) -> list[list[Span]]:
    """Python, but for the kernels: those are strings to Python."""
    spans = python_spans(lines)
    for block in found.kernels:
        keywords = CPP if block.is_cpp else PYTHON
        for at in range(block.first, block.last):
            spans[at] = line_spans(lines[at], keywords)
    return spans


def _block(piece: Piece, nodes: tuple[fx.Node, ...], is_inferred: bool) -> Row:
    """What rows of generated code that came from the same nodes have in common."""
    locations = [place for node in nodes if (place := user_location(node)) is not None]
    lines = dict.fromkeys((place.file, place.line) for place in locations)
    names = listed([node.name for node in nodes], 8)
    where = f", {lines_text(locations)}" if locations else ""
    return {
        "nodes": [node_id(piece, node) for node in nodes][:MOST_NODES],
        "lines": [list(line) for line in lines],
        "inferred": is_inferred,
        "about": [clean(f"{'Probably from' if is_inferred else 'From'} {names}{where}.")],
        "select": ["node", node_id(piece, nodes[-1])],
    }

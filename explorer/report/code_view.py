"""A Compilation in, its code as rows out: the user's files, a piece as FX, generated code.

``code_rows`` says what a row holds. All texts are clean: no control characters, no direction marks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import Artifact, Piece, PieceKind
from explorer.errors import ConfigError
from explorer.guards.user_words import in_user_words
from explorer.report.code_files import SourceFile, regions, source_file
from explorer.report.code_marks import Mark, Marks, letter_text, letters_of, value_text
from explorer.report.code_rows import (
    MOST_NODES,
    Row,
    clean_lines,
    fold_row,
    line_row,
    other_row,
)
from explorer.report.code_tokens import CPP, PYTHON, Span, line_spans, python_spans
from explorer.report.code_words import about_line
from explorer.report.generated_code import MOST_LINES, Attribution, attributed
from explorer.report.graph_parts import Naming
from explorer.report.selection import line_of, node_id
from explorer.report.source_text import piece_source
from explorer.report.views import colour_of
from explorer.report.wording import (
    clean,
    counted,
    lines_text,
    listed,
    place_text,
    range_text,
    short_path,
)
from explorer.stages.graphs import example_value, user_location

if TYPE_CHECKING:
    from explorer.compilation import Compilation

NO_SOURCE = (
    "No node of this graph says which line it came from: there is no source to show beside it."
)


# ------------------------------------------------------------------------------------ user's files


def code_view(compilation: Compilation) -> dict[str, Any]:
    """The user's files that the graph came from, with what happened at each line.

    Returns:
        ``rows`` of all files, ``files`` (``file path row problem`` each, ``row`` is where it
        begins), ``problem`` (a sentence where there is nothing to show), ``pieces`` and
        ``artifacts`` to choose from in the other panes (``index label pieces`` each), and in which
        piece and artifact those begin.
    """
    marks = Marks(compilation)
    files = {file: source_file(file, marks.texts[file]) for file in marks.texts}
    marks.leave_out(file for file, source in files.items() if source.lines)
    rows: list[Row] = []
    listing = []
    for file, source in files.items():
        listing.append({"file": file, "path": clean(short_path(file)), "row": len(rows)})
        own = {line: mark for (name, line), mark in marks.at.items() if name == file}
        rows += _file_rows(compilation, source, own, marks.texts[file])
    return {
        "files": listing,
        "rows": rows,
        "problem": "" if rows else NO_SOURCE,
        **_choices(compilation),
    }


def _file_rows(
    compilation: Compilation, source: SourceFile, marks: dict[int, Mark], known: dict[int, str]
) -> list[Row]:
    rows = [other_row("file", short_path(source.file), file=source.file)]
    for text in (source.problem, source.note):
        rows += [other_row("note", text)] if text else []
    if not source.lines:
        numbers = [number for number, mark in sorted(marks.items()) if _is_known(mark)]
        texts = [clean(known.get(number, "")) for number in numbers]
        parts = [(number, number) for number in numbers]
        lines = dict(zip(numbers, texts, strict=True))
        spans = {number: line_spans(lines[number], PYTHON) for number in numbers}
        total = 0
    else:
        all_lines = clean_lines("".join(source.lines))[: len(source.lines)]
        parts = regions(source.file, source.lines, [n for n, m in marks.items() if _is_known(m)])
        lines = dict(enumerate(all_lines, start=1))
        spans = dict(enumerate(python_spans(all_lines), start=1))
        total = len(all_lines)
    end = 0
    for first, last in parts:
        rows += [fold_row(first - end - 1)] if first - end > 1 and total else []
        for number in range(first, last + 1):
            mark = marks.get(number)
            rows.append(_code_row(compilation, source, number, lines[number], spans[number], mark))
        end = last
    return rows + ([fold_row(total - end)] if total > end else [])


def _is_known(mark: Mark) -> bool:
    return bool(mark.nodes or mark.guards or mark.sites or mark.ran)


def _code_row(
    compilation: Compilation,
    source: SourceFile,
    number: int,
    text: str,
    spans: list[Span],
    mark: Mark | None,
) -> Row:
    text = text or ("" if source.lines else "(text not known)")
    if mark is None:
        return line_row(number, text, spans)
    letters = letters_of(compilation, mark.pieces)
    about = about_line(compilation, mark, letters, is_text_known=bool(source.lines))
    place = [source.file, number]
    is_linked = bool(mark.nodes or mark.guards or mark.sites)
    return line_row(
        number,
        text,
        spans,
        lines=[place] if is_linked else [],
        nodes=mark.nodes[:MOST_NODES],
        count=len(mark.nodes),
        pieces=list(mark.pieces),
        letters=letters,
        guards=mark.guards,
        sites=mark.sites,
        ran=mark.ran,
        about=about,
        select=["line", place] if is_linked else None,
    )


# ---------------------------------------------------------------------------------- what to choose


def _choices(compilation: Compilation) -> dict[str, Any]:
    pieces = compilation.pieces
    compiled = [each.index for each in pieces if each.kind is PieceKind.COMPILED]
    colours = colour_of(compilation)
    artifacts = artifact_groups(compilation)
    return {
        "pieces": [
            {
                "index": each.index,
                "label": f"piece {each.index} · {_letter_of(each)}",
                "colour": colours.get(each.unique_id or ""),
            }
            for each in pieces
        ],
        "artifacts": artifacts,
        "first_piece": compiled[0] if compiled else (pieces[0].index if pieces else None),
        "first_artifact": artifacts[0]["index"] if artifacts else None,
    }


def _letter_of(piece: Piece) -> str:
    if piece.kind is PieceKind.SPLITTING:
        return f"▨ {clean(listed(piece.splitting_names, 2))}"
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


# ---------------------------------------------------------------------------------------------- FX


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
    piece = _item(compilation.pieces, piece_index, "piece")
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
    title = f"piece {piece.index} · {_letter_of(piece)}: {what}"
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


# --------------------------------------------------------------------------------- generated code


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
    artifact = _item(compilation.artifacts, artifact_index, "artifact")
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
        "lines": [
            [file, line] for file, line in dict.fromkeys((p.file, p.line) for p in locations)
        ],
        "inferred": is_inferred,
        "about": [clean(f"{'Probably from' if is_inferred else 'From'} {names}{where}.")],
        "select": ["node", node_id(piece, nodes[-1])],
    }


def _item(items: tuple[Any, ...], index: Any, what: str) -> Any:
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


__all__ = [
    "INFERRED",
    "NO_SOURCE",
    "artifact_groups",
    "code_view",
    "fx_view",
    "generated_view",
    "letter_text",
]

"""A Compilation in, its code as rows out: the user's files, a piece as FX, generated code.

``code_rows`` says what a row holds. All texts are clean: no control characters, no direction marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.report.code_choices import artifact_groups, choices
from explorer.report.code_files import SourceFile, regions, source_file
from explorer.report.code_marks import Mark, Marks, letters_of
from explorer.report.code_rows import MOST_NODES, Row, clean_lines, fold_row, line_row, other_row
from explorer.report.code_tokens import PYTHON, Span, line_spans, python_spans
from explorer.report.code_words import about_nodes, about_tests
from explorer.report.fx_view import fx_view
from explorer.report.generated_view import generated_view
from explorer.report.wording import clean, counted, short_path

if TYPE_CHECKING:
    from explorer.compilation import Compilation

NO_SOURCE = (
    "No node of this graph says which line it came from: there is no source to show beside it."
)


# ------------------------------------------------------------------------------------ user's files


def code_view(compilation: Compilation) -> dict[str, Any]:
    """The user's files that the graph came from, with what happened at each line.

    Returns:
        ``rows`` of all files, ``files`` (``file path row`` each, ``row`` is where it begins),
        ``problem`` (a sentence where there is nothing to show), ``note``, ``pieces`` (``index
        label colour`` each) and ``artifacts`` (as of ``artifact_groups``) to choose from in the
        other panes, and ``first_piece`` and ``first_artifact``, in which those begin.
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
        "note": _placeless_text(marks, compilation),
        **choices(compilation),
    }


def _placeless_text(marks: Marks, compilation: Compilation) -> str:
    count = len(marks.placeless)
    total = sum(piece.node_count for piece in compilation.pieces)
    if not count:
        return ""
    return (
        f"Of {counted(total, 'node')}, {count:,} {'does' if count == 1 else 'do'} not say from "
        "which line: torch keeps none of its own code, and of code without a source."
    )


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
    tests = about_tests(compilation, mark, is_text_known=bool(source.lines))
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
        about=[*tests, *about_nodes(mark, letters)],
        decided=len(tests),
        select=["line", place] if is_linked else None,
    )


__all__ = ["NO_SOURCE", "artifact_groups", "code_view", "fx_view", "generated_view"]

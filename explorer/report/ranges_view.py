"""A Compilation in, the view of its size ranges out: what serves what, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.artifacts import Artifact, ArtifactOrigin
from explorer.report import account_text, views
from explorer.report.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
)
from explorer.report.drawn_blocks import Bar, Bars
from explorer.report.kernel_count import kernels_of
from explorer.report.wording import bytes_text, counted, listed, range_text, seconds_text

if TYPE_CHECKING:
    from explorer.compilation import Compilation
    from explorer.size_range import SizeRange

MOST_DIFFS = 12
"""Differences of generated code that are shown."""

_ORIGINS = {
    ArtifactOrigin.COMPILED: "compiled now",
    ArtifactOrigin.MEMORY: "reused from memory",
    ArtifactOrigin.STORE: "loaded from the store",
}
_ARTIFACTS = (
    Column("piece", "letter"),
    Column("sizes"),
    Column("part of"),
    Column("compile time", "bar"),
    Column("size", "number"),
    Column("kernels", "number"),
    Column("origin"),
    Column("same code as"),
    Column("right only where", "code"),
    Column("notes"),
)


def ranges_view(compilation: Compilation) -> tuple[Block, ...]:
    """Pieces against ranges, each artifact, what the ranges changed, and where the seconds went."""
    return (
        Heading("Artifacts by piece and size"),
        Sentence(_summary(compilation)),
        *_matrix(compilation),
        *_skipped(compilation),
        Heading("What serves a call"),
        Sentence(_dispatch_sentence(compilation), quiet=True),
        _dispatch_table(compilation),
        Heading("What the ranges changed in the code"),
        *_range_differences(compilation),
        Heading("Where the seconds went"),
        *_account(compilation),
        Heading("Every artifact"),
        _artifacts(compilation),
    )


def origin_text(artifact: Artifact) -> str:
    """``compiled now``, or where it was taken from."""
    text = _ORIGINS[artifact.origin]
    return f"{text}, code from torch's cache" if artifact.from_torch_cache else text


def _summary(compilation: Compilation) -> str:
    count = counted(len(compilation.artifacts), "artifact")
    if compilation.compiled.dispatch is None:
        return f"{count}: no size is dynamic, so that each piece has one for all calls."
    return f"{count} for {views.ranges_text(compilation)}."


def _matrix(compilation: Compilation) -> tuple[Block, ...]:
    """A row per unique piece, a column per range; seconds, and below them bytes and kernels."""
    ranges = _columns(compilation)
    numbers = {id(each): n for n, each in enumerate(compilation.artifacts)}
    own = {(each.unique_id, each.size_range): each for each in compilation.artifacts}
    colours, same = views.colour_of(compilation), _same_code(compilation)
    rows = []
    for unique in compilation.unique_pieces:
        letter = unique.unique_id
        cells = [Cell(letter, colour=colours[letter])]
        for size_range in ranges:
            artifact = own.get((letter, size_range))
            if artifact is None:
                cells.append(Cell(_absent(compilation, letter), None))
            else:
                twins = same.get((letter, size_range), "")
                cells.append(_matrix_cell(artifact, numbers[id(artifact)], twins))
        rows.append(Row(tuple(cells), ("unique", letter)))
    columns = [Column("piece", "letter"), *(Column(range_text(each), "number") for each in ranges)]
    table = Table("Compile time, size, kernels", tuple(columns), tuple(rows), _NO_ARTIFACT)
    how = (
        "Each cell: the time that compiling took, or where the artifact came from; then its "
        "size on disk and the kernels in its code. = marks code that is equal to that of other "
        "sizes of the same piece."
    )
    return (table, Sentence(how, quiet=True)) if rows else (table,)


_NO_ARTIFACT = "There is no artifact: nothing was compiled."


def _columns(compilation: Compilation) -> list[SizeRange | None]:
    """The sizes that artifacts serve: ranges ascending, then exact sizes, then any size."""
    found = dict.fromkeys(each.size_range for each in compilation.artifacts)
    known = [each for each in found if each is not None]
    ordered = sorted(known, key=lambda each: (each.is_single_size, each.start, each.end))
    return [*ordered, *([None] if None in found else [])]


def _matrix_cell(artifact: Artifact, number: int, twins: str) -> Cell:
    parts = [bytes_text(artifact.bytes)] if artifact.bytes is not None else []
    kernels = kernels_of(artifact)
    parts += [str(kernels)] if kernels is not None else []
    parts += [f"as for {twins}"] if twins else []
    made_now = artifact.origin is ArtifactOrigin.COMPILED
    text = seconds_text(artifact.seconds) if made_now else artifact.origin.value
    return Cell(
        text,
        artifact.seconds,
        detail=", ".join(parts),
        target=("artifact", number),
        mark="same" if twins else "",
    )


def _absent(compilation: Compilation, letter: str) -> str:
    """A piece that does not depend on the size has one artifact for all of them."""
    own = [each for each in compilation.artifacts if each.unique_id == letter]
    return "any size" if any(each.size_range is None for each in own) else "–"


def _same_code(compilation: Compilation) -> dict[tuple[str, SizeRange | None], str]:
    """(unique id, range) -> the other ranges with the same code."""
    found: dict[tuple[str, SizeRange | None], str] = {}
    for letter, ranges in compilation.compiled.same_code:
        for each in ranges:
            found[letter, each] = listed([range_text(r) for r in ranges if r != each], 3)
    return found


def _skipped(compilation: Compilation) -> tuple[Block, ...]:
    rows = views.skipped_rows(compilation)
    return tuple(
        Notice("warning", f"{row['size_range']} is not compiled: {row['reason']}") for row in rows
    )


# ----------------------------------------------------------------------------------------- dispatch


def _dispatch_sentence(compilation: Compilation) -> str:
    dispatch = compilation.compiled.dispatch
    if dispatch is None:
        return "Every call runs the same function: no size is dynamic."
    return (
        f"{dispatch.name} is read once per call, from {dispatch.label}; the first row that has it "
        "serves the call, exact sizes before ranges."
    )


def _dispatch_table(compilation: Compilation) -> Table:
    numbers = {id(each): n for n, each in enumerate(compilation.artifacts)}
    letters = [unique.unique_id for unique in compilation.unique_pieces]
    columns = [Column("sizes"), Column("function", "code")]
    columns += [Column(letter) for letter in letters]
    rows = []
    for entry in compilation.plan.entries:
        cells = [Cell(range_text(entry.size_range)), Cell(entry.function_name)]
        for letter in letters:
            artifact = entry.artifacts.get(letter)
            if artifact is None:
                cells.append(Cell("–"))
                continue
            number = numbers.get(id(artifact))
            target = None if number is None else ("artifact", number)
            label = f"{letter} {range_text(artifact.size_range)}"
            cells.append(Cell(label, detail=artifact.origin.value, target=target))
        rows.append(Row(tuple(cells)))
    return Table("", tuple(columns), tuple(rows), _NO_ARTIFACT)


# --------------------------------------------------------------------------------------- the ranges


def _range_differences(compilation: Compilation) -> tuple[Block, ...]:
    found = views.range_differences(compilation)
    if not found:
        return (Sentence(_why_no_difference(compilation)),)
    blocks: list[Block] = []
    for each in found[:MOST_DIFFS]:
        if each.is_same:
            blocks.append(Sentence(f"{each}."))
        else:
            blocks.append(Code(each.diff, str(each), folded=True, is_diff=True))
    if len(found) > MOST_DIFFS:
        blocks.append(Sentence(f"{counted(len(found) - MOST_DIFFS, 'more pair')} not shown."))
    return tuple(blocks)


def _why_no_difference(compilation: Compilation) -> str:
    if all(artifact.backend == "eager" for artifact in compilation.artifacts):
        return "The eager backend compiles no code: nothing can differ between ranges."
    if len(compilation.size_ranges) < 2:
        return "There are no two ranges to compare."
    return "No piece has code for two ranges: nothing can be compared."


def _account(compilation: Compilation) -> tuple[Block, ...]:
    account = compilation.account
    rows = account_text.account_rows(account)
    if not rows:
        return (Sentence("Nothing was run again: everything was there from before."),)
    bars = tuple(
        Bar(row["part"], row["seconds"], f"{seconds_text(row['seconds'])}, {row['share']:.0%}")
        for row in rows
    )
    saved = account_text.saved_sentences(account)
    title = f"{seconds_text(account.wall_seconds)} of wall time"
    return (Bars(title, bars), *((Sentences(tuple(saved)),) if saved else ()))


def _artifacts(compilation: Compilation) -> Table:
    colours, same = views.colour_of(compilation), _same_code(compilation)
    rows = []
    pairs = zip(compilation.artifacts, views.artifact_rows(compilation), strict=True)
    for number, (artifact, row) in enumerate(pairs):
        letter, kernels = artifact.unique_id, kernels_of(artifact)
        cells = (
            Cell(letter, colour=colours.get(letter)),
            Cell(row["size_range"], artifact.size_range.start if artifact.size_range else None),
            Cell(row["part_of"]),
            Cell(seconds_text(artifact.seconds), artifact.seconds),
            Cell(bytes_text(artifact.bytes), artifact.bytes),
            Cell("" if kernels is None else str(kernels), kernels.total if kernels else None),
            Cell(origin_text(artifact)),
            Cell(same.get((letter, artifact.size_range), "")),
            Cell(row["guards"]),
            Cell(row["notes"]),
        )
        rows.append(Row(cells, ("artifact", number)))
    return Table("", _ARTIFACTS, tuple(rows), _NO_ARTIFACT)


__all__ = ["MOST_DIFFS", "origin_text", "ranges_view"]

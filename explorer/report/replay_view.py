"""A Compilation, what was measured and the last recorded call in, the view of running it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from explorer.artifacts import PieceKind, RunRecord
from explorer.artifacts.measured import Execution, PieceTiming, Timing, Timings
from explorer.config import CUDAGraphMode
from explorer.report import timings_view, views
from explorer.report.blocks import (
    Action,
    Block,
    Cell,
    Choice,
    Choices,
    Column,
    Facts,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
)
from explorer.report.drawn_blocks import Bar, Bars, Lines, Point, Series
from explorer.report.folding import SPLITTING_MARK
from explorer.report.timings_text import METHOD, heading
from explorer.report.wording import counted, listed, range_text

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MEASURE = "measure"
"""Intent of the button; its value is the text of the field: sizes with spaces between them."""

AT = "measured_at"
"""Intent of the choice of what the bars of the pieces show; its value is one of ``panels``."""

MOST_BARS = 200
"""Pieces that are drawn one by one."""

_TIMINGS = (
    Column("sizes"),
    Column("execution"),
    Column("served by"),
    Column("µs a call", "number"),
    Column("of eager", "number"),
    Column("runs"),
)
_GROUPS = (
    Column("piece", "letter"),
    Column("splits at", "code"),
    Column("occurs", "number"),
    Column("µs in all", "bar"),
    Column("share", "number"),
)


def replay_view(
    compilation: Compilation,
    timings: Timings | None = None,
    record: RunRecord | None = None,
    *,
    at: str | None = None,
    busy: str = "",
) -> tuple[Block, ...]:
    """Latency over size, time in each piece, what pays, and the last recorded call.

    Args:
        compilation: what runs.
        timings: what was measured; None before.
        record: the last recorded call; None or empty before.
        at: one of ``panels(timings)``: where the bars of pieces were measured; None takes the last.
        busy: why nothing can be measured now, in a sentence; empty when it can.
    """
    again = "Measure again" if timings else "Measure"
    sizes = " ".join(map(str, sizes_to_measure(compilation)))
    field = "sizes" if compilation.compiled.dispatch else ""
    action = Action(MEASURE, again, not busy, busy, field, sizes if field else "")
    return (
        Heading("Last recorded call"),
        *_record(compilation, record),
        Heading("Latency"),
        *(_measured(compilation, timings, at, action) if timings else (_not_yet(), action)),
    )


def _not_yet() -> Sentence:
    return Sentence(
        "Nothing was measured yet: Measure runs the model, each way beside eager, at the sizes "
        "given, after a comparison of the results."
    )


def sizes_to_measure(compilation: Compilation) -> tuple[int, ...]:
    """Dispatch sizes that are worth measuring: the exact ones, the example, the end of a range."""
    compiled = compilation.compiled
    if compiled.dispatch is None:
        return ()
    ends = [each.end for each in compiled.ranges[:-1]]
    return tuple(sorted({*compiled.exact_sizes, *ends, compiled.dispatch.hint}))


# ------------------------------------------------------------------------------------------- record


def _record(compilation: Compilation, record: RunRecord | None) -> tuple[Block, ...]:
    if record is None or not record.calls:
        text = "No call was recorded yet: a call in CompiledModel.record() shows what served it."
        return (Sentence(text),)
    sizes = timings_view.point_text(record.sizes) if record.sizes else ""
    if record.variant is None:
        text = f"Eager served the call, in {_microseconds(record.microseconds)}."
        return (Notice("info", text), Facts((("sizes", sizes),)))
    used = dict.fromkeys(
        f"{each.unique_id} {range_text(each.size_range)}, {each.origin.value}"
        for each in record.artifacts
    )
    facts = (
        ("sizes", sizes or "no size is dynamic"),
        ("served by", range_text(record.size_range)),
        ("artifacts", listed(used, 8)),
        ("pieces in all", _microseconds(record.microseconds)),
        ("CUDA graph", _graph_text(record)),
        ("variant", f"#{record.variant}" if record.variant else ""),
        ("calls recorded", str(record.calls)),
    )
    return (Facts(facts), *_record_bars(compilation, record))


def _graph_text(record: RunRecord) -> str:
    graph = record.cuda_graph
    if graph.mode is CUDAGraphMode.NONE:
        return graph.note
    padded = f", padded to {graph.padded_to}" if graph.padded_to else ""
    return f"{graph.mode.name}{padded}{', ' if graph.note else ''}{graph.note}"


def _record_bars(compilation: Compilation, record: RunRecord) -> tuple[Block, ...]:
    times = record.piece_microseconds
    if record.variant or len(times) != len(compilation.pieces):  # others than these, or a graph
        return ()
    colours = views.colour_of(compilation)
    bars = tuple(
        Bar(
            _piece_label(piece.index, piece.unique_id, listed(piece.splitting_names, 2)),
            microseconds,
            _microseconds(microseconds),
            colours.get(piece.unique_id or ""),
            ("piece", piece.index),
        )
        for piece, microseconds in zip(compilation.pieces, times, strict=True)
    )
    return _at_most(bars, "Time in each piece, in order of execution")


def _piece_label(index: int, unique_id: str | None, splits_at: str) -> str:
    return f"{index}  {unique_id or f'{SPLITTING_MARK} {splits_at}'}"


def _at_most(bars: Sequence[Bar], title: str) -> tuple[Block, ...]:
    shown = Bars(title, tuple(bars[:MOST_BARS]))
    left_out = len(bars) - MOST_BARS
    more = Sentence(f"{counted(left_out, 'more piece')} not drawn.", quiet=True)
    return (shown, more) if left_out > 0 else (shown,)


def _microseconds(value: float) -> str:
    return f"{value:,.1f} µs" if value < 1000 else f"{value / 1000:,.2f} ms"


# ----------------------------------------------------------------------------------------- timings


def _measured(
    compilation: Compilation, timings: Timings, at: str | None, action: Action
) -> tuple[Block, ...]:
    pays = [each.text for each in timings_view.break_evens(timings)]
    return (
        Sentence(heading(timings), quiet=True),
        action,
        *_plot(timings),
        _timing_table(timings),
        *_list("What is faster", timings_view.difference_sentences(timings)),
        *_list("What pays", pays),
        *_pieces(compilation, timings, at),
        *(Sentence(note, quiet=True) for note in (*timings.notes, METHOD)),
    )


def _list(title: str, sentences: Sequence[str]) -> tuple[Block, ...]:
    return (Heading(title), Sentences(tuple(sentences))) if sentences else ()


def _plot(timings: Timings) -> tuple[Block, ...]:
    """A line per execution; nothing where no size is dynamic or several differ."""
    numbers = [point.get(timings.dispatch) for point in timings_view.points(timings)]
    if None in numbers or len(set(numbers)) < len(numbers) or not numbers:
        return ()
    series = tuple(
        Series(each.value, tuple(_point(timing, timings.dispatch) for timing in own))
        for each in Execution
        if (own := [t for t in timings.timings if t.execution is each and t.is_timed])
    )
    if not series:
        return ()
    label = "wall time of a call, µs (bars: quartiles)"
    return (Lines("Latency over size", f"size {timings.dispatch}", label, series),)


def _point(timing: Timing, dispatch: str) -> Point:
    low, high = timing.quartiles
    text = f"{timings_view.point_text(timing.sizes)}: {timings_view.microseconds_text(timing)} µs"
    return Point(float(timing.sizes[dispatch]), timing.median, low, high, text)


def _timing_table(timings: Timings) -> Table:
    rows = []
    shown = zip(timings.timings, timings_view.timing_rows(timings), strict=True)
    for timing, row in shown:
        runs = f"{row['runs']} of {counted(row['calls_per_run'], 'call')}"
        ratio = row["ratio_to_eager"]
        size = row["size"]
        cells = (
            Cell(row["sizes"], None if size is None else float(size)),
            Cell(row["execution"]),
            Cell(row["served_by"]),
            Cell(timings_view.microseconds_text(timing), timing.median)
            if timing.is_timed
            else Cell("–"),
            Cell("–" if ratio is None else f"{ratio:.2f}", ratio),
            Cell(runs) if timing.is_timed else Cell(f"not timed: {timing.problem}", mark="bad"),
        )
        rows.append(Row(cells))
    return Table("What served each size, and how long it took", _TIMINGS, tuple(rows))


# ------------------------------------------------------------------------------------------- pieces


def panels(timings: Timings) -> tuple[str, ...]:
    """Where pieces were timed: the sizes, and what served them, in words."""
    return tuple(dict.fromkeys(_panel_of(each) for each in timings.pieces))


def _panel_of(timing: PieceTiming) -> str:
    return f"{timings_view.point_text(timing.sizes)}, artifacts for {timing.served_by}"


def _pieces(compilation: Compilation, timings: Timings, at: str | None) -> tuple[Block, ...]:
    known = panels(timings)
    if not known:
        return (Sentence("The pieces were not timed one by one."),)
    chosen = at if at in known else known[-1]
    own = [each for each in timings.pieces if _panel_of(each) == chosen]
    colours = views.colour_of(compilation)
    bars = tuple(
        Bar(
            _piece_label(each.index, each.unique_id, each.splits_at),
            each.median,
            f"{each.median:,.1f} ± {each.spread / 2:,.1f} µs",
            colours.get(each.unique_id or "") if each.kind is PieceKind.COMPILED else None,
            ("piece", each.index),
        )
        for each in own
    )
    return (
        Heading("Time in the pieces"),
        Choices((Choice(AT, "measured at", tuple((each, each) for each in known), chosen),)),
        _groups(compilation, timings, own[0]),
        *_at_most(bars, "Each piece, in order of execution"),
    )


def _groups(compilation: Compilation, timings: Timings, one: PieceTiming) -> Table:
    point = timings_view.point_text(one.sizes)
    colours = views.colour_of(compilation)
    rows = tuple(
        _group_row(row, colours)
        for row in timings_view.group_rows(timings)
        if row["sizes"] == point and row["served_by"] == one.served_by
    )
    return Table("Added up by group", _GROUPS, rows)


def _group_row(row: views.Row, colours: Mapping[str, int]) -> Row:
    sign, _, splits_at = row["piece"].partition(" ")
    letter = "" if sign == SPLITTING_MARK else row["piece"]
    cells = (
        Cell(letter, colour=colours.get(letter)),
        Cell(splits_at),
        Cell(f"{row['occurs']}×", row["occurs"]),
        Cell(f"{row['median_microseconds']:,.1f}", row["median_microseconds"]),
        Cell(f"{row['share']:.0%}", row["share"]),
    )
    return Row(cells, ("unique", letter) if letter else None)


__all__ = ["AT", "MEASURE", "panels", "replay_view", "sizes_to_measure"]

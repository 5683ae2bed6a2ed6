"""Timings in, matplotlib figures out, drawn without a display and without pyplot's state.

Colour is never the only sign: lines have markers of their own, bars have hatches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts.measured import Execution, FigureName, PieceTiming, Timing, Timings
from explorer.errors import ConfigError
from explorer.report import timings_view
from explorer.report.graph_svg import PALETTE
from explorer.report.wording import clean, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES: tuple[FigureName, ...] = ("latency", "pieces", "compile")
MOST_PANELS = 8
"""Rows of pieces that are drawn; the text has them all."""

_MARKERS = {
    Execution.EAGER: ("o", "-"),
    Execution.STOCK: ("s", "--"),
    Execution.CALL: ("D", "-"),
    Execution.RANGE: ("^", "-."),
    Execution.EXACT: ("v", ":"),
    Execution.CUDA_GRAPH: ("P", "--"),
}
_HATCHES = ("", "..", "xx", "++", "oo", "**", "\\\\", "||")
_SPLITTING_HATCH = "////"
_LOG_FACTOR = 8
"""An axis that spans more is logarithmic."""


def figure(timings: Timings, what: FigureName) -> Figure:
    """One picture.

    Args:
        timings: what to draw.
        what: one of ``NAMES``.

    Raises:
        ConfigError: there is no such picture.
    """
    drawers: Mapping[str, Callable[[Timings], Figure]] = {
        "latency": _latency,
        "pieces": _pieces,
        "compile": _compile,
    }
    if what not in drawers:
        raise ConfigError(f"There is no figure {what!r}; the figures are {', '.join(drawers)}.")
    return drawers[what](timings)


def _new(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(text: str, width: int = 60) -> str:
    """Text of a model for a picture: matplotlib would read a dollar sign as the start of maths."""
    return shortened(clean(text), width).replace("$", r"\$")


# ------------------------------------------------------------------------------------------ latency


def _latency(timings: Timings) -> Figure:
    drawn = _new(7.0, 4.5)
    axes: Axes = drawn.subplots()
    points = timings_view.points(timings)
    numbers = [each.get(timings.dispatch) for each in points]
    is_by_size = bool(points) and len(set(numbers)) == len(points) and None not in numbers
    place: dict[str, int] = {
        timings_view.point_text(point): number if is_by_size and number is not None else at
        for at, (point, number) in enumerate(zip(points, numbers, strict=True))
    }
    for number, execution in enumerate(Execution):
        own = [each for each in timings.timings if each.execution is execution]
        _line(axes, [each for each in own if each.is_timed], place, number)
    _mark_untimed(axes, [each for each in timings.timings if not each.is_timed], place)
    if is_by_size:
        _size_axis(axes, [value for value in place.values() if value], timings.dispatch)
    else:
        axes.set_xticks(list(place.values()), [_plain(text) for text in place], rotation=20)
        axes.set_xlabel("sizes")
    medians = [each.median for each in timings.timings if each.is_timed]
    if medians and max(medians) > _LOG_FACTOR * min(medians):
        axes.set_yscale("log")
    elif medians:
        axes.set_ylim(bottom=0)
    axes.set_ylabel("wall time of a call, µs (bars: quartiles)")
    axes.set_title(_plain(f"{timings.name}: latency over size"))
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return drawn


def _line(axes: Axes, own: list[Timing], place: Mapping[str, Any], number: int) -> None:
    if not own:
        return
    execution = own[0].execution
    marker, style = _MARKERS.get(execution, ("*", "-"))
    own = sorted(own, key=lambda each: place[timings_view.point_text(each.sizes)])
    medians = [each.median for each in own]
    ends = [each.quartiles for each in own]
    below = [median - low for median, (low, _) in zip(medians, ends, strict=True)]
    above = [high - median for median, (_, high) in zip(medians, ends, strict=True)]
    axes.errorbar(
        [place[timings_view.point_text(each.sizes)] for each in own],
        medians,
        yerr=[below, above],
        marker=marker,
        linestyle=style,
        capsize=3,
        color=PALETTE[number % len(PALETTE)],
        label=execution.value,
    )


def _mark_untimed(axes: Axes, untimed: list[Timing], place: Mapping[str, Any]) -> None:
    if not untimed:
        return
    where = sorted({place[timings_view.point_text(each.sizes)] for each in untimed})
    axes.plot(
        where,
        [0.02] * len(where),
        linestyle="none",
        marker="x",
        color="black",
        transform=axes.get_xaxis_transform(),
        label="something not timed, see the table",
    )


def _size_axis(axes: Axes, sizes: list[int], name: str) -> None:
    from matplotlib.ticker import NullLocator

    if max(sizes) > _LOG_FACTOR * min(sizes):
        axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(_plain(f"size {name}"))


# ------------------------------------------------------------------------------------------- pieces


def _pieces(timings: Timings) -> Figure:
    panels: dict[tuple[str, str], list[PieceTiming]] = {}
    for each in timings.pieces:
        key = (timings_view.point_text(each.sizes), each.served_by)
        panels.setdefault(key, []).append(each)
    shown = list(panels.items())[:MOST_PANELS]
    drawn = _new(8.0, 1.0 + 2.2 * max(len(shown), 1))
    if not shown:
        axes: Axes = drawn.subplots()
        axes.set_title("no piece was timed")
        return drawn
    letters = sorted({each.unique_id for each in timings.pieces if each.unique_id})
    rows: Any = drawn.subplots(len(shown), squeeze=False)[:, 0]
    for axes, ((point, served_by), own) in zip(rows, shown, strict=True):
        _piece_bars(axes, own, letters)
        axes.set_title(_plain(f"{point}, artifacts for {served_by}"), fontsize="medium")
        axes.set_ylabel("wall time, µs")
    rows[-1].set_xlabel("piece, in order of execution")
    left_out = len(panels) - len(shown)
    more = f" (first {MOST_PANELS} of {len(panels)} rows)" if left_out else ""
    drawn.suptitle(_plain(f"{timings.name}: time in each piece{more}"))
    handles, labels = rows[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return drawn


def _piece_bars(axes: Axes, pieces: list[PieceTiming], letters: list[str]) -> None:
    for number, letter in enumerate([*letters, None]):
        own = [each for each in pieces if each.unique_id == letter]
        if not own:
            continue
        splits_at = _plain(own[0].splits_at, 30)
        axes.bar(
            [each.index for each in own],
            [each.median for each in own],
            yerr=[each.spread / 2 for each in own],
            color=PALETTE[number % len(PALETTE)] if letter else "white",
            edgecolor="black",
            linewidth=0.5,
            hatch=_HATCHES[number % len(_HATCHES)] if letter else _SPLITTING_HATCH,
            label=f"{letter}, {len(own)}×" if letter else f"splits at {splits_at}, {len(own)}×",
            error_kw={"linewidth": 0.8},
        )
    if len(pieces) <= 30:
        axes.set_xticks([each.index for each in pieces])


# ------------------------------------------------------------------------------------------ compile


def _compile(timings: Timings) -> Figure:
    drawn = _new(7.0, 4.0)
    axes: Axes = drawn.subplots()
    rows = timings_view.compile_rows(timings)
    letters = list(dict.fromkeys(row["unique_id"] for row in rows))
    ranges = list(dict.fromkeys(row["served_by"] for row in rows))
    width = 0.8 / max(len(ranges), 1)
    for number, served_by in enumerate(ranges):
        own = [row for row in rows if row["served_by"] == served_by]
        places = [letters.index(row["unique_id"]) + (number + 0.5) * width - 0.4 for row in own]
        axes.bar(
            places,
            [row["seconds"] or 0.0 for row in own],
            width,
            color=PALETTE[number % len(PALETTE)],
            edgecolor="black",
            linewidth=0.5,
            hatch=_HATCHES[number % len(_HATCHES)],
            label=_plain(served_by),
        )
        for at, row in zip(places, own, strict=True):
            text = "not known" if row["seconds"] is None else f"{row['seconds']:.2g}"
            axes.annotate(
                text,
                (at, row["seconds"] or 0.0),
                ha="center",
                va="bottom",
                fontsize="x-small",
                rotation=90,
                xytext=(0, 2),
                textcoords="offset points",
            )
    axes.set_xticks(range(len(letters)), letters)
    longest = max((row["seconds"] or 0.0 for row in rows), default=0.0)
    axes.set_ylim(0, 1.35 * longest or 1.0)
    axes.set_xlabel("unique piece")
    axes.set_ylabel("wall time of the compile, s")
    axes.set_title(_plain(f"{timings.name}: compile time by piece and range"))
    if rows:
        axes.legend(title="sizes", fontsize="small")
    return drawn


__all__ = ["MOST_PANELS", "NAMES", "figure"]

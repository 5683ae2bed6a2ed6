"""Blocks with a picture: bars, lines over sizes, two texts side by side, two strips of pieces.

Where the points of a plot lie is computed here, as fractions of its width and height, so that every
drawing of it is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from explorer.report.blocks import LONGEST_HINT, LineMark, Target, short, target_view
from explorer.report.wording import clean

LOG_FACTOR = 8
"""An axis that spans more is logarithmic."""

Words: TypeAlias = tuple[tuple[str, bool], ...]
"""A line in parts, each with whether it is what makes the line differ from its partner."""


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: what it measures.
        value: its length, not negative.
        text: the same with its unit.
        colour: as in ``Cell``; None is hatched.
        target: what a click on it selects.
    """

    label: str
    value: float
    text: str
    colour: int | None = 0
    target: Target | None = None


@dataclass(frozen=True)
class Bars:
    """Bars below each other; ``title`` says what they measure."""

    title: str
    bars: tuple[Bar, ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it; ``share`` is a fraction of the longest bar."""
        longest = max((bar.value for bar in self.bars), default=0.0)
        return {
            "block": "bars",
            "title": short(self.title),
            "bars": [
                {
                    "label": short(bar.label),
                    "text": short(bar.text),
                    "share": round(bar.value / longest, 4) if longest > 0 else 0.0,
                    "colour": bar.colour,
                    "target": target_view(bar.target),
                }
                for bar in self.bars
            ],
        }


# ------------------------------------------------------------------------------------------- a plot


@dataclass(frozen=True)
class Point:
    """One point of a line: where it is, where its spread ends, and all of it in words."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Series:
    """One line of a plot, with its name."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Lines:
    """Lines over sizes.

    Attributes:
        title: what is drawn.
        x_label: of the axis, with the name of the size.
        y_label: of the axis, with its unit.
        series: the lines; those without points are left out.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it; places are fractions, 0 at the left and at the bottom."""
        drawn = [each for each in self.series if each.points]
        points = [point for each in drawn for point in each.points]
        x = size_axis([point.x for point in points])
        y = value_axis([value for point in points for value in (point.low, point.y, point.high)])
        return {
            "block": "lines",
            "title": short(self.title),
            "x_label": short(self.x_label) + (", logarithmic" if x.is_log else ""),
            "y_label": short(self.y_label) + (", logarithmic" if y.is_log else ""),
            "x_ticks": x.tick_views(),
            "y_ticks": y.tick_views(),
            "series": [
                {
                    "name": short(each.name),
                    "points": [
                        {
                            "x": x.place(point.x),
                            "y": y.place(point.y),
                            "low": y.place(point.low),
                            "high": y.place(point.high),
                            "text": short(point.text),
                        }
                        for point in sorted(each.points, key=lambda point: point.x)
                    ],
                }
                for each in drawn
            ],
        }


@dataclass(frozen=True)
class Axis:
    """From a number to a place on a line of length 1.

    Attributes:
        low: number at place 0.
        high: number at place 1; larger than ``low``.
        is_log: whether equal ratios are equally long.
        ticks: numbers that are written at the line.
    """

    low: float
    high: float
    is_log: bool
    ticks: tuple[float, ...]

    def place(self, number: float) -> float:
        """A fraction; numbers beyond the ends lie at the ends."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        fraction = (self._scaled(max(number, self.low)) - low) / (high - low)
        return round(min(max(fraction, 0.0), 1.0), 4)

    def _scaled(self, number: float) -> float:
        return math.log2(number) if self.is_log else number

    def tick_views(self) -> list[dict[str, Any]]:
        """Place and text of each tick."""
        return [{"place": self.place(tick), "text": _tick_text(tick)} for tick in self.ticks]


def _tick_text(tick: float) -> str:
    return f"{tick:,.0f}" if tick >= 1 and tick == round(tick) else f"{tick:g}"


def size_axis(sizes: Sequence[float]) -> Axis:
    """An axis with a tick at each size, as many as have room; with a little room at the ends."""
    known = sorted(set(sizes)) or [1.0]
    low, high = known[0], known[-1]
    is_log = low > 0 and high > LOG_FACTOR * low
    if is_log:
        ends = (low / 1.15, high * 1.15)
    else:
        room = (high - low) * 0.06 or max(abs(low), 1.0) * 0.5
        ends = (low - room, high + room)
    axis = Axis(*ends, is_log, ())
    ticks: list[float] = []
    for size in known:
        if not ticks or axis.place(size) - axis.place(ticks[-1]) >= 0.06:
            ticks.append(size)
    return Axis(*ends, is_log, tuple(ticks))


def value_axis(values: Sequence[float]) -> Axis:
    """An axis from 0, or a logarithmic one where the values span much; with round ticks."""
    known = [value for value in values if math.isfinite(value)]
    high = max(known, default=1.0)
    high = high if high > 0 else 1.0
    low = min((value for value in known if value > 0), default=high)
    if high > LOG_FACTOR * low:
        steps = [factor * 10.0**power for power in _powers(low, high) for factor in (1, 2, 5)]
        below = [step for step in steps if step <= low]
        above = [step for step in steps if step >= high]
        ends = (below[-1], above[0])
        ticks = [step for step in steps if ends[0] <= step <= ends[1]]
        while len(ticks) > 9:
            ticks = ticks[::3]  # the same factor of each power
        return Axis(*ends, True, tuple(ticks))
    step = 10.0 ** math.floor(math.log10(high / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * 6 >= high)
    count = math.ceil(high / step - 1e-9)
    return Axis(0.0, count * step, False, tuple(n * step for n in range(count + 1)))


def _powers(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


# --------------------------------------------------------------------------------------- two of one


@dataclass(frozen=True)
class PairedLine:
    """A line of each of two texts; None where one of them has no such line."""

    mark: LineMark
    left: Words | None
    right: Words | None


@dataclass(frozen=True)
class SideBySide:
    """Two texts, line beside line.

    Attributes:
        left_title: what the first is.
        right_title: what the second is.
        lines: in order.
    """

    left_title: str
    right_title: str
    lines: tuple[PairedLine, ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it; a line is a list of [text, whether it differs]."""
        lines = []
        numbers = [0, 0]
        for line in self.lines:
            shown: dict[str, Any] = {"mark": line.mark}
            for side, words in enumerate((line.left, line.right)):
                numbers[side] += words is not None
                name = ("left", "right")[side]
                shown[name] = None if words is None else _words_view(words)
                shown[f"{name}_number"] = None if words is None else numbers[side]
            lines.append(shown)
        return {
            "block": "side_by_side",
            "left_title": short(self.left_title),
            "right_title": short(self.right_title),
            "summary": self.summary(),
            "lines": lines,
        }

    def summary(self) -> str:
        """How many lines differ, in words."""
        marks = [line.mark for line in self.lines]
        changed, left, right = (marks.count(each) for each in ("changed", "left", "right"))
        if not changed + left + right:
            return "No line differs, apart from names of values."
        parts = [(changed, "differ"), (left, "only on the left"), (right, "only on the right")]
        return "Lines: " + ", ".join(f"{count} {words}" for count, words in parts if count) + "."


def _words_view(words: Words) -> list[list[Any]]:
    """The parts of a line, no longer than a line may be."""
    left, shown = LONGEST_HINT, []
    for text, differs in words:
        if left <= 0:
            break
        shown.append([clean(text[:left], keep="\t"), differs])
        left -= len(text)
    return shown


@dataclass(frozen=True)
class StripCell:
    """One piece in a row of pieces: its letter, colour (None is hatched), and a sentence."""

    label: str
    colour: int | None
    text: str


@dataclass(frozen=True)
class AlignedStrips:
    """Two rows of pieces, equal ones above each other.

    Attributes:
        names: of the rows.
        pairs: a piece of each row; None where a row has no counterpart.
    """

    names: tuple[str, str]
    pairs: tuple[tuple[StripCell | None, StripCell | None], ...]

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        pairs = []
        for pair in self.pairs:
            sides = [
                None
                if each is None
                else {"label": short(each.label), "colour": each.colour, "hint": short(each.text)}
                for each in pair
            ]
            equal = None not in pair
            pairs.append({"first": sides[0], "second": sides[1], "is_equal": equal})
        first, second = (short(name) for name in self.names)
        caption = f"Upper row {first}, lower row {second}; · has no counterpart."
        return {"block": "strips", "names": [first, second], "caption": caption, "pairs": pairs}


__all__ = [
    "AlignedStrips",
    "Axis",
    "Bar",
    "Bars",
    "Lines",
    "PairedLine",
    "Point",
    "Series",
    "SideBySide",
    "StripCell",
    "Words",
    "size_axis",
    "value_axis",
]

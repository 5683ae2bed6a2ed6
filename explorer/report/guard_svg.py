"""A guard view in, its size axes out: as an SVG without a script, and as lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.report.graph_svg import PALETTE
from explorer.report.guard_axis import STATES
from explorer.report.markup import escaped
from explorer.report.wording import clean, shortened

COLOURS = {
    "right": "#3d9a5f",
    "probe": "#3d9a5f",
    "eager": "#4c78a8",
    "wrong": "#d1495b",
    "fails": "#8a8f98",
    "unknown": "#b09a00",
    "mixed": "#c0518e",
    "unseen": "none",
}
MARKS = {
    "right": "=",
    "probe": "1",
    "eager": "0",
    "wrong": "X",
    "fails": "-",
    "unknown": "?",
    "mixed": "%",
    "unseen": ".",
}
"""A character for each state: the axis of a terminal, and the letters of a legend."""

_WIDTH, _LEFT, _BAND, _STEP = 900, 8, 26, 6
_SMALLEST = 3.0
_COLUMNS = 76
_MOST_LINES = 14
_WORST_FIRST = ("wrong", "mixed", "unknown", "fails", "unseen", "eager", "probe", "right")
_CELL = 15


def axis_place(size: float, first: int, last: int) -> float:
    """Where a size stands between the ends of an axis, 0 to 1; sizes are spread like log(1 + n)."""
    low, high = math.log(first + 0.5), math.log(last + 1.5)
    return (math.log(size + 1.0) - low) / (high - low)


def guard_svg(view: Mapping[str, Any]) -> str:
    """The axes of a view, their ranges below, and a legend of the states that occur.

    Each state has a pattern of its own besides its colour. Colours work on light and dark ground.
    """
    parts: list[str] = []
    y = 0.0
    for axis in view["axes"]:
        drawn, height = _axis(axis, y, view.get("coverage"))
        parts += drawn
        y += height
    if view.get("map"):
        drawn, height = _map(view["map"], y)
        parts += drawn
        y += height
    drawn, height = _legend(view, y)
    parts += drawn
    y += height
    if not view["axes"]:
        return ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {y:.0f}" '
        f'width="100%" style="max-width:{_WIDTH}px" font-family="system-ui, sans-serif" '
        f'font-size="12" fill="currentColor"><title>{escaped(_title(view))}</title>'
        f"{''.join(parts)}</svg>"
    )


def _title(view: Mapping[str, Any]) -> str:
    return f"Sizes at which the graph is right. {view['lead']}"


def _axis(axis: Mapping[str, Any], y: float, coverage: Any) -> tuple[list[str], float]:
    """One axis, and how high it is."""
    parts = [_words(_LEFT, y + 13, _fitting(axis["text"], 130), "600")]
    top = y + 20
    drawn = sorted(axis["segments"], key=lambda each: -_WORST_FIRST.index(each["state"]))
    for each in drawn:
        x, width = _span(each, axis)
        parts.append(_band(x, top, width, _BAND, each["state"], each["text"]))
    bottom = top + _BAND
    lane = coverage["lane"] if coverage and coverage["dimensions"] == [axis["name"]] else []
    for region in lane:
        bottom = top + _BAND + 20
        parts += _region(region, axis, top + _BAND + 3)
    for size in axis["exact"]:
        x = _x(size, axis)
        parts.append(f'<path d="M{x:.1f} {bottom + 1:.1f}l4 7h-8z"/>')
    bottom += 8 if axis["exact"] else 0
    parts += [_number(number, axis, bottom + 14) for number in _numbers(axis)]
    bottom += 20
    for each in axis["ranges"]:
        x, width = _span(each, axis)
        parts.append(
            f'<path d="M{x:.1f} {bottom + 4:.1f}v4h{width:.1f}v-4" fill="none" '
            'stroke="currentColor" stroke-opacity="0.6"/>'
        )
        if width > 7 * len(each["text"]):
            parts.append(_words(x + width / 2, bottom + 20, each["text"], anchor="middle"))
    bottom += 26 if axis["ranges"] else 0
    if axis["ticks_text"]:
        parts.append(_words(_LEFT, bottom + 12, _fitting(axis["ticks_text"], 140)))
        bottom += 16
    return parts, bottom - y + 10


def _x(size: float, axis: Mapping[str, Any]) -> float:
    return _LEFT + axis_place(size, axis["first"], axis["last"]) * (_WIDTH - 2 * _LEFT)


def _span(each: Mapping[str, Any], axis: Mapping[str, Any]) -> tuple[float, float]:
    """Left end and width of some sizes; a narrow one is widened so that it can be seen."""
    left = _x(max(each["first"], axis["first"]) - 0.5, axis)
    right = _x(min(each["last"], axis["last"]) + 0.5, axis)
    if right - left >= _SMALLEST:
        return left, right - left
    middle = (left + right) / 2
    return min(max(middle - _SMALLEST / 2, _LEFT), _WIDTH - _LEFT - _SMALLEST), _SMALLEST


def _numbers(axis: Mapping[str, Any]) -> list[int]:
    """Both ends, and powers of two between them that have room."""
    first, last = axis["first"], axis["last"]
    wanted = [first, last, *(2**e for e in range(64) if first < 2**e < last)]
    found: list[int] = []
    for number in wanted:
        room = 5 * len(str(number)) + 12
        if all(abs(_x(number, axis) - _x(each, axis)) >= room for each in found):
            found.append(number)
    return found


def _number(number: int, axis: Mapping[str, Any], y: float) -> str:
    """A size below the axis; one at an end stays inside."""
    x, half = _x(number, axis), 4.0 * len(str(number))
    return _words(min(max(x, half), _WIDTH - half), y, str(number), anchor="middle")


def _region(region: Mapping[str, Any], axis: Mapping[str, Any], y: float) -> list[str]:
    """Neighbouring sizes that one captured graph serves, or several in turn."""
    x, width = _span(region, axis)
    colour = "none" if region["colour"] is None else PALETTE[region["colour"]]
    shape = _path(x, y, width, 15, colour, 0.45)
    if region["colour"] is None:
        lines = _diagonals(x, y, width, 15, down=False)
        shape += f'<path d="{lines}" fill="none" stroke="currentColor" stroke-opacity="0.3"/>'
    parts = [f"<g><title>{escaped(region['text'])}</title>{shape}</g>"]
    if width > 8 * len(region["label"]):
        parts.append(_words(x + width / 2, y + 12, region["label"], anchor="middle"))
    return parts


def _band(x: float, y: float, width: float, height: float, state: str, text: str) -> str:
    shape = _path(x, y, width, height, COLOURS[state], 0.45 if state != "wrong" else 0.85)
    lines = _hatch(state, x, y, width, height)
    marks = (
        f'<path d="{lines}" fill="none" stroke="currentColor" stroke-opacity="0.55"/>'
        if lines
        else ""
    )
    return f"<g><title>{escaped(text)}</title>{shape}{marks}</g>"


def _path(x: float, y: float, width: float, height: float, fill: str, opacity: float) -> str:
    return (
        f'<path d="M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z" fill="{fill}" '
        f'fill-opacity="{opacity}" stroke="currentColor" stroke-opacity="0.35"/>'
    )


def _hatch(state: str, x: float, y: float, width: float, height: float) -> str:
    """Lines inside a box, another pattern for each state."""
    if state == "probe":
        count = int(width // _STEP)
        return "".join(f"M{x + (i + 0.5) * _STEP:.1f} {y:.1f}v{height:.1f}" for i in range(count))
    if state in ("fails", "eager"):
        count = int(height // _STEP)
        return "".join(f"M{x:.1f} {y + (i + 0.5) * _STEP:.1f}h{width:.1f}" for i in range(count))
    if state in ("unknown", "unseen"):
        return _diagonals(x, y, width, height, down=False)
    if state == "wrong":
        up = _diagonals(x, y, width, height, down=False)
        return up + _diagonals(x, y, width, height, down=True)
    return _diagonals(x, y, width, height, down=True) if state == "mixed" else ""


def _diagonals(x: float, y: float, width: float, height: float, *, down: bool) -> str:
    """Lines of 45 degrees, cut at the box."""
    parts = []
    start = -height
    while start < width:
        a, b = max(start, 0.0), min(start + height, width)
        if b > a:
            low, high = height - (a - start), height - (b - start)
            if down:
                low, high = height - low, height - high
            parts.append(f"M{x + a:.1f} {y + low:.1f}L{x + b:.1f} {y + high:.1f}")
        start += _STEP + 1
    return "".join(parts)


def _words(x: float, y: float, text: str, weight: str = "400", *, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escaped(text)}</text>"
    )


def _fitting(text: str, width: int) -> str:
    return shortened(clean(text), width)


def present_states(view: Mapping[str, Any]) -> list[str]:
    """The states that occur in a view, in the order of the legend."""
    found = {each["state"] for axis in view["axes"] for each in axis["segments"]}
    if view.get("map"):
        found |= {cell[0] for row in view["map"]["cells"] for cell in row}
    return [state for state in STATES if state in found]


def _legend(view: Mapping[str, Any], y: float) -> tuple[list[str], float]:
    parts = []
    for number, state in enumerate(present_states(view)):
        top = y + 20 * number
        parts.append(_band(_LEFT, top, 30, 14, state, STATES[state]))
        parts.append(_words(_LEFT + 38, top + 11, STATES[state]))
    return parts, 20.0 * len(parts) / 2 + 4


def _map(found: Mapping[str, Any], y: float) -> tuple[list[str], float]:
    """The map of two dimensions; the second one runs upwards."""
    rows, left = found["rows"], _LEFT + 58
    parts = [_words(_LEFT, y + 13, found["text"])]
    top, height = y + 22, _CELL * len(rows)
    for j, row in enumerate(found["cells"]):
        for i, (state, text) in enumerate(row):
            place = left + _CELL * i, top + height - _CELL * (j + 1)
            parts.append(_band(*place, _CELL, _CELL, state, text))
    for j in _some(len(rows)):
        at = top + height - _CELL * j - 4
        parts.append(_words(left - 6, at, str(rows[j][0]), anchor="end"))
    for i in _some(len(found["columns"])):
        at = left + _CELL * i + _CELL / 2
        parts.append(_words(at, top + height + 13, str(found["columns"][i][0]), anchor="middle"))
    parts.append(_words(left, top + height + 28, f"{_fitting(found['x'], 60)} →"))
    parts.append(_words(_LEFT, top + 10, f"{_fitting(found['y'], 6)} ↑"))
    return parts, height + 66


def _some(count: int) -> list[int]:
    return list(range(0, count, max(1, math.ceil(count / 8))))


# -------------------------------------------------------------------------------- for a terminal


def guard_axis_text(view: Mapping[str, Any]) -> str:
    """The same axes in characters, each with what its parts are, for a terminal."""
    lines = [clean(view["lead"])]
    for axis in view["axes"]:
        ends = f"{axis['first']}{str(axis['last']).rjust(_COLUMNS - len(str(axis['first'])))}"
        lines += ["", clean(axis["text"]), f"  {_bar(axis)}", f"  {ends}"]
        shown = axis["segments"][:_MOST_LINES]
        lines += [f"  {MARKS[each['state']]}  {clean(each['text'])}" for each in shown]
        more = len(axis["segments"]) - len(shown)
        lines += [f"  and {more} more"] if more else []
        lines += [f"  {clean(axis['ticks_text'])}"] if axis["ticks_text"] else []
    lines += map_text(view["map"]) if view.get("map") else []
    coverage = view.get("coverage")
    if coverage:
        lines += ["", coverage["summary"], *(f"  {each['text']}" for each in coverage["regions"])]
        lines += [f"  {each}" for each in coverage["uncovered"]]
    lines += ["", *(f"{MARKS[each]}  {STATES[each]}" for each in present_states(view))]
    return "\n".join(lines) + "\n"


def map_text(found: Mapping[str, Any]) -> list[str]:
    """The map of two dimensions in characters, with its axes."""
    labels = [str(first) for first, _ in found["rows"]]
    width = max(map(len, labels))
    lines = ["", clean(found["text"])]
    for label, row in reversed(list(zip(labels, found["cells"], strict=True))):
        lines.append(f"  {label.rjust(width)} {''.join(MARKS[state] for state, _ in row)}")
    columns = found["columns"]
    lines.append(f"  {' ' * width} {clean(found['x'])} = {columns[0][0]} to {columns[-1][1]}")
    return lines


def _bar(axis: Mapping[str, Any]) -> str:
    """One character per place; the worst state of the sizes that share it."""
    cells: list[str | None] = [None] * _COLUMNS
    for each in axis["segments"]:
        left = axis_place(each["first"] - 0.5, axis["first"], axis["last"])
        right = axis_place(each["last"] + 0.5, axis["first"], axis["last"])
        begin = min(int(left * _COLUMNS), _COLUMNS - 1)
        for place in range(begin, max(begin + 1, round(right * _COLUMNS))):
            cells[place] = _worse(cells[place], each["state"])
    return "".join(MARKS[each or "unseen"] for each in cells)


def _worse(one: str | None, other: str) -> str:
    states: Sequence[str] = (other,) if one is None else (one, other)
    return min(states, key=_WORST_FIRST.index)


__all__ = ["axis_place", "guard_axis_text", "guard_svg", "map_text", "present_states"]

"""The data of a plot in, an SVG drawing out: axes, lines, spreads, a legend in words.

Colour is never the only sign: each line has a marker and a dash of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer.report.graph_svg import PALETTE
from explorer.report.markup import escaped

View = Mapping[str, Any]

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 22, 44
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "4 2")
_MARKERS = ("●", "■", "◆", "▲", "▼", "✚")


def plot_svg(view: View) -> str:
    """A drawing of what ``Lines.view()`` says; it scales with the page."""
    series = view["series"]
    height = _HEIGHT + 18 * len(series)
    parts = [*_axes(view), *(_line(each, n) for n, each in enumerate(series)), *_legend(series)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" role="img" aria-label="{escaped(view["title"])}">{"".join(parts)}</svg>'
    )


def _x(fraction: float) -> float:
    return round(_LEFT + fraction * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(fraction: float) -> float:
    return round(_HEIGHT - _BOTTOM - fraction * (_HEIGHT - _BOTTOM - _TOP), 1)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="12" fill="currentColor">'
        f"{escaped(text)}</text>"
    )


def _path(points: Sequence[tuple[float, float]], colour: str, width: float, dash: str = "") -> str:
    d = "M" + "L".join(f"{x} {y}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _axes(view: View) -> list[str]:
    parts = [_path([(_x(0), _y(1)), (_x(0), _y(0)), (_x(1), _y(0))], "#888888", 1)]
    for tick in view["y_ticks"]:
        y = _y(tick["place"])
        parts.append(_path([(_x(0), y), (_x(1), y)], "#88888840", 1))
        parts.append(_text(_x(0) - 6, y + 4, tick["text"], "end"))
    for tick in view["x_ticks"]:
        x = _x(tick["place"])
        parts.append(_path([(x, _y(0)), (x, _y(0) + 4)], "#888888", 1))
        parts.append(_text(x, _y(0) + 18, tick["text"], "middle"))
    parts.append(_text(_x(0.5), _y(0) + 36, view["x_label"], "middle"))
    parts.append(_text(4, 12, view["y_label"]))
    return parts


def _line(series: View, number: int) -> str:
    colour = PALETTE[number % len(PALETTE)]
    points = [(_x(point["x"]), _y(point["y"])) for point in series["points"]]
    parts = [_path(points, colour, 1.8, _DASHES[number % len(_DASHES)])] if len(points) > 1 else []
    for point, (x, y) in zip(series["points"], points, strict=True):
        parts.append(_path([(x, _y(point["low"])), (x, _y(point["high"]))], colour, 3.5))
        parts.append(_marker(x, y, number, colour, f"{series['name']}: {point['text']}"))
    return f"<g>{''.join(parts)}</g>"


def _marker(x: float, y: float, number: int, colour: str, title: str) -> str:
    sign = _MARKERS[number % len(_MARKERS)]
    return (
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-size="12" fill="{colour}">{sign}'
        f"<title>{escaped(title)}</title></text>"
    )


def _legend(series: Sequence[View]) -> list[str]:
    parts = []
    for number, each in enumerate(series):
        y, colour = _HEIGHT + 18 * number + 6, PALETTE[number % len(PALETTE)]
        parts.append(_path([(_LEFT, y), (_LEFT + 34, y)], colour, 1.8, _DASHES[number % 6]))
        parts.append(_marker(_LEFT + 17, y, number, colour, each["name"]))
        parts.append(_text(_LEFT + 44, y + 4, each["name"]))
    return parts


__all__ = ["plot_svg"]

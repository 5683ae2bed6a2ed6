"""Ends a widget with all that belongs to it: each part has a connection to the front end."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets

from widgets.view import View


def close_all(widget: ipywidgets.Widget) -> None:
    """Closes a widget, its children, and their layouts and styles."""
    for each in [*_parts(widget, set())]:
        each.close()


def _parts(widget: ipywidgets.Widget, seen: set[int]) -> Iterator[ipywidgets.Widget]:
    if id(widget) in seen:
        return
    seen.add(id(widget))
    for child in getattr(widget, "children", ()):
        yield from _parts(child, seen)
    if not isinstance(widget, View):
        for name in ("layout", "style"):
            part = getattr(widget, name, None)
            if isinstance(part, ipywidgets.Widget):
                yield part
    yield widget

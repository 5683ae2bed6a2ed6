"""Finds all that belongs to a widget: each part has a connection of its own to the front end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ipywidgets


def close_parts(widget: ipywidgets.Widget, more: Iterable[ipywidgets.Widget] = ()) -> None:
    """Closes the children of a widget, their layouts and styles, and its own; not the widget.

    Args:
        widget: whose.
        more: what belongs to it and is no child now.
    """
    found: dict[int, ipywidgets.Widget] = {}
    for each in (widget, *more):
        found |= {id(part): part for part in _parts(each)}
    for part in found.values():
        if part is not widget:
            part.close()


def _parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    for child in getattr(widget, "children", ()):
        yield from _parts(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            yield part
    yield widget

"""A Compilation in, the HTML that the panel and ``show`` have in common out."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from typing import Any

from explorer import Compilation
from explorer.report import views
from explorer.report.graph_svg import pieces_picture
from explorer.report.html import fragment
from explorer.report.markup import escaped

# Widgets give their text a line height, and grow with what is in them: this takes their width.
_OWN_LINES = "line-height:1.4;width:0;min-width:100%"
_SCROLL = "overflow-x:auto;color:var(--jp-ui-font-color1,inherit)"
_FRAME = "width:100%;height:38em;border:1px solid;border-color:var(--jp-border-color1,#8888)"

STATIC = "PIECEWISE_EXPLORER_STATIC"
"""Set to anything but 0 in the environment, panels show themselves as pages without a script."""


def is_static() -> bool:
    """Whether panels are to be shown as pages, for readers that have no kernel.

    A notebook that is run and turned into a page by nbconvert keeps a widget only as a reference,
    which a script from another server would have to draw.
    """
    return os.environ.get(STATIC, "") not in ("", "0")


def framed(page: str, title: str) -> str:
    """A whole page inside another one; the frame keeps whatever it holds from running scripts."""
    source = html.escape(page, quote=True)
    return f'<iframe sandbox title="{escaped(title)}" style="{_FRAME}" srcdoc="{source}"></iframe>'


def static_html(compilation: Compilation) -> str:
    """Facts, strip, tables and the graph of pieces; no script, nothing loaded."""
    drawn = pieces_picture(views.graph_view(compilation)["pieces"])
    graph = f'<div style="{_SCROLL}">{drawn.svg}</div>' if drawn.svg else ""
    return (
        f'<div class="piecewise-picture" style="{_OWN_LINES}">{fragment(compilation)}'
        f"<details open><summary>{escaped(drawn.text)}</summary>{graph}</details></div>"
    )


def with_static_form(
    bundle: Mapping[str, Any] | None, compilation: Compilation | None
) -> dict[str, Any]:
    """What a widget hands to a page, and beside it the form that needs no widgets.

    A front end without widgets, and a notebook that is not trusted, show that.

    Args:
        bundle: media type -> content; None for a widget that is closed.
        compilation: what the widget shows.
    """
    found = dict(bundle or {})
    if compilation is not None:
        found["text/html"] = static_html(compilation)
    return found

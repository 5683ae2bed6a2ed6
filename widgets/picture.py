"""A Compilation in, the HTML that the panel and ``show`` have in common out."""

from __future__ import annotations

from explorer import Compilation
from explorer.report import html, views
from explorer.report.graph_svg import pieces_picture
from widgets.markup import escaped

# Widgets give their text a line height, and grow with what is in them: this takes their width.
_OWN_LINES = "line-height:1.4;width:0;min-width:100%"
_SCROLL = "overflow-x:auto;color:var(--jp-ui-font-color1,inherit)"


def static_html(compilation: Compilation) -> str:
    """Facts, strip, tables and the graph of pieces; no script, nothing loaded."""
    drawn = pieces_picture(views.graph_view(compilation)["pieces"])
    graph = f'<div style="{_SCROLL}">{drawn.svg}</div>' if drawn.svg else ""
    return (
        f'<div class="piecewise-picture" style="{_OWN_LINES}">{html.fragment(compilation)}'
        f"<details open><summary>{escaped(drawn.text)}</summary>{graph}</details></div>"
    )

"""A Compilation in, its graph alive on a canvas out: up to 20,000 nodes, folded and searchable."""

from __future__ import annotations

from typing import Any

import traitlets

from explorer import Compilation
from explorer.report.node_text import graph_text
from explorer.report.node_view import node_view
from widgets.view import View, script, style

_PARTS = (
    "graph_tree",
    "graph_layout",
    "graph_pens",
    "graph_paint",
    "graph_details",
    "graph_moves",
    "graph_elements",
    "graph_search",
    "graph_view",
)

MOST_TEXT_LINES = 2_000
"""Lines of the text form that travel to the page."""


class GraphView(View):
    """All nodes of all pieces, in their modules, repetitions drawn once.

    What a person does comes as the intent ``select`` with ``kind`` (``node``, ``piece``, ``line``
    or ``none``) and ``key``, as ``Links.select`` takes them.

    Attributes:
        text: the graph as text, for the text form.
        overlay: numbers to show on pieces and nodes; empty for none. ``title`` says what they are,
            ``values`` maps ``"4"`` (a piece) or ``"4/linear_3"`` (a node) to a number, which sets
            the length of a bar, and its text: ``[12.3, "12.3 µs"]``.
    """

    _esm = script(*_PARTS)
    _css = style("graph_view")

    text = traitlets.Unicode().tag(sync=True)
    overlay = traitlets.Dict().tag(sync=True)

    def show(self, compilation: Compilation) -> None:
        """Shows another compilation; its overlay is forgotten with the old one."""
        self.show_view(node_view(compilation))

    def show_view(self, view: dict[str, Any]) -> None:
        """The same, of the data of ``node_view``."""
        with self.hold_trait_notifications(), self.hold_sync():
            self.overlay = {}
            self.text = graph_text(view, most_lines=MOST_TEXT_LINES)
            self.view = view

    def __repr__(self) -> str:
        return f"GraphView({self.view.get('text', 'no graph yet')})"

"""The code of a compilation side by side: the model's source, a piece as FX, generated code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from explorer import Compilation
from explorer.errors import ExplorerError
from explorer.report.code_view import code_view, fx_view, generated_view
from widgets.view import Intent, View, script, style

PANES = ("source", "fx", "generated")
"""The panes, from left to right."""


class SourceView(View):
    """Three panes of code that follow one selection.

    ``view`` is ``code_view`` of the compilation. The other two panes get their code when they are
    opened: the front end sends ``open`` with ``pane`` (``fx`` or ``generated``) and ``index`` (of
    the piece or artifact), and the view answers in the trait of that name.

    Attributes:
        fx: ``fx_view`` of one piece; empty before the pane was opened.
        generated: ``generated_view`` of one artifact; empty before the pane was opened.
        panes: those that are open, a part of ``PANES``.
    """

    _esm = script("source_pane", "source")
    _css = style("source")

    fx = traitlets.Dict().tag(sync=True)
    generated = traitlets.Dict().tag(sync=True)
    panes = traitlets.List(traitlets.Enum(PANES), default_value=["source", "fx"]).tag(sync=True)

    def __init__(self, compilation: Compilation | None = None, **traits: Any) -> None:
        super().__init__(**traits)
        self._compilation: Compilation | None = None
        self.on_intent(_open)
        if compilation is not None:
            self.show(compilation)

    def show(self, compilation: Compilation) -> None:
        """Shows the code of a compilation instead of what was shown."""
        self._compilation = compilation
        with self.hold_trait_notifications():
            self.fx, self.generated = {}, {}
            self.view = code_view(compilation)

    def fill(self, pane: str, index: int) -> None:
        """Fills a pane: the FX source of a piece, or the generated code of an artifact.

        Args:
            pane: ``fx`` or ``generated``.
            index: of the piece or artifact in the compilation that is shown.
        """
        make = {"fx": fx_view, "generated": generated_view}.get(pane)
        if make is None or self._compilation is None:
            return
        try:
            found: Mapping[str, Any] = make(self._compilation, index)
        except ExplorerError as error:
            found = {"problem": str(error), "rows": [], "title": ""}
        self.set_trait(pane, dict(found))

    def forget(self) -> None:
        """Forgets the compilation."""
        self._compilation = None
        self.fx, self.generated = {}, {}

    def __repr__(self) -> str:
        return f"SourceView({len(self.view.get('files', ()))} files)"


def _open(view: View, intent: Intent) -> None:
    if intent.get("intent") == "open" and isinstance(view, SourceView):
        pane, index = intent.get("pane"), intent.get("index")
        if isinstance(pane, str) and isinstance(index, int) and not isinstance(index, bool):
            view.fill(pane, index)

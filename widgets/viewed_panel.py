"""What every panel has: the views of a compilation, and an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets

from explorer import Compilation, ConfigError
from explorer.report.selection import Selected
from widgets.closing import close_parts
from widgets.exports import page_of
from widgets.picture import framed, is_static, with_static_form
from widgets.view import View
from widgets.viewer import Viewer


class ViewedPanel(ipywidgets.VBox):
    """The parts of a viewer below each other, with controls after the header or without.

    Attributes:
        viewer: header, strip, tabs, views and status line.
    """

    _opened_by = "widgets.show"

    def __init__(self, viewer: Viewer, controls: Sequence[ipywidgets.Widget] = ()) -> None:
        self.viewer = viewer
        layout = ipywidgets.Layout(width="100%", overflow="hidden")
        super().__init__(viewer.parts(controls), layout=layout)
        self.add_class("piecewise-panel")

    @property
    def compilation(self) -> Compilation | None:
        """The compilation in the picture; None before the first, and after the end."""
        return self.viewer.compilation

    def open_tab(self, tab: str) -> View:
        """Opens a view, such as ``Guards``, and returns its widget.

        Raises:
            ConfigError: there is no such tab, or the panel is closed.
        """
        self._check_open()
        return self.viewer.open_tab(tab)

    def select(self, kind: str, key: Any) -> Selected | None:
        """Selects one thing in every view; ``select("none", None)`` ends that.

        Raises:
            ConfigError: there is no such thing, or the panel is closed.
        """
        self._check_open()
        return self.viewer.selecting.select(kind, key)

    def close(self) -> None:
        """Frees connections and compilations."""
        if self._is_closed:
            return
        self.viewer.close()
        close_parts(self, self.viewer.made_views())
        self.children = ()
        super().close()

    @property
    def _is_closed(self) -> bool:
        return self.comm is None

    def _check_open(self) -> None:
        """Raises the sentence of a closed panel, which has nothing more to show or to do."""
        if self._is_closed:
            raise ConfigError(f"The panel is closed: open another one with {self._opened_by}.")

    def _settle(self) -> None:
        """Blocks until there is something to show."""

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        if is_static():
            return self._static_bundle()
        return with_static_form(super()._repr_mimebundle_(**options), self.compilation)

    def _static_bundle(self) -> dict[str, Any]:
        self._settle()
        compilation = self.compilation
        if compilation is None:
            return {"text/plain": repr(self)}
        page = page_of(compilation, self.viewer.findings[compilation])
        return {"text/plain": repr(self), "text/html": framed(page, f"Panel of {compilation.name}")}

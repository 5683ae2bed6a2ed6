"""A Compilation in, its views out, alive but without controls."""

from __future__ import annotations

from typing import Any

import ipywidgets

from explorer import Compilation
from explorer.report.selection import Selected
from widgets.closing import close_parts
from widgets.picture import with_static_form
from widgets.view import View
from widgets.viewer import Viewer


class ReadOnlyPanel(ipywidgets.VBox):
    """What ``show`` returns: the strip and every view of one compilation.

    Attributes:
        viewer: header, strip, tabs, views and status line.
    """

    def __init__(self, compilation: Compilation) -> None:
        self.viewer = Viewer()
        super().__init__(self.viewer.parts(), layout=ipywidgets.Layout(width="100%"))
        self.add_class("piecewise-panel")
        self.viewer.use(compilation)

    @property
    def compilation(self) -> Compilation | None:
        """What it shows; None once it is closed."""
        return self.viewer.compilation

    def open_tab(self, tab: str) -> View:
        """Opens a view, such as ``Guards``, and returns its widget.

        Raises:
            ConfigError: there is no such tab.
        """
        return self.viewer.open_tab(tab)

    def select(self, kind: str, key: Any) -> Selected | None:
        """Selects one thing in every view; ``select("none", None)`` ends that.

        Raises:
            ConfigError: there is no such thing.
        """
        return self.viewer.selecting.select(kind, key)

    def close(self) -> None:
        """Frees connections and the compilation."""
        if self.comm is None:
            return
        self.viewer.close()
        close_parts(self, self.viewer.made_views())
        self.children = ()
        super().close()

    def __repr__(self) -> str:
        return f"ReadOnlyPanel({self.compilation!r})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return with_static_form(super()._repr_mimebundle_(**options), self.compilation)

"""A Compilation in, its views out, alive but without controls."""

from __future__ import annotations

from explorer import Compilation
from widgets.viewed_panel import ViewedPanel
from widgets.viewer import Viewer


class ReadOnlyPanel(ViewedPanel):
    """What ``show`` returns: the strip and every view of one compilation."""

    def __init__(self, compilation: Compilation) -> None:
        super().__init__(Viewer())
        self.viewer.use(compilation)

    def __repr__(self) -> str:
        shown = "closed" if self._is_closed else repr(self.compilation)
        return f"ReadOnlyPanel({shown})"

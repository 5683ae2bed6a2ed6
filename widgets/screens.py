"""The views below the strip: each is made when its tab is first opened, and drawn when in sight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from explorer import Compilation
from explorer.report.wording import duration_text
from widgets.findings import Findings
from widgets.graph_view import GraphView
from widgets.source_view import SourceView
from widgets.view import Intent, View

if TYPE_CHECKING:
    from widgets.viewer import Viewer


class Screen(ABC):
    """One tab: a widget, what it shows, and what is done when somebody uses it.

    Attributes:
        name: of the tab.
        viewer: to which it belongs.
    """

    name: ClassVar[str]

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.made: View | None = None
        self._drawn: Compilation | None = None
        self._is_outdated = False

    @property
    def widget(self) -> View:
        """The widget; it is made now when it was not before."""
        if self.made is None:
            self.made = self.make()
            layout = self.made.layout
            layout.flex, layout.width, layout.min_width = "1 1 420px", "auto", "0"
            self.made.on_intent(self._hear)
            self.viewer.selecting.attach(self.made)
        return self.made

    def show(self, *, again: bool = False) -> None:
        """Draws the compilation in the picture, unless it is drawn already.

        Args:
            again: whether something else than the compilation has changed.
        """
        compilation = self.viewer.compilation
        again = again or self._is_outdated
        if compilation is None or (self._drawn is compilation and not again):
            return
        self.draw(compilation, self.viewer.findings[compilation])
        self._drawn, self._is_outdated = compilation, False

    def outdate(self) -> None:
        """Something else than the compilation has changed: the next ``show`` draws again."""
        self._is_outdated = True

    def forget(self) -> None:
        """Nothing of a compilation is held any longer; the next ``show`` draws again."""
        self._drawn = None
        if self.made is not None:
            self.made.forget()

    @abstractmethod
    def make(self) -> View:
        """A widget without data."""

    @abstractmethod
    def draw(self, compilation: Compilation, found: Findings) -> None:
        """Gives the widget its data."""

    def opened(self, compilation: Compilation, found: Findings) -> None:  # noqa: B027
        """Starts what a person who opens the tab would start anyway."""

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:  # noqa: B027
        """Does what somebody asked for, other than to select."""

    def _hear(self, _view: View, intent: Intent) -> None:
        if intent["intent"] == "select" or self.viewer.compilation is None:
            return
        details = {name: value for name, value in intent.items() if name != "intent"}
        with self.viewer.shows_errors():
            self.on_intent(intent["intent"], details)


class GraphScreen(Screen):
    """The captured graph."""

    name = "Graph"

    def make(self) -> View:
        """A widget without data."""
        return GraphView()

    def draw(self, compilation: Compilation, found: Findings) -> None:
        """The nodes, and the time of each piece where it was measured."""
        assert isinstance(self.made, GraphView)
        if self._drawn is not compilation:
            self.made.show(compilation)
        self.made.overlay = _overlay(found.microseconds)


class SourceScreen(Screen):
    """The model's code beside its pieces and the generated code."""

    name = "Source"

    def make(self) -> View:
        """A widget without data."""
        return SourceView()

    def draw(self, compilation: Compilation, found: Findings) -> None:
        """The code; what was found out later is not in it."""
        assert isinstance(self.made, SourceView)
        if self._drawn is not compilation:
            self.made.show(compilation)


def _overlay(microseconds: Mapping[int, float]) -> dict[str, Any]:
    """The time of each piece, as ``GraphView.overlay`` wants it."""
    if not microseconds:
        return {}
    values = {str(index): [value, duration_text(value)] for index, value in microseconds.items()}
    return {"title": "median time of each piece in one call", "values": values}

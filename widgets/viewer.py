"""The views of one compilation, wired together: strip, tabs, screens, selection, status line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import ipywidgets

from explorer import Compilation, ConfigError, PlannedCompilation, Session
from explorer.report import views
from explorer.report.call_text import call_text
from explorer.report.marks import guard_warning, piece_marks
from explorer.report.wording import clean, counted
from widgets.block_screens import (
    DedupeScreen,
    DiffScreen,
    RangesScreen,
    ReplayScreen,
    StoreScreen,
)
from widgets.exports import FORMS, export
from widgets.findings import FindingsOf
from widgets.guard_screen import GuardScreen
from widgets.header_view import HeaderView
from widgets.history import History
from widgets.looking import Look, Looking
from widgets.screens import GraphScreen, Screen, SourceScreen
from widgets.selecting import Selecting
from widgets.status_view import StatusView
from widgets.strip_view import StripView
from widgets.tabs import Tabs
from widgets.view import Intent, View

SCREENS: tuple[type[Screen], ...] = (
    GraphScreen,
    SourceScreen,
    GuardScreen,
    DedupeScreen,
    RangesScreen,
    ReplayScreen,
    StoreScreen,
    DiffScreen,
)


class Viewer:
    """Everything of the panel but its controls.

    Attributes:
        session: whose compilations are shown; None for one that can only be looked at.
        history: numbers of its compilations; None without a session.
        compilation: what is in the picture; None before the first.
        findings: what was found out about each compilation.
        selecting: what is selected in all views.
        looking: long looks that run beside the main thread.
        header: the first line.
        strip: the pieces in a row.
        tabs: which view is open.
        stage: the open view, or two.
        status: the last line.
        screens: the views by name of their tab.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session
        self.history = None if session is None else History(session)
        self.compilation: Compilation | None = None
        self.findings = FindingsOf()
        self.status = StatusView()
        self.selecting = Selecting(self.show_error)
        self.looking = Looking(self.status, self.show_error, self.refresh)
        self.header, self.strip = HeaderView(), StripView()
        self.screens = {kind.name: kind(self) for kind in SCREENS}
        self.tabs = Tabs({name: name for name in self.screens}, pair=("Graph", "Source"))
        self.stage = ipywidgets.HBox(
            layout=ipywidgets.Layout(
                width="100%", flex_flow="row wrap", grid_gap="8px", overflow="hidden"
            )
        )
        self._drawing = threading.RLock()
        self._planned: PlannedCompilation | None = None
        for view in (self.strip, self.status):
            self.selecting.attach(view)
        self.header.offer(FORMS, closes=session is not None)
        self.header.on_intent(self._on_header)
        self.strip.on_intent(self._on_header)
        self.status.on_intent(self._on_status)
        self.tabs.observe(self._on_tab, ["value", "side_by_side"])

    def parts(self, controls: Sequence[ipywidgets.Widget] = ()) -> list[ipywidgets.Widget]:
        """Everything in the order in which it is read, controls after the header."""
        return [self.header, *controls, self.strip, self.tabs, self.stage, self.status]

    def made_views(self) -> list[View]:
        """The widgets of the tabs that were opened, in sight or not."""
        return [each.made for each in self.screens.values() if each.made is not None]

    # -------------------------------------------------------------------------------------- showing

    def use(self, compilation: Compilation) -> None:
        """Puts a compilation into the picture."""
        with self._drawing:
            self.compilation, self._planned = compilation, None
            self.selecting.use(compilation)
            self._draw_strip()
            self.draw_header()
            for name, screen in self.screens.items():
                if name not in self.shown_tabs:
                    screen.forget()
            self._draw_open()

    def preview(self, planned: PlannedCompilation) -> None:
        """Shows a split that is not compiled yet; the views below stay with the last good one."""
        with self._drawing:
            self._planned = planned
            self._draw_strip()

    def end_preview(self) -> None:
        """The strip is that of the compilation in the picture again."""
        with self._drawing:
            self._planned = None
            self._draw_strip()

    def draw_header(self) -> None:
        """Title, facts and history of what is in the picture."""
        compilation = self.compilation
        if compilation is None:
            return
        rows = [] if self.history is None else self.history.rows(compilation)
        self.header.show(clean(compilation.name), _facts(compilation), rows)

    def look(
        self, what: str, look: Callable[[Look], None], *, key: str, compilation: Compilation
    ) -> None:
        """Starts a long look at a compilation; what it finds is drawn when it is done.

        Args:
            what: what it does, for the status line.
            look: puts what it finds into ``findings``.
            key: while a look of this key at this compilation goes on, another one is not started.
            compilation: at which.
        """
        self.looking.start(what, look, key=f"{key} {id(compilation)}")

    def is_looking(self, key: str, compilation: Compilation) -> bool:
        """Whether such a look goes on or waits."""
        return self.looking.is_asked(f"{key} {id(compilation)}")

    def refresh(self) -> None:
        """Draws again what depends on findings."""
        with self._drawing, self.shows_errors():
            if self.compilation is None:
                return
            for screen in self.screens.values():
                screen.outdate()
            self._draw_strip()
            self._draw_open(again=True)

    def open_tab(self, tab: str) -> View:
        """Opens a view and returns its widget.

        Raises:
            ConfigError: there is no such tab.
        """
        if tab not in self.screens:
            raise ConfigError(f"There is no tab {clean(tab)}: there are {', '.join(self.screens)}.")
        self.tabs.value = tab
        return self.screens[tab].widget

    def show_error(self, error: BaseException) -> None:
        """Shows an error; the picture stays."""
        self.status.show_error(error)

    @contextlib.contextmanager
    def shows_errors(self) -> Iterator[None]:
        """Errors inside the block are shown in the panel; a front end would show none of them."""
        try:
            yield
        except Exception as error:
            self.show_error(error)

    def running_session(self) -> Session:
        """The session, for a call of what is in the picture.

        Raises:
            ConfigError: there is none, or its calls go to another compilation.
        """
        if self.session is None or self.history is None:
            raise ConfigError(
                "This compilation can only be looked at: open it with widgets.explore(model, ...) "
                "to run it."
            )
        latest = self.session.history[-1] if self.session.history else None
        if self.compilation is not latest and latest is not None and self.compilation is not None:
            shown, other = (self.history.number_of(each) for each in (self.compilation, latest))
            raise ConfigError(
                f"Compilation #{shown} is in the picture, and calls go to #{other}: press "
                f"Recompile to make #{shown} the latest again; nothing is compiled anew for that."
            )
        return self.session

    def close(self) -> None:
        """Stops the looks and frees what is shown."""
        self.compilation = self._planned = None
        self.looking.cancel()
        self.selecting.close()
        if self.history is not None:
            self.history.close()
        self.session = self.history = None
        self.findings.clear()
        for screen in self.screens.values():
            screen.forget()

    @property
    def shown_tabs(self) -> tuple[str, ...]:
        """The tabs whose views are in sight: one, or two side by side."""
        if self.tabs.side_by_side and self.tabs.value in self.tabs.pair:
            return tuple(self.tabs.pair)
        return (self.tabs.value,)

    # ------------------------------------------------------------------------------------- drawing

    def _draw_strip(self) -> None:
        compilation = self.compilation
        if self._planned is not None:
            self.strip.show_plan(self._planned)
            return
        if compilation is None:
            return
        self.strip.show(compilation)
        marks = piece_marks(compilation)
        self.strip.marks = {str(index): text for index, text in marks.items()}
        found = self.findings[compilation]
        self.strip.warning = guard_warning(compilation, found.diagnosis)
        self.tabs.badges = {"Guards": self.strip.warning}
        times = found.microseconds
        self.strip.microseconds = [times.get(piece.index) for piece in compilation.pieces if times]

    def _draw_open(self, *, again: bool = False) -> None:
        names = self.shown_tabs
        for name in names:
            screen = self.screens[name]
            with self.shows_errors():
                _ = screen.widget
                screen.show(again=again)
        self.stage.children = tuple(self.screens[name].widget for name in names)
        if not again:
            for name in names:
                self._opened(self.screens[name])

    def _opened(self, screen: Screen) -> None:
        compilation = self.compilation
        if compilation is not None:
            with self.shows_errors():
                screen.opened(compilation, self.findings[compilation])

    # ------------------------------------------------------------------------------------ handlers

    def _on_tab(self, _change: object) -> None:
        with self.shows_errors(), self._drawing:
            self._draw_open()

    def _on_header(self, _view: View, intent: Intent) -> None:
        with self.shows_errors():
            if intent["intent"] == "open":
                self.open_tab(str(intent.get("tab")))
            elif intent["intent"] == "export" and self.compilation is not None:
                found = self.findings[self.compilation]
                self.header.download(*export(str(intent.get("form")), self.compilation, found))

    def _on_status(self, _view: View, intent: Intent) -> None:
        if intent["intent"] == "forget":
            self.status.forget()

    def say_call(self) -> None:
        """The last call of what is in the picture, in the status line and under Replay."""
        if self.compilation is None:
            return
        self.status.say(call_text(self.findings[self.compilation].record))
        replay = self.screens[ReplayScreen.name]
        replay.outdate()
        if replay.name in self.shown_tabs:
            replay.show()


def _facts(compilation: Compilation) -> list[str]:
    found = views.facts(compilation)
    pieces = counted(len(compilation.pieces), "piece")
    return [pieces, f"torch {found['torch']}", found["device"], found["backend"]]


__all__ = ["SCREENS", "Viewer"]

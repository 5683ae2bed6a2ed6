"""The views that are made of blocks: dedupe, ranges, replay, store, diff."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from explorer import Compilation, ConfigError
from explorer.diff import compare
from explorer.report import dedupe_view, diff_view, ranges_view, replay_view, store_view
from explorer.report.blocks import Block, Choice, Choices, Sentence
from explorer.report.wording import clean
from widgets.block_view import BlockView
from widgets.findings import Findings
from widgets.history import title_of
from widgets.looking import Look
from widgets.screens import Screen
from widgets.settings_text import parse_sizes
from widgets.view import View

if TYPE_CHECKING:
    from widgets.viewer import Viewer

BEFORE, AFTER = "compare_before", "compare_after"
"""Intents of the choices of two compilations; their value is a number of the history."""


class BlockScreen(Screen):
    """A view of blocks; who uses it gets new ones."""

    def make(self) -> View:
        """A widget without data."""
        return BlockView(self.name)

    def draw(self, compilation: Compilation, found: Findings) -> None:
        """Gives the widget its blocks."""
        assert isinstance(self.made, BlockView)
        self.made.show(self.blocks(compilation, found))

    @abstractmethod
    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""


class DedupeScreen(BlockScreen):
    """Which pieces are one, and why two are not."""

    name = "Dedupe"

    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""
        return dedupe_view.dedupe_view(compilation, found.pair)

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:
        """Compares another pair of pieces."""
        if name not in (dedupe_view.FIRST, dedupe_view.SECOND):
            return
        compilation = self.viewer.compilation
        assert compilation is not None
        index = details.get("value")
        if type(index) is not int or not 0 <= index < len(compilation.pieces):
            raise ConfigError(f"There is no piece {clean(index)} in this compilation.")
        found = self.viewer.findings[compilation]
        first, second = found.pair or dedupe_view.default_pair(compilation)
        found.pair = (index, second) if name == dedupe_view.FIRST else (first, index)
        self.show(again=True)


class RangesScreen(BlockScreen):
    """Pieces against size ranges."""

    name = "Ranges"

    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""
        return ranges_view.ranges_view(compilation)


class ReplayScreen(BlockScreen):
    """What calls cost."""

    name = "Replay"

    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""
        busy = "It is being measured." if self.viewer.is_looking(self.name, compilation) else ""
        if self.viewer.session is None:
            busy = "This compilation can only be looked at: open widgets.explore(model, ...)."
        at = found.choices.get(replay_view.AT)
        return replay_view.replay_view(compilation, found.timings, found.record, at=at, busy=busy)

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:
        """Measures, or shows the pieces at another size."""
        compilation = self.viewer.compilation
        assert compilation is not None
        if name == replay_view.MEASURE:
            self.measure(compilation, str(details.get("value", "")))
        elif name == replay_view.AT:
            self.viewer.findings[compilation].choices[replay_view.AT] = details.get("value")
            self.show(again=True)

    def measure(self, compilation: Compilation, text: str) -> None:
        """Times calls of some sizes, beside the main thread.

        Raises:
            ConfigError: the text is no list of sizes, or the compilation cannot be run.
        """
        sizes = parse_sizes(text) or None
        session = self.viewer.running_session()

        def look(look: Look) -> None:
            timings = session.measure(sizes, progress=look.progress, cancel=look.cancel)
            self.viewer.findings[compilation].timings = timings

        self.viewer.look("measuring", look, key=self.name, compilation=compilation)
        self.show(again=True)


class StoreScreen(BlockScreen):
    """Where the artifacts came from."""

    name = "Store"

    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""
        return store_view.store_view(compilation, found.answers or ())

    def opened(self, compilation: Compilation, found: Findings) -> None:
        """Asks the store; that compiles nothing."""
        session = self.viewer.session
        is_latest = session is not None and session.history[-1:] == (compilation,)
        if is_latest and found.answers is None and compilation.config.store.enabled:
            self.ask(compilation, found)

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:
        """Asks the store again."""
        compilation = self.viewer.compilation
        if name == store_view.ASK and compilation is not None:
            self.ask(compilation, self.viewer.findings[compilation])

    def ask(self, compilation: Compilation, found: Findings) -> None:
        """Asks the store what it has for each artifact.

        Raises:
            ConfigError: the compilation is not the latest of its session.
        """
        session = self.viewer.running_session()

        def look(_look: Look) -> None:
            found.answers = session.stored()

        self.viewer.look("asking the store", look, key=self.name, compilation=compilation)


class DiffScreen(BlockScreen):
    """Two compilations of the history, side by side."""

    name = "Diff"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.chosen: tuple[int, int] | None = None
        self.pair: tuple[str, str] | None = None

    def blocks(self, compilation: Compilation, found: Findings) -> Sequence[Block]:
        """What is shown."""
        history = self.viewer.history
        if history is None:
            return (Sentence("There is no history: this compilation stands alone."),)
        there = history.compilations()
        if len(there) < 2:
            return (
                Sentence(
                    "There is one compilation so far. Change a setting and recompile: then two can "
                    "be compared."
                ),
            )
        first, second = self._numbers(there, compilation)
        options = tuple((number, f"#{number}: {title_of(each)}") for number, each in there.items())
        choices = (
            Choice(BEFORE, "compare", options, first),
            Choice(AFTER, "with", options, second),
        )
        before, after = there[first], there[second]
        names = (f"#{first}", f"#{second}")
        blocks = diff_view.diff_view(before, after, compare(before, after), names, self.pair)
        return (Choices(choices), *blocks)

    def _numbers(
        self, there: Mapping[int, Compilation], compilation: Compilation
    ) -> tuple[int, int]:
        """The chosen ones, else what is in the picture and the one before it."""
        if self.chosen is not None and set(self.chosen) <= set(there):
            return self.chosen
        numbers = [*there]
        shown = next(number for number, each in there.items() if each is compilation)
        before = [number for number in numbers if number < shown]
        return (before[-1], shown) if before else (shown, numbers[numbers.index(shown) + 1])

    def compare(self, first: int, second: int) -> None:
        """Shows what differs between two compilations, by their numbers in the history.

        Raises:
            ConfigError: there is no such number.
        """
        history = self.viewer.history
        if history is None:
            raise ConfigError("There is no history: this compilation stands alone.")
        for number in (first, second):
            history.compilation(number)
        self.chosen, self.pair = (first, second), None
        self.show(again=True)

    def on_intent(self, name: str, details: Mapping[str, Any]) -> None:
        """Compares another pair of compilations, or of their pieces."""
        compilation, history = self.viewer.compilation, self.viewer.history
        if compilation is None or history is None:
            return
        value = details.get("value")
        numbers = self._numbers(history.compilations(), compilation)
        if name in (BEFORE, AFTER):
            history.compilation(value)
            assert isinstance(value, int)
            self.compare(*((value, numbers[1]) if name == BEFORE else (numbers[0], value)))
        elif name in (diff_view.FIRST, diff_view.SECOND):
            before, after = (history.compilation(number) for number in numbers)
            first, second = self.pair or diff_view.default_pair(before, after)
            letter = str(value)
            self.pair = (letter, second) if name == diff_view.FIRST else (first, letter)
            self.show(again=True)

"""A Session in, a panel out: change where the model is cut and what is dynamic, recompile, look."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer import (
    Cancelled,
    CancelToken,
    Compilation,
    ConfigError,
    PlannedCompilation,
    Progress,
    Session,
)
from explorer.report.html import write_page
from explorer.report.wording import clean
from explorer.thread_settings import with_settings_of_this_thread
from widgets.background import Background
from widgets.controls import Controls, Settings, UnreadableBox
from widgets.dims_editor import DimsEditor
from widgets.exports import page_of
from widgets.ops_editor import OpsEditor
from widgets.ranges_editor import RangesEditor
from widgets.view import Intent, View
from widgets.viewed_panel import ViewedPanel
from widgets.viewer import Viewer

PLANNING = "…"
NOTHING_TO_DO = "nothing to compile, the picture has these settings"
STALE = "The settings above were changed after this picture was made."


class Panel(ViewedPanel):
    """Controls, the strip of pieces, and views of the last good compilation.

    An edit is planned at once: the new split is in the strip, and the plan line says what a
    recompile would make. Nothing is compiled before Recompile is pressed. Compiling goes on in a
    background thread; what fails or is cancelled leaves the picture as it is.

    Attributes:
        viewer: header, strip, tabs, views and status line.
        controls: the settings, the Recompile button and the progress bar.
        error: the last error, None after a success.
    """

    _opened_by = "widgets.explore"

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        viewer = Viewer(session)
        self.controls = controls = Controls(session)
        self.error: BaseException | None = None
        self._compiler, self._planner = Background(), Background()
        self._generation = 0
        self._generation_in_picture = 0
        self._settings_in_picture: Settings = {}
        self._is_filling = False
        super().__init__(viewer, controls.rows())
        viewer.header.show(clean(session.name), ["nothing compiled yet"], [])
        controls.on_edit(self._on_edit)
        controls.job.on_intent(self._on_job)
        viewer.header.on_intent(self._on_header)

    def __repr__(self) -> str:
        if self._is_closed:
            return "Panel(closed)"
        shown = "nothing compiled yet" if self.compilation is None else repr(self.compilation)
        return f"Panel({shown})"

    @property
    def session(self) -> Session:
        """What compiles.

        Raises:
            ConfigError: the panel is closed.
        """
        self._check_open()
        assert self._session is not None
        return self._session

    @property
    def dims(self) -> DimsEditor:
        """The control of what is dynamic; ``set_dims`` takes what ``compile_model`` takes."""
        return self.controls.dims

    @property
    def splitting_ops(self) -> OpsEditor:
        """The control of where the graph is cut; its ``value`` is a list of names."""
        return self.controls.splitting_ops

    @property
    def ranges(self) -> RangesEditor:
        """The control of size ranges and exact sizes."""
        return self.controls.ranges

    # ----------------------------------------------------------------------------------- from code

    def start(self) -> None:
        """Begins to compile what the controls say, as the button does.

        Raises:
            UnreadableBox: the sentence stands below the box as well.
            ConfigError: the panel is closed.
        """
        self._check_open()
        settings = self.controls.settings()
        self._generation += 1
        self._busy()
        job = functools.partial(self._compile, settings, self._generation)
        self._compiler.start(with_settings_of_this_thread(job))

    def recompile_now(self) -> Compilation:
        """Compiles what the controls say before it returns.

        Raises:
            UnreadableBox: the sentence stands below the box as well.
            ConfigError: the panel is closed.
            ExplorerError: what the steps raise; the picture stays as it is.
        """
        self._check_open()
        settings = self.controls.settings()
        self._generation += 1
        generation = self._generation
        self._compiler.cancel()
        try:
            self._compiler.wait()
            self._busy()
            compilation = self.session.update(**self._told(generation), **settings)
            self._show(compilation, settings, generation)
        except BaseException as error:  # a keyboard interrupt as well
            self._show_error(error)
            self.viewer.end_preview()
            raise
        finally:
            self.controls.end()
        return compilation

    def stop(self) -> None:
        """Asks the running compile to end after the artifact that is being made, as Cancel does."""
        if self._compiler.is_idle:
            return
        self.controls.job.cancelling()
        self._compiler.cancel()
        self._compiler.follow(self._cancelled)

    def wait(self, timeout_seconds: float | None = None) -> Compilation | None:
        """Blocks until nothing is compiled, planned or looked at; returns what is in the picture.

        After ``close`` it blocks until what ran then has stopped, and returns None.

        Raises:
            TimeoutError: it takes longer.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for jobs in (self._compiler, self._planner, self.viewer.looking):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if jobs.wait(left):
                continue
            raise TimeoutError(
                f"The panel still works after {timeout_seconds:g} seconds: wait longer, or cancel."
            )
        return self.compilation

    def go_to(self, number: int) -> Compilation:
        """Puts a compilation of the history into the picture, and its settings into the controls.

        Raises:
            ConfigError: there is none of that number, or the panel is closed.
        """
        self._check_open()
        history = self.viewer.history
        assert history is not None
        compilation = history.compilation(number)
        self._is_filling = True
        try:
            self.controls.fill(compilation)
        finally:
            self._is_filling = False
        self._planner.cancel()
        self._settings_in_picture = self.controls.settings()
        self.viewer.use(compilation)
        self._mark_age()
        return compilation

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the compilation in the picture; the status line says what served the call.

        Raises:
            ConfigError: the compilation in the picture is not the latest, or the panel is closed.
            ExplorerError: what ``CompiledModel`` raises.
        """
        self._check_open()
        session = self.viewer.running_session()
        compilation = session.compilation
        with session.model().record() as record:
            result = session.run(*args, **kwargs)
        self.viewer.findings[compilation].record = record
        self.viewer.say_call()
        return result

    def to_html(self, path: str | Path) -> Path:
        """Writes all views of what is in the picture as one page, and returns where.

        Raises:
            ConfigError: there is no compilation yet, or the panel is closed.
            OSError: the folder does not exist or cannot be written to.
        """
        self._check_open()
        if self.compilation is None:
            raise ConfigError("There is nothing to write yet: wait() for the first compile.")
        found = self.viewer.findings[self.compilation]
        return write_page(path, page_of(self.compilation, found))

    def close(self) -> None:
        """Asks what runs to stop, and frees connections, compilations and the model.

        A job that runs keeps the model until it has stopped; ``wait`` blocks until then.
        """
        if self._is_closed:
            return
        self._generation += 1
        self._compiler.cancel()
        self._planner.cancel()
        super().close()
        self._session = None

    def _settle(self) -> None:
        self.wait()

    # ------------------------------------------------------------------------------------ handlers

    def _on_job(self, _view: View, intent: Intent) -> None:
        with self.viewer.shows_errors():
            try:
                if intent["intent"] == "recompile":
                    self.start()
                elif intent["intent"] == "cancel":
                    self.stop()
            except UnreadableBox:
                self.viewer.status.say("Nothing was changed: a box above cannot be read.")

    def _on_header(self, _view: View, intent: Intent) -> None:
        with self.viewer.shows_errors():
            if intent["intent"] == "show":
                self.go_to(intent.get("number"))  # pyright: ignore[reportArgumentType]
            elif intent["intent"] == "close":
                self.close()

    def _on_edit(self) -> None:
        if self._is_filling:
            return
        self._check_open()  # raised by the assignment: there is no status line any more
        self._planner.cancel()
        self.controls.say_plan("")
        with self.viewer.shows_errors():
            self._mark_age()
            try:
                settings = self.controls.settings()
            except UnreadableBox:
                self.viewer.end_preview()
                return
            self.controls.say_plan(PLANNING)
            job = functools.partial(self._plan, settings)
            self._planner.start(with_settings_of_this_thread(job))

    # ---------------------------------------------------------------------------------------- jobs

    def _compile(self, settings: Settings, generation: int, token: CancelToken) -> None:
        """Updates the session; who cancels it says so, and a newer generation speaks for itself."""
        try:
            compilation = self.session.update(cancel=token, **self._told(generation), **settings)
            if generation == self._generation:
                self._show(compilation, settings, generation)
        except Cancelled:
            return
        except Exception as error:
            if generation == self._generation:
                self._show_error(error)
                self.viewer.end_preview()
        if generation == self._generation:
            self.controls.end()

    def _plan(self, settings: Settings, token: CancelToken) -> None:
        """Says what a recompile would do, unless there is a newer edit."""
        try:
            planned = self.session.plan(**settings)
        except Exception as error:
            if not token.is_cancelled:
                self.controls.say_plan("not possible with these settings")
                self.viewer.end_preview()
                self._show_error(error)
            return
        if token.is_cancelled:
            return
        self._forget_error()
        if settings == self._settings_in_picture:
            self.controls.say_plan(NOTHING_TO_DO)
            self.viewer.end_preview()
        else:
            self._preview(planned)

    def _cancelled(self, _token: CancelToken) -> None:
        self.controls.end()
        self.viewer.end_preview()
        if self._generation_in_picture != self._generation:
            self.viewer.status.say("Cancelled; the picture is the last good compilation.")

    # ------------------------------------------------------------------------------------- showing

    def _preview(self, planned: PlannedCompilation) -> None:
        self.controls.say_plan(planned)
        self.viewer.preview(planned)

    def _show(self, compilation: Compilation, settings: Settings, generation: int) -> None:
        self._settings_in_picture, self._generation_in_picture = settings, generation
        self.controls.use(compilation)
        self.viewer.use(compilation)
        self._forget_error()
        self.viewer.status.say(f"{compilation.split.summary()}, {compilation.compiled.summary()}")
        if not self._mark_age():
            self.controls.say_plan(NOTHING_TO_DO)

    def _show_error(self, error: BaseException) -> None:
        self.error = error
        self.viewer.status.say("")
        self.viewer.show_error(error)

    def _forget_error(self) -> None:
        self.error = None
        self.viewer.status.calm()

    def _mark_age(self) -> bool:
        """Whether the picture is older than the settings; a line beside the button says so."""
        try:
            older = self.controls.settings() != self._settings_in_picture
        except UnreadableBox:
            older = True
        self.controls.job.stale = STALE if older and self.compilation is not None else ""
        return older

    def _busy(self) -> None:
        self._planner.cancel()
        self._forget_error()
        self.controls.begin()

    def _told(self, generation: int) -> dict[str, Callable[..., None]]:
        """Callbacks that draw for one generation, and no longer when there is a newer one."""

        def progress(now: Progress) -> None:
            if generation == self._generation:
                self.controls.draw(now)

        def planned(plan: PlannedCompilation) -> None:
            if generation == self._generation:
                self._preview(plan)

        return {"progress": progress, "planned": planned}

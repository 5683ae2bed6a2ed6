"""A Session in, a panel out: change where the model is cut and what is dynamic, recompile, look."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

import ipywidgets

from explorer import Cancelled, CancelToken, Compilation, ConfigError, Progress, Session
from explorer.thread_settings import with_settings_of_this_thread
from widgets.background import Background
from widgets.controls import PLANNING, Controls
from widgets.markup import alert, failure, quiet
from widgets.picture import static_html
from widgets.settings_text import (
    dims_text,
    parse_dims,
    parse_splitting_ops,
    splitting_ops_text,
)

_P = ParamSpec("_P")
_Settings = dict[str, Any]


class UnreadableBox(ConfigError):
    """A text box cannot be read; the sentence stands below the box."""


def _shows_errors(
    handler: Callable[Concatenate[Panel, _P], None],
) -> Callable[Concatenate[Panel, _P], None]:
    """A handler whose errors stand in the status line; the front end would show none of them."""

    @functools.wraps(handler)
    def guarded(panel: Panel, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            handler(panel, *args, **kwargs)
        except Exception as error:
            panel._show_error(error)

    return guarded


class Panel(ipywidgets.VBox):
    """Two boxes, a Recompile button, and the picture of the last good compilation.

    Edits change nothing before Recompile is pressed; until then the plan line says what it would
    do. Compiling goes on in a background thread. What fails or is cancelled leaves the picture as
    it is.

    Attributes:
        session: what compiles.
        compilation: the compilation in the picture; None before the first.
        error: the last error, None after a success; its text is in ``status``.
        dims: the box with the dynamic dims: ``input_ids[0]=n, positions[0]=n``.
        splitting_ops: the box with the splitting ops.
        recompile: the button that starts a compile in the background.
        cancel: the button that stops it.
        progress: the bar; its value is the number of finished artifacts.
        status: the status line.
        controls: the other parts.
    """

    def __init__(self, session: Session, dynamic_arg_dims: Mapping[str, Any] | None = None) -> None:
        self.session = session
        self.compilation: Compilation | None = None
        self.error: BaseException | None = None
        self.controls = controls = Controls()
        self.dims, self.splitting_ops = controls.dims, controls.splitting_ops
        self.recompile, self.cancel = controls.recompile, controls.cancel
        self.progress, self.status = controls.progress, controls.status
        self._compiler, self._planner = Background(), Background()
        self._generation = 0
        self._generation_in_picture = 0
        self._settings_in_picture: _Settings = {}
        self._given_dims = dynamic_arg_dims
        self.dims.value = dims_text(dynamic_arg_dims)
        self.splitting_ops.value = splitting_ops_text(session.config.splitting_ops)
        super().__init__(controls.rows())
        self.dims.observe(self._on_edit, "value")
        self.splitting_ops.observe(self._on_edit, "value")
        self.recompile.on_click(self._on_recompile)
        self.cancel.on_click(self._on_cancel)

    def __repr__(self) -> str:
        shown = "nothing compiled yet" if self.compilation is None else repr(self.compilation)
        return f"Panel({shown})"

    # ----------------------------------------------------------------------------------- from code

    def start(self) -> None:
        """Begins to compile what the boxes say, as the button does.

        Raises:
            UnreadableBox: the sentence stands below the box as well.
        """
        settings = self._settings()
        self._generation += 1
        self._busy()
        job = functools.partial(self._compile, settings, self._generation)
        self._compiler.start(with_settings_of_this_thread(job))

    def recompile_now(self) -> Compilation:
        """Compiles what the boxes say before it returns.

        Raises:
            UnreadableBox: the sentence stands below the box as well.
            ExplorerError: what the steps raise; the picture stays as it is.
        """
        settings = self._settings()
        self._generation += 1
        generation = self._generation
        self._compiler.cancel()
        try:
            self._compiler.wait()
            self._busy()
            compilation = self.session.update(progress=self._progress(generation), **settings)
            self._show(compilation, settings, generation)
        except BaseException as error:  # a keyboard interrupt as well
            self._show_error(error)
            raise
        finally:
            self.controls.end()
        return compilation

    def stop(self) -> None:
        """Asks the running compile to end after the artifact that is being made, as Cancel does."""
        if self._compiler.is_idle:
            return
        self.status.value = quiet("Stopping after the artifact that is being made …")
        self._compiler.cancel()
        self._compiler.follow(self._cancelled)

    def wait(self, timeout_seconds: float | None = None) -> Compilation | None:
        """Blocks until nothing is compiled or planned; returns the compilation in the picture.

        Raises:
            TimeoutError: it takes longer.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for jobs in (self._compiler, self._planner):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if jobs.wait(left):
                continue
            raise TimeoutError(
                f"The panel still works after {timeout_seconds:g} seconds: wait longer, or cancel."
            )
        return self.compilation

    # ------------------------------------------------------------------------------------ handlers

    @_shows_errors
    def _on_recompile(self, _button: object = None) -> None:
        self.start()

    @_shows_errors
    def _on_cancel(self, _button: object = None) -> None:
        self.stop()

    @_shows_errors
    def _on_edit(self, _change: object = None) -> None:
        self._planner.cancel()
        self.controls.plan.value = ""
        self._mark_age()
        job = functools.partial(self._plan, self._settings())
        self.controls.plan.value = PLANNING
        self._planner.start(with_settings_of_this_thread(job))

    # ---------------------------------------------------------------------------------------- jobs

    def _compile(self, settings: _Settings, generation: int, token: CancelToken) -> None:
        """Updates the session; who cancels it says so, and a newer generation speaks for itself."""
        try:
            compilation = self.session.update(
                progress=self._progress(generation), cancel=token, **settings
            )
            if generation == self._generation:
                self._show(compilation, settings, generation)
        except Cancelled:
            return
        except Exception as error:
            if generation == self._generation:
                self._show_error(error)
        if generation == self._generation:
            self.controls.end()

    def _plan(self, settings: _Settings, token: CancelToken) -> None:
        """Says what a recompile would do, unless there is a newer edit."""
        try:
            planned = self.session.plan(**settings)
        except Exception as error:
            if not token.is_cancelled:
                self.controls.plan.value = quiet("plan: not possible with these settings")
                self._show_error(error)
            return
        if token.is_cancelled:
            return
        notes = "".join(f" · {note}" for note in planned.unique.split.notes)
        self.controls.plan.value = quiet(f"plan: {planned.summary()}{notes}")
        if self.error is not None:
            self._forget_error()

    def _cancelled(self, _token: CancelToken) -> None:
        self.controls.end()
        if self._generation_in_picture != self._generation:
            self.status.value = quiet("Cancelled; the picture is the last good compilation.")

    # ------------------------------------------------------------------------------------ settings

    def _settings(self) -> _Settings:
        """What the boxes say; a box that cannot be read gets a sentence below it."""
        return {
            "dynamic_arg_dims": _read(self._dims_of, self.dims, self.controls.dims_message),
            "splitting_ops": _read(
                parse_splitting_ops, self.splitting_ops, self.controls.splitting_ops_message
            ),
        }

    def _dims_of(self, text: str) -> Mapping[str, Any] | None:
        """What the text says; when it says what was given, that: so nothing is captured again."""
        given_text = dims_text(self._given_dims)
        if text == given_text:
            return self._given_dims
        parsed = parse_dims(text)
        with contextlib.suppress(ConfigError):  # what was given may not fit into a text
            if parsed == parse_dims(given_text):
                return self._given_dims
        return parsed

    # ------------------------------------------------------------------------------------- showing

    def _show(self, compilation: Compilation, settings: _Settings, generation: int) -> None:
        self.compilation = compilation
        self._settings_in_picture, self._generation_in_picture = settings, generation
        self.controls.picture.value = static_html(compilation)
        self.error = None
        self.status.value = quiet(
            f"{compilation.split.summary()}, {compilation.compiled.summary()}"
        )
        if not self._mark_age():
            text = "plan: nothing to compile, the picture has these settings"
            self.controls.plan.value = quiet(text)

    def _show_error(self, error: BaseException) -> None:
        self.error = error
        if isinstance(error, UnreadableBox):
            self.status.value = quiet("Nothing was changed: a box above cannot be read.")
        else:
            self.status.value = failure(error)

    def _forget_error(self) -> None:
        self.error = None
        self.status.value = ""

    def _mark_age(self) -> bool:
        """Whether the picture is older than the settings; a line above it says so."""
        try:
            older = self._settings() != self._settings_in_picture
        except UnreadableBox:
            older = True
        text = "The settings above were changed after this picture was made."
        self.controls.stale.value = quiet(text) if older and self.compilation else ""
        return older

    def _busy(self) -> None:
        self._planner.cancel()
        self._forget_error()
        self.controls.begin()

    def _progress(self, generation: int) -> Callable[[Progress], None]:
        """Draws the progress of one generation, and no longer when there is a newer one."""

        def draw(progress: Progress) -> None:
            if generation == self._generation:
                self.controls.draw(progress)

        return draw


def _read(parse: Callable[[str], Any], box: ipywidgets.Text, message: ipywidgets.HTML) -> Any:
    """What a box says; the parser's sentence stands below the box as long as it cannot be read."""
    try:
        value = parse(box.value)
    except ConfigError as error:
        message.value = alert(error)
        raise UnreadableBox(str(error)) from error
    message.value = ""
    return value

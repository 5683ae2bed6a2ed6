"""The last line of the panel: the last call, what is selected, what went wrong."""

from __future__ import annotations

import traceback
from typing import Any

import traitlets

from explorer import ExplorerError
from explorer.report.wording import clean, shortened, with_short_paths
from widgets.view import View, script, style

LONGEST_MESSAGE = 2_000
"""Characters of a message that are shown."""

MOST_ERRORS = 20
"""Errors that are kept."""


class StatusView(View):
    """One line of text, the selection in words, and the errors, the latest one open.

    Intents: ``forget`` drops the errors, ``select`` with kind ``none`` ends the selection,
    ``cancel`` stops what goes on.

    Attributes:
        text: the last call, or what came of something.
        doing: what goes on, and can be cancelled; empty when nothing does.
        errors: ``text trace`` of each, oldest first.
        has_alert: whether the latest error is still shown open.
    """

    _esm = script("status_view")
    _css = style("status_view")

    text = traitlets.Unicode("").tag(sync=True)
    doing = traitlets.Unicode("").tag(sync=True)
    errors = traitlets.List().tag(sync=True)
    has_alert = traitlets.Bool(False).tag(sync=True)

    def say(self, text: object) -> None:
        """Replaces the line."""
        self.text = shortened(clean(text), LONGEST_MESSAGE)

    def show_error(self, error: BaseException) -> None:
        """Shows an error in its own words, with the traceback folded below."""
        self.errors = [*self.errors, error_view(error)][-MOST_ERRORS:]
        self.has_alert = True

    def calm(self) -> None:
        """The latest error no longer stands open; the list keeps it."""
        self.has_alert = False

    def forget(self) -> None:
        """Drops the errors."""
        self.errors, self.has_alert = [], False

    @property
    def alert(self) -> str:
        """The text of the error that stands open; empty without one."""
        return self.errors[-1]["text"] if self.has_alert and self.errors else ""

    def __repr__(self) -> str:
        return f"StatusView({self.alert or self.text})"


def error_view(error: BaseException) -> dict[str, Any]:
    """``text``: the error in its words; ``trace``: the traceback, where one tells more."""
    words = str(error) if isinstance(error, ExplorerError) else ""
    words = words or " ".join(traceback.format_exception_only(error)).strip()
    text = clean(with_short_paths(words), keep="\n")
    lines = "".join(traceback.format_exception(error))
    has_cause = error.__cause__ is not None or not isinstance(error, ExplorerError)
    trace = clean(lines[-20 * LONGEST_MESSAGE :], keep="\n") if has_cause else ""
    return {"text": shortened(text, LONGEST_MESSAGE), "trace": trace}

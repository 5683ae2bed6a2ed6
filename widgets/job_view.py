"""What a recompile would do, how far the running one is, and the buttons for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from explorer import Progress
from explorer.planned_compilation import PlannedCompilation
from explorer.report.job_text import plan_text, progress_text
from explorer.report.wording import label_of
from widgets.view import View, script, style

_LONGEST = 400


class JobView(View):
    """Plan line, progress bar, Recompile and Cancel; intents ``recompile`` and ``cancel``.

    Attributes:
        plan: one line.
        progress: ``done``, ``total``, ``what`` and the ``text`` beside the bar.
        running: whether a compile goes on.
        seconds: since it began, at the last progress; the front end counts on from there.
        stale: says that what is shown is older than the settings; empty when it is not.
        can_cancel: whether Cancel can be pressed.
        can_recompile: whether Recompile can be pressed.
    """

    _esm = script("controls", "job_view")
    _css = style("controls", "job_view")

    plan = traitlets.Unicode("").tag(sync=True)
    progress: Any = traitlets.Dict().tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    seconds = traitlets.Float(0.0).tag(sync=True)
    stale = traitlets.Unicode("").tag(sync=True)
    can_cancel = traitlets.Bool(False).tag(sync=True)
    can_recompile = traitlets.Bool(True).tag(sync=True)

    def begin(self, what: str = "capture and cut") -> None:
        """Shows that a compile begins; Cancel can be pressed."""
        with self.hold_sync():
            self.progress = {"done": 0, "total": 0, "what": what, "text": what}
            self.seconds, self.running, self.can_cancel = 0.0, True, True

    def show_progress(
        self, progress: Progress, seconds: float, origins: Mapping[str, int] | None = None
    ) -> None:
        """Shows how far it is.

        Args:
            progress: what ``Session.update`` reports.
            seconds: since it began.
            origins: ``compiled``, ``memory`` and ``store`` -> how many of the finished artifacts
                came from there.
        """
        with self.hold_sync():
            self.seconds = seconds
            self.progress = {
                "done": progress.done,
                "total": progress.total,
                "what": label_of(progress.what, _LONGEST),
                "text": progress_text(progress, origins),
            }

    def cancelling(self) -> None:
        """Shows that a cancel was asked for: it takes effect at the next artifact."""
        self.can_cancel = False
        text = "stopping after the artifact that is being made …"
        self.progress = {**self.progress, "text": text}

    def end(self) -> None:
        """Shows that no compile goes on."""
        with self.hold_sync():
            self.running, self.can_cancel, self.progress = False, False, {}

    def show_plan(self, planned: PlannedCompilation | str) -> None:
        """Says what a recompile would do; a string is shown as it is."""
        text = planned if isinstance(planned, str) else plan_text(planned)
        self.plan = label_of(f"plan: {text}", _LONGEST) if text else ""

    @traitlets.validate("stale", "plan")
    def _clean(self, proposal: traitlets.Bunch) -> str:
        return label_of(proposal["value"], _LONGEST)

    def __repr__(self) -> str:
        state = self.progress.get("text", "") if self.running else self.plan
        return f"JobView({state})"

"""Long looks at a compilation: an audit, a measurement. One at a time, beside the main thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from explorer import Cancelled, CancelToken, Progress
from explorer.progress import ProgressCallback
from explorer.report.wording import clean
from explorer.thread_settings import with_settings_of_this_thread
from widgets.background import Background
from widgets.status_view import StatusView


@dataclass(frozen=True)
class Look:
    """What a look is handed.

    Attributes:
        cancel: somebody wants it to stop.
        progress: to be told how far it is.
    """

    cancel: CancelToken
    progress: ProgressCallback


class Looking:
    """Runs looks, and says in the status line which one goes on.

    Args:
        status: the line.
        show_error: is told what a look raised.
        changed: called when a look has ended, or was dropped.
    """

    def __init__(
        self,
        status: StatusView,
        show_error: Callable[[BaseException], None],
        changed: Callable[[], None],
    ) -> None:
        self._status = status
        self._show_error = show_error
        self._changed = changed
        self._jobs = Background()
        self._asked: set[str] = set()
        status.on_intent(self._on_intent)

    def start(self, what: str, look: Callable[[Look], None], *, key: str) -> None:
        """Runs a look after those that wait; its settings are those of the calling thread.

        Args:
            what: what it does, for the status line.
            look: it shows its own result; its errors are shown for it.
            key: while a look of this key waits or runs, another one is not started.
        """
        if key in self._asked:
            return
        self._asked.add(key)
        self._jobs.queue(
            with_settings_of_this_thread(functools.partial(self._run, what, look, key))
        )

    def is_asked(self, key: str) -> bool:
        """Whether a look of this key waits or runs."""
        return key in self._asked

    def cancel(self) -> None:
        """Asks the running look to stop and drops those that wait."""
        self._jobs.cancel()
        self._asked.clear()
        self._status.doing = ""
        self._changed()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Blocks until nothing runs; False when the time is over before that."""
        return self._jobs.wait(timeout_seconds)

    def _on_intent(self, _view: object, intent: object) -> None:
        if isinstance(intent, dict) and intent.get("intent") == "cancel":
            self.cancel()

    def _run(self, what: str, look: Callable[[Look], None], key: str, token: CancelToken) -> None:
        def draw(progress: Progress) -> None:
            if not token.is_cancelled:
                self._status.doing = clean(
                    f"{what}: {progress.done}/{progress.total} {progress.what}"
                )

        if token.is_cancelled:
            return
        self._status.doing = clean(what)
        try:
            look(Look(token, draw))
        except Cancelled:
            self._status.say(f"Cancelled: {what}.")
        except Exception as error:
            if not token.is_cancelled:
                self._show_error(error)
        finally:
            if not token.is_cancelled:
                self._asked.discard(key)
                self._status.doing = ""
                self._changed()

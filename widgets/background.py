"""Jobs for one background thread: one runs at a time, and a newer one makes an older one stop."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from explorer import CancelToken

Work: TypeAlias = Callable[[CancelToken], None]
"""What a job does. It shows its own errors, and looks at the token where it can stop."""

SECONDS_AT_EXIT = 10.0
"""How long the end of the process waits for threads that work. A compiler may take longer."""

_POLL_SECONDS = 0.1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Job:
    work: Work
    token: CancelToken = field(default_factory=CancelToken)


class Background:
    """Runs jobs in a thread that lives as long as there are any.

    ``start`` makes the running job stop and drops the ones that wait. ``queue`` waits for its turn.
    ``follow`` waits for all of these, and takes the place of an earlier follower that has not
    begun. A job counts as running until it returns, whether or not it was asked to stop.

    The end of the process cancels all jobs and waits for their threads: see ``end_threads``.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: _Job | None = None
        self._waiting: deque[_Job] = deque()
        self._after: _Job | None = None
        self._thread: _Thread | None = None

    def start(self, work: Work) -> None:
        """Runs the job as soon as the running one has stopped, in place of all that wait."""
        with self._changed:
            self._stop_running()
            self._waiting, self._after = deque([_Job(work)]), None
            self._wake()

    def queue(self, work: Work) -> None:
        """Runs the job after all that wait."""
        with self._changed:
            self._waiting.append(_Job(work))
            self._wake()

    def follow(self, work: Work) -> None:
        """Runs the job after the ones that are there."""
        with self._changed:
            self._after = _Job(work)
            self._wake()

    def cancel(self) -> None:
        """Asks the running job to stop and drops the ones that wait."""
        with self._changed:
            self._stop_running()
            self._waiting.clear()
            self._after = None
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        with self._changed:
            return not (self._running or self._waiting or self._after)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Blocks until nothing runs and nothing waits; False when the time is over before that."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self._changed:
            while self._running or self._waiting or self._after:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return False
                self._changed.wait(remaining)
            return True

    def _stop_running(self) -> None:
        if self._running is not None:
            self._running.token.cancel()

    def _wake(self) -> None:
        if self._thread is None:
            _end_threads_at_exit()
            self._thread = _Thread(self)
            self._thread.start()

    def work(self) -> None:
        """Runs what is there until nothing is left; the thread calls it."""
        while (job := self._take()) is not None:
            try:
                job.work(job.token)
            except Exception:  # a fault of ours: the thread has to live for the jobs that follow
                _logger.exception("A job of the panel failed.")
            finally:
                self._done()

    def _take(self) -> _Job | None:
        with self._changed:
            if self._waiting:
                self._running = self._waiting.popleft()
            else:
                self._running, self._after = self._after, None
            if self._running is None:
                self._thread = None
            self._changed.notify_all()
            return self._running

    def _done(self) -> None:
        with self._changed:
            self._running = None
            self._changed.notify_all()


class _Thread(threading.Thread):
    """Works for one ``Background``. The end of the process waits for it, but not for ever."""

    def __init__(self, jobs: Background) -> None:
        super().__init__(name="panel", daemon=True)
        self.jobs = jobs

    def run(self) -> None:
        self.jobs.work()


def end_threads(timeout_seconds: float | None = None) -> bool:
    """Cancels the jobs of this process and waits until their threads are gone.

    Python ends a daemon thread wherever it is. In the middle of torch's C++ code that aborts the
    process, so nothing may run there when the interpreter ends. A forked process has none of the
    threads, and nothing to wait for.

    Args:
        timeout_seconds: ``SECONDS_AT_EXIT`` when not given.

    Returns:
        Whether they are gone; False when the time is over before that.
    """
    deadline = time.monotonic() + (SECONDS_AT_EXIT if timeout_seconds is None else timeout_seconds)
    while threads := _threads():
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        for each in threads:  # every time: the end of one job may begin another
            each.jobs.cancel()
        threads[0].join(min(remaining, _POLL_SECONDS))
    return True


def _threads() -> list[_Thread]:
    """Those that run; one that another thread has just begun to start cannot be joined yet."""
    there = [each for each in threading.enumerate() if isinstance(each, _Thread)]
    return [each for each in there if each.is_alive()]


def _end_threads_at_exit() -> None:
    """Puts ``end_threads`` before the exit functions that are there: a job may need what they end.

    Those are torch's compile processes, and the folders of this process.
    """
    atexit.unregister(end_threads)
    atexit.register(end_threads)


__all__ = ["SECONDS_AT_EXIT", "Background", "Work", "end_threads"]

"""One at a time per key: a key in, a block that others wait for."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import BaseFileLock

from explorer.store.locks import lock_file, unlock
from explorer.store.manifest import LOCK_SUFFIX
from explorer.store.notices import Notices

_SECONDS_BETWEEN_CALLS = 0.1


class SingleFlight:
    """The locks of keys that this process holds.

    Args:
        folder: of the lock files; None where nothing can be written, and then nobody waits.
        notices: where a lock that cannot be had is told.
    """

    def __init__(self, folder: Path | None, notices: Notices) -> None:
        self._folder = folder
        self._notices = notices
        self._inside: set[tuple[int, int, str]] = set()

    @contextlib.contextmanager
    def of(
        self, key: str, timeout_seconds: float, while_waiting: Callable[[], None] | None = None
    ) -> Iterator[bool]:
        """The block; yields whether nobody else is in it with that key."""
        holder = (os.getpid(), threading.get_ident(), key)
        if holder in self._inside:  # waiting for oneself would never end
            yield True
            return
        lock = self._locked(key, timeout_seconds, while_waiting)
        self._inside.add(holder)
        try:
            yield lock is not None
        finally:
            self._inside.discard(holder)
            if lock is not None:
                unlock(lock)

    def _locked(
        self, key: str, timeout_seconds: float, while_waiting: Callable[[], None] | None
    ) -> BaseFileLock | None:
        if self._folder is None:
            return None
        end_seconds = time.monotonic() + timeout_seconds
        wait_seconds = 0.0
        while wait_seconds >= 0:
            try:
                lock = lock_file(self._folder / f"{key}{LOCK_SUFFIX}", timeout_seconds=wait_seconds)
            except OSError as error:
                self._notices.say_once(
                    f"lock {error.errno}",
                    f"Artifacts are made without waiting for other processes: {error.strerror}.",
                )
                return None
            if lock is not None:
                return lock
            if while_waiting is not None:  # not in the try block: what it raises is the caller's
                while_waiting()
            wait_seconds = min(end_seconds - time.monotonic(), _SECONDS_BETWEEN_CALLS)
        self._notices.say(
            f"Another process has been making the artifact {key[:12]} for more than "
            f"{timeout_seconds:g} s; it is made here as well."
        )
        return None

"""File locks: a path in, a held lock out.

The lock of a process that dies is free again, so a dead holder never blocks anybody.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

_POLL_SECONDS = 0.02
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)


def lock_file(path: Path, *, timeout_seconds: float = 0.0) -> BaseFileLock | None:
    """The lock, held; None where another holder kept it for that long.

    Raises:
        OSError: there are no locks to be had here: no such folder, no room, no support.
    """
    # Not one per thread: what one thread takes, the exit of the process may have to give back.
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=timeout_seconds, poll_interval=_POLL_SECONDS)
    except Timeout:
        return None
    except NotImplementedError as error:  # filelock before 4 says it in this way
        raise OSError(errno.ENOSYS, str(error), str(path)) from error
    return lock


def unlock(lock: BaseFileLock) -> None:
    """Gives a lock back, even when that fails half-way: closing the file frees it all the same."""
    with contextlib.suppress(OSError):
        lock.release()


def lock_directory_for_reading(descriptor: int) -> bool:
    """Marks an open directory as being read; False where somebody is about to remove it."""
    return _flock(descriptor, fcntl.LOCK_SH)


def lock_directory_for_removal(descriptor: int) -> bool:
    """Marks an open directory as about to go; False where somebody reads it."""
    return _flock(descriptor, fcntl.LOCK_EX)


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without such locks: a reader who loses a race sees a miss, nothing worse.
        return error.errno not in _HELD_BY_ANOTHER
    return True


def remove_lock_file(path: Path) -> bool:
    """Removes a lock that nobody holds; False where somebody does.

    Removed while held: who waits for it sees that its file is gone, and takes a new one.
    """
    try:
        lock = lock_file(path)
    except OSError:
        return False
    if lock is None:
        return False
    with contextlib.suppress(OSError):
        path.unlink()
    unlock(lock)
    return True

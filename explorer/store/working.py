"""Folders that belong to one process: made under a lock, gone when the process is.

What is being written, what is being removed and what is handed out as a file lies in such a folder.
A killed process leaves its folder behind with its lock free, and the next one sweeps it away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock

from explorer.store.locks import lock_file, unlock

_OWNER = "owner.lock"
_MOST_TRIES = 8
_ORPHAN_AGE_SECONDS = 3600.0


@dataclass(frozen=True, eq=False)
class WorkingDirectory:
    """A folder of this process, mode 0700.

    Attributes:
        path: the folder.
        process: who made it; a forked child must make its own.
    """

    path: Path
    process: int
    _lock: BaseFileLock

    @property
    def is_ours(self) -> bool:
        """Whether this process made it: a forked child inherits the object, not the folder."""
        return self.process == os.getpid()

    def remove(self) -> None:
        """Removes it with all that it holds, once; nothing happens in a forked child."""
        if not self.is_ours:
            return
        remove_anything(self.path)
        unlock(self._lock)
        # Where a lock file cannot be removed while it is held, the first pass left the folder.
        remove_anything(self.path)


def working_directory(parent: Path, prefix: str = "") -> WorkingDirectory:
    """A new one in ``parent``; who asks for it removes it.

    Raises:
        OSError: it cannot be made.
    """
    for _ in range(_MOST_TRIES):
        path = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))
        try:
            lock = lock_file(path / _OWNER)
        except OSError:
            remove_anything(path)
            raise
        if lock is None:  # a sweep came between the two lines above and is removing it
            continue
        if _is_private(path):
            return WorkingDirectory(path, os.getpid(), lock)
        unlock(lock)
    raise OSError(errno.EBUSY, "every new working folder was swept away", str(parent))


def _is_private(path: Path) -> bool:
    # A lock library may make a missing folder again, then with another mode.
    with contextlib.suppress(OSError):
        return stat.S_IMODE(os.lstat(path).st_mode) == 0o700
    return False


def sweep_orphans(parent: Path, prefix: str = "") -> int:
    """Removes what dead processes left in ``parent``, and says how many folders that were."""
    try:
        with os.scandir(parent) as found:
            folders = [Path(each) for each in found if each.name.startswith(prefix)]
    except OSError:
        return 0
    return sum(_sweep(folder) for folder in folders)


def _sweep(folder: Path) -> bool:
    try:
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        lock = lock_file(folder / _OWNER)
    except OSError:
        if not _is_long_dead(folder):
            return False
        remove_anything(folder)
        return True
    if lock is None:
        return False
    remove_anything(folder)
    unlock(lock)
    remove_anything(folder)
    return True


def remove_anything(path: Path) -> None:
    """Removes a file or a folder, as far as that goes."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()
    with contextlib.suppress(OSError):
        path.rmdir()  # without a free descriptor the first line cannot even look inside


def _is_long_dead(folder: Path) -> bool:
    """Where locks do not work: an hour old, and no process of that number on this machine."""
    digits = folder.name.rpartition("-")[0].rpartition("-")[2]
    try:
        if time.time() - folder.lstat().st_mtime < _ORPHAN_AGE_SECONDS:
            return False
        os.kill(int(digits), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False

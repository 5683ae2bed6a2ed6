"""What goes when there is too much: the entries that were used longest ago.

An entry is renamed away before it is removed, so nobody ever sees half of one. One that is being
read, or whose key is locked, stays. Whatever turns out to be missing is fine.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from explorer.store.locks import (
    lock_directory_for_removal,
    lock_file,
    remove_lock_file,
    unlock,
)
from explorer.store.manifest import LOCK_SUFFIX, MANIFEST_NAME
from explorer.store.working import remove_anything


@dataclass(frozen=True)
class Usage:
    """What one entry costs, and when it was used.

    Attributes:
        key: of the entry.
        bytes: of all its files.
        last_used_seconds: since the epoch; never in the future.
    """

    key: str
    bytes: int
    last_used_seconds: float


def usages(entries: Path) -> list[Usage]:
    """Of all entries, used longest ago first."""
    now = time.time()
    found = [usage_of(folder, now) for folder in folders_of(entries)]
    return sorted(found, key=lambda usage: (usage.last_used_seconds, usage.key))


def folders_of(parent: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing where it cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(parent.iterdir())
    return []


def usage_of(folder: Path, now: float) -> Usage:
    """Of one entry, at the time ``now``."""
    used = now
    with contextlib.suppress(OSError):
        used = os.lstat(folder).st_mtime
    with contextlib.suppress(OSError):
        used = os.lstat(folder / MANIFEST_NAME).st_mtime
    if used > now:  # a clock was wrong: used just now, and from here on it ages like the others
        mark_used(folder)
    return Usage(folder.name, bytes_of(folder), min(used, now))


def mark_used(folder: Path) -> None:
    """Notes that an entry was used now; a store that cannot be written does without."""
    with contextlib.suppress(OSError):
        os.utime(folder / MANIFEST_NAME)


def bytes_of(folder: Path) -> int:
    """Of the files directly in a folder, or of the file that it turns out to be."""
    total = 0
    try:
        with os.scandir(folder) as files:
            for file in files:
                with contextlib.suppress(OSError):
                    total += file.stat(follow_symlinks=False).st_size
    except OSError:
        with contextlib.suppress(OSError):
            total = os.lstat(folder).st_size
    return total


def evict(key: str, entries: Path, locks: Path, away: Path) -> bool:
    """Removes one entry; False where it is in use.

    Args:
        key: of the entry.
        entries: the folder that it lies in.
        locks: the folder of the keys' locks.
        away: an empty folder on the same file system, which the entry is moved to first.

    Raises:
        OSError: it can be neither locked nor moved.
    """
    path = locks / f"{key}{LOCK_SUFFIX}"
    lock = lock_file(path)
    if lock is None:
        return False
    try:
        if not _move(entries / key, away / key):
            return False
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: see remove_lock_file
    finally:
        unlock(lock)
    remove_anything(away / key)
    return True


def _move(folder: Path, target: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:  # a link, or unreadable: nobody reads that
        folder.rename(target)
        return True
    try:
        if not lock_directory_for_removal(descriptor):
            return False
        with contextlib.suppress(FileNotFoundError):
            folder.rename(target)
    finally:
        os.close(descriptor)
    return True


def remove_idle_locks(locks: Path, entries: Path) -> None:
    """Removes the locks of keys that have no entry and that nobody holds."""
    for path in folders_of(locks):
        key = path.name.removesuffix(LOCK_SUFFIX)
        if key != path.name and not os.path.lexists(entries / key):
            remove_lock_file(path)


def trim_quarantine(quarantine: Path, most: int) -> int:
    """Keeps the ``most`` newest of what was set aside; says how many bytes that freed."""
    surplus = folders_of(quarantine)[: -most or None]
    freed = sum(bytes_of(path) for path in surplus)
    for path in surplus:
        remove_anything(path)
    return freed

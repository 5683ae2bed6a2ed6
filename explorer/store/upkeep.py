"""Looking after a store: what lies in it, what is wrong with it, and making room.

Everything here tolerates entries that others add and remove meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.store.entry import EntryGone, read_entry, read_manifest
from explorer.store.eviction import (
    bytes_of,
    evict,
    folders_of,
    remove_idle_locks,
    trim_quarantine,
    usages,
)
from explorer.store.manifest import DamagedEntry, Manifest
from explorer.store.root import ENTRIES, LOCKS, QUARANTINE


@dataclass(frozen=True)
class Stored:
    """One entry as a list shows it.

    Attributes:
        key: its name, 64 hex digits.
        manifest: what it is.
        bytes: of all its files.
        last_used_seconds: since the epoch.
    """

    key: str
    manifest: Manifest
    bytes: int
    last_used_seconds: float


@dataclass(frozen=True)
class Finding:
    """One entry that must not be used.

    Attributes:
        key: the name of its folder.
        problem: what is wrong, in words that end a sentence.
    """

    key: str
    problem: str


@dataclass(frozen=True)
class Pruned:
    """What a removal did.

    Attributes:
        removed: keys of the entries that went, in the order in which they went.
        freed_bytes: of these, and of what had been set aside.
        kept_bytes: of the entries that stayed.
        in_use: keys of the entries that should have gone and stayed.
    """

    removed: tuple[str, ...]
    freed_bytes: int
    kept_bytes: int
    in_use: tuple[str, ...]


def stored(root: Path, secret: bytes) -> Iterator[Stored]:
    """All entries that can be trusted, the one used last first."""
    for usage in reversed(usages(root / ENTRIES)):
        with contextlib.suppress(EntryGone, DamagedEntry, OSError):
            manifest = read_manifest(root / ENTRIES / usage.key, secret)
            yield Stored(usage.key, manifest, usage.bytes, usage.last_used_seconds)


def findings(root: Path, secret: bytes) -> Iterator[Finding]:
    """What must not be used, with why, after a look at every byte."""
    for folder in folders_of(root / ENTRIES):
        try:
            read_entry(folder, secret)
        except EntryGone:
            continue
        except DamagedEntry as damage:
            yield Finding(folder.name, str(damage))
        except OSError as error:
            yield Finding(folder.name, f"it cannot be read now: {error.strerror}")


def total_bytes(root: Path) -> int:
    """Of all entries."""
    return sum(usage.bytes for usage in usages(root / ENTRIES))


def entry_count_and_bytes(root: Path, most: int = 5_000) -> tuple[int, int] | None:
    """How many entries there are and their bytes, for a quick look that changes nothing.

    Args:
        root: of the store; it need not exist.
        most: entries that are counted; None is returned where there are more.
    """
    folders = folders_of(root / ENTRIES)
    return None if len(folders) > most else (len(folders), sum(map(bytes_of, folders)))


def remove_down_to(limit_bytes: int, root: Path, away: Path) -> Pruned:
    """Removes what was used longest ago until the entries have at most ``limit_bytes``.

    Args:
        limit_bytes: -1 removes even what has no bytes.
        root: of the store.
        away: an empty folder on its file system.
    """
    remaining = usages(root / ENTRIES)
    total = sum(usage.bytes for usage in remaining)
    freed = trim_quarantine(root / QUARANTINE, 0) if total > limit_bytes else 0
    removed, in_use = [], []
    for usage in remaining:
        if total <= limit_bytes:
            break
        if not _evicted(usage.key, root, away):
            in_use.append(usage.key)
            continue
        removed.append(usage.key)
        freed += usage.bytes
        total -= usage.bytes
    remove_idle_locks(root / LOCKS, root / ENTRIES)
    return Pruned(tuple(removed), freed, total, tuple(in_use))


def _evicted(key: str, root: Path, away: Path) -> bool:
    with contextlib.suppress(OSError):
        return evict(key, root / ENTRIES, root / LOCKS, away)
    return False

"""The manifests of a store, each read once: for questions about many entries at a time."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from explorer.store.entry import EntryGone, read_manifest
from explorer.store.eviction import folders_of
from explorer.store.manifest import DamagedEntry, Manifest


@dataclass(frozen=True)
class _Known:
    inode: int
    changed_nanoseconds: int
    manifest: Manifest


class KnownManifests:
    """Remembers the manifests of entries whose folders did not change.

    Good enough to say what is stored; only ``read_entry`` says what may be used.

    Args:
        entries: the folder of all entries.
        secret: of the user.
    """

    def __init__(self, entries: Path, secret: bytes) -> None:
        self._entries = entries
        self._secret = secret
        self._known: dict[str, _Known] = {}

    def now(self) -> list[Manifest]:
        """Those of all entries that can be trusted; their blobs are not looked at."""
        known = {}
        for folder in folders_of(self._entries):
            with contextlib.suppress(EntryGone, DamagedEntry, OSError):
                known[folder.name] = self._one(folder)
        self._known = known
        return [each.manifest for each in known.values()]

    def _one(self, folder: Path) -> _Known:
        status = os.lstat(folder)
        known = self._known.get(folder.name)
        mark = (status.st_ino, status.st_mtime_ns)
        if known is not None and (known.inode, known.changed_nanoseconds) == mark:
            return known
        return _Known(*mark, read_manifest(folder, self._secret))

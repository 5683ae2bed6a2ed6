"""The store: a kind, factors and blobs in; the same blobs out in another process, or a miss.

A look-up never raises and never returns a byte that was not written for just those factors. A save
never raises either: what cannot be kept is not kept, and one line says why.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from explorer.errors import ConfigError, StoreError
from explorer.store.entry import Entry, EntryGone, read_entry, write_entry
from explorer.store.eviction import mark_used, trim_quarantine
from explorer.store.flight import SingleFlight
from explorer.store.known_manifests import KnownManifests
from explorer.store.manifest import (
    DamagedEntry,
    Manifest,
    check_key,
    check_name,
    entry_key,
    manifest_of,
)
from explorer.store.nearest import Nearest, agrees, nearest_of
from explorer.store.notices import Notices
from explorer.store.own_folders import OwnFolders
from explorer.store.root import (
    ENTRIES,
    LOCKS,
    QUARANTINE,
    WORK,
    StoreRoot,
    default_root,
    open_root,
    private_root,
)
from explorer.store.secret import default_secret_path, kept_secret, new_secret
from explorer.store.upkeep import (
    Finding,
    Pruned,
    Stored,
    findings,
    remove_down_to,
    stored,
    total_bytes,
)
from explorer.store.working import sweep_orphans

DEFAULT_MAX_BYTES = 10 * 2**30
SINGLE_FLIGHT_SECONDS = 600.0
_MOST_QUARANTINED = 16
_SPARE_BYTES = 2**20
_SAVES_PER_COUNT = 32
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.EBUSY, errno.ENOTDIR)


class ArtifactStore:
    """Artifacts on disk, shared by the processes of one user.

    Args:
        root: where; None takes ``~/.cache/piecewise-explorer``.
        max_bytes: of all entries; those used longest ago go first.
        secret_path: of the file with the user's secret, outside the root; None takes
            ``~/.local/state/piecewise-explorer/store-secret``.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        secret_path: Path | None = None,
    ) -> None:
        if max_bytes < 0:
            raise ConfigError(f"A store cannot hold {max_bytes} bytes: `max_bytes` is at least 0.")
        self.max_bytes = max_bytes
        self._notices = Notices()
        self._root, self._secret = _opened(root, secret_path or default_secret_path())
        self._own = OwnFolders(self._root)
        self._known = KnownManifests(self._folder(ENTRIES), self._secret)
        self._saves = 0
        self._bytes = 0
        locks = self._root.path / LOCKS if self._root.can_write else None
        self._flight = SingleFlight(locks, self._notices)
        if self._root.note is not None:
            self._notices.say(f"{self._root.note}.")
        if self._root.can_write:
            sweep_orphans(self._root.path / WORK)

    def __repr__(self) -> str:
        return f"ArtifactStore({str(self._root.path)!r}, {self._root.access.value})"

    @property
    def root(self) -> StoreRoot:
        """Where it lies, and what can be done there."""
        return self._root

    # ------------------------------------------------------------------------------------- look up

    def get(self, kind: str, factors: Mapping[str, str]) -> Entry | None:
        """The entry made with exactly these factors, every byte checked; None is a miss.

        Raises:
            ConfigError: the kind is no name, or a factor is not text.
        """
        return self._loaded(entry_key(kind, factors))

    def _loaded(self, key: str) -> Entry | None:
        if not self._root.can_read:
            return None
        folder = self._folder(ENTRIES) / key
        try:
            manifest, contents = read_entry(folder, self._secret)
        except EntryGone:
            return None
        except DamagedEntry as damage:
            self._set_aside(folder, str(damage))
            return None
        except (OSError, MemoryError) as error:
            self._notices.say_once(
                f"read {_reason(error)}", f"A stored artifact cannot be read now: {_reason(error)}."
            )
            return None
        if self._root.can_write:
            mark_used(folder)
        return Entry(manifest, contents, self._own.places_for_copies)

    def _set_aside(self, folder: Path, problem: str) -> None:
        """Moves what must not be used out of the way, and says so."""
        moved = "it stays where it is"
        if self._root.can_write:
            target = self._folder(QUARANTINE) / f"{time.time_ns():020d}-{folder.name}"
            with contextlib.suppress(OSError):
                try:
                    folder.rename(target)
                except FileNotFoundError:  # another process was faster, and said so
                    return
                moved = f"it was moved to {QUARANTINE}/"
                trim_quarantine(target.parent, _MOST_QUARANTINED)
        self._notices.say_once(
            f"damaged {folder.name} {problem} {moved}",
            f"The stored artifact {folder.name[:12]} is not used: {problem}; {moved}.",
        )

    def reject(self, entry: Entry, why: str) -> None:
        """Sets an entry aside that cannot be used though its bytes are what was written.

        Args:
            entry: from ``get``.
            why: for the notice.
        """
        self._set_aside(self._folder(ENTRIES) / entry.manifest.key, why)

    def find(
        self, kind: str, factors: Mapping[str, str], *, without: Collection[str] = ()
    ) -> tuple[Manifest, ...]:
        """The entries of a kind that have at least these factors, the newest first.

        Their blobs are not looked at: ``get`` with the factors of one of them does that.

        Args:
            kind: of artifact.
            factors: by name.
            without: keys of entries that are passed over.
        """
        found = [each for each in self._of_kind(kind, without) if agrees(each, factors)]
        return tuple(sorted(found, key=lambda each: (-each.created_seconds, each.key)))

    def nearest(
        self, kind: str, factors: Mapping[str, str], *, without: Collection[str] = ()
    ) -> Nearest | None:
        """The entry of a kind with the fewest other factors, and which these are.

        The newest among equals; None where nothing of that kind is stored.

        Args:
            kind: of artifact.
            factors: by name.
            without: keys of entries that are passed over.
        """
        return nearest_of(self._of_kind(kind, without), factors)

    def _of_kind(self, kind: str, without: Collection[str]) -> list[Manifest]:
        known = self._known.now() if self._root.can_read else []
        return [each for each in known if each.kind == kind and each.key not in without]

    # ---------------------------------------------------------------------------------------- save

    def put(
        self,
        kind: str,
        factors: Mapping[str, str],
        blobs: Mapping[str, bytes | Path],
        *,
        label: str = "",
    ) -> Entry | None:
        """Stores blobs under a kind and factors; None where they were not stored.

        Where another process stored the same meanwhile, its entry stays; that is no failure.

        Args:
            kind: of artifact, a name.
            factors: everything that decides whether the blobs can be used.
            blobs: name -> bytes, or a file to copy.
            label: for people; it decides nothing.

        Raises:
            ConfigError: a name that cannot be stored, or a factor that is not text.
        """
        key = entry_key(kind, factors)
        for name in blobs:
            check_name("blob", name)
        if not self._root.can_write:
            return None
        try:
            contents = {name: _content(blob) for name, blob in blobs.items()}
            now = time.time()
            manifest = manifest_of(kind, factors, contents, label=label, created_seconds=now)
            self._check_room(manifest.bytes)
            self._store(key, manifest, contents)
        except (OSError, StoreError) as error:
            self._notices.say_once(
                f"put {_reason(error)}",
                f"The {kind} {label!r} is not stored in {self._root.path}: {_reason(error)}.",
            )
            return None
        self._keep_limit(manifest.bytes)
        return Entry(manifest, contents, self._own.places_for_copies)

    def _check_room(self, needed_bytes: int) -> None:
        if needed_bytes > self.max_bytes:
            raise StoreError(
                f"it has {needed_bytes:,} bytes, the whole store may have {self.max_bytes:,}"
            )
        disk = os.statvfs(self._root.path)
        free_bytes = disk.f_bavail * disk.f_frsize
        if free_bytes < needed_bytes + _SPARE_BYTES:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({free_bytes:,} bytes free)")

    def _store(self, key: str, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
        """Writes an entry beside the others and renames it whole: there is never half of one."""
        with self._own.scratch() as staging:
            write_entry(staging, manifest, contents, self._secret)
            self._commit(staging, self._folder(ENTRIES) / key)

    def _commit(self, staging: Path, target: Path) -> None:
        for _ in range(2):
            try:
                staging.rename(target)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                return
            # Somebody was faster. What they left is checked, so that a damaged one does not stay.
            if self._loaded(target.name) is not None:
                return

    def _keep_limit(self, added_bytes: int) -> None:
        self._bytes += added_bytes
        # Counting looks at every file. What other processes add they count themselves.
        if self._bytes > self.max_bytes or self._saves % _SAVES_PER_COUNT == 0:
            self._bytes = total_bytes(self._root.path)
            if self._bytes > self.max_bytes:
                self._bytes = self.prune().kept_bytes
        self._saves += 1

    # ----------------------------------------------------------------------------- one at a time

    @contextlib.contextmanager
    def single_flight(
        self,
        key: str,
        *,
        timeout_seconds: float = SINGLE_FLIGHT_SECONDS,
        while_waiting: Callable[[], None] | None = None,
    ) -> Iterator[bool]:
        """Lets one process or thread at a time compute the entry of a key.

        Look the entry up inside: who waited finds what the first one stored. It is a help and not
        a promise: after the timeout, and where locks do not work, the block runs all the same.

        Args:
            key: from ``entry_key``.
            timeout_seconds: how long to wait for another one.
            while_waiting: called at once and then several times a second while another one is
                waited for; what it raises ends the wait, and is raised here.

        Yields:
            Whether nobody else is in the block with that key.

        Raises:
            ConfigError: the key is not one.
        """
        check_key(key)
        with self._flight.of(key, timeout_seconds, while_waiting) as is_alone:
            yield is_alone

    # ---------------------------------------------------------------------------------- look after

    def ls(self) -> tuple[Stored, ...]:
        """All entries that can be trusted, the one used last first."""
        return tuple(stored(self._root.path, self._secret)) if self._root.can_read else ()

    def verify(self) -> tuple[Finding, ...]:
        """Checks every byte of every entry and changes nothing; what must not be used, with why.

        The next look-up of such an entry is a miss and moves it out of the way.
        """
        return tuple(findings(self._root.path, self._secret)) if self._root.can_read else ()

    def prune(self, max_bytes: int | None = None) -> Pruned:
        """Removes what was used longest ago until the entries have at most ``max_bytes``.

        What is being read, and what is being made under ``single_flight``, stays.

        Args:
            max_bytes: of all entries; None takes the store's own limit.
        """
        return self._removed_down_to(self.max_bytes if max_bytes is None else max_bytes)

    def clear(self) -> Pruned:
        """Removes every entry that is not in use, and what was set aside."""
        return self._removed_down_to(-1)

    def _removed_down_to(self, limit_bytes: int) -> Pruned:
        if self._root.can_write:
            with contextlib.suppress(OSError), self._own.scratch() as away:
                return remove_down_to(limit_bytes, self._root.path, away)
        kept_bytes = total_bytes(self._root.path) if self._root.can_read else 0
        return Pruned((), 0, kept_bytes, ())

    def _folder(self, name: str) -> Path:
        return self._root.path / name


def _opened(root: Path | None, secret_path: Path | None) -> tuple[StoreRoot, bytes]:
    """The root and the secret that go together: without a kept secret no root can be shared."""
    opened = open_root(root)
    if opened.is_private:
        return opened, new_secret()
    try:
        return opened, kept_secret(secret_path)
    except StoreError as error:
        return private_root(f"The artifact store {opened.path} is not used: {error}"), new_secret()


def open_store(root: Path | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ArtifactStore:
    """The store of this process at a root: the same one each time, so it says things once."""
    return _open_store(default_root() if root is None else root, max_bytes)


@functools.cache
def _open_store(root: Path | None, max_bytes: int) -> ArtifactStore:
    return ArtifactStore(root, max_bytes=max_bytes)


def _content(blob: bytes | Path) -> bytes:
    return blob.read_bytes() if isinstance(blob, Path) else bytes(blob)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

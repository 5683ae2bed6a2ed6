"""One entry on disk: a folder with blobs named by their digest and a manifest written last.

Every file is read once, into memory; what was checked is what the caller gets.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.locks import lock_directory_for_reading
from explorer.store.manifest import (
    MANIFEST_NAME,
    MOST_MANIFEST_BYTES,
    DamagedEntry,
    Manifest,
    check_name,
    decoded,
    encoded,
    sha256_of,
)

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THE_ENTRYS_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ESTALE)


class EntryGone(Exception):
    """There is no such entry, or it was removed while it was looked at: a plain miss."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An entry whose every byte was checked.

    It does not depend on the store any more: removing it there takes nothing from who holds it.

    Attributes:
        manifest: what it is.
    """

    manifest: Manifest
    _contents: Mapping[str, bytes] = field(repr=False)
    _places_for_copies: Callable[[], Iterator[Path]] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its blobs, sorted."""
        return tuple(sorted(self._contents))

    def read(self, name: str) -> bytes:
        """The bytes of a blob.

        Raises:
            StoreError: the entry has no blob of that name; the message lists those it has.
        """
        if name not in self._contents:
            raise StoreError(
                f"The stored {self.manifest.kind} {self.manifest.label!r} has no {name!r}; "
                f"it has {', '.join(self.names)}."
            )
        return self._contents[name]

    def path(self, name: str) -> Path:
        """A file with the bytes of a blob, for what can only load files.

        The file is a copy in a folder of this process, checked after it was written, and it stays
        until the process ends. The other blobs of the entry get the same folder.

        Raises:
            StoreError: there is no blob of that name, or no place for the copy.
        """
        content = self.read(name)
        check_name("blob", name)
        try:
            return self._copied_somewhere(name, content)
        except OSError as error:
            raise StoreError(
                f"No file can be made of {name} of the stored {self.manifest.kind} "
                f"{self.manifest.label!r}: {error.strerror}."
            ) from error

    def _copied_somewhere(self, name: str, content: bytes) -> Path:
        failure = OSError(errno.ENOENT, "there is no place for it")
        for place in self._places_for_copies():
            try:
                return _copied(place / _copy_folder(self.manifest), name, content)
            except OSError as error:
                failure = error
        raise failure


def _copy_folder(manifest: Manifest) -> str:
    """Equal for equal contents only: two entries of one key may differ in their bytes."""
    contents = sorted((name, record.sha256) for name, record in manifest.blobs.items())
    return sha256_of(repr((manifest.key, contents)).encode())[:32]


def _copied(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    if _holds(path, content):
        return path
    # Never over a file in place: somebody may have mapped it.
    new = folder / f".{os.urandom(8).hex()}"
    try:
        _write(new, content)
        if not _holds(new, content):
            raise OSError(errno.EIO, "the copy differs from what was written", str(new))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path


def _holds(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == content
    return False


def write_entry(
    folder: Path, manifest: Manifest, contents: Mapping[str, bytes], secret: bytes
) -> None:
    """Fills an empty folder: the blobs first, the manifest last.

    Raises:
        OSError: no room, no permission, and the like.
    """
    files = {record.sha256: contents[name] for name, record in manifest.blobs.items()}
    files[MANIFEST_NAME] = encoded(manifest, secret)
    try:
        for name, content in files.items():
            _write(folder / name, content)
    except BaseException:
        for name in files:  # by name: to list a folder takes a descriptor, and there may be none
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        raise


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, _WRITE, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)  # a rename may reach the disk before the bytes of the file do


def read_entry(folder: Path, secret: bytes) -> tuple[Manifest, dict[str, bytes]]:
    """Everything in an entry, checked.

    Raises:
        EntryGone: there is none.
        DamagedEntry: there is one, and it must not be used.
        OSError: it cannot be read now, and that says nothing about the entry.
    """
    with _opened(folder) as descriptor:
        manifest = _read_manifest(descriptor, secret, folder.name)
        return manifest, {name: _read_blob(descriptor, manifest, name) for name in manifest.blobs}


def read_manifest(folder: Path, secret: bytes) -> Manifest:
    """Only what an entry is; its blobs are not looked at.

    Raises:
        EntryGone, DamagedEntry, OSError: as ``read_entry``.
    """
    with _opened(folder) as descriptor:
        return _read_manifest(descriptor, secret, folder.name)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The open folder, which nobody removes meanwhile; errors from inside become judgements."""
    try:
        descriptor = os.open(folder, _READ | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise EntryGone from error
    except OSError as error:
        raise _judged(error, "it is not a folder that can be opened") from error
    try:
        if not lock_directory_for_reading(descriptor):
            raise EntryGone
        try:
            yield descriptor
        except (DamagedEntry, OSError) as error:
            if not _is_still_there(folder, descriptor):
                raise EntryGone from error
            if isinstance(error, OSError):
                raise _judged(error, f"it cannot be read ({error.strerror})") from error
            raise
    finally:
        os.close(descriptor)


def _judged(error: OSError, why: str) -> Exception:
    return error if error.errno in _NOT_THE_ENTRYS_FAULT else DamagedEntry(why)


def _is_still_there(folder: Path, descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.lstat(folder), os.fstat(descriptor))
    return False


def _read_manifest(descriptor: int, secret: bytes, key: str) -> Manifest:
    if os.fstat(descriptor).st_uid != os.geteuid():
        raise DamagedEntry("it belongs to another user")
    raw = _read_file(descriptor, MANIFEST_NAME, "its manifest", MOST_MANIFEST_BYTES)
    return decoded(raw, secret, key)


def _read_blob(descriptor: int, manifest: Manifest, name: str) -> bytes:
    record = manifest.blobs[name]
    content = _read_file(descriptor, record.sha256, name, record.bytes)
    if len(content) != record.bytes:
        raise DamagedEntry(f"{name} has {len(content):,} of {record.bytes:,} bytes")
    if sha256_of(content) != record.sha256:
        raise DamagedEntry(f"{name} is damaged: its digest differs")
    return content


def _read_file(folder: int, file_name: str, name: str, most_bytes: int) -> bytes:
    """The bytes of one file of an open folder, at most ``most_bytes``."""
    try:
        descriptor = os.open(file_name, _READ, dir_fd=folder)
    except FileNotFoundError as error:
        raise DamagedEntry(f"{name} is missing") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedEntry(f"{name} is not a file")
        if status.st_uid != os.geteuid():
            raise DamagedEntry(f"{name} belongs to another user")
        if status.st_size > most_bytes:
            raise DamagedEntry(f"{name} is longer than its {most_bytes:,} bytes")
        return file.read(most_bytes + 1)

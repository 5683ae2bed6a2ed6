"""Entries as one file, to be carried to another machine, and read back.

Every entry in the file has its manifest, sealed with the secret of the user who wrote it, and its
blobs. Nothing is handed out whose digest is not the one in its manifest.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import StoreError
from explorer.store.manifest import (
    MOST_MANIFEST_BYTES,
    DamagedEntry,
    Manifest,
    encoded,
    is_sealed,
    parsed,
    sha256_of,
)

_ENTRIES, _MANIFEST, _BLOBS = "entries/", "manifest.json", "blobs/"


@dataclass(frozen=True, eq=False)
class ExportedEntry:
    """An entry outside a store.

    Attributes:
        manifest: what it is.
        contents: name of a blob -> its bytes, which fit the manifest.
    """

    manifest: Manifest
    contents: Mapping[str, bytes]


def write_file(
    path: Path, entries: Sequence[ExportedEntry], pages: Mapping[str, bytes], secret: bytes
) -> None:
    """Writes entries into one file, which is there whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        entries: in order.
        pages: name -> what people may read with any other program.
        secret: of the user.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for page, content in pages.items():
                    archive.writestr(page, content)
                for number, entry in enumerate(entries):
                    _write_entry(archive, f"{_ENTRIES}{number:04d}/", entry, secret)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        Path(name).unlink(missing_ok=True)


def _write_entry(
    archive: zipfile.ZipFile, folder: str, entry: ExportedEntry, secret: bytes
) -> None:
    for name, content in entry.contents.items():
        archive.writestr(f"{folder}{_BLOBS}{name}", content)
    archive.writestr(f"{folder}{_MANIFEST}", encoded(entry.manifest, secret))


def read_file(path: Path, secret: bytes, *, trust: bool) -> tuple[ExportedEntry, ...]:
    """The entries in a file.

    Args:
        path: of the file.
        secret: of the user.
        trust: whether to take entries that somebody else wrote.

    Raises:
        StoreError: it is no such file, or is damaged, or somebody else wrote it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            folders = sorted(
                name.removesuffix(_MANIFEST)
                for name in archive.namelist()
                if name.startswith(_ENTRIES) and name.endswith(f"/{_MANIFEST}")
            )
            found = tuple(_read_entry(archive, folder, secret, trust) for folder in folders)
    except _Foreign:
        raise StoreError(
            f"{path} was not written by this user on this machine. What is in it runs when it is "
            "opened: pass trust=True if you know who wrote it."
        ) from None
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}.") from error
    except Exception as error:  # zipfile raises this and that for a damaged file
        raise StoreError(f"{path} cannot be read as a saved compilation: {error}.") from error
    if not found:
        raise StoreError(f"{path} holds no saved compilation.")
    return found


class _Foreign(Exception):
    """Somebody else's seal."""


def _read_entry(archive: zipfile.ZipFile, folder: str, secret: bytes, trust: bool) -> ExportedEntry:
    raw = _read(archive, f"{folder}{_MANIFEST}", MOST_MANIFEST_BYTES)
    if not trust and not is_sealed(raw, secret):
        raise _Foreign
    manifest = parsed(raw)
    contents = {}
    for name, record in manifest.blobs.items():
        content = _read(archive, f"{folder}{_BLOBS}{name}", record.bytes)
        if len(content) != record.bytes or sha256_of(content) != record.sha256:
            raise DamagedEntry(f"{name} is damaged")
        contents[name] = content
    return ExportedEntry(manifest, contents)


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """A member, but never more than it may have: a small file can claim to be a large one."""
    with archive.open(name) as member:
        content = member.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise DamagedEntry(f"{name} is larger than it may be")
    return content


__all__ = ["ExportedEntry", "read_file", "write_file"]

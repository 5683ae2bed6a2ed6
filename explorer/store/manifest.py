"""The manifest of an entry: what it is, what made it, what lies in it; as text with a seal.

An entry counts only when the seal over the bytes of the text is this user's, and the factors are
those that the entry is named by.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from explorer.errors import ConfigError

FORMAT = 1
MANIFEST_NAME = "manifest.json"
LOCK_SUFFIX = ".lock"
MOST_MANIFEST_BYTES = 16 * 2**20
_MOST_LABEL_CHARACTERS = 200
_NAME = re.compile(r"[A-Za-z0-9_+@=,-][A-Za-z0-9._+@=,-]{0,199}")
_KEY = re.compile(r"[0-9a-f]{64}")
_SEAL_START = b',\n "hmac": "'
_SEAL_END = b'"\n}\n'


class DamagedEntry(Exception):
    """What is wrong with an entry, in words that end a sentence; it never reaches a caller."""


@dataclass(frozen=True)
class BlobRecord:
    """What a manifest says of one blob.

    Attributes:
        sha256: of its bytes, 64 hex digits; the name of its file.
        bytes: how long it is.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What an entry is.

    Attributes:
        kind: of artifact; entries of different kinds never stand for each other.
        factors: everything that decides whether it can be used, name -> value.
        label: for people; it decides nothing.
        created_seconds: since the epoch, by the clock of the machine that wrote it; it decides
            nothing.
        blobs: name -> record.
    """

    kind: str
    factors: Mapping[str, str] = field(repr=False)
    label: str
    created_seconds: float
    blobs: Mapping[str, BlobRecord] = field(repr=False)

    @property
    def key(self) -> str:
        """What the entry is named by."""
        return entry_key(self.kind, self.factors)

    @property
    def bytes(self) -> int:
        """All blobs together; those with the same content count once."""
        return sum({record.sha256: record.bytes for record in self.blobs.values()}.values())


def manifest_of(
    kind: str,
    factors: Mapping[str, str],
    contents: Mapping[str, bytes],
    *,
    label: str,
    created_seconds: float,
) -> Manifest:
    """The manifest of an entry that holds ``contents``."""
    blobs = {name: BlobRecord(sha256_of(blob), len(blob)) for name, blob in contents.items()}
    return Manifest(
        kind=kind,
        factors=MappingProxyType(dict(factors)),
        label=label[:_MOST_LABEL_CHARACTERS],
        created_seconds=round(created_seconds, 3),
        blobs=MappingProxyType(blobs),
    )


def entry_key(kind: str, factors: Mapping[str, str]) -> str:
    """The name of the entry with these factors, 64 hex digits.

    The number of the manifest's format is in it, so versions of this package that cannot read each
    other's entries never meet.

    Raises:
        ConfigError: a kind that is no name, or factors that are not text.
    """
    check_name("kind", kind)
    for name, value in factors.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(f"A factor of a store key is text: {name!r} is {value!r}.")
    content = json.dumps([FORMAT, kind, dict(factors)], sort_keys=True)
    return sha256_of(content.encode())


def sha256_of(content: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def check_key(key: str) -> None:
    """Refuses what no entry can be named by.

    Raises:
        ConfigError: it is not 64 hex digits.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ConfigError(f"A store key is 64 hex digits, not {str(key)[:80]!r}.")


def check_name(what: str, name: str) -> None:
    """Refuses a name that could lead out of its folder.

    Raises:
        ConfigError: it is empty, too long, starts with a dot, or has other characters than
            letters, digits and ``._+@=,-``.
    """
    if not _is_name(name):
        raise ConfigError(
            f"The {what} {str(name)[:80]!r} cannot be stored: a name is 1-200 characters, letters, "
            "digits and ._+@=,- only, and does not start with a dot."
        )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def encoded(manifest: Manifest, secret: bytes) -> bytes:
    """The text of a manifest, sealed: JSON whose last item is the seal of all that is before it."""
    content = {
        "format": FORMAT,
        "kind": manifest.kind,
        "factors": dict(manifest.factors),
        "label": manifest.label,
        "created_seconds": manifest.created_seconds,
        "bytes": manifest.bytes,
        "blobs": {
            name: {"sha256": record.sha256, "bytes": record.bytes}
            for name, record in manifest.blobs.items()
        },
    }
    text = json.dumps(content, sort_keys=True, indent=1).removesuffix("\n}").encode()
    return text + _SEAL_START + _seal(text, secret) + _SEAL_END


def decoded(raw: bytes, secret: bytes, key: str) -> Manifest:
    """The manifest of the entry named ``key``.

    The seal is checked first: nothing is parsed that this user's processes did not write.

    Raises:
        DamagedEntry: it is not one that this user's processes wrote for that key.
    """
    if not is_sealed(raw, secret):
        raise DamagedEntry("its manifest is damaged or was written by another user")
    manifest = parsed(raw)
    if manifest.key != key:
        raise DamagedEntry("its manifest belongs to another entry")
    return manifest


def is_sealed(raw: bytes, secret: bytes) -> bool:
    """Whether the seal of a manifest is of this secret."""
    text, start, end = raw.rpartition(_SEAL_START)
    seal = end.removesuffix(_SEAL_END)
    is_whole = bool(start) and len(end) != len(seal)
    return is_whole and hmac.compare_digest(seal, _seal(text, secret))


def parsed(raw: bytes) -> Manifest:
    """The manifest in a text whose seal was looked at, or whose writer is trusted.

    Raises:
        DamagedEntry: it is no manifest.
    """
    text = raw.rpartition(_SEAL_START)[0]
    try:
        content = json.loads(text + b"\n}")
    except (ValueError, RecursionError) as error:
        raise DamagedEntry("its manifest is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DamagedEntry("its manifest has an unknown format")
    return _manifest(content)


def _manifest(content: dict[str, Any]) -> Manifest:
    """From content whose seal is right, so a surprise here is our own fault; still no crash."""
    try:
        blobs = {
            name: BlobRecord(record["sha256"], record["bytes"])
            for name, record in content["blobs"].items()
        }
        if not all(_is_name(name) and _KEY.fullmatch(each.sha256) for name, each in blobs.items()):
            raise DamagedEntry("its manifest names a blob that cannot be one")
        return Manifest(
            kind=content["kind"],
            factors=MappingProxyType(content["factors"]),
            label=content["label"],
            created_seconds=content["created_seconds"],
            blobs=MappingProxyType(blobs),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedEntry("its manifest lacks a field") from error


def _seal(text: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, text, hashlib.sha256).hexdigest().encode()

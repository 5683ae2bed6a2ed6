"""Stores in a temporary folder, and what the tests put into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from explorer.store import ArtifactStore, Entry

KIND = "kernel"
FACTORS = {"torch": "2.13.0", "size range": "[2, 8192]", "cpu": "avx512"}
BLOBS = {"code.py": b"def call(): pass\n", "kernel.so": bytes(range(256)) * 40, "empty": b""}


def store_in(folder: Path, **options: Any) -> ArtifactStore:
    """A store in ``folder/store`` with its secret beside it."""
    return ArtifactStore(folder / "store", secret_path=folder / "state" / "secret", **options)


def put(store: ArtifactStore, **changed: str) -> Entry:
    """Stores the blobs under the factors with these changes."""
    entry = store.put(KIND, FACTORS | changed, BLOBS, label="layer 0")
    assert entry is not None
    return entry


def got(store: ArtifactStore, **changed: str) -> dict[str, bytes] | None:
    """What the store has under the factors with these changes, or None."""
    entry = store.get(KIND, FACTORS | changed)
    return None if entry is None else {name: entry.read(name) for name in entry.names}


def folder_of(store: ArtifactStore, entry: Entry) -> Path:
    """Where an entry lies."""
    return store.root.path / "entries" / entry.manifest.key


def left_over(store: ArtifactStore) -> list[str]:
    """What lies in working folders, which a save or a removal leaves empty."""
    work = store.root.path / "work"
    return [str(path.relative_to(work)) for path in work.rglob("*")]

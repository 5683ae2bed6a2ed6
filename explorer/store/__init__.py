"""Artifacts on disk, so that the next process has nothing to compile.

Nothing in this folder imports torch: it stores bytes under factors and knows no model. What the
factors are, and how an artifact becomes bytes, is decided by those who call it.
"""

from explorer.store.artifact_store import ArtifactStore, open_store
from explorer.store.entry import Entry
from explorer.store.manifest import BlobRecord, Manifest, entry_key
from explorer.store.nearest import ChangedFactor, Nearest
from explorer.store.root import RootAccess, StoreRoot, default_root, open_root
from explorer.store.upkeep import Finding, Pruned, Stored

__all__ = [
    "ArtifactStore",
    "BlobRecord",
    "ChangedFactor",
    "Entry",
    "Finding",
    "Manifest",
    "Nearest",
    "Pruned",
    "RootAccess",
    "StoreRoot",
    "Stored",
    "default_root",
    "entry_key",
    "open_root",
    "open_store",
]

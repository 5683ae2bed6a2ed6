"""Holds the lock of a key until a line comes in."""

import sys
from pathlib import Path

from explorer.store import ArtifactStore


def main(root, secret, key):
    store = ArtifactStore(Path(root), secret_path=Path(secret))
    with store.single_flight(key) as is_alone:
        print(is_alone, flush=True)
        sys.stdin.readline()

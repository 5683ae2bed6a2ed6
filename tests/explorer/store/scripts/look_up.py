"""Looks one entry up and prints what it found."""

import json
import os
from pathlib import Path

from explorer.store import ArtifactStore


def main(root, secret, kind, factors, folder=None):
    if folder is not None:
        os.chdir(folder)
    store = ArtifactStore(Path(root), secret_path=Path(secret))
    entry = store.get(kind, factors)
    found = None if entry is None else {name: entry.read(name).hex() for name in entry.names}
    print(json.dumps(found))

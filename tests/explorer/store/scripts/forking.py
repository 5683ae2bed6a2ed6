"""Forks while a store is open: the child stores on its own, its end removes nothing of ours."""

import json
import os
import sys
from pathlib import Path

from explorer.store import ArtifactStore


def main(root, secret):
    store = ArtifactStore(Path(root), secret_path=Path(secret))
    entry = store.put("kernel", {"a": "1"}, {"a.so": b"x"})
    assert entry is not None
    copy = entry.path("a.so")
    child = os.fork()
    if child == 0:
        store.put("kernel", {"a": "2"}, {"a.so": b"y"})
        sys.exit(0)
    os.waitpid(child, 0)
    stored = store.get("kernel", {"a": "2"}) is not None
    print(json.dumps(["parent", copy.exists(), stored]))

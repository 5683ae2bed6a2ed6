"""Takes part in a race: each round, one key that all want and nobody has."""

import os
import sys
import time
from pathlib import Path

from explorer.store import ArtifactStore, entry_key


def main(root, secret, computed, prunes=False):
    store = ArtifactStore(Path(root), secret_path=Path(secret))
    print("ready", flush=True)
    for line in sys.stdin:
        factors = {"round": line.strip()}
        if not factors["round"]:
            break
        expected = factors["round"].encode() * 5000
        with store.single_flight(entry_key("race", factors)) as is_alone:
            assert is_alone
            entry = store.get("race", factors)
            if entry is None:
                time.sleep(0.01)  # what computing takes
                with Path(computed).open("a") as file:
                    file.write(f"{factors['round']} {os.getpid()}\n")
                entry = store.put("race", factors, {"blob": expected})
        assert entry is not None, "not stored"
        assert entry.read("blob") == expected, "wrong bytes"
        if prunes:
            store.prune(20_000)
            store.ls()
            store.nearest("race", {"round": "x"})
        print("done", flush=True)

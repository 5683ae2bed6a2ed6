"""Opens the default store, stores something, and prints where that is and what was said."""

import json
import logging
import os
import signal

from explorer.store import open_store


def main(kill=False):
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("explorer").addHandler(handler)
    store = open_store()
    stored = store.put("kernel", {"a": "1"}, {"blob": b"x"}) is not None
    entry = store.get("kernel", {"a": "1"})
    hit = entry is not None and entry.path("blob").read_bytes() == b"x"
    open_store()
    root = store.root
    print(json.dumps([str(root.path), root.access.value, stored, hit, said]), flush=True)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)

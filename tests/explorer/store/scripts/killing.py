"""Kills processes in the middle of saves, and looks at what each one leaves.

The processes are forked from this one, which is small and has one thread: starting an interpreter
for each would take ten times as long.
"""

import json
import os
import random
import signal
import time
from pathlib import Path

from explorer.store import ArtifactStore

KINDS = ("kernel", "stitching", "views")


def blob(number):
    return random.Random(number).randbytes(1 + number * 7919 % 60_000)


def factors_of(number):
    return {"number": str(number)}


def save_for_ever(root, secret, seed, pipe):
    numbers = random.Random(seed)
    os.write(pipe, b"x")
    while True:
        store = ArtifactStore(root, secret_path=secret, max_bytes=2_000_000)
        number = numbers.randrange(10_000)
        kind = numbers.choice(KINDS)
        with store.single_flight(f"{number:064x}"):
            entry = store.put(kind, factors_of(number), {"a.so": blob(number), "b": b"b" * number})
        if entry is not None and numbers.random() < 0.3:
            entry.path("a.so")


def killed_in_a_save(root, secret, seed):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(root, secret, seed, writing)
        finally:
            os._exit(1)  # the loop never ends by itself: this is an error
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    time.sleep(random.Random(seed).uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def main(root, secret, kills):
    root, secret = Path(root), Path(secret)
    torn, wrong, left_behind, left_after_open, stored, others = [], [], 0, [], set(), 0
    for seed in range(kills):
        others += not killed_in_a_save(root, secret, seed)
        work = root / "work"
        left_behind += len(list(work.iterdir())) if work.exists() else 0
        store = ArtifactStore(root, secret_path=secret)
        left_after_open += [path.name for path in work.iterdir()]
        torn += [finding.problem for finding in store.verify()]
        stored |= {each.key for each in store.ls()}
        for each in store.ls()[:3]:
            entry = store.get(each.manifest.kind, each.manifest.factors)
            number = int(each.manifest.factors["number"])
            if entry is None or entry.read("a.so") != blob(number):
                wrong.append(each.key)
    print(json.dumps([torn, wrong, left_after_open, left_behind, len(stored), others]))

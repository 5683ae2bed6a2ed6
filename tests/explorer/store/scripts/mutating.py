"""Damages an entry in one of many ways, looks it up, and counts what comes back."""

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

from explorer.store import ArtifactStore

KIND = "kernel"
FACTORS = ({"n": "1", "cpu": "avx2"}, {"n": "2", "cpu": "avx2"})
BLOBS = (
    {"a.so": bytes(range(256)) * 4, "b.py": b"def call():\n    return 6.0\n", "c": b""},
    {"a.so": bytes(range(255, -1, -1)) * 4, "b.py": b"def call():\n    return 2.0\n", "c": b"c"},
)


def flip(content, numbers):
    place = numbers.randrange(len(content))
    content[place] ^= 1 << numbers.randrange(8)


def insert(content, numbers):
    place = numbers.randrange(len(content) + 1)
    content[place:place] = numbers.randbytes(numbers.randrange(1, 9))


def truncate(content, numbers):
    del content[numbers.randrange(len(content)) :]


def swap(content, numbers):
    length = min(numbers.randrange(1, 9), len(content) // 2)
    first = numbers.randrange(len(content) - 2 * length + 1)
    second = numbers.randrange(first + length, len(content) - length + 1)
    for place in range(length):
        here, there = first + place, second + place
        content[here], content[there] = content[there], content[here]


def delete(content, numbers):
    place = numbers.randrange(len(content))
    del content[place : place + numbers.randrange(1, 9)]


def overwrite(content, numbers):
    place = numbers.randrange(len(content))
    content[place : place + 4] = numbers.choice(
        [b"\0\0\0\0", b"9999", b"\xff\xff\xff\xff", b'"{[,']
    )


BYTES = (flip, insert, truncate, swap, delete, overwrite)


def change_bytes(folder, other, numbers):
    file = numbers.choice([each for each in sorted(folder.iterdir()) if each.stat().st_size > 1])
    content = bytearray(file.read_bytes())
    how = numbers.choice(BYTES)
    how(content, numbers)
    file.write_bytes(content)
    return how.__name__


def remove_file(folder, other, numbers):
    numbers.choice(sorted(folder.iterdir())).unlink()
    return "remove a file"


def replace_file(folder, other, numbers):
    file = numbers.choice(sorted(folder.iterdir()))
    file.unlink()
    how = numbers.choice(["folder", "link", "loop", "pipe", "empty"])
    if how == "folder":
        file.mkdir()
    elif how == "link":
        file.symlink_to(other / numbers.choice(sorted(each.name for each in other.iterdir())))
    elif how == "loop":
        file.symlink_to(file)
    elif how == "pipe":
        os.mkfifo(file)
    else:
        file.touch()
    return f"replace a file by: {how}"


def take_file_of_other(folder, other, numbers):
    source = numbers.choice(sorted(other.iterdir()))
    target = folder / numbers.choice([source.name, *sorted(each.name for each in folder.iterdir())])
    shutil.copyfile(source, target)
    return "a file of another entry"


def swap_blobs(folder, other, numbers):
    first, second = numbers.sample([e for e in folder.iterdir() if e.suffix != ".json"], 2)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    return "two blobs swapped"


def take_whole_other(folder, other, numbers):
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    return "another entry under this name"


WAYS = (change_bytes, remove_file, replace_file, take_file_of_other, swap_blobs, take_whole_other)
WEIGHTS = (80, 4, 6, 6, 3, 1)


def main(root, secret, seed, mutations):
    numbers = random.Random(seed)
    store = ArtifactStore(Path(root), secret_path=Path(secret))
    entries = []
    for factors, blobs in zip(FACTORS, BLOBS, strict=True):
        entry = store.put(KIND, factors, blobs)
        assert entry is not None
        entries.append(store.root.path / "entries" / entry.manifest.key)
    good = Path(root).parent / "good"
    shutil.copytree(entries[0], good)
    done, counts = Counter(), Counter()
    for _ in range(mutations):
        shutil.rmtree(entries[0], ignore_errors=True)
        shutil.copytree(good, entries[0])
        way = numbers.choices(WAYS, WEIGHTS)[0]
        done[way(entries[0], entries[1], numbers)] += 1
        if numbers.random() < 0.05:
            store.verify()
            store.ls()
            store.nearest(KIND, FACTORS[0])
        found = store.get(KIND, FACTORS[0])
        if found is None:
            counts["miss"] += 1
        else:
            right = {name: found.read(name) for name in found.names} == BLOBS[0]
            counts["right" if right else "wrong"] += 1
    print(json.dumps([counts, done]))

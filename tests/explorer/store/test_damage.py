"""Whatever happened to an entry, a look-up is a miss or gives the right bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from explorer.store import ArtifactStore
from explorer.store.manifest import encoded
from tests.explorer.store import children
from tests.explorer.store.stores import BLOBS, FACTORS, KIND, folder_of, got, put, store_in


def kernel_file(store, entry) -> Path:
    return folder_of(store, entry) / entry.manifest.blobs["kernel.so"].sha256


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "kernel.so is damaged: its digest differs"),
        (truncate, "kernel.so has 5,120 of 10,240 bytes"),
        (lengthen, "kernel.so is longer than its 10,240 bytes"),
        (Path.unlink, "kernel.so is missing"),
        (replace_by_link, "it cannot be read"),
        (replace_by_pipe, "kernel.so is not a file"),
    ],
)
def test_damaged_blob_is_a_miss_and_is_set_aside(tmp_path, caplog, damage, said):
    store = store_in(tmp_path)
    entry = put(store)
    damage(kernel_file(store, entry))
    (finding,) = store.verify()
    assert finding.key == entry.manifest.key
    assert said in finding.problem
    assert caplog.messages == []
    assert got(store) is None
    (message,) = caplog.messages
    assert said in message
    assert "it was moved to quarantine/" in message
    assert len(list((store.root.path / "quarantine").iterdir())) == 1
    put(store)
    assert got(store) == BLOBS
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("damage", [flip, truncate, lengthen, Path.unlink, replace_by_pipe])
def test_damaged_manifest_is_a_miss(tmp_path, caplog, damage):
    store = store_in(tmp_path)
    damage(folder_of(store, put(store)) / "manifest.json")
    assert got(store) is None
    assert "its manifest is" in caplog.text
    put(store)
    assert got(store) == BLOBS


def test_edited_manifest_is_a_miss(tmp_path, caplog):
    store = store_in(tmp_path)
    path = folder_of(store, put(store)) / "manifest.json"
    text = path.read_text()
    assert json.loads(text)["factors"] == FACTORS
    path.write_text(text.replace("layer 0", "layer 1"))
    assert got(store) is None
    assert "its manifest is damaged or was written by another user" in caplog.text


def test_entry_of_another_user_is_a_miss(tmp_path, caplog):
    put(store_in(tmp_path))
    other = ArtifactStore(tmp_path / "store", secret_path=tmp_path / "other state" / "secret")
    assert other.ls() == ()
    assert got(other) is None
    assert "was written by another user" in caplog.text


def test_foreign_owner_is_a_miss(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    put(store)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert got(store) is None
    assert "it belongs to another user" in caplog.text


def test_unknown_format_is_a_miss(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    entry = put(store)
    path = folder_of(store, entry) / "manifest.json"
    monkeypatch.setattr("explorer.store.manifest.FORMAT", 999)
    path.write_bytes(encoded(entry.manifest, (tmp_path / "state" / "secret").read_bytes()))
    monkeypatch.undo()
    assert got(store) is None
    assert "its manifest has an unknown format" in caplog.text


def test_entry_under_a_foreign_name_is_a_miss(tmp_path, caplog):
    store = store_in(tmp_path)
    first, second = put(store), put(store, cpu="avx2")
    shutil.rmtree(folder_of(store, first))
    shutil.copytree(folder_of(store, second), folder_of(store, first))
    assert got(store) is None
    assert "its manifest belongs to another entry" in caplog.text
    assert got(store, cpu="avx2") == BLOBS


def test_quarantine_is_bounded(tmp_path):
    store = store_in(tmp_path)
    for _ in range(20):
        kernel_file(store, put(store)).unlink()
        assert got(store) is None
    assert len(list((store.root.path / "quarantine").iterdir())) == 16


def test_entry_that_cannot_be_read_now_is_a_miss_and_stays(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    put(store)

    def failing(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", failing)
    assert got(store) is None
    assert got(store) is None
    monkeypatch.undo()
    assert caplog.messages == ["A stored artifact cannot be read now: Too many open files."]
    assert got(store) == BLOBS


def test_removed_while_read_is_a_plain_miss(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    folder = folder_of(store, put(store))
    real_open = os.open

    def removing_first(path, *rest, **options):
        if path == "manifest.json":
            shutil.rmtree(folder)
        return real_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", removing_first)
    assert got(store) is None
    assert caplog.messages == []


def test_rejected_entry_is_set_aside(tmp_path, caplog):
    store = store_in(tmp_path)
    put(store)
    entry = store.get(KIND, FACTORS)
    assert entry is not None
    store.reject(entry, "its kernel does not load")
    assert "is not used: its kernel does not load; it was moved to quarantine/" in caplog.text
    assert got(store) is None


def test_replaced_while_read_is_a_miss_and_the_new_one_stays(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    folder = folder_of(store, put(store))
    real_open = os.open
    replaced = []

    def replacing_first(path, *rest, **options):
        if path == "manifest.json" and not replaced:
            replaced.append(True)
            shutil.copytree(folder, tmp_path / "new")
            shutil.rmtree(folder)
            (tmp_path / "new").rename(folder)
        return real_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", replacing_first)
    assert got(store) is None
    assert caplog.messages == []
    assert got(store) == BLOBS


def test_mutations_never_give_wrong_bytes(tmp_path):
    """2000 of them; children that crash fail here by their exit status."""
    counts, done = Counter(), Counter()
    started = []
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir(mode=0o700)
        options = {"root": str(folder / "store"), "secret": str(folder / "secret")}
        started.append(children.start("mutating", seed=seed, mutations=500, **options))
    for child in started:
        output, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        some, ways = json.loads(output.splitlines()[-1])
        counts.update(some)
        done.update(ways)
    assert counts["wrong"] == 0, done
    assert counts["miss"] + counts["right"] == 2000
    assert counts["miss"] > 1900, "most of them should do damage"
    assert len(done) >= 14, done


def test_look_up_names_no_folder_to_remove(tmp_path, caplog):
    store = store_in(tmp_path)
    kernel_file(store, put(store)).unlink()
    store.get(KIND, FACTORS)
    assert not any(word in caplog.text for word in ("remove", "delete", "rm "))

"""What goes when there is too much, and what never goes."""

from __future__ import annotations

import errno
import os
import shutil
import time

import pytest

from explorer.store import ArtifactStore
from explorer.store.locks import lock_directory_for_reading
from tests.explorer.store.stores import BLOBS, folder_of, got, left_over, put, store_in

ENTRY_BYTES = 12_000  # at most, of one entry of ``put``


def used_at(store, seconds: dict[str, float]) -> None:
    """Stores one entry per name, last used so many seconds from now."""
    for name, offset in seconds.items():
        manifest = folder_of(store, put(store, name=name)) / "manifest.json"
        os.utime(manifest, (0, time.time() + offset))


def names_in(store: ArtifactStore) -> list[str]:
    return [each.manifest.factors["name"] for each in store.ls()]


def test_longest_unused_goes_first(tmp_path):
    store = store_in(tmp_path)
    used_at(store, {"a": -10, "b": -30, "c": -20})
    assert names_in(store) == ["a", "c", "b"]
    pruned = store.prune(2 * ENTRY_BYTES)
    assert len(pruned.removed) == 1
    assert pruned.freed_bytes > 10_000
    assert pruned.kept_bytes <= 2 * ENTRY_BYTES
    assert names_in(store) == ["a", "c"]
    assert left_over(store) == []


def test_look_up_counts_as_use(tmp_path):
    store = store_in(tmp_path)
    used_at(store, {"a": -30, "b": -20})
    assert got(store, name="a") == BLOBS
    store.prune(ENTRY_BYTES)
    assert names_in(store) == ["a"]


def test_times_in_the_future_are_fine(tmp_path):
    store = store_in(tmp_path)
    used_at(store, {"a": 10**6, "b": -20})
    assert got(store, name="a") == BLOBS
    used_at(store, {"c": 10**6})
    assert all(each.last_used_seconds <= time.time() for each in store.ls())
    store.prune(2 * ENTRY_BYTES)
    assert set(names_in(store)) == {"a", "c"}
    manifests = (tmp_path / "store").rglob("manifest.json")
    assert all(path.stat().st_mtime <= time.time() for path in manifests)
    used_at(store, {"d": 0})
    store.prune(0)
    assert names_in(store) == []


def test_limit_holds_after_each_put(tmp_path):
    store = store_in(tmp_path, max_bytes=3 * ENTRY_BYTES)
    for number in range(6):
        used_at(store, {str(number): number - 100})
        assert len(store.ls()) <= 3
    assert names_in(store) == ["5", "4", "3"]


def test_limit_counts_what_others_stored(tmp_path):
    put(store_in(tmp_path), name="a")
    store = store_in(tmp_path, max_bytes=2 * ENTRY_BYTES)
    put(store_in(tmp_path), name="b")
    put(store, name="c")
    assert len(store.ls()) == 2


def test_entry_that_is_read_stays(tmp_path):
    store = store_in(tmp_path)
    entry = put(store, name="a")
    put(store, name="b")
    descriptor = os.open(folder_of(store, entry), os.O_RDONLY)
    try:
        assert lock_directory_for_reading(descriptor)
        pruned = store.prune(0)
        assert pruned.in_use == (entry.manifest.key,)
        assert pruned.kept_bytes > 0
    finally:
        os.close(descriptor)
    assert names_in(store) == ["a"]
    assert len(store.prune(0).removed) == 1


def test_entry_whose_key_is_locked_stays(tmp_path):
    store = store_in(tmp_path)
    entry = put(store, name="a")
    with store.single_flight(entry.manifest.key):
        assert store.clear().in_use == (entry.manifest.key,)
        assert store_in(tmp_path).clear().removed == ()
    assert store.clear().removed == (entry.manifest.key,)


def test_put_under_single_flight_keeps_the_new_entry(tmp_path):
    store = store_in(tmp_path, max_bytes=ENTRY_BYTES)
    used_at(store, {"old": 10**6})
    entry = put(store, name="old")
    with store.single_flight(entry.manifest.key):
        put(store, name="new")
        assert "old" in names_in(store)


def test_clear_leaves_an_empty_store(tmp_path):
    store = store_in(tmp_path)
    entry = put(store, name="a")
    with store.single_flight(entry.manifest.key), store.single_flight("0" * 64):
        pass
    (folder_of(store, entry) / "manifest.json").unlink()
    assert got(store, name="a") is None
    put(store, name="b")
    cleared = store.clear()
    assert len(cleared.removed) == 1
    assert cleared.freed_bytes > 20_000  # with what was set aside
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    put(store, name="a")
    assert got(store, name="a") == BLOBS


def test_damaged_entries_go_as_well(tmp_path):
    store = store_in(tmp_path)
    folder = folder_of(store, put(store, name="a"))
    (folder / "manifest.json").unlink()
    (folder.parent / "file").write_text("x")
    (folder.parent / "link").symlink_to(tmp_path)
    (folder.parent / "empty").mkdir()
    assert len(store.clear().removed) == 4
    assert list(folder.parent.iterdir()) == []
    assert (tmp_path / "store").exists()


def test_entries_that_vanish_meanwhile_are_fine(tmp_path, monkeypatch):
    store = store_in(tmp_path)
    used_at(store, {"a": -3, "b": -2, "c": -1})
    real_rename = os.rename

    def vanishing(source, target, **options):
        shutil.rmtree(source)
        return real_rename(source, target, **options)

    monkeypatch.setattr(os, "rename", vanishing)
    assert len(store.prune(0).removed) == 3


@pytest.mark.parametrize("code", ["EROFS", "EACCES", "ENOSPC"])
def test_removal_that_fails_is_survived(tmp_path, monkeypatch, code):
    store = store_in(tmp_path)
    put(store, name="a")

    def failing(*_, **__):
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(os, "rename", failing)
    assert len(store.clear().in_use) == 1
    monkeypatch.setattr(os, "mkdir", failing)
    assert store.clear().removed == ()
    monkeypatch.undo()
    assert got(store, name="a") == BLOBS

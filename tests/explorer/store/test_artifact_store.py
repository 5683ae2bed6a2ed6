"""What goes into a store comes out of it, in another process too, or nothing does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from explorer.errors import ConfigError, StoreError
from explorer.store import ArtifactStore, ChangedFactor, default_root, entry_key, open_store
from explorer.store.manifest import encoded, manifest_of
from tests.explorer.store import children
from tests.explorer.store.stores import (
    BLOBS,
    FACTORS,
    KIND,
    folder_of,
    got,
    left_over,
    put,
    store_in,
)


def test_what_was_put_is_got(tmp_path, caplog):
    put(store_in(tmp_path))
    assert got(store_in(tmp_path)) == BLOBS
    assert caplog.messages == []


def test_another_process_gets_it_from_another_folder(tmp_path):
    put(store_in(tmp_path))
    options = {"kind": KIND, "factors": FACTORS, "folder": "/"}
    paths = {"root": str(tmp_path / "store"), "secret": str(tmp_path / "state" / "secret")}
    found = children.run("look_up", **paths, **options)
    assert found == {name: blob.hex() for name, blob in BLOBS.items()}


def test_moved_store_still_hits(tmp_path, caplog):
    put(store_in(tmp_path))
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir(mode=0o700)
    (tmp_path / "store").rename(moved)
    assert got(ArtifactStore(moved, secret_path=tmp_path / "state" / "secret")) == BLOBS
    assert caplog.messages == []


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_decides(tmp_path, name):
    store = store_in(tmp_path)
    put(store)
    assert got(store, **{name: FACTORS[name] + "."}) is None


def test_kind_decides_and_the_order_of_factors_does_not(tmp_path):
    store = store_in(tmp_path)
    put(store)
    assert store.get("views", FACTORS) is None
    assert store.get(KIND, dict(reversed(FACTORS.items()))) is not None
    assert entry_key("a", {"b": "c"}) != entry_key("a", {"c": "b"})


def test_manifest_says_what_an_entry_is(tmp_path):
    store = store_in(tmp_path)
    put(store)
    entry = store.get(KIND, FACTORS)
    assert entry is not None
    assert (entry.manifest.kind, entry.manifest.factors) == (KIND, FACTORS)
    assert entry.manifest.label == "layer 0"
    assert entry.manifest.bytes == sum(len(blob) for blob in BLOBS.values())
    assert entry.manifest.blobs["kernel.so"].bytes == len(BLOBS["kernel.so"])
    assert "avx512" not in repr(entry)


def test_equal_blobs_are_stored_once(tmp_path):
    store = store_in(tmp_path)
    entry = store.put(KIND, FACTORS, {"a": b"same", "b": b"same"})
    assert entry is not None
    assert entry.manifest.bytes == 4
    assert len(list(folder_of(store, entry).iterdir())) == 2
    assert got(store) == {"a": b"same", "b": b"same"}


def test_files_are_copied_in(tmp_path):
    store = store_in(tmp_path)
    file = tmp_path / "built.so"
    file.write_bytes(b"machine code")
    assert store.put(KIND, FACTORS, {"kernel.so": file}) is not None
    file.unlink()
    assert got(store) == {"kernel.so": b"machine code"}


def test_missing_file_is_not_stored_and_said(tmp_path, caplog):
    store = store_in(tmp_path)
    assert store.put(KIND, FACTORS, {"kernel.so": tmp_path / "absent"}, label="layer 7") is None
    (message,) = caplog.messages
    assert "The kernel 'layer 7' is not stored" in message
    assert "No such file" in message
    assert got(store) is None


def test_second_put_of_a_key_is_no_failure_and_the_first_entry_stays(tmp_path, caplog):
    store = store_in(tmp_path)
    put(store)
    assert store.put(KIND, FACTORS, {"other": b"x"}) is not None
    assert got(store) == BLOBS
    assert caplog.messages == []
    assert left_over(store) == []


def test_put_replaces_a_damaged_entry(tmp_path):
    store = store_in(tmp_path)
    (folder_of(store, put(store)) / "manifest.json").unlink()
    put(store)
    assert got(store) == BLOBS


def test_put_replaces_what_is_no_entry_at_all(tmp_path):
    store = store_in(tmp_path)
    (store.root.path / "entries" / entry_key(KIND, FACTORS)).write_text("a file")
    put(store)
    assert got(store) == BLOBS


def test_manifest_is_written_last_and_before_the_rename(tmp_path, monkeypatch):
    store = store_in(tmp_path)
    put(store, torch="another one")  # makes the folders
    steps = []
    real_open, real_rename = os.open, os.rename

    def opening(path, flags, *rest, **options):
        if flags & os.O_WRONLY:
            steps.append(Path(path).name)
        return real_open(path, flags, *rest, **options)

    def renaming(source, target, **options):
        steps.append("rename")
        return real_rename(source, target, **options)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "rename", renaming)
    entry = put(store)
    monkeypatch.undo()
    digests = [record.sha256 for record in entry.manifest.blobs.values()]
    assert steps == [*digests, "manifest.json", "rename"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "nul\0byte",
        ".hidden",
        "x" * 201,
        "line\nbreak",
        "naïve",
        "C:",
        3,
    ],
)
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    store = store_in(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="cannot be stored: a name is 1-200 characters"):
        store.put(KIND, FACTORS, {name: b"x"})
    with pytest.raises(ConfigError, match="cannot be stored: a name is 1-200 characters"):
        store.put(name, FACTORS, {"a": b"x"})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["../../up", "/absolute", "nul\0", "\ud800", "x" * 5000, "é\n🙂"])
def test_factors_and_labels_are_any_text_and_no_paths(tmp_path, text):
    store = store_in(tmp_path)
    assert store.put(KIND, {text: text}, {"a": b"x"}, label=text) is not None
    entry = store_in(tmp_path).get(KIND, {text: text})
    assert entry is not None
    assert entry.manifest.factors == {text: text}
    assert entry.manifest.label == text[:200]
    assert {path.name for path in tmp_path.iterdir()} == {"store", "state"}


def test_factors_that_are_not_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="A factor of a store key is text: 'threads' is 2"):
        store_in(tmp_path).get(KIND, {"threads": 2})  # pyright: ignore[reportArgumentType]


def test_unknown_blob_names_those_present(tmp_path):
    entry = put(store_in(tmp_path))
    with pytest.raises(StoreError, match=r"has no 'x'; it has code\.py, empty, kernel\.so"):
        entry.read("x")


def test_files_for_loading_are_private_copies_side_by_side(tmp_path):
    store = store_in(tmp_path)
    entry = put(store)
    kernel, code = entry.path("kernel.so"), entry.path("code.py")
    assert (kernel.name, code.name, kernel.parent) == ("kernel.so", "code.py", code.parent)
    assert kernel.read_bytes() == BLOBS["kernel.so"]
    assert kernel.parent.stat().st_mode & 0o777 == 0o700
    kernel.write_bytes(b"changed")
    assert got(store) == BLOBS
    assert entry.path("kernel.so").read_bytes() == BLOBS["kernel.so"]
    assert entry.path("code.py").stat().st_ino == code.stat().st_ino


def test_entry_in_hand_outlives_its_removal(tmp_path):
    store = store_in(tmp_path)
    put(store)
    entry = store.get(KIND, FACTORS)
    store.clear()
    assert entry is not None
    assert entry.read("kernel.so") == BLOBS["kernel.so"]
    assert entry.path("kernel.so").read_bytes() == BLOBS["kernel.so"]


def test_find_gives_the_newest_first(tmp_path):
    store = store_in(tmp_path)
    for number in "123":
        put(store, number=number)
    put(store, torch="2.14.0", number="4")
    found = store.find(KIND, {"torch": "2.13.0"})
    assert {each.factors["number"] for each in found} == {"1", "2", "3"}
    created = [each.created_seconds for each in found]
    assert created == sorted(created, reverse=True)
    assert store.find("views", {}) == ()


def test_nearest_names_the_factors_that_changed(tmp_path):
    store = store_in(tmp_path)
    put(store, torch="2.12.0", cpu="avx2")
    put(store, cpu="avx2", extra="y")
    nearest = store.nearest(KIND, FACTORS)
    assert nearest is not None
    assert nearest.manifest.factors["torch"] == "2.13.0"
    assert nearest.changed == (
        ChangedFactor("cpu", stored="avx2", wanted="avx512"),
        ChangedFactor("extra", stored="y", wanted=None),
    )


def test_nearest_of_equals_is_the_newest(tmp_path, monkeypatch):
    store = store_in(tmp_path)
    for seconds, cpu in ((200.0, "new"), (100.0, "old")):
        monkeypatch.setattr("time.time", lambda now=seconds: now)
        put(store, cpu=cpu)
    nearest = store.nearest(KIND, FACTORS)
    assert nearest is not None
    assert nearest.manifest.factors["cpu"] == "new"


def test_nearest_of_nothing_is_none(tmp_path):
    assert store_in(tmp_path).nearest(KIND, FACTORS) is None


def test_nearest_among_a_thousand(tmp_path):
    store = store_in(tmp_path, max_bytes=10**9)
    entry = put(store)
    folder = folder_of(store, entry)
    secret = (tmp_path / "state" / "secret").read_bytes()
    for number in range(1000):  # by hand: without waiting for the disk a thousand times
        manifest = manifest_of(
            KIND, {"n": str(number), "cpu": "avx2"}, {}, label="", created_seconds=number
        )
        (folder.parent / manifest.key).mkdir()
        (folder.parent / manifest.key / "manifest.json").write_bytes(encoded(manifest, secret))
    nearest = store.nearest(KIND, {"n": "500", "cpu": "avx512"})
    assert nearest is not None
    assert nearest.changed == (ChangedFactor("cpu", stored="avx2", wanted="avx512"),)
    assert len(store.ls()) == 1001


def test_nearest_notices_what_comes_and_goes(tmp_path):
    store, other = store_in(tmp_path), store_in(tmp_path)
    put(other, cpu="avx2")
    for cpu in ("avx2", "amx"):
        other.clear()
        put(other, cpu=cpu)
        nearest = store.nearest(KIND, FACTORS)
        assert nearest is not None
        assert nearest.manifest.factors["cpu"] == cpu
    other.clear()
    assert store.nearest(KIND, FACTORS) is None


def test_one_process_has_one_store_per_root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("explorer.store.artifact_store.default_root", default_root)
    assert open_store() is open_store()
    assert open_store().root.path == tmp_path / "cache" / "piecewise-explorer"
    assert open_store(tmp_path / "other") is not open_store()


def test_negative_limit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="`max_bytes` is at least 0"):
        store_in(tmp_path, max_bytes=-1)

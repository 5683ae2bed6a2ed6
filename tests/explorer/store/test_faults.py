"""A disk that is full or gone costs one line, never the caller's result."""

from __future__ import annotations

import errno
import os

import pytest

from explorer.errors import StoreError
from tests.explorer.store.stores import BLOBS, FACTORS, got, left_over, put, store_in


def failing(code: int):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EIO"])
@pytest.mark.parametrize("function", ["fsync", "open", "rename", "mkdir", "statvfs"])
def test_failed_save_is_one_line_and_leaves_nothing(tmp_path, caplog, monkeypatch, function, code):
    store = store_in(tmp_path)
    put(store, cpu="avx2")
    monkeypatch.setattr(os, function, failing(getattr(errno, code)))
    assert store.put("kernel", FACTORS, BLOBS, label="layer 3") is None
    assert store.put("kernel", FACTORS, BLOBS, label="layer 4") is None
    monkeypatch.undo()
    (message,) = caplog.messages
    assert "The kernel 'layer 3' is not stored" in message
    assert os.strerror(getattr(errno, code)) in message
    assert left_over(store) == []
    assert got(store) is None
    put(store)
    assert got(store) == BLOBS
    assert got(store, cpu="avx2") == BLOBS


@pytest.mark.parametrize("code", ["EEXIST", "ENOTEMPTY", "EBUSY"])
def test_losing_the_rename_is_success(tmp_path, caplog, monkeypatch, code):
    store = store_in(tmp_path)
    monkeypatch.setattr(os, "rename", failing(getattr(errno, code)))
    put(store)
    assert caplog.messages == []
    assert left_over(store) == []


def test_free_space_is_looked_at_first(tmp_path, caplog, monkeypatch):
    store = store_in(tmp_path)
    real = os.statvfs(tmp_path)

    class Full:
        f_bavail = 3
        f_frsize = real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    monkeypatch.setattr(os, "open", failing(errno.EIO))
    assert store.put("kernel", FACTORS, BLOBS) is None
    assert "No space left on device" in caplog.text


def test_more_than_the_whole_store_may_hold_is_not_stored(tmp_path, caplog):
    store = store_in(tmp_path, max_bytes=1000)
    assert store.put("kernel", FACTORS, BLOBS) is None
    assert "it has 10,257 bytes, the whole store may have 1,000" in caplog.text


def test_copy_goes_elsewhere_when_the_store_is_full(tmp_path, monkeypatch):
    store = store_in(tmp_path)
    entry = put(store)
    real_open = os.open

    def full_store(path, flags, *rest, **options):
        if flags & os.O_CREAT and str(path).startswith(str(store.root.path)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", full_store)
    copy = entry.path("kernel.so")
    assert copy.read_bytes() == BLOBS["kernel.so"]
    assert not copy.is_relative_to(tmp_path)


def test_copy_without_any_place_says_why(tmp_path, monkeypatch):
    entry = put(store_in(tmp_path))
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StoreError, match=r"No file can be made of kernel\.so .*: No space left"):
        entry.path("kernel.so")


def test_copy_that_differs_is_never_handed_out(tmp_path, monkeypatch):
    entry = put(store_in(tmp_path))
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: b"what the disk made of it")
    with pytest.raises(StoreError, match="the copy differs from what was written"):
        entry.path("kernel.so")


def test_store_whose_folders_vanish_goes_on(tmp_path, caplog):
    store = store_in(tmp_path)
    put(store)
    for name in ("entries", "work", "locks", "quarantine"):
        (tmp_path / "store" / name).rename(tmp_path / name)
    assert got(store) is None
    assert store.put("kernel", FACTORS, BLOBS) is None
    assert store.ls() == ()
    assert store.clear().removed == ()
    assert len(caplog.messages) == 1
    put(store_in(tmp_path))

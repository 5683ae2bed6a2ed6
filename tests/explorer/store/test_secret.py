"""The user's secret: made once, private, replaced when damaged, never inside the store."""

from __future__ import annotations

import os

import pytest

from explorer.errors import StoreError
from explorer.store import RootAccess
from explorer.store.secret import default_secret_path, kept_secret
from tests.explorer.store.stores import BLOBS, got, put, store_in


def test_secret_is_made_once_and_private(tmp_path):
    path = tmp_path / "state" / "secret"
    secret = kept_secret(path)
    assert len(secret) == 32
    assert kept_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.with_name("secret.new").exists()


def test_two_users_have_two_secrets(tmp_path):
    assert kept_secret(tmp_path / "a" / "secret") != kept_secret(tmp_path / "b" / "secret")


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_damaged_secret_is_replaced(tmp_path, content):
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    path.with_name("secret.new").write_bytes(b"left by a killed process")
    secret = kept_secret(path)
    assert len(secret) == 32
    assert path.read_bytes() == secret


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_secret_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "secret"
    kept_secret(path)
    path.chmod(mode)
    with pytest.raises(StoreError, match=rf"others may read .* \(mode {mode:04o}\)"):
        kept_secret(path)


def test_secret_behind_a_link_is_refused(tmp_path):
    kept_secret(tmp_path / "real")
    (tmp_path / "secret").symlink_to(tmp_path / "real")
    with pytest.raises(StoreError, match="cannot be kept: Too many levels of symbolic links"):
        kept_secret(tmp_path / "secret")


def test_secret_of_somebody_else_is_refused(tmp_path, monkeypatch):
    uid = os.geteuid()
    kept_secret(tmp_path / "secret")
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(StoreError, match=f"belongs to uid {uid}"):
        kept_secret(tmp_path / "secret")


def test_secret_in_an_open_folder_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StoreError, match=r"others may write to it \(mode 0777\)"):
        kept_secret(tmp_path / "open" / "secret")


def test_without_a_kept_secret_the_store_is_private(tmp_path, caplog):
    put(store_in(tmp_path))
    (tmp_path / "state" / "secret").chmod(0o644)
    store = store_in(tmp_path)
    assert store.root.access is RootAccess.PRIVATE
    (message,) = caplog.messages
    assert f"The artifact store {tmp_path / 'store'} is not used: others may read" in message
    put(store)
    assert got(store) == BLOBS
    (tmp_path / "state" / "secret").chmod(0o600)
    assert got(store_in(tmp_path)) == BLOBS


def test_secret_lies_outside_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    expected = tmp_path / ".local" / "state" / "piecewise-explorer" / "store-secret"
    assert default_secret_path() == expected
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert str(default_secret_path()) == "/elsewhere/piecewise-explorer/store-secret"


def test_without_a_home_there_is_no_place_for_a_secret():
    with pytest.raises(StoreError, match="no home directory"):
        kept_secret(None)

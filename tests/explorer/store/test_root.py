"""Which folders a store may lie in, and what happens when it may not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from explorer.store import RootAccess, default_root, open_root
from tests.explorer.store import children
from tests.explorer.store.stores import BLOBS, got, put, store_in

IS_SUPERUSER = os.geteuid() == 0


def refused(tmp_path: Path, caplog, said: str) -> None:
    """The store in ``tmp_path`` says one line, goes on in private, and adds nothing to the root."""
    before = sorted((tmp_path / "store").rglob("*"))
    store = store_in(tmp_path)
    (message,) = caplog.messages
    assert f"The artifact store {tmp_path / 'store'} is not used: " in message
    assert said in message
    assert "artifacts of this process go to a private folder" in message
    assert store.root.access is RootAccess.PRIVATE
    put(store)
    assert got(store) == BLOBS
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert len(caplog.messages) == 1


def test_root_is_made_for_its_user_alone(tmp_path):
    old = os.umask(0)
    try:
        root = open_root(tmp_path / "a" / "b" / "store")
    finally:
        os.umask(old)
    assert root.access is RootAccess.KEPT
    assert root.note is None
    made = [root.path, *root.path.iterdir(), *root.path.parents[:2]]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_root_that_others_may_write_to_is_refused(tmp_path, caplog, mode):
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(mode)
    refused(tmp_path, caplog, f"others may write to it (mode {mode:04o}): run 'chmod 700 ")


def test_root_of_somebody_else_is_refused(tmp_path, caplog, monkeypatch):
    (tmp_path / "store").mkdir(mode=0o700)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    store = store_in(tmp_path)
    assert f"it belongs to uid {uid}, not to uid {uid + 1} who runs this" in caplog.messages[0]
    assert store.root.is_private


@pytest.mark.skipif(not IS_SUPERUSER, reason="only the superuser can give a folder away")
def test_root_that_was_given_away_is_refused(tmp_path, caplog):
    (tmp_path / "store").mkdir(mode=0o700)
    os.chown(tmp_path / "store", 12345, 12345)
    refused(tmp_path, caplog, "it belongs to uid 12345, not to uid 0 who runs this")


def test_root_that_is_a_link_is_refused(tmp_path, caplog):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "store").symlink_to(tmp_path / "real")
    refused(tmp_path, caplog, "it is a symbolic link")
    assert list((tmp_path / "real").iterdir()) == []


def test_folder_of_the_root_that_is_a_link_is_refused(tmp_path, caplog):
    put(store_in(tmp_path))
    (tmp_path / "store" / "entries").rename(tmp_path / "entries")
    (tmp_path / "store" / "entries").symlink_to(tmp_path / "entries")
    refused(tmp_path, caplog, "entries: it is a symbolic link")


def test_link_above_the_root_is_fine(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_root(tmp_path / "link" / "store").access is RootAccess.KEPT


def test_root_that_is_a_file_is_refused(tmp_path, caplog):
    (tmp_path / "store").write_text("")
    refused(tmp_path, caplog, "it is not a folder")


def test_root_below_a_file_is_refused(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    root = open_root(tmp_path / "file" / "store")
    assert root.access is RootAccess.PRIVATE
    assert root.note is not None
    assert "it cannot be opened: Not a directory" in root.note


def test_root_below_a_folder_that_others_may_write_to_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    root = open_root(tmp_path / "open" / "store")
    assert root.access is RootAccess.PRIVATE
    assert root.note is not None
    assert f"others may write to {tmp_path / 'open'} above it (mode 0777)" in root.note


def test_sticky_folder_above_is_fine(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    assert open_root(tmp_path / "open" / "store").access is RootAccess.KEPT


def test_loop_of_links_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    root = open_root(tmp_path / "loop" / "store")
    assert root.access is RootAccess.PRIVATE
    assert root.note is not None
    assert "symbolic links" in root.note


def test_store_that_is_not_writable_is_read(tmp_path, caplog, monkeypatch):
    put(store_in(tmp_path))
    real_access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK and real_access(path, mode)
    )
    before = sorted(tmp_path.rglob("*"))
    reads_only(store_in(tmp_path), caplog)
    assert sorted(tmp_path.rglob("*")) == before


def reads_only(store, caplog) -> None:
    """The store gives what it has, adds and removes nothing, and says so once."""
    (message,) = caplog.messages
    assert "is only read, nothing is added" in message
    assert store.root.access is RootAccess.READ_ONLY
    assert got(store) == BLOBS
    entry = store.get("kernel", store.ls()[0].manifest.factors)
    assert entry.path("kernel.so").read_bytes() == BLOBS["kernel.so"]
    assert store.put("kernel", {"n": "1"}, BLOBS) is None
    assert store.clear().removed == ()
    assert store.verify() == ()
    with store.single_flight(store.ls()[0].key) as is_alone:
        assert not is_alone
    assert len(caplog.messages) == 1


def mount(place: Path, *options: str) -> bool:
    place.mkdir(exist_ok=True)
    return subprocess.run(["mount", *options, str(place)], capture_output=True).returncode == 0


@pytest.fixture
def small_file_system(tmp_path):
    """A file system of 4 MiB."""
    if not IS_SUPERUSER:
        pytest.skip("only the superuser can mount")
    place = tmp_path / "small"
    if not mount(place, "-t", "tmpfs", "-o", "size=4m,mode=0700", "none"):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def read_only_view(tmp_path):
    """The folder ``tmp_path/real`` once more, read-only."""
    if not IS_SUPERUSER:
        pytest.skip("only the superuser can mount")
    real, place = tmp_path / "real", tmp_path / "view"
    real.mkdir(mode=0o700)
    if not mount(place, "--bind", str(real)):
        pytest.skip("no folder can be mounted here")
    is_read_only = mount(place, "-o", "remount,bind,ro")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    assert is_read_only


def test_read_only_file_system_is_read(tmp_path, read_only_view, caplog):
    put(store_in(tmp_path / "real"))
    reads_only(store_in(read_only_view), caplog)


def test_full_file_system_is_survived(small_file_system, caplog):
    place = small_file_system
    store = store_in(place)
    put(store)
    with (
        (place / "ballast").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        while True:
            file.write(bytes(4096))
    assert store.put("kernel", {"n": "1"}, BLOBS) is None
    assert store.put("kernel", {"n": "2"}, BLOBS) is None
    (message,) = caplog.messages
    assert "is not stored" in message
    assert "No space left on device" in message
    assert got(store) == BLOBS
    assert store_in(place).get("kernel", {"n": "1"}) is None
    entry = store.get("kernel", store.ls()[0].manifest.factors)
    assert entry is not None
    assert entry.path("kernel.so").read_bytes() == BLOBS["kernel.so"]
    (place / "ballast").unlink()
    assert store.put("kernel", {"n": "1"}, BLOBS) is not None


@pytest.mark.skipif(IS_SUPERUSER, reason="the superuser may write everywhere")
def test_folder_without_write_permission_is_read(tmp_path, caplog):
    put(store_in(tmp_path))
    (tmp_path / "store").chmod(0o500)
    try:
        reads_only(store_in(tmp_path), caplog)
    finally:
        (tmp_path / "store").chmod(0o700)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HOME": "/users/ada"}, "/users/ada/.cache/piecewise-explorer"),
        ({"HOME": "/users/ada", "XDG_CACHE_HOME": "/big"}, "/big/piecewise-explorer"),
        ({"HOME": "/users/ada", "XDG_CACHE_HOME": "here"}, "/users/ada/.cache/piecewise-explorer"),
        ({"HOME": ""}, "/by/name/.cache/piecewise-explorer"),
        ({}, "/by/name/.cache/piecewise-explorer"),
    ],
)
def test_default_root_follows_the_environment(monkeypatch, variables, expected):
    class User:
        pw_dir = "/by/name"

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: User)
    assert default_root() == Path(expected)


def test_user_without_name_and_home_gets_a_private_store(monkeypatch):
    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    root = open_root()
    assert root.access is RootAccess.PRIVATE
    assert root.note is not None
    assert "There is no home directory to keep artifacts in: set XDG_CACHE_HOME" in root.note


def test_without_any_folder_nothing_is_stored(tmp_path, caplog, monkeypatch):
    def none_usable():
        raise FileNotFoundError(2, "No usable temporary directory found")

    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    store = store_in(tmp_path)
    assert store.root.access is RootAccess.NONE
    assert store.put("kernel", {"n": "1"}, BLOBS) is None
    assert got(store) is None
    assert (store.ls(), store.verify(), store.clear().removed) == ((), (), ())
    assert store.nearest("kernel", {}) is None
    assert len(caplog.messages) == 1


def environment_of(tmp_path: Path) -> dict[str, str]:
    return {
        "XDG_CACHE_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "temporary"),
    }


def private_child(tmp_path: Path) -> list:
    (tmp_path / "piecewise-explorer").mkdir(exist_ok=True)
    (tmp_path / "piecewise-explorer").chmod(0o777)
    (tmp_path / "temporary").mkdir(exist_ok=True)
    return children.run("open_default", environment_of(tmp_path))


def test_private_store_goes_with_its_process(tmp_path):
    path, access, stored, hit, said = private_child(tmp_path)
    assert (access, stored, hit, len(said)) == ("private", True, True, 1)
    assert Path(path).is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_private_store_of_a_killed_process_is_swept(tmp_path):
    private_child(tmp_path)
    killed = subprocess.run(
        children.command("open_default", kill=True),
        env={**os.environ, **environment_of(tmp_path)},
        capture_output=True,
    )
    assert killed.returncode == -9
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    private_child(tmp_path)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_default_store_is_kept_from_process_to_process(tmp_path):
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "s")}
    path, access, _, _, said = children.run("open_default", variables)
    assert (path, access, said) == (str(tmp_path / "cache" / "piecewise-explorer"), "kept", [])
    children.run("open_default", variables)
    assert len(list((Path(path) / "entries").iterdir())) == 1
    assert list((Path(path) / "work").iterdir()) == []

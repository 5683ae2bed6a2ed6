"""A process that is killed in a save leaves no half entry, and the next one sweeps up after it."""

from __future__ import annotations

import os

import pytest

from tests.explorer.store import children
from tests.explorer.store.stores import store_in

MANY = int(os.environ.get("EXPLORER_STORE_KILLS", "1000"))
"""Of the slow test; ``EXPLORER_STORE_KILLS=5000 pytest -m slow tests/explorer/store``."""


def killed(tmp_path, kills: int) -> None:
    options = {"root": str(tmp_path / "store"), "secret": str(tmp_path / "state" / "secret")}
    process = children.start("killing", kills=kills, **options)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    torn, wrong, left_after_open, left_behind, stored, others = children.json.loads(output)
    assert (torn, wrong, left_after_open) == ([], [], [])
    assert others == 0, "a process ended before it was killed"
    assert left_behind > kills / 10, "the kills should hit saves"
    assert stored > 20


def test_kills_in_a_save_loop(tmp_path):
    killed(tmp_path, 200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_kills_in_a_save_loop(tmp_path):
    killed(tmp_path, MANY)


def test_working_folder_of_a_living_process_stays(tmp_path):
    store = store_in(tmp_path)
    entry = store.put("kernel", {"a": "1"}, {"a.so": b"x"})
    assert entry is not None
    copy = entry.path("a.so")
    store_in(tmp_path)
    children.run(
        "look_up",
        root=str(tmp_path / "store"),
        secret=str(tmp_path / "state" / "secret"),
        kind="kernel",
        factors={"a": "1"},
    )
    assert copy.read_bytes() == b"x"


def test_folder_without_an_owner_is_swept(tmp_path):
    work = store_in(tmp_path).root.path / "work"
    (work / "1-abc").mkdir()
    (work / "1-abc" / "staging").mkdir()
    (work / "file").write_text("not ours")
    store_in(tmp_path)
    assert [path.name for path in work.iterdir()] == ["file"]


def test_fork_of_a_process_with_a_store_removes_nothing(tmp_path):
    store = store_in(tmp_path)
    entry = store.put("kernel", {"a": "1"}, {"a.so": b"x"})
    assert entry is not None
    copy = entry.path("a.so")
    outcome = children.run("forking", root=str(tmp_path / "f"), secret=str(tmp_path / "s" / "s"))
    assert outcome == ["parent", True, True]
    assert copy.exists()

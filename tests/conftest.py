"""No test sees the artifacts that another one stored, or the user's own; the longest come first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_FIRST = (  # else one process is left with them when the others have nothing more to do
    "test_property_split.py",
    "test_under_inductor.py",
    "test_troubleshooting.py",
    "test_state_watch.py",
    "test_soak.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes are begun first; within a file the order stays."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FIRST)


@pytest.fixture(autouse=True, scope="session")
def folders_of_the_test_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that tests start keep their artifacts in a folder of the run."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patched.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield


@pytest.fixture(autouse=True)
def store_of_the_test(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The root that ``StoreConfig()`` means in this test; it is made when something is stored."""
    root = tmp_path_factory.getbasetemp() / f"store-{os.urandom(6).hex()}"
    monkeypatch.setattr("explorer.store.artifact_store.default_root", lambda: root)
    return root

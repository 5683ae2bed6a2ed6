"""No test sees the artifacts that another one stored, or the user's own; the longest come first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_FIRST = (  # else one process is left with them when the others have nothing more to do
    "test_panel_in_browser.py",
    "test_lessons_in_browser.py",
    "test_hostile_names_in_browser.py",
    "test_controls_in_browser.py",
    "test_bisect_cached.py",
    "test_toy_llama.py",
    "test_docs.py",
    "test_property_split.py",
    "test_parallel_faults.py",
    "test_equal_to_plain.py",
    "test_parallel_compile.py",
    "test_bisect.py",
    "test_state_watch.py",
    "test_trace.py",
    "test_troubleshooting.py",
    "test_under_inductor.py",
    "test_soak.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long are begun first, as listed; within a file the order stays.

    Where pytest-xdist deals them out it needs ``--no-loadscope-reorder``, else it begins with those
    that have the most tests.
    """
    begin = {name: position for position, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: begin.get(item.path.name, len(begin)))


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

"""Where backends note what they compile, and a look at what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.stages import parallel_compile
from tests.explorer.forking import children


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "compiled"
    found.mkdir()
    return found


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No process that a test began is there after it, not even a dead one."""
    parallel_compile._say_that_they_do_nothing.cache_clear()
    before = children()
    yield
    assert children() <= before

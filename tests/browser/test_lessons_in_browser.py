"""The lessons that open a panel, as they are stored, in JupyterLab: nbmake sees no front end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.lab import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def lesson(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_tour_leaves_a_live_panel(open_page: Callable[[], OpenPage]) -> None:
    seen = open_page()
    seen.run_notebook(lesson("00_tour"), "JupyterLab Light")
    panel = seen.page.locator(".piecewise-panel")
    panel.locator(".pwx-strip .cell").nth(8).wait_for()
    assert panel.locator(".pwx-strip .cell").count() == 9
    assert panel.count() == 1
    seen.assert_clean()


def test_lesson_on_the_panel_drives_and_closes_it(open_page: Callable[[], OpenPage]) -> None:
    notebook = lesson("06_live")
    (closing,) = (i for i, cell in enumerate(notebook.cells) if "panel.close()" in cell.source)
    seen = open_page()
    seen.run_notebook(notebook, "JupyterLab Dark", until=closing)
    panels = seen.page.locator(".piecewise-panel")
    first, second = panels.nth(0), panels.nth(1)
    for panel, text in ((first, "last call n = 17"), (second, "2 graphs")):
        panel.scroll_into_view_if_needed()  # JupyterLab draws only what is near
        panel.get_by_text(text).first.wait_for()
    assert panels.count() == 2, "the one that was closed is gone"
    seen.run_rest()
    seen.page.locator(".piecewise-panel").first.wait_for(state="detached")
    seen.assert_clean()

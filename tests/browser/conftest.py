"""A real JupyterLab on the loopback interface, and Chromium to look at it.

Without playwright or Chromium these tests are skipped with the reason; where the environment
variable ``CI`` is set they fail instead. ``CHROMIUM`` names another browser, ``SCREENSHOTS`` a
folder for the pictures that every page leaves behind.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import LabServer, OpenPage
from tests.browser.stage import Stage

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
BROWSER_FLAGS = (
    "--no-sandbox",  # it does not start for the superuser
    "--disable-dev-shm-usage",  # shared memory is small in containers
    "--disable-gpu",
)
WINDOW = {"width": 1300, "height": 1000}


def unavailable(reason: str) -> None:
    """Skips, or fails where the tests are required."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} The environment variable CI requires the browser tests.")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        unavailable("playwright is not installed: pip install playwright.")
    if CHROMIUM is None or not Path(CHROMIUM).exists():
        unavailable("Chromium is not installed: apt-get install chromium, or set CHROMIUM.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(BROWSER_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[LabServer]:
    """Started after the browser, so that nothing starts where there is none."""
    if importlib.util.find_spec("jupyterlab") is None:
        unavailable("jupyterlab is not installed: pip install 'piecewise-explorer[notebook]'.")
    with LabServer(tmp_path_factory.mktemp("lab"), pytestconfig.rootpath) as server:
        yield server


@pytest.fixture
def open_page(
    lab: LabServer, chromium: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], OpenPage]]:
    """``open_page()`` is a page for one notebook; each leaves a picture."""
    opened: list[OpenPage] = []
    name = _name_of(request)

    def open_one() -> OpenPage:
        opened.append(OpenPage(chromium.new_page(viewport=WINDOW), lab, f"{name}_{len(opened)}"))
        return opened[-1]

    yield open_one
    for page in opened:
        keep_picture(page.page, page.name, tmp_path)
        page.page.close()
    lab.end_kernels()


@pytest.fixture
def run_cells(open_page: Callable[[], OpenPage]) -> Callable[..., OpenPage]:
    """``run_cells(*cells, theme=...)`` runs a notebook of these cells and returns its page."""

    def run(*cells: str, theme: str = "JupyterLab Light") -> OpenPage:
        page = open_page()
        page.run(cells, theme)
        return page

    return run


@pytest.fixture
def stage(
    chromium: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., Stage]]:
    """``stage(widget, dark=..., width=...)`` shows one widget on a bare page."""
    opened: list[Stage] = []

    def show(widget: Any, **options: Any) -> Stage:
        opened.append(Stage(chromium.new_page(viewport=WINDOW), widget, **options))
        return opened[-1]

    yield show
    for number, each in enumerate(opened):
        keep_picture(each.page, f"{_name_of(request)}_{number}", tmp_path)
        each.page.close()


@pytest.fixture
def take_picture(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any, str], None]:
    """``take_picture(page, name)`` keeps a picture in the middle of a test."""
    return lambda page, name: keep_picture(page, f"{_name_of(request)}_{name}", tmp_path)


def keep_picture(page: Any, name: str, otherwise: Path) -> None:
    """Keeps a picture of a page in the folder ``SCREENSHOTS``, or in another one."""
    folder = Path(os.environ.get("SCREENSHOTS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def _name_of(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "_", request.node.name).strip("_")

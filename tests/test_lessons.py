"""The lessons, and their gallery: numbered, listed, and as pages that run and load nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from tests.docs_pages.pages import broken_links

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [each.name for each in LESSONS]


def texts(lesson: Path) -> list[str]:
    """Its text cells in order."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def title_of(lesson: Path) -> str:
    return texts(lesson)[0].splitlines()[0].removeprefix("# ")


def test_lessons_are_numbered_from_0() -> None:
    assert [name[:3] for name in NAMES] == [f"{number:02}_" for number in range(len(NAMES))]
    assert len(NAMES) == 10


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_links_of_a_lesson_lead_to_files_and_headings(lesson: Path) -> None:
    assert broken_links("\n".join(texts(lesson)), lesson) == []


@pytest.mark.parametrize("lesson", LESSONS[:-1], ids=lambda lesson: lesson.name)
def test_a_lesson_ends_with_the_next_one(lesson: Path) -> None:
    assert f"]({NAMES[NAMES.index(lesson.name) + 1]})" in texts(lesson)[-1]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_asserts_and_is_heard(lesson: Path) -> None:
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum("assert " in source for source in code) >= len(code) // 2
    assert not any("except Exception" in source for source in code)


def test_readme_lists_every_lesson() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"\[(\d\d) ([^\]]+)\]\(notebooks/([\w.]+)\)", readme)
    assert [name for *_, name in listed] == NAMES
    assert [title for _, title, _ in listed] == [title_of(lesson) for lesson in LESSONS]
    assert all(name.startswith(number) for number, _, name in listed)


# ------------------------------------------------------------------------------------------ gallery


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loads(HTMLParser):
    """What a page would run, or load by itself."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.found.append("script")
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "link":
            self.found.append(given.get("href") or "")
        source = given.get("src") or ""
        if source and not source.startswith("data:"):
            self.found.append(source)
        if "srcdoc" in given:
            self.found += Loads(given["srcdoc"] or "").found


PANEL = "application/vnd.jupyter.widget-view+json"


def executed() -> nbformat.NotebookNode:
    """A lesson with the outputs of a panel that shows itself as a page."""
    lesson = nbformat.v4.new_notebook()
    data = {
        PANEL: {"model_id": "0123", "version_major": 2, "version_minor": 0},
        "text/html": '<iframe sandbox srcdoc="&lt;p&gt;the panel&lt;/p&gt;"></iframe>',
        "text/plain": "Panel()",
    }
    lesson.cells = [
        nbformat.v4.new_markdown_cell("# A <b>lesson</b>\n\n[next](06_live.ipynb)"),
        nbformat.v4.new_markdown_cell(
            "[store](../docs/store.md#where), $x$ and\n\n```mermaid\nA\n```"
        ),
        nbformat.v4.new_code_cell(
            "panel", outputs=[nbformat.v4.new_output("display_data", data=data)]
        ),
    ]
    lesson.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    return lesson


def test_page_of_a_lesson_runs_and_loads_nothing(gallery: ModuleType) -> None:
    page = gallery.lesson_page(executed(), "a_lesson")
    seen = Loads(page)
    assert seen.found == []
    assert "06_live.html" in seen.links and "store.html#where" in seen.links
    assert "the panel" in page and PANEL not in page


def test_gallery_of_lessons_that_were_run(gallery: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lessons").mkdir()
    nbformat.write(executed(), tmp_path / "lessons" / "00_a_lesson.ipynb")
    done = gallery.main(
        ["-o", str(tmp_path / "out"), "--executed", str(tmp_path / "lessons"), "--no-reports"]
    )
    assert done == 0
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert '<a href="00_a_lesson.html">A &lt;b&gt;lesson&lt;/b&gt;</a>' in index
    written = {page.name for page in (tmp_path / "out").glob("*.html")}
    for page in sorted(written):
        seen = Loads((tmp_path / "out" / page).read_text(encoding="utf-8"))
        pictures = {each.name for each in (tmp_path / "out").glob("*.png")}
        assert set(seen.found) <= pictures, page
    assert set(Loads(index).links) == written - {"index.html"}
    lessons = {f"{each.stem}.html" for each in LESSONS}  # of which this gallery has none
    for page in sorted(written):
        for link in Loads((tmp_path / "out" / page).read_text(encoding="utf-8")).links:
            file, _, anchor = link.partition("#")
            if ":" in link or file in lessons:
                continue
            target = tmp_path / "out" / (file or page)
            assert target.exists(), f"{page}: {link}"
            if anchor:
                text = target.read_text(encoding="utf-8")
                assert f'id="{anchor}"' in text, f"{page}: {link}"


def test_lesson_that_fails_is_told(gallery: ModuleType, tmp_path: Path) -> None:
    source = "import os\nint(os.environ['PIECEWISE_EXPLORER_STATIC']) / 0"
    lesson = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    assert "ZeroDivisionError" in gallery._run(lesson)
    assert "PIECEWISE_EXPLORER_STATIC" not in os.environ

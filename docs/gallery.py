"""Runs the lessons and writes them, the documents and a report of each sample model as web pages.

    python docs/gallery.py -o build/gallery                     runs every lesson first
    python docs/gallery.py -o build/gallery --executed FOLDER   takes lessons that were run already
    python docs/gallery.py -o build/gallery --no-reports        without the sample models

The pages need no kernel and load nothing: panels are static (``PIECEWISE_EXPLORER_STATIC``).
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mistune
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[1]
SECONDS_PER_CELL = 300
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:#]+)(#[\w-]+)?\)")
DOCUMENTS = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / f"{n}.md" for n in ("ARCHITECTURE", "SECURITY"))]
)
AS_THEY_ARE = sorted([*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.yml")])
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: .6em .8em; background: #8881; border-radius: 4px; }
code { font-size: .9em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25em .9em .25em 0; }
th, td { border-bottom: 1px solid #8884; }
img { max-width: 100%; }
"""


def main(arguments: list[str]) -> int:
    """Writes the pages; returns 1 when a lesson or a report failed."""
    options = _parser().parse_args(arguments)
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    lessons = sorted((options.executed or ROOT / "notebooks").glob("[0-9]*.ipynb"))
    with ThreadPoolExecutor(options.workers) as pool:
        titles = [*pool.map(lambda lesson: _lesson(lesson, folder, options.executed), lessons)]
        samples = (
            [] if options.no_reports else [*pool.map(lambda n: _report(n, folder), _samples())]
        )
    _documents(folder)
    _index(folder, titles, [title_of(each) for each in DOCUMENTS], samples)
    print(f"The gallery is at {(folder / 'index.html').resolve()}")
    return int(any(failed for *_, failed in (*titles, *samples)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Writes lessons and reports as web pages.")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gallery"))
    parser.add_argument("--executed", type=Path, help="a folder of lessons with outputs")
    parser.add_argument("--no-reports", action="store_true", help="no reports of sample models")
    parser.add_argument("--workers", type=int, default=2, help="lessons that run at once")
    return parser


# -------------------------------------------------------------------------------------- lessons


def _lesson(path: Path, folder: Path, executed: Path | None) -> tuple[str, str, str]:
    """Writes one lesson; returns its page, its title, and what failed."""
    notebook = nbformat.read(path, as_version=4)
    failed = "" if executed else _run(notebook)
    page = f"{path.stem}.html"
    (folder / page).write_text(lesson_page(notebook, path.stem), encoding="utf-8")
    title = notebook.cells[0].source.partition("\n")[0].lstrip("# ")
    print(f"{page}: {failed or title}", flush=True)
    return page, title, failed


def _run(notebook: Any) -> str:
    """Runs the cells, outputs into the notebook; what failed, or nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": scratch}}
        )
        try:
            client.execute(env={**os.environ, "PIECEWISE_EXPLORER_STATIC": "1"})
        except CellExecutionError as error:
            return f"failed: {error.ename}: {error.evalue}"
    return ""


def lesson_page(notebook: Any, name: str) -> str:
    """A lesson as a page without scripts.

    Those of nbconvert's own page load MathJax, Mermaid, RequireJS and the drawing of widgets from
    other servers; a lesson needs none of them.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _with_links_to_pages(cell.source, ROOT / "notebooks")
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    notebook.metadata.pop("widgets", None)
    page, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": name}})
    return re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)


def _published() -> dict[Path, str]:
    """File of the project -> its name in the gallery."""
    lessons = (ROOT / "notebooks").glob("[0-9]*.ipynb")
    pages = {each: f"{each.stem}.html" for each in (*lessons, *DOCUMENTS)}
    return pages | {each: each.name for each in AS_THEY_ARE}


def _with_links_to_pages(text: str, folder: Path) -> str:
    """Links of a text of that folder lead to pages; one to what is not published is its text."""
    published = _published()

    def link(found: re.Match[str]) -> str:
        page = published.get((folder / found[3]).resolve())
        if page is None:
            return found[2]
        return f"{found[1]}[{found[2]}]({page}{found[4] or ''})"

    return LINK.sub(link, text)


# ----------------------------------------------------------------------------- documents, samples


def _documents(folder: Path) -> None:
    render = mistune.create_markdown(plugins=["table"], escape=False)
    for path in DOCUMENTS:
        body = render(_with_links_to_pages(path.read_text(encoding="utf-8"), path.parent))
        page = _page(title_of(path)[1], _with_anchors(str(body)))
        (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")
    for path in AS_THEY_ARE:
        shutil.copy(path, folder)


def _with_anchors(body: str) -> str:
    """Headings can be linked to by their words, as on a page of GitHub."""

    def heading(found: re.Match[str]) -> str:
        words = re.sub(r"<[^>]+>|[^\w\s-]", "", html.unescape(found[2])).strip().lower()
        return f'<h{found[1]} id="{words.replace(" ", "-")}">{found[2]}</h{found[1]}>'

    return re.sub(r"<h([1-6])>(.*?)</h\1>", heading, body)


def title_of(document: Path) -> tuple[str, str, str]:
    """Page, title, and nothing that failed."""
    title = document.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    return f"{document.stem}.html", title, ""


def _samples() -> list[str]:
    files = sorted((ROOT / "sample_models").glob("*.py"))
    return [each.stem for each in files if "\ndef sample(" in each.read_text(encoding="utf-8")]


def _report(name: str, folder: Path) -> tuple[str, str, str]:
    page = f"report_{name}.html"
    command = [sys.executable, "-m", "explorer.cli", "report", f"sample_models.{name}:sample"]
    done = subprocess.run(
        [*command, "-o", str(folder / page)], capture_output=True, text=True, check=False
    )
    failed = "" if done.returncode == 0 else f"failed: {done.stderr.strip()[-300:]}"
    print(f"{page}: {failed or 'written'}", flush=True)
    return page, name, failed


# ------------------------------------------------------------------------------------------ index


def _index(
    folder: Path,
    lessons: list[tuple[str, str, str]],
    documents: list[tuple[str, str, str]],
    samples: list[tuple[str, str, str]],
) -> None:
    body = "<h1>piecewise-explorer</h1>"
    for title, entries in (
        ("Lessons", lessons),
        ("Documents", documents),
        ("Reports of the sample models", samples),
    ):
        if entries:
            items = "".join(
                f'<li><a href="{page}">{html.escape(text)}</a> {html.escape(failed)}</li>'
                for page, text, failed in entries
            )
            # Lessons are numbered from 0, as their files are.
            start, end = ('<ol start="0">', "</ol>") if entries is lessons else ("<ul>", "</ul>")
            body += f"<h2>{title}</h2>{start}{items}{end}"
    (folder / "index.html").write_text(_page("piecewise-explorer", body), encoding="utf-8")


def _page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

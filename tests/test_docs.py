"""The pages in docs/ and README.md: links lead somewhere, and what a page shows is what happens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs_pages.pages import ROOT, anchors_of, broken_links, commands_of, files_of

PAGE = ROOT / "docs" / "why_did_my_branch_specialize.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

SECONDS = re.compile(r"\d+\.\d+ ?s\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken_links(page.read_text(encoding="utf-8"), page) == []


def test_a_heading_is_found_by_what_github_calls_it() -> None:
    page = """
# Why: is `n_rows != 4` his, or Bob's?
## [A link](of.md) – and 2 spaces
```
# no heading
```
## Twice
## Twice
"""
    names = {"why-is-n_rows--4-his-or-bobs", "a-link--and-2-spaces", "twice", "twice-1"}
    assert anchors_of(page) == names


def test_a_link_to_a_missing_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("## A heading\n", encoding="utf-8")
    text = "# Here\n[a](#here) [b](#there) [c](other.md#a-heading) [d](other.md#heading) [e](no.md)"
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert broken_links(text, page) == ["#there", "other.md#heading", "no.md"]


def test_page_has_files_and_commands() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(files_of(page)) == {
        "my_model.py",
        "symptom.py",
        "check_target.py",
        "policies.py",
        "fixed.py",
        "test_my_model.py",
    }
    assert len(commands_of(page)) == 7


def test_function_of_the_comparison_is_the_one_on_the_page() -> None:
    models = (ROOT / "docs" / "side_by_side" / "models.py").read_text(encoding="utf-8")
    shown = re.search(r"def nested.*?```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    body = shown[0].removesuffix("```").splitlines()
    kept = [line for line in models.splitlines() if not line.strip().startswith('"""')]
    assert "\n".join(body) in "\n".join(kept)


DECORATED = ROOT / "docs" / "decorated_models.md"


def test_decorated_model_prints_what_the_page_shows(tmp_path: Path) -> None:
    page = DECORATED.read_text(encoding="utf-8")
    for name, source in files_of(page).items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    for command, shown in commands_of(page):
        words = command.replace("python ", f"{sys.executable} ", 1).split()
        if words[0] == "explorer":
            words[:1] = [sys.executable, "-m", "explorer.cli"]
        folder = tmp_path if "decorated.py" in command else ROOT
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=folder)
        assert done.stdout.strip() == shown.strip()


STORE = ROOT / "docs" / "store.md"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_store_does_what_the_page_shows(tmp_path: Path) -> None:
    page = STORE.read_text(encoding="utf-8")
    for name, source in files_of(page).items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "2",  # of the reader's machine
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    commands = commands_of(page)
    assert len(commands) == 6
    for command, shown in commands:
        done = subprocess.run(
            command,
            shell=True,  # as the reader types it
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip() == shown.strip(), f"{command}\n{done.stderr}"
        assert done.returncode == int("MISS" in shown)


def test_store_page_names_every_factor() -> None:
    from explorer.piece_store import KIND
    from explorer.store.artifact_store import open_store
    from tests.explorer.keeping import session

    session().update()
    (stored,) = open_store().find(KIND, {})
    page = STORE.read_text(encoding="utf-8")
    rows = page.partition("| factor |")[2].partition("\n\n")[0].splitlines()
    names = [name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(names) == sorted(stored.factors)


def compared(*options: str) -> str:
    """What the comparison prints."""
    command = [sys.executable, str(ROOT / "docs" / "side_by_side" / "compare.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_comparison_says_that_tlparse_was_not_run() -> None:
    assert "tlparse: NOT RUN" in compared("--only", "tlparse", "--tlparse", "no-such-program")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_comparison_shows_what_the_page_says_of_explorer() -> None:
    printed = compared("--only", "explorer")
    for text in (
        "right for    2-3, 5-32 (30 sizes), and 1 by a capture of its own",
        "wrong at     4, 33-8192 (8,161 sizes)",
        "5 graphs picked by a table of sizes",
        "DROP: 600 rows: x * 7",
        "CHECK: 600 rows: GuardViolation",
        "VARIANTS: 600 rows: x * 3",
        "line 37: n > 10: (True,), implied",
        "line 39: n > 64: (True,), cached",
        "artifact A 1–4096: (64 * n) > 4096, ",
        "_inductor/codegen/cpp.py",
    ):
        assert text in printed, f"{text}\n{printed}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_page_shows_what_happens(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, source in files_of(page).items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    for command, shown in commands_of(page):
        printed = output_of(command, tmp_path).replace(f"{tmp_path}/", "")
        parts = re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)
        missing = [part for part in parts if in_one_line(part) not in in_one_line(printed)]
        assert missing == [], f"{command}\n{printed}"


@pytest.mark.slow
def test_readme_shows_what_the_check_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)\n\.\.\.\n```", readme, re.DOTALL)
    assert shown is not None
    command = [sys.executable, "-c", "import sys; from explorer.cli import main; sys.exit(main())"]
    command += ["check", "sample_models.branching:sample", "--no-try"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert in_one_line(shown[1]) in in_one_line(printed), printed


def in_one_line(text: str) -> str:
    """Without times, and without line breaks, which depend on how long a time is."""
    return " ".join(SECONDS.sub("_ s", text).split())


def output_of(command: str, folder: Path) -> str:
    """What a command of a page prints; it fails where the page says that the check fails."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        command,
        shell=True,  # as the reader types it
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    fails = "check_target:make" in command and "--allow" not in command
    assert done.returncode == int(fails), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout

"""What a page tells its reader to write, to run and to see, and whether that is what happens."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

FILE = re.compile(r"`([\w.]+\.py)`[^`]*(?:`[^`]*`[^`]*)?\n\n```python\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```console\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
AMOUNT = re.compile(r"\d[\d,.]* ?(?:µs|ms|s|kB|MB)\b")
"""A time or a number of bytes, which differs from run to run."""
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.*?)[ #]*$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """Something to be done, and what the page says comes of it.

    Attributes:
        source: Python, or a command.
        is_command: which of the two.
        shown: what is printed, or None where the page says nothing.
        line: of the page.
    """

    source: str
    is_command: bool
    shown: str | None
    line: int


def text_of(name: str) -> str:
    """A page of the folder ``docs``."""
    return (DOCS / name).read_text(encoding="utf-8")


def broken_links(text: str, page: Path) -> list[str]:
    """The links that lead to no file beside the page, or to no heading of a page.

    Args:
        text: of the page.
        page: where it is.
    """
    broken = []
    for file, anchor in LINK.findall(text):
        target = page.parent / file if file else page
        if not target.exists():
            broken.append(file)
        elif (
            anchor
            and target.suffix == ".md"
            and anchor not in anchors_of(target.read_text("utf-8"))
        ):
            broken.append(f"{file}#{anchor}")
    return broken


def anchors_of(page: str) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    found: dict[str, int] = {}
    for heading in HEADING.findall(FENCED.sub("", page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()  # a link is its text
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = found.get(slug, 0)
        found[slug] = number + 1
        if number:
            found[f"{slug}-{number}"] = 1
    return set(found)


def files_of(page: str) -> dict[str, str]:
    """Name -> source of the files that a page tells its reader to write."""
    return dict(FILE.findall(page))


def commands_of(page: str) -> list[tuple[str, str]]:
    """(command, what the page shows of its output) in the order of the page."""
    found = []
    for block in COMMANDS.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return [each for each in found if "compare.py" not in each[0]]


def names_of_files(page: str) -> set[str]:
    """The files and folders of this project that are named in code font."""
    return set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?|\w+\.py)`", page))


def sections_of(page: str) -> dict[str, str]:
    """Heading of the second level -> what stands below it; what stands before the first is ""."""
    parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def steps_of(page: str) -> list[Step]:
    """What a page has its reader do, in order; the files that it has him write are left out.

    A block of text right below a block of Python is what that prints. Where the Python raises, its
    last line is the kind of the error and the message.
    """
    files = set(files_of(page).values())
    blocks = list(BLOCK.finditer(page))
    found: list[Step] = []
    for number, block in enumerate(blocks):
        kind, source = block[1], block[2]
        line = page.count("\n", 0, block.start()) + 1
        if kind == "python" and source not in files:
            after = blocks[number + 1] if number + 1 < len(blocks) else None
            is_shown = (
                after is not None
                and after[1] == "text"
                and not page[block.end() : after.start()].strip()
            )
            shown = after[2] if after is not None and is_shown else None
            found.append(Step(source, False, shown, line))
        elif kind == "console":
            found += [Step(command, True, shown, line) for command, shown in commands_of(block[0])]
    return found


class PageRunner:
    """Does what a page says, in a folder of its own, with one namespace for all its Python.

    Args:
        folder: in which the files of the page are written, and in which the caller now is.
        files: name -> source.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        for name, source in files.items():
            (folder / name).write_text(source, encoding="utf-8")

    def run(self, step: Step) -> str:
        """What a step prints, with the error that ended it."""
        return self._command(step.source) if step.is_command else self._python(step)

    def _python(self, step: Step) -> str:
        path = self.folder / f"block_at_line_{step.line}.py"
        path.write_text(step.source, encoding="utf-8")  # so that a line of it can be shown
        printed = io.StringIO()
        code = compile(step.source, str(path), "exec")
        with contextlib.redirect_stdout(printed):
            try:
                exec(code, self.names)
            except Exception as error:
                if step.shown is None:
                    raise
                print(f"{type(error).__name__}: {error}")
        return printed.getvalue()

    def _command(self, command: str) -> str:
        folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "2",
        }
        done = subprocess.run(
            command,
            shell=True,  # as the reader types it
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout or done.stderr

    def assert_shows(self, step: Step) -> None:
        """Fails where a step prints something else than the page shows.

        A line ``...`` of the page stands for any text.
        """
        printed = self.plain(self.run(step))
        if step.shown is None:
            return
        parts = re.split(r"^\.\.\.$", step.shown, flags=re.MULTILINE)
        pattern = r".*".join(rf"\s*{re.escape(self.plain(part))}\s*" for part in parts)
        assert re.fullmatch(pattern, printed, re.DOTALL), (
            f"line {step.line} of the page shows\n{step.shown}\nand this is printed:\n{printed}"
        )

    def plain(self, text: str) -> str:
        """In one line, without folders of this machine and without times and bytes."""
        for folder in (self.folder, ROOT):
            text = text.replace(f"{folder}/", "").replace(f"{folder}", ".")
        return " ".join(AMOUNT.sub("_", text).split())


__all__ = [
    "DOCS",
    "ROOT",
    "PageRunner",
    "Step",
    "commands_of",
    "files_of",
    "names_of_files",
    "sections_of",
    "steps_of",
    "text_of",
]

"""The user's files in, as far as a capture can vouch for them, the lines to show out."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.guards.syntax import syntax_tree
from explorer.report.wording import clean, counted, short_path, shortened

LONGEST_FUNCTION = 300
"""Lines of a function that is shown whole; of a longer one, what is around its used lines."""

_AROUND = 12
_AROUND_MODULE_LINE = 3
_SMALLEST_GAP = 3


@dataclass(frozen=True)
class SourceFile:
    """The text of one file, as it was at the capture.

    Attributes:
        file: path as Python knows it.
        lines: its text; empty where it cannot be vouched for.
        problem: why there is no text, one sentence; empty when there is.
        note: what to know of the text besides, or empty.
    """

    file: str
    lines: tuple[str, ...]
    problem: str = ""
    note: str = ""


def source_file(file: str, known: Mapping[int, str]) -> SourceFile:
    """The text of a file, unless it is not what the capture saw.

    Args:
        file: path as Python knows it; the source of a notebook cell is in ``linecache``.
        known: 1-based line -> what it said at the capture, stripped; empty where not known.
    """
    lines = tuple(linecache.getlines(file))
    if not lines:
        return SourceFile(
            file,
            (),
            f"The source of {clean(short_path(file))} is not available: its file is gone, or its "
            "code was made by exec. Only what the capture kept of its lines is shown.",
        )
    changed = [number for number, text in sorted(known.items()) if not _is(lines, number, text)]
    if changed:
        return SourceFile(file, (), _changed_text(file, lines, changed, known))
    return SourceFile(file, lines, note=_note(file, known))


def _is(lines: tuple[str, ...], number: int, text: str) -> bool:
    if not 1 <= number <= len(lines):
        return False
    return not text or lines[number - 1].strip() == text


def _changed_text(
    file: str, lines: tuple[str, ...], changed: list[int], known: Mapping[int, str]
) -> str:
    first = changed[0]
    now = lines[first - 1].strip() if 1 <= first <= len(lines) else ""
    says = f"`{shortened(clean(now), 60)}` now" if now else "empty or gone now"
    return (
        f"{clean(short_path(file))} was changed after the capture: line {first} was "
        f"`{shortened(clean(known[first]), 60)}` and is {says}"
        f"{_and_more(len(changed) - 1)}. Only the lines that the capture kept are shown: capture "
        "again to see the file."
    )


def _and_more(count: int) -> str:
    return f", and {counted(count, 'other line')} differ as well" if count > 0 else ""


def _note(file: str, known: Mapping[int, str]) -> str:
    """Said of a text that is right for the capture and not what the disk has, or not compared."""
    if not any(known.values()):
        return "The capture kept no text of its lines, so that this could not be compared."
    entry = linecache.cache.get(file)
    if entry is None or len(entry) != 4 or entry[1] is None:  # no file: a notebook cell
        return ""
    try:
        status = Path(entry[3]).stat()
    except (OSError, ValueError):
        return "The file is gone: this is its text at the capture."
    if (status.st_size, status.st_mtime) != (entry[0], entry[1]):
        return "The file was edited since: this is its text at the capture."
    return ""


# ---------------------------------------------------------------------------------------- regions


def regions(file: str, lines: tuple[str, ...], used: Iterable[int]) -> list[tuple[int, int]]:
    """The parts of a file to show, ascending, 1-based, both ends included.

    They are the functions around the used lines, with the headers of their classes.
    """
    tree = syntax_tree(file)
    wanted: set[int] = set()
    for number in set(used):
        for first, last in _around(tree, number):
            wanted.update(range(max(first, 1), min(last, len(lines)) + 1))
    found: list[tuple[int, int]] = []
    for number in sorted(wanted):
        if found and number - found[-1][1] <= _SMALLEST_GAP:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _around(tree: ast.Module | None, number: int) -> Iterator[tuple[int, int]]:
    """The outermost function around a line, and the headers of the classes around that."""
    body: list[ast.stmt] = tree.body if tree is not None else []
    while holder := next((each for each in body if _holds(each, number)), None):
        first, last = _first_line(holder), holder.end_lineno or holder.lineno
        if isinstance(holder, ast.ClassDef):
            yield first, holder.lineno
            body = holder.body
            continue
        if not isinstance(holder, ast.FunctionDef | ast.AsyncFunctionDef):
            break
        if last - first < LONGEST_FUNCTION:
            yield first, last
        else:
            yield first, holder.body[0].lineno
            yield max(first, number - _AROUND), min(last, number + _AROUND)
        return
    yield number - _AROUND_MODULE_LINE, number + _AROUND_MODULE_LINE


def _holds(statement: ast.stmt, number: int) -> bool:
    return _first_line(statement) <= number <= (statement.end_lineno or statement.lineno)


def _first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])

"""Numbers with units, short places and clean text: what every report says the same way."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import cell_name
from explorer.size_range import SizeRange

_LINE_BREAKS = "\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029"
_CONTROLS = "\x00-\x1f\x7f-\x9f\ud800-\udfff"
# They turn the direction of the text around them, so that a name can look like another one.
_DIRECTION_MARKS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Nobody sees them, so that two names can look the same. Joiners stay: emoji and scripts need them.
_INVISIBLE = "\u00ad\u180e\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"
_NO_CHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_BREAK = re.compile(f"[{_LINE_BREAKS}]")
_UNFIT = re.compile(f"[{_CONTROLS}{_LINE_BREAKS}{_DIRECTION_MARKS}{_INVISIBLE}{_NO_CHARACTERS}]")


def clean(text: object, *, keep: str = "") -> str:
    """Text that can stand in one line of any report, and in XML.

    Line breaks become spaces; control characters, direction marks and characters that nobody sees
    are left out.

    Args:
        text: anything; it is turned into a string.
        keep: control characters that stay, such as line breaks in source code.
    """

    def kept(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep:
            return character
        return " " if _BREAK.match(character) else ""

    return _UNFIT.sub(kept, str(text))


LONGEST_TEXT = 2_000
"""Characters of one text that a report shows: a name may have a million."""


def shortened(text: str, width: int) -> str:
    """The text in at most ``width`` characters, with an ellipsis when it was longer."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def label_of(text: object, width: int = LONGEST_TEXT) -> str:
    """Clean text of at most ``width`` characters; a very long one is not read to its end."""
    whole = str(text)
    read = whole[: 4 * width]
    return shortened(clean(read) + ("…" if len(read) < len(whole) else ""), width)


def seconds_text(seconds: float) -> str:
    """``1.23 s``, ``830 ms``; very short times are ``<1 ms``."""
    if seconds >= 100:
        return f"{seconds:.0f} s"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds == 0:
        return "0 ms"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "<1 ms"


def duration_text(microseconds: float) -> str:
    """``4.2 µs``, ``412 µs``, ``3.1 ms``, ``1.23 s``."""
    if microseconds >= 999_500:
        return seconds_text(microseconds / 1e6)
    if microseconds >= 999.5:
        return f"{microseconds / 1e3:.1f} ms"
    return f"{microseconds:.0f} µs" if microseconds >= 9.95 else f"{microseconds:.1f} µs"


def bytes_text(count: int | None) -> str:
    """``12.3 kB``, ``4.5 MB``; a dash when it is not known."""
    if count is None:
        return "–"
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 piece``, ``2 pieces``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Iterable[str], limit: int) -> str:
    """The first items, and how many more there are."""
    known = list(items)
    more = f" and {len(known) - limit:,} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more


def range_text(size_range: SizeRange | None) -> str:
    """``9–64``, ``exactly 16``, or ``any size`` where the dispatch size does not matter."""
    if size_range is None:
        return "any size"
    return f"exactly {size_range}" if size_range.is_single_size else str(size_range)


def short_path(file: str) -> str:
    """A path as a reader knows it: below the working directory, or where Python finds modules."""
    cell = cell_name(file)
    if cell is not None:
        return cell
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in file:
            return file.rpartition(folder)[2]
    path = Path(file)
    for base, prefix in ((Path.cwd(), ""), (_import_root(file), ""), (_home(), "~/")):
        if base is not None and path.is_relative_to(base):
            return prefix + path.relative_to(base).as_posix()
    return file


def _import_root(file: str) -> Path | None:
    """The deepest folder of ``sys.path`` that a file lies below."""
    roots = [each for each in sys.path if each and file.startswith(each.rstrip("/") + "/")]
    return Path(max(roots, key=len)) if roots else None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home
        return None


def place_text(location: SourceLocation | None) -> str:
    """``file:line`` with a short path; empty when not known."""
    return f"{short_path(location.file)}:{location.line}" if location else ""


def lines_text(locations: Iterable[SourceLocation]) -> str:
    """Lines of code as ``model.py:82-99, 104; other.py:7``, files in order of first appearance."""
    lines_of: dict[str, set[int]] = {}
    for location in locations:
        lines_of.setdefault(short_path(location.file), set()).add(location.line)
    return "; ".join(f"{file}:{_numbers(lines)}" for file, lines in lines_of.items())


def _numbers(lines: set[int]) -> str:
    parts: list[list[int]] = []
    for line in sorted(lines):
        if parts and line - parts[-1][-1] <= 1:
            parts[-1].append(line)
        else:
            parts.append([line])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}–{p[-1]}" for p in parts)


def with_short_paths(text: str) -> str:
    """The text with every ``/long/path/file.py:12`` shortened."""
    return re.sub(r"/[^\s:()'\"]+\.py(?=:\d)", lambda found: short_path(found[0]), text)

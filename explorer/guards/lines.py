"""A sentence in, lines of a report out: short paths, no control characters, at most 110 columns."""

from __future__ import annotations

import re
import textwrap

from explorer.report.wording import clean, shortened, with_short_paths

WIDTH = 110
_POINT = re.compile(r"(\w+) = (\S)")
_NO_BREAK = "\u00a0"


def wrapped(text: str, indent: str = "  ", hanging: str = "") -> list[str]:
    """A sentence over several lines; ``n = 4`` stays on one."""
    text = _POINT.sub(rf"\1{_NO_BREAK}={_NO_BREAK}\2", clean(with_short_paths(text)))
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hanging,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines] or [indent.rstrip()]


def one_line(text: str, width: int = WIDTH) -> str:
    """A text on one line, shortened to its width."""
    return shortened(clean(with_short_paths(text)), width)

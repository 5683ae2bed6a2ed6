"""Texts in, small pieces of escaped HTML out: the only markup that widgets write themselves."""

from __future__ import annotations

import html
import traceback

from explorer import ExplorerError
from explorer.report.wording import clean, shortened

LONGEST_MESSAGE = 2_000
"""Characters of a message that are shown."""

_ERROR = "color:var(--jp-error-color1,#b00020);overflow-wrap:anywhere;line-height:1.4"
_QUIET = "color:var(--jp-ui-font-color2,#555);overflow-wrap:anywhere;line-height:1.4"
_CODE = "max-height:20em;overflow:auto;line-height:1.3"


def escaped(text: object) -> str:
    """One line of text that means itself in HTML."""
    return html.escape(shortened(clean(text), LONGEST_MESSAGE))


def alert(text: object) -> str:
    """An error that a screen reader says at once; the sign says it without colour."""
    return f'<div role="alert" style="{_ERROR}">⚠ {escaped(text)}</div>'


def quiet(text: object) -> str:
    """A line that a screen reader says when it has time."""
    return f'<div role="status" style="{_QUIET}">{escaped(text)}</div>'


def failure(error: BaseException) -> str:
    """An error in its own words; below, folded, the traceback where the words may not be enough."""
    if isinstance(error, ExplorerError):
        return alert(error)
    lines = "".join(traceback.format_exception(error))
    trace = html.escape(clean(lines[-20 * LONGEST_MESSAGE :], keep="\n"))
    return (
        alert(" ".join(traceback.format_exception_only(error)).strip())
        + f'<details><summary>traceback</summary><pre style="{_CODE}">{trace}</pre></details>'
    )

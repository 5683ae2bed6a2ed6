"""What is in the picture, as a file: a page, text, or the graph of pieces as SVG."""

from __future__ import annotations

import re

from explorer import Compilation, ConfigError
from explorer.report import views
from explorer.report.graph_svg import pieces_picture
from explorer.report.whole import Found, whole_page, whole_text
from explorer.report.wording import clean
from widgets.findings import Findings

FORMS = {"html": "all views as a web page", "text": "all views as text", "svg": "graph as SVG"}
"""Form -> what it is."""

_KINDS = {"html": "text/html", "text": "text/plain", "svg": "image/svg+xml"}
_ENDINGS = {"html": "html", "text": "txt", "svg": "svg"}


def export(form: str, compilation: Compilation, found: Findings) -> tuple[str, str, str]:
    """Name of a file, its media type, and what is in it.

    Args:
        form: one of ``FORMS``.
        compilation: what to write.
        found: what was found out about it.

    Raises:
        ConfigError: an unknown form, or a graph that cannot be drawn.
    """
    if form not in FORMS:
        raise ConfigError(f"There is no export {clean(form)}: there are {', '.join(FORMS)}.")
    return f"{_stem(compilation)}.{_ENDINGS[form]}", _KINDS[form], _text(form, compilation, found)


def page_of(compilation: Compilation, found: Findings) -> str:
    """All views as one page."""
    return whole_page(compilation, _found(found))


def text_of(compilation: Compilation, found: Findings) -> str:
    """All views as text."""
    return whole_text(compilation, _found(found))


def _found(found: Findings) -> Found:
    return Found(
        diagnosis=found.diagnosis,
        coverage=found.coverage,
        trials=tuple(found.trials),
        timings=found.timings,
        record=found.record,
        answers=found.answers or (),
    )


def _text(form: str, compilation: Compilation, found: Findings) -> str:
    if form == "html":
        return page_of(compilation, found)
    if form == "text":
        return text_of(compilation, found)
    drawn = pieces_picture(views.graph_view(compilation)["pieces"])
    if drawn.svg is None:
        raise ConfigError(f"The graph was not written: {drawn.text}")
    return drawn.svg


def _stem(compilation: Compilation) -> str:
    """The model's name with what any file system takes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", compilation.name).strip("_")[:60] or "compilation"

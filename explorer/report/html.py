"""A Compilation in, HTML out: a page that needs nothing but a browser, or a short fragment.

There is no script, and the page's content policy forbids loading anything. What opens and closes is
a ``details``.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.report import sections, views
from explorer.report.graph_svg import PALETTE
from explorer.report.markup import bullets, escaped, fact_list, paragraph, table

if TYPE_CHECKING:
    from explorer.comparison import Check
    from explorer.compilation import Compilation

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""The page's content security policy."""


def page(
    compilation: Compilation,
    checks: Sequence[Check] = (),
    *,
    shows: str = "",
    more: Sequence[str] = (),
) -> str:
    """One self-contained page.

    Args:
        compilation: what to show.
        checks: comparisons with the model as it is, in order; shown as a table when there are any.
        shows: one sentence about the model.
        more: sections that stand before the others, as ``markup.section`` makes them.
    """
    found = [*more, *sections.sections(compilation, checks)]
    name = escaped(compilation.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{name} · piecewise compilation</title>"
        f"<style>{styles('report.css', 'page.css')}</style></head>"
        f'<body class="explorer-report"><header><h1>{name}</h1>'
        f"{paragraph(shows) if shows else ''}{fact_list(views.facts(compilation))}</header>"
        f"<main>{sections.strip_section(compilation)}{sections.navigation(found)}"
        f"{''.join(found)}</main>"
        f"<footer>{escaped(_written_by())}</footer></body></html>\n"
    )


def fragment(compilation: Compilation) -> str:
    """The same facts, shorter, for the output of a notebook cell."""
    colours = views.colour_of(compilation)
    parts = [
        f"<style>{styles('fragment.css', 'report.css')}</style>",
        f"<strong>{escaped(compilation.name)}</strong>",
        fact_list(views.facts(compilation)),
        sections.strip(compilation, linked=False),
        table(views.group_rows(compilation), sections.GROUPS[:7], colours),
        table(views.artifact_rows(compilation), sections.ARTIFACTS, colours),
    ]
    guards = sections.guard_rows(compilation)
    parts += [table(guards, sections.GUARDS)] if guards else []
    notes = views.note_list(compilation)
    parts += [bullets(notes)] if notes else []
    return f'<div class="explorer-report">{"".join(parts)}</div>'


def write_page(path: str | Path, text: str) -> Path:
    """Writes a page whole or not at all, and returns where.

    Raises:
        OSError: the folder does not exist or cannot be written to.
    """
    target = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.chmod(_mode_for(target))
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _mode_for(target: Path) -> int:
    """The mode of the file that is replaced, else what a plain open would give."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@lru_cache(maxsize=8)
def styles(*names: str) -> str:
    """The style sheets of reports, with the colours of pieces."""
    folder = Path(__file__).parent
    colours = "".join(
        f".explorer-report .piece.colour{i} {{ background: {colour}40; border-color: {colour}; }}\n"
        for i, colour in enumerate(PALETTE)
    )
    return "".join((folder / name).read_text(encoding="utf-8") for name in names) + colours


def _written_by() -> str:
    try:
        version = f" {metadata.version('piecewise-explorer')}"
    except metadata.PackageNotFoundError:
        version = ""
    return f"Written by piecewise-explorer{version}, Python {platform.python_version()}."

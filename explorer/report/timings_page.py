"""Timings in, one self-contained page with the pictures out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from explorer.artifacts.measured import Timings
from explorer.report.html import POLICY, styles, write_page
from explorer.report.markup import bullets, escaped
from explorer.report.timings_text import fragment

_WORDS = {
    "latency": "Latency over size; the first table has the same.",
    "pieces": "Time in each piece; the table of pieces has the same, added up by group.",
    "compile": "Compile time; its table has the same.",
}


def page(timings: Timings, missed: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        timings: what to show.
        missed: targets that were missed, a sentence each.
    """
    name = escaped(timings.name)
    pictures = "".join(
        f'<figure><img alt="{escaped(_WORDS[what])}" style="max-width:100%" '
        f'src="data:image/png;base64,{_png(figure)}">'
        f"<figcaption>{escaped(_WORDS[what])}</figcaption></figure>"
        for what, figure in timings.figures().items()
    )
    targets = f"<h2>Targets missed</h2>{bullets(missed)}" if missed else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{name} · timings</title><style>{styles('report.css', 'page.css')}</style></head>"
        f'<body class="explorer-report"><header><h1>{name}</h1></header>'
        f"<main>{targets}{fragment(timings)}{pictures}</main></body></html>\n"
    )


def _png(figure: object) -> str:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return base64.b64encode(stream.getvalue()).decode()


def write(path: Path, timings: Timings, missed: Sequence[str] = ()) -> Path:
    """Writes the page and returns where.

    Raises:
        OSError: it cannot be written.
    """
    return write_page(path, page(timings, missed))


__all__ = ["page", "write"]

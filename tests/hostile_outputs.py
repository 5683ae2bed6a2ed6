"""Everything that this package writes about a compilation: id of an output -> the output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from explorer.artifacts.measured import Timings
from explorer.bisect import Bisection
from explorer.check import CheckResult, as_json
from explorer.comparison import Check, Outcome
from explorer.compilation import Compilation
from explorer.errors import ExplorerError
from explorer.report import (
    account_text,
    bisect_view,
    graph_svg,
    html,
    markup,
    sections,
    text,
    timings_page,
    timings_text,
    timings_view,
    views,
)
from explorer.report.guards_text import guards_text
from explorer.report.selection import Links, node_id
from explorer.report.settings import settings_view
from explorer.report.split_source import split_source
from widgets.picture import static_html


def checks_of(problem: str) -> tuple[Check, ...]:
    """Comparisons whose problems say this."""
    return (
        Check({"n": 1}, Outcome.EQUAL, 0.0, "1–8"),
        Check({"n": 9}, Outcome.DIFFERENT, 0.25, problem, problem),
        Check({"n": 4}, Outcome.REFUSED, problem=problem),
    )


def pages(compilation: Compilation, problem: str) -> dict[str, str]:
    """Pages that stand alone."""
    return {"page": html.page(compilation, checks_of(problem), shows=problem)}


def fragments(compilation: Compilation, error: BaseException) -> dict[str, str]:
    """Pieces of HTML that are put into another page."""
    return {
        "fragment": html.fragment(compilation),
        "show": static_html(compilation),
        "account": account_text.fragment(compilation.account),
        "strip": sections.strip(compilation, linked=True),
        "table": markup.table([{"a": str(error)}], [markup.Column("a", str(error))]),
    }


def dot_sources(compilation: Compilation) -> dict[str, str]:
    """What Graphviz is given."""
    graph = views.graph_view(compilation)
    found = {"pieces": graph_svg.dot_source(graph["pieces"], "LR", graph["pieces"]["folds"])}
    bodies = {f"body {key}": graph_svg.dot_source(body) for key, body in graph["bodies"].items()}
    return found | bodies


def pictures(compilation: Compilation) -> dict[str, graph_svg.Picture]:
    """What it drew."""
    graph = views.graph_view(compilation)
    found = {"pieces": graph_svg.pieces_picture(graph["pieces"])}
    bodies = list(graph["bodies"].items())[:3]
    return found | {f"body {key}": graph_svg.body_picture(body, key) for key, body in bodies}


def lines(compilation: Compilation) -> dict[str, str]:
    """Text for a terminal."""
    return {
        "summary": text.summary(compilation),
        "repr": repr(compilation),
        "guards": guards_text(compilation.captured, ()),
        "account": account_text.report(compilation.account),
        "pieces": text.table(views.piece_rows(compilation)),
        "inputs": text.table(views.input_rows(compilation)),
        "sites": text.table(views.site_rows(compilation)),
        "conditions": text.table(views.guard_rows(compilation)),
        "differences": text.table(views.difference_rows(compilation)),
    }


def sources(compilation: Compilation) -> dict[str, str]:
    """Python code to read."""
    found = {"stitching": compilation.stitching_source, "split": split_source(compilation.unique)}
    for piece in compilation.pieces[:6]:
        found[f"piece {piece.index}"] = views.piece_source(compilation, piece)
    return found


def selections(compilation: Compilation) -> Iterator[dict[str, Any]]:
    """What a click on anything selects."""
    links = Links(compilation)
    wanted: list[tuple[str, Any]] = [("piece", piece.index) for piece in compilation.pieces]
    wanted += [("unique", unique.unique_id) for unique in compilation.unique_pieces]
    wanted += [
        ("node", node_id(piece, node)) for piece in compilation.pieces for node in piece.graph.nodes
    ]
    wanted += [("guard", number) for number in range(len(compilation.captured.guards))]
    wanted += [("site", number) for number in range(len(compilation.captured.branch_sites))]
    wanted += [("artifact", number) for number in range(len(compilation.artifacts))]
    places = [place for piece in compilation.pieces for place in piece.source_lines]
    wanted += [("line", (place.file, place.line)) for place in places]
    for kind, key in wanted:
        with suppress(ExplorerError):
            yield links.select(kind, key).view()


def data(compilation: Compilation) -> dict[str, Any]:
    """Plain data, as a live view or another program gets it."""
    return {
        "graph": views.graph_view(compilation),
        "strip": views.strip_cells(compilation),
        "pieces": views.piece_rows(compilation),
        "groups": views.group_rows(compilation),
        "artifacts": views.artifact_rows(compilation),
        "guards": views.guard_rows(compilation),
        "sites": views.site_rows(compilation),
        "inputs": views.input_rows(compilation),
        "facts": views.facts(compilation),
        "settings": settings_view(compilation.config),
        "selections": list(selections(compilation)),
    }


def of_timings(timings: Timings) -> dict[str, Any]:
    """The outputs of a measurement: its page, a fragment, text, data."""
    return {
        "page": timings_page.page(timings, (timings.name,)),
        "fragment": timings_text.fragment(timings),
        "text": timings_text.report(timings),
        "data": [timings_view.timing_rows(timings), timings_view.piece_rows(timings)],
    }


def of_check(result: CheckResult) -> dict[str, Any]:
    """The outputs of ``explorer check``."""
    return {"text": result.report(), "data": as_json(result)}


def of_bisection(found: Bisection) -> dict[str, Any]:
    """The outputs of ``explorer bisect``."""
    return {"text": bisect_view.as_text(found), "data": bisect_view.as_json(found)}


def files_below(folder: Path) -> dict[str, str]:
    """Every file of a folder as text."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def round_trip(value: Any) -> Any:
    """The value after it was written as JSON that any reader takes, and read again."""
    written = json.dumps(value, allow_nan=False)
    written.encode("utf-8")
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    return json.loads(written)

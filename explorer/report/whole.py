"""A Compilation and all that was found out about it in, every view as one page or one text out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.artifacts import RunRecord
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis
from explorer.artifacts.measured import Timings
from explorer.report import dedupe_view, ranges_view, replay_view, store_view
from explorer.report.blocks import Block
from explorer.report.blocks_html import block_html
from explorer.report.blocks_text import blocks_text
from explorer.report.code_text import code_text
from explorer.report.code_view import code_view
from explorer.report.guard_html import guard_html
from explorer.report.guard_svg import guard_axis_text
from explorer.report.guard_view import guard_view
from explorer.report.html import page
from explorer.report.markup import code_block, details, section
from explorer.report.node_text import graph_text
from explorer.report.node_view import node_view
from explorer.report.strip_view import strip_text, strip_view
from explorer.report.text import summary
from explorer.stored_answer import StoredAnswer
from explorer.trying import Trial

if TYPE_CHECKING:
    from explorer.compilation import Compilation


@dataclass(frozen=True)
class Found:
    """What was found out about a compilation after it was made; None or empty where nothing was.

    Attributes:
        diagnosis: with the audit of its guards.
        coverage: of its variants.
        trials: sizes that were tried.
        timings: of its replay.
        record: the last call.
        answers: of the store.
    """

    diagnosis: Diagnosis | None = None
    coverage: Coverage | None = None
    trials: tuple[Trial, ...] = ()
    timings: Timings | None = None
    record: RunRecord | None = None
    answers: tuple[StoredAnswer, ...] = ()


NOTHING_FOUND = Found()


def whole_page(compilation: Compilation, found: Found = NOTHING_FOUND) -> str:
    """One self-contained page with every view; it loads nothing and runs no script."""
    guards = guard_view(compilation, found.diagnosis, coverage=found.coverage, trials=found.trials)
    blocks = _blocks(compilation, found)
    code = code_block(code_text(code_view(compilation)))
    graph = code_block(graph_text(node_view(compilation)))
    more = [
        section("sizes", "Sizes", "Where the graph is right, and why not.", guard_html(guards)),
        section("code", "The model's code", "Lines with their pieces.", details("Code", code)),
        section("nodes", "All nodes", "In order of execution.", details("Nodes", graph)),
        *(_section(name, shown) for name, shown in blocks.items()),
    ]
    return page(compilation, more=more)


def whole_text(compilation: Compilation, found: Found = NOTHING_FOUND) -> str:
    """Every view as text, for a terminal."""
    guards = guard_view(compilation, found.diagnosis, coverage=found.coverage, trials=found.trials)
    parts = {
        "Summary": summary(compilation),
        "Pieces": strip_text(strip_view(compilation)),
        "Sizes": guard_axis_text(guards),
        **{name: blocks_text(shown) for name, shown in _blocks(compilation, found).items()},
        "Source": code_text(code_view(compilation)),
        "Graph": graph_text(node_view(compilation)),
    }
    return "\n\n".join(f"== {name} ==\n{text.rstrip()}" for name, text in parts.items()) + "\n"


def _blocks(compilation: Compilation, found: Found) -> dict[str, tuple[Block, ...]]:
    return {
        "Dedupe": dedupe_view.dedupe_view(compilation),
        "Ranges": ranges_view.ranges_view(compilation),
        "Replay": replay_view.replay_view(compilation, found.timings, found.record),
        "Store": store_view.store_view(compilation, found.answers),
    }


def _section(name: str, blocks: tuple[Block, ...]) -> str:
    body = "".join(block_html(each.view()) for each in blocks)
    return section(f"view-{name.lower()}", name, "", body)

"""A Compilation in, what happened at each line of the user's code out.

What happened: nodes and pieces that came from the line, values that it made, conditions, tests,
and whether the capture went through it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import fx

from explorer.artifacts import Piece, PieceKind, SiteKind, SourceLocation
from explorer.guards.places import is_user_file
from explorer.guards.syntax import enclosing, untaken_statements
from explorer.guards.whole_tests import answer_of_statement
from explorer.report.folding import SPLITTING_MARK
from explorer.report.graph_parts import Naming, short_name
from explorer.report.selection import Line, line_of, node_id
from explorer.report.views import colour_of
from explorer.stages.graphs import example_value, frames_of, is_tuple_getitem, user_location
from explorer.stages.op_names import canonical_name

if TYPE_CHECKING:
    from explorer.compilation import Compilation


@dataclass
class Mark:
    """What is known of one line.

    Attributes:
        nodes: ids, in order of the pieces.
        pieces: indices, without repeats.
        values: what its nodes compute, as ``linear → f32 n × 128``, and how often.
        guards: indices in ``CapturedGraph.guards``.
        sites: indices in ``CapturedGraph.branch_sites``.
        ran: True when the capture went through it, False when a decided test left it out, None when
            nothing says.
    """

    nodes: list[str] = field(default_factory=list)
    pieces: dict[int, None] = field(default_factory=dict)
    values: Counter[str] = field(default_factory=Counter)
    guards: list[int] = field(default_factory=list)
    sites: list[int] = field(default_factory=list)
    ran: bool | None = None


@dataclass(frozen=True, eq=False)
class Marks:
    """The marked lines of a compilation.

    Attributes:
        compilation: whose.
        at: line -> what is known of it.
        texts: file -> line -> what it said at the capture; empty where that is not known.
        placeless: ids of nodes that do not say which line they came from: torch keeps no line of
            code that was made by exec.
    """

    compilation: Compilation
    at: dict[Line, Mark] = field(default_factory=dict)
    texts: dict[str, dict[int, str]] = field(default_factory=dict)
    placeless: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for piece in self.compilation.pieces:
            for node in piece.graph.nodes:
                if node.op not in ("placeholder", "output"):
                    self._add_node(piece, node)
        captured = self.compilation.captured
        for number, guard in enumerate(captured.guards):
            self._passed(guard.user_stack)
            if (mark := self._mark(guard.location)) is not None:
                mark.guards.append(number)
        for number, site in enumerate(captured.branch_sites):
            self._passed(site.user_stack)
            if (mark := self._mark(site.location)) is not None:
                mark.sites.append(number)
                mark.ran = True if site.answers else mark.ran

    def leave_out(self, files: Iterable[str]) -> None:
        """Marks what decided tests left out, in files whose text is that of the capture."""
        for line in self._left_out(set(files)):
            mark = self.at.setdefault(line, Mark())
            mark.ran = False if mark.ran is None else mark.ran

    @cached_property
    def _naming(self) -> Naming:
        return Naming(self.compilation)

    def _mark(self, location: SourceLocation | None) -> Mark | None:
        line = line_of(location)
        if line is None or location is None or not is_user_file(location.file):
            return None
        texts = self.texts.setdefault(location.file, {})
        texts[location.line] = texts.get(location.line) or location.text
        return self.at.setdefault(line, Mark())

    def _passed(self, stack: Iterable[SourceLocation]) -> None:
        for frame in stack:
            if (mark := self._mark(frame)) is not None:
                mark.ran = True

    def _add_node(self, piece: Piece, node: fx.Node) -> None:
        self._passed(frames_of(node.meta.get("stack_trace") or ""))
        mark = self._mark(user_location(node))
        if mark is None:
            self.placeless.append(node_id(piece, node))
            return
        mark.nodes.append(node_id(piece, node))
        mark.pieces[piece.index] = None
        if not is_tuple_getitem(node):
            mark.values[value_text(node, self._naming)] += 1

    def _left_out(self, files: set[str]) -> Iterator[Line]:
        sites = self.compilation.captured.branch_sites
        for site in sites:
            file = site.location.file
            if len(site.answers) != 1 or site.kind is SiteKind.INT or file not in files:
                continue
            answer = answer_of_statement(site, sites)
            found = enclosing(site.location)
            if answer is None or found.ternary is not None:
                continue
            if isinstance(found.statement, ast.If):
                for statement in untaken_statements(found, answer):
                    last = statement.end_lineno or statement.lineno
                    yield from ((file, number) for number in range(statement.lineno, last + 1))


def value_text(node: fx.Node, naming: Naming) -> str:
    """``linear → f32 n × 128``; the name alone where nothing is computed."""
    name = canonical_name(node)
    short = name.rpartition("::")[2] if "::" in name else short_name(name)
    value = example_value(node)
    return short if value is None else f"{short} → {naming.value(value)}"


def letters_of(compilation: Compilation, pieces: Iterable[int]) -> list[dict[str, Any]]:
    """The pieces as letters: ``letter colour count`` each, in order of first appearance."""
    colours = colour_of(compilation)
    found: dict[str, int] = {}
    for index in pieces:
        piece = compilation.pieces[index]
        is_split = piece.kind is PieceKind.SPLITTING
        letter = SPLITTING_MARK if is_split else piece.unique_id or ""
        found[letter] = found.get(letter, 0) + 1
    return [
        {"letter": letter, "colour": colours.get(letter), "count": count}
        for letter, count in found.items()
    ]


def letter_text(letter: dict[str, Any]) -> str:
    """``B`` or ``B ×11``."""
    count = letter["count"]
    return letter["letter"] if count == 1 else f"{letter['letter']} ×{count}"

"""Nodes in execution order in, nested spans of them out: pieces, modules, repetitions.

A span is a run of neighbours in an order in which every edge goes forward. Two spans are apart or
one is inside the other, so whatever is drawn as one box, the boxes cannot form a cycle. A module
whose nodes lie apart (before and after a cut, or around other ops) has one span for each run.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from explorer.artifacts import Piece
from explorer.report.folding import SPLITTING_MARK, fold

MOST_LEVELS = 32
"""Modules that are nested deeper stand in the span of their parent."""

MOST_SIBLINGS = 4_000
"""Among more neighbours no repetition is looked for."""


@dataclass
class Span:
    """Nodes ``start`` to ``end - 1``.

    Attributes:
        kind: ``piece``; ``module``; ``fold``, which is a body and its repetitions, whose children
            are all ``body``.
        start: the first node.
        end: one after the last.
        key: index of the piece, or path of the module; empty for the others.
        children: spans inside, in order; nodes between them stand for themselves.
    """

    kind: str
    start: int
    end: int
    key: str | int = ""
    children: list[Span] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """What grouping needs to know of the nodes.

    Attributes:
        modules: per node the paths of its modules, outermost first.
        labels: per node what it does, equal for nodes that do the same.
        sources: per node the nodes that it reads, in order.
    """

    modules: Sequence[tuple[str, ...]]
    labels: Sequence[Hashable]
    sources: Sequence[Sequence[int]]


def piece_spans(
    pieces: Sequence[Piece], ranges: Sequence[tuple[int, int]], rows: Rows
) -> list[Span]:
    """The spans of all pieces, equal neighbours folded, with their modules inside.

    Args:
        pieces: in order.
        ranges: per piece its first node and one after its last.
        rows: of all nodes.
    """
    spans = [
        Span("piece", start, end, piece.index, _module_spans(rows, start, end))
        for piece, (start, end) in zip(pieces, ranges, strict=True)
    ]
    labels = [each.unique_id or f"{SPLITTING_MARK}{each.splitting_names}" for each in pieces]
    return _folded(spans, labels)


def _module_spans(rows: Rows, start: int, end: int, depth: int = 0) -> list[Span]:
    """The modules of a run of nodes; one node, or a module in one of its own size, is no group."""
    found: list[Span] = []
    position = start
    while position < end and depth < MOST_LEVELS:
        path = _at(rows, position, depth)
        last = position + 1
        while path and last < end and _at(rows, last, depth) == path:
            last += 1
        if path and last - position > 1:
            inner = depth + 1
            while inner < MOST_LEVELS and _is_one_module(rows, position, last, inner):
                path, inner = _at(rows, position, inner), inner + 1
            children = _module_spans(rows, position, last, inner)
            found.append(Span("module", position, last, path, children))
        position = last
    return _with_repetitions(rows, found, start, end)


def _at(rows: Rows, node: int, depth: int) -> str:
    paths = rows.modules[node]
    return paths[depth] if depth < len(paths) else ""


def _is_one_module(rows: Rows, start: int, end: int, depth: int) -> bool:
    path = _at(rows, start, depth)
    return bool(path) and all(_at(rows, node, depth) == path for node in range(start + 1, end))


def _with_repetitions(rows: Rows, spans: list[Span], start: int, end: int) -> list[Span]:
    """Folds neighbours that do the same; a run without a module in it stays as it is."""
    texts: dict[Hashable, str] = {}

    def text_of(each: Span) -> str:
        return texts.setdefault(_what_it_does(rows, each), f"{len(texts)}")

    labels = [text_of(each) for each in spans]
    if len(set(labels)) == len(labels):
        return spans
    siblings = _siblings(spans, start, end)
    if len(siblings) > MOST_SIBLINGS:
        return spans
    return _folded(siblings, [text_of(each) for each in siblings])


def _siblings(spans: list[Span], start: int, end: int) -> list[Span]:
    """The spans and, as spans of kind ``node``, what stands between them."""
    found, position = [], start
    for each in [*spans, Span("end", end, end)]:
        found += [Span("node", node, node + 1) for node in range(position, each.start)]
        found += [each] if each.end > each.start else []
        position = each.end
    return found


def _what_it_does(rows: Rows, span: Span) -> Hashable:
    """Equal for spans with the same ops, shapes, constants and edges inside."""
    return tuple(
        (rows.labels[node], *(node - at if at >= span.start else 0 for at in rows.sources[node]))
        for node in range(span.start, span.end)
    )


def _folded(spans: list[Span], labels: list[str]) -> list[Span]:
    found: list[Span] = []
    for run in fold(labels):
        members = spans[run.start : run.start + run.length]
        if run.count == 1 or all(each.kind == "node" for each in members):
            found += [each for each in members if each.kind != "node"]
            continue
        width = len(run.body)
        bodies = [members[at : at + width] for at in range(0, run.length, width)]
        repeated = [
            Span("body", body[0].start, body[-1].end, "", [s for s in body if s.kind != "node"])
            for body in bodies
        ]
        found.append(Span("fold", repeated[0].start, repeated[-1].end, "", repeated))
    return found

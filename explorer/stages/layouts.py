"""Which inputs of a graph have to lie in memory as they did at capture: a copy would not do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import fx

from explorer.artifacts import LayoutQuestion
from explorer.guards.places import user_place
from explorer.stages.graphs import placeholders, user_location
from explorer.torch_private.capture import RawCapture
from explorer.torch_private.layout_questions import ANY_INPUT, is_made_contiguous

_READS_MEMORY = frozenset(
    {"as_strided", "as_strided_", "as_strided_copy", "as_strided_scatter", "stride", "sym_stride"}
)
"""Ops whose result depends on the strides of their input, not on its content alone."""


def layout_questions(
    raw: RawCapture, graph: fx.Graph, sources: Sequence[str]
) -> Mapping[str, tuple[LayoutQuestion, ...]]:
    """What the trace asked about how inputs lie in memory.

    Args:
        raw: the trace's own record.
        graph: of the capture.
        sources: Dynamo's name of each placeholder of ``graph``.

    Returns:
        Dynamo's name of an input -> the questions whose answer may follow from its layout.
    """
    found: dict[str, dict[LayoutQuestion, None]] = {source: {} for source in sources}
    for each in raw.recording.layout_questions:
        question = LayoutQuestion(each.method, user_place(each.user_stack))
        # Layers that were written without a trace asked nothing, of whatever they were given.
        is_known = ANY_INPUT not in each.sources and not raw.repeats.written
        for source in each.sources if is_known else sources:
            if source in found:
                found[source][question] = None
    for node in graph.nodes:
        if (method := _reads_memory(node)) is not None:
            question = LayoutQuestion(method, user_location(node))
            for position in _inputs_of(node, graph):
                found[sources[position]][question] = None
    return {source: tuple(questions) for source, questions in found.items()}


def _reads_memory(node: fx.Node) -> str | None:
    """The name of an op that does, itself or in a graph that it is given; else None."""
    if node.op == "get_attr":
        inner = getattr(node.meta.get("attribute"), "graph", None)
        nodes: Iterable[fx.Node] = inner.nodes if isinstance(inner, fx.Graph) else ()
        return next((name for each in nodes if (name := _reads_memory(each)) is not None), None)
    if node.op not in ("call_function", "call_method"):
        return None
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    name = name.partition(".")[0]  # of an overload, such as as_strided.default
    return name if name in _READS_MEMORY else None


def _inputs_of(node: fx.Node, graph: fx.Graph) -> set[int]:
    """Positions of the placeholders that a node's input is computed from; of a graph, all."""
    order = placeholders(graph)
    if node.op == "get_attr":
        return set(range(len(order)))
    seen: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += () if is_made_contiguous(each) else each.all_input_nodes
    return {position for position, each in enumerate(order) if each in seen}


__all__ = ["layout_questions"]

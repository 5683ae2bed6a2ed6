"""Captured graphs that became too many in, an error that says which line makes them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from explorer.artifacts import CapturedGraph, SourceLocation, SpecializationReason
from explorer.errors import VariantsLimit

_Cause = tuple[str, SourceLocation | None]
"""A condition in words, and the line that made it."""


def too_many(sizes: Mapping[str, int], captured: Sequence[CapturedGraph]) -> VariantsLimit:
    """The error for a call that needs one graph more than is allowed.

    Args:
        sizes: of the call.
        captured: the graphs that are there.
    """
    cause = _commonest(captured)
    made_by, text, place = "", "", None
    if cause is not None:
        text, place = cause
        at = f" at {place}: {place.text}" if place else ""
        made_by = f" Most of them come from {text}{at}."
    named = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    return VariantsLimit(
        f"{named or 'This call'} needs another captured graph, and there are {len(captured)} "
        f"already (variants_limit).{made_by} Make that line independent of the size or value, or "
        "raise variants_limit.",
        guard=text,
        source_line=str(place) if place else None,
    )


def _commonest(captured: Iterable[CapturedGraph]) -> _Cause | None:
    """The condition whose line made most of the captures necessary."""
    count: Counter[str] = Counter()
    known: dict[str, _Cause] = {}
    for graph in captured:
        causes = {str(place or text): (text, place) for text, place in _causes(graph)}
        count.update(causes.keys())  # once for a graph; a mapping would be taken for counts
        known = causes | known
    return known[count.most_common(1)[0][0]] if count else None


def _causes(captured: CapturedGraph) -> Iterable[_Cause]:
    for guard in captured.guards:
        if not guard.is_bound:
            yield guard.text, guard.location
    for guard in captured.value_guards:
        if guard.expression is not None:
            yield guard.text, guard.location
    for each in captured.specializations:  # a graph for one size has no conditions on it
        if each.reason is SpecializationReason.FIXED and each.location is not None:
            yield f"{each.source} == {each.value}", each.location

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
    advice = "Raise variants_limit, or make the model independent of what the calls differ in."
    if cause is not None:
        text, place = cause
        at = f" at {place}: {place.text}" if place else ""
        made_by = f" Most of them come from {text}{at}."
        what = "that line" if place else "the model"
        advice = f"Make {what} independent of the size or value, or raise variants_limit."
    named = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    return VariantsLimit(
        f"{named or 'This call'} needs another captured graph, and there are {len(captured)} "
        f"already (variants_limit).{made_by} {advice}",
        guard=text,
        source_line=str(place) if place else None,
    )


def _commonest(captured: Sequence[CapturedGraph]) -> _Cause | None:
    """A condition of the line that tells most of the graphs apart.

    That is the line with the most different conditions: ``scale == 1.0`` in one graph and ``scale
    == 2.0`` in another. A condition of all graphs tells none apart.
    """
    every = [tuple(_causes(graph)) for graph in captured]
    occurs = Counter(text for causes in every for text in {text for text, _ in causes})
    found: dict[str, dict[str, _Cause]] = {}
    for causes in every:
        for text, place in causes:
            if occurs[text] < len(captured):
                found.setdefault(str(place or text), {}).setdefault(text, (text, place))
    most = max(found.values(), key=len, default=None)
    return next(iter(most.values())) if most else None


def _causes(captured: CapturedGraph) -> Iterable[_Cause]:
    for guard in captured.guards:
        if not guard.is_bound:
            yield guard.text, guard.location
    for each in captured.specializations:  # a graph for one size has no conditions on it
        if each.reason is SpecializationReason.FIXED and each.location is not None:
            yield f"{each.source} == {each.value}", each.location
    for guard in captured.value_guards:
        yield guard.text, guard.location

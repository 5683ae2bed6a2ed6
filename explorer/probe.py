"""Sizes in, inputs of those sizes out; and at which sizes a fault would show."""

from __future__ import annotations

from collections.abc import Mapping

from explorer import example_inputs
from explorer.artifacts import Size
from explorer.compilation import Compilation
from explorer.example_inputs import Inputs
from explorer.guards.valid import runs, valid_sizes
from explorer.session import Session
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest

SMALL_SIZES = (1, 2, 3, 17, 64)
"""Sizes that are compared beside the edges of the ranges."""

MOST_TURNING_SIZES = 16
"""Compared because a condition turns there, at most; ``n % 8 == 0`` turns everywhere."""

LARGEST_COMPARED_SIZE = 8192
"""Larger sizes are left out of a comparison: eager attention needs gigabytes there."""


def inputs_at(subject: Session | CaptureRequest, sizes: Mapping[str, int]) -> Inputs:
    """Inputs of other sizes: from the user's ``make_inputs``, else the example repeated or sliced.

    Args:
        subject: a session, or what a capture was asked for; a session knows which dims the model
            made one size.
        sizes: size name -> wanted size; one that is left out is as in the example.

    Returns:
        Positional and keyword arguments; a tensor whose size does not change is the example's own.

    Raises:
        InputError: there is no size of that name, or ``make_inputs`` failed.
    """
    if isinstance(subject, Session):
        return example_inputs.at(subject.request, sizes, captured=subject.compilation.captured)
    return example_inputs.at(subject, sizes)


def sizes_to_compare(compilation: Compilation) -> list[dict[str, int]]:
    """Sizes at which a fault would show, ascending.

    They are both edges of every range, every exact size, both sides of each place where a condition
    on the dispatch size begins or ceases to hold, and some small ones. The other dynamic sizes stay
    as in the example, and then vary one by one.
    """
    compiled = compilation.compiled
    if compiled.dispatch is None:
        return [{}]
    wanted = {*SMALL_SIZES, *compiled.exact_sizes, *_turning_sizes(compilation)}
    for size_range in compiled.ranges:
        wanted |= {size_range.start, size_range.end}
    tables = [*compiled.ranges, *(SizeRange(size, size) for size in compiled.exact_sizes)]
    chosen = [
        {compiled.dispatch.name: size}
        for size in sorted(wanted)
        if size <= LARGEST_COMPARED_SIZE and any(size in each for each in tables)
    ]
    for size in compilation.captured.sizes:
        if size is not compiled.dispatch:
            chosen += [{size.name: value} for value in _other_values(size)]
    return chosen


def _turning_sizes(compilation: Compilation) -> list[int]:
    """Dispatch sizes beside which the captured graph stops or starts being right, ascending."""
    compiled = compilation.compiled
    assert compiled.dispatch is not None
    found = []
    for size_range in compiled.ranges:
        valid = valid_sizes(compilation.captured, compiled.dispatch, size_range)
        for run in runs(valid):
            found += [run.start - 1, run.start, run.end, run.end + 1]
    return sorted(size for size in set(found) if size > 0)[:MOST_TURNING_SIZES]


def _other_values(size: Size) -> list[int]:
    values = (1, 2, 3, size.hint + 1)
    high = LARGEST_COMPARED_SIZE if size.high is None else size.high
    return [value for value in dict.fromkeys(values) if value <= high]


__all__ = ["Inputs", "inputs_at", "sizes_to_compare"]

"""Sizes in, inputs of those sizes out; and at which sizes a fault would show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from explorer.artifacts import CapturedGraph, Size
from explorer.compilation import Compilation
from explorer.errors import InputError
from explorer.guards.valid import runs, valid_sizes
from explorer.session import Session
from explorer.size_range import SizeRange
from explorer.stages import inputs
from explorer.stages.capture import CaptureRequest, call_make_inputs, named_dims

SMALL_SIZES = (1, 2, 3, 17, 64)
"""Sizes that are compared beside the edges of the ranges."""

MOST_TURNING_SIZES = 16
"""Compared because a condition turns there, at most; ``n % 8 == 0`` turns everywhere."""

LARGEST_COMPARED_SIZE = 8192
"""Larger sizes are left out of a comparison: eager attention needs gigabytes there."""

Inputs: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


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
        request, captured = subject.request, subject.compilation.captured
    else:
        request, captured = subject, None
    leaves, dims = named_dims(request)
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    own_name = {(each.path, each.dim): str(each.name) for each in dims}
    name_of = own_name | _names_in(captured)
    _check_names(sizes, {*own_name.values(), *name_of.values()})
    wanted = {
        place: sizes.get(name, sizes.get(own_name[place], tensors[place[0]].shape[place[1]]))
        for place, name in name_of.items()
    }
    if request.make_inputs is not None:
        return call_make_inputs(
            request.make_inputs, {own_name[place]: size for place, size in wanted.items()}
        )
    changed = inputs.resized_tensors(leaves, wanted)
    return inputs.replace_tensors(request.args, request.kwargs, changed)


def _names_in(captured: CapturedGraph | None) -> dict[tuple[str, int], str]:
    """(path, dim) -> the name of its size, after the model made some dims one size."""
    if captured is None:
        return {}
    return {place: size.name for size in captured.sizes for place in size.sources}


def _check_names(sizes: Mapping[str, int], known: set[str]) -> None:
    for name in sizes:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InputError(f"There is no size named {name!r}; the sizes are {listed}.")


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

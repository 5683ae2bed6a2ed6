"""Calls that are recorded: which artifacts or graphs served, and how long each piece took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from explorer.artifacts import DispatchEntry, RunRecord
from explorer.artifacts.cuda_graphs import NO_GRAPH
from explorer.runtime.cuda_graph import NOT_GRAPHED
from explorer.runtime.stitch import PER_CALL

if TYPE_CHECKING:
    from explorer.runtime.runner import Runner

SizePlaces = tuple[tuple[str, int, int], ...]
"""Name of each size, with its tensor among the inputs of a call and the dim there."""


def recording_call(
    runner: Runner, row: DispatchEntry, binding: Any, record: RunRecord
) -> Callable[..., Any]:
    """What a row's function does, recorded.

    Args:
        runner: whose row it is.
        row: of the dispatch table.
        binding: the bound values.
        record: filled by each call.
    """
    function = runner.recorded_function_of(row, binding)
    used = tuple(row.artifacts[each] for each in runner.layout.pieces.values() if each)

    def fill(per_call: tuple[Any, ...], seconds: float, pieces: list[float], graph: Any) -> None:
        sizes = {name: per_call[at].shape[dim] for name, at, dim in runner.size_places}
        per_piece = tuple((b - a) * 1e6 for a, b in zip(pieces[::2], pieces[1::2], strict=True))
        record.fill(sizes, row.size_range, runner.variant, used, seconds * 1e6, per_piece, graph)

    def call(*per_call: Any) -> Any:
        graph = NO_GRAPH
        if runner.graphs is not None:
            started = time.perf_counter()
            result = runner.graphs.serve(row, binding, per_call)
            seconds = time.perf_counter() - started
            is_served = result is not NOT_GRAPHED
            graph = runner.graphs.served(binding, was_served=is_served)
            if is_served:
                fill(per_call, seconds, [], graph)
                return result
        times: list[float] = []
        started = time.perf_counter()
        result = function(times, *per_call)
        fill(per_call, time.perf_counter() - started, times, graph)
        return result

    return call


def places_of_sizes(runner: Runner) -> SizePlaces:
    """Where the sizes of a call are read; those of tensors that the graph does not take are not."""
    per_call = [each for each in runner.layout.inputs if each.kind in PER_CALL]
    paths = {each.path: number for number, each in enumerate(per_call)}
    found = []
    for size in runner.captured.sizes:
        known = ((paths[path], dim) for path, dim in size.sources if path in paths)
        number, dim = next(known, (-1, -1))
        if number >= 0:
            found.append((size.name, number, dim))
    return tuple(found)


__all__ = ["places_of_sizes", "recording_call"]

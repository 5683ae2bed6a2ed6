"""One call in, the rows of the dispatch table that could serve it out, each to be run by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from explorer.artifacts import DispatchEntry, Piece
from explorer.artifacts.measured import Execution
from explorer.report.wording import range_text
from explorer.runtime.runner import Runner


@dataclass(frozen=True, eq=False)
class RowCall:
    """A row that is right for a call; what it runs has no check of the call and no choice in it.

    Attributes:
        execution: whether it is the row of a range, of one exact size, or the CUDA graphs of
            the row that serves the call.
        row: it.
        runner: what runs it.
    """

    execution: Execution
    row: DispatchEntry
    runner: Runner

    @property
    def served_by(self) -> str:
        """Its dispatch sizes, in words."""
        return range_text(self.row.size_range)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces, in order of execution."""
        return self.runner.unique.pieces

    def whole(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result, through this row."""
        runner, run = self.runner, self.stitched(args, kwargs)
        first = () if runner.raw.receiver is None else (runner.raw.receiver,)
        return runner.raw.bind(lambda *values: run())(*first, *args, **kwargs)

    def stitched(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        """The stitching function with the inputs of a call in place."""
        runner = self.runner
        _, inputs, _ = runner.row_for_call(args, kwargs)
        if runner.graphs is None or self.execution is Execution.CUDA_GRAPH:
            function = runner.function_of(self.row, runner.binding)
        else:
            function = runner.bind(self.row, runner.binding, None)  # without the graphs
        return lambda: function(*inputs)

    def recorded(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], clock: Callable[[], float]
    ) -> Callable[[], list[float]]:
        """The same with the clock around each piece.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            clock: seconds.

        Returns:
            A function that runs the pieces and returns the seconds of each.
        """
        runner = self.runner
        _, inputs, _ = runner.row_for_call(args, kwargs)
        function = runner.recorded_function_of(self.row, runner.binding, clock)

        def run() -> list[float]:
            times: list[float] = []
            function(times, *inputs)
            return [after - before for before, after in zip(times[::2], times[1::2], strict=True)]

        return run


def rows_of_call(
    runner: Runner, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[RowCall, ...]:
    """The row of the size's range and the one of that very size, as far as they are there.

    At size 1 there is only the latter: torch treats that size apart.

    Args:
        runner: that served the call, so that it knows the model's parameters as they are.
        args: positional arguments.
        kwargs: keyword arguments.
    """
    row, _, sizes = runner.row_for_call(args, kwargs)
    if 1 in sizes.values():
        return (RowCall(Execution.EXACT, row, runner),)
    size = sizes[runner.dispatch.name] if runner.dispatch is not None else 0
    of_range = runner.range_row_of(size) if runner.dispatch is not None else row
    found = [] if of_range is None else [RowCall(Execution.RANGE, of_range, runner)]
    if row is not of_range:
        found.append(RowCall(Execution.EXACT, row, runner))
    return tuple(found)


def graphs_of_call(runner: Runner, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RowCall:
    """The CUDA graphs that serve a call.

    Args:
        runner: that served it with its graphs.
        args: positional arguments.
        kwargs: keyword arguments.
    """
    row, _, _ = runner.row_for_call(args, kwargs)
    return RowCall(Execution.CUDA_GRAPH, row, runner)


__all__ = ["RowCall", "graphs_of_call", "rows_of_call"]

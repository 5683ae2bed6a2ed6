"""A session and sizes in, Timings out: each way to run the model, beside eager.

Results are compared with eager before anything is timed; what differs, or is refused, is not timed
and says so. ``explorer/interleaving.py`` has the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from explorer.artifacts import Artifact
from explorer.artifacts.measured import (
    DIFFERS,
    CompileCost,
    Execution,
    PieceTiming,
    Timing,
    Timings,
)
from explorer.as_it_is import as_it_is
from explorer.comparison import said, served_by, sizes_text
from explorer.compilation import Compilation
from explorer.config import CompilationMode, CUDAGraphMode
from explorer.errors import ConfigError
from explorer.example_inputs import Inputs, copied
from explorer.interleaving import WALL_CLOCK, Call, Clock, interleaved
from explorer.model_state import ModelState
from explorer.probe import inputs_at
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.random_state import random_state_kept
from explorer.report import views
from explorer.report.wording import range_text
from explorer.results import Seen, judge, see
from explorer.runtime.row_calls import RowCall, graphs_of_call, rows_of_call
from explorer.runtime.uncompiled_model import UncompiledModel

if TYPE_CHECKING:
    from explorer.runtime.runner import Runner
    from explorer.session import Session

Point: TypeAlias = Mapping[str, int]

_WARM_UP_RUNS = 3


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to run the model.

    Attributes:
        execution: its name.
        call: the model's result for arguments.
        served_by: dispatch sizes of its artifacts, in words.
        row: the row that is run by itself; None where the whole call is timed.
    """

    execution: Execution
    call: Callable[..., Any]
    served_by: str = ""
    row: RowCall | None = None

    def timed(self, inputs: Inputs) -> Call:
        """What is timed."""
        args, kwargs = inputs
        if self.row is not None:
            return self.row.stitched(args, kwargs)
        call = self.call
        return (lambda: call(*args, **kwargs)) if kwargs else (lambda: call(*args))


@dataclass(frozen=True)
class MeasureOptions:
    """How to measure.

    Attributes:
        stock: whether to compile the whole model with ``torch.compile`` as well.
        rounds: runs of each execution, at most.
        pieces: whether to time the pieces one by one.
        clock: seconds.
        progress: told how far it is.
        cancel: looked at between rounds.
    """

    stock: bool = False
    rounds: int = 40
    pieces: bool = True
    clock: Clock = WALL_CLOCK
    progress: ProgressCallback | None = None
    cancel: CancelToken | None = None


def measure(
    session: Session, sizes: Sequence[int | Point] | None, options: MeasureOptions
) -> Timings:
    """Times the latest compilation at some sizes, in each way that it can be run.

    Args:
        session: with the model; it compiles now when there is no compilation yet.
        sizes: each a dispatch size or size name -> value; None takes the exact sizes and the one of
            the example.
        options: how.

    Raises:
        ConfigError: a size that is none, or that does not exist.
        Cancelled: somebody asked to stop.
    """
    if not session.history:
        session.update(progress=options.progress, cancel=options.cancel)
    compilation = session.compilation
    points = _points(compilation, sizes)
    measuring = _Measuring(session, compilation, options, len(points))
    with torch.no_grad():
        for point in points:
            measuring.at(point)
    return measuring.timings()


def _points(compilation: Compilation, sizes: Sequence[int | Point] | None) -> list[dict[str, int]]:
    dispatch = compilation.compiled.dispatch
    if sizes is None:
        if dispatch is None:
            return [{}]
        sizes = sorted({*compilation.compiled.exact_sizes, dispatch.hint})
    if isinstance(sizes, int | Mapping | str):
        raise ConfigError(f"sizes must be a list, as [{sizes!r}], not {type(sizes).__name__}.")
    known = [size.name for size in compilation.captured.sizes]
    points = [_point(each, dispatch.name if dispatch else None, known) for each in sizes]
    if not points:
        raise ConfigError("sizes is empty, so there is nothing to measure: name one, as [16].")
    return [dict(pairs) for pairs in dict.fromkeys(tuple(point.items()) for point in points)]


def _point(size: int | Point, dispatch: str | None, known: Sequence[str]) -> dict[str, int]:
    if not isinstance(size, Mapping):
        if dispatch is None:
            raise ConfigError(
                f"Nothing is dynamic, so there is no size {size!r} to measure: leave sizes out."
            )
        size = {dispatch: size}
    for name, value in size.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(f"There is no size named {name!r}; the sizes are {listed}.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} = {value!r} is no size: it must be an int of at least 1.")
    return dict(size)


class _Measuring:
    """One measurement: what was found so far."""

    def __init__(
        self, session: Session, compilation: Compilation, options: MeasureOptions, points: int
    ) -> None:
        self.session = session
        self.compilation = compilation
        self.options = options
        self.compiled = session.model()
        self.model = as_it_is(compilation.captured.model)
        self.total = 3 * points
        self.done = 0
        self.found: list[Timing] = []
        self.pieces: list[PieceTiming] = []
        self.costs_at: dict[tuple[str, Execution], float | None] = {}
        self.notes: list[str] = []
        self.stock = self._stock() if options.stock else None

    def _stock(self) -> UncompiledModel:
        config = self.compilation.config
        if not isinstance(config.backend, str):
            self.notes.append(
                f"torch.compile cannot call the backend {config.backend.name!r}; its row is made "
                "with Inductor"
            )
            config = config.replace(backend="inductor")
        mode = CompilationMode.STOCK_TORCH_COMPILE
        return UncompiledModel(self.session.request, config.replace(mode=mode))

    def _tell(self, what: str) -> None:
        if self.options.cancel is not None:
            self.options.cancel.raise_if_cancelled()
        if self.options.progress is not None:
            self.options.progress(Progress(self.done, self.total, what))
        self.done += 1

    # -------------------------------------------------------------------------------- one size

    def at(self, point: dict[str, int]) -> None:
        """Compares, times, and times the pieces at one size."""
        named = sizes_text(point)
        self._tell(f"{named}: comparing with eager")
        state = ModelState(self.compilation.captured.model)
        try:
            with random_state_kept():
                self._measure(point, named, state)
        finally:
            state.restore()

    def _measure(self, point: Point, named: str, state: ModelState) -> None:
        ways = self._equal_ways(point, state)
        self._tell(f"{named}: timing {len(ways)} executions")
        if ways:
            self._time(point, ways)
        self._tell(f"{named}: timing the pieces")
        if self.options.pieces:
            rows = [
                (way.row, inputs)
                for way, inputs in ways
                if way.row is not None and way.execution is not Execution.CUDA_GRAPH
            ]  # the pieces of a graph run without a stop between them
            self._time_pieces(point, rows)

    def _equal_ways(self, point: Point, state: ModelState) -> list[tuple[_Way, Inputs]]:
        """The ways that give what eager gives, each with inputs of its own."""
        try:
            inputs = inputs_at(self.session, point)
            expected = see(self.model, *copied(*inputs), state)
        except Exception as error:  # whatever the user's model raises
            self.found.append(Timing(point, Execution.EAGER, problem=said(error)))
            return []
        finally:
            state.restore()
        equal = [(_Way(Execution.EAGER, self.model), copied(*inputs))]
        for way in self._ways(point, inputs, state):
            problem = self._problem(way, expected, copied(*inputs), state)
            if problem:
                self.found.append(Timing(point, way.execution, way.served_by, problem=problem))
            else:
                equal.append((way, copied(*inputs)))
        return equal

    def _problem(self, way: _Way, expected: Seen, inputs: Inputs, state: ModelState) -> str:
        """Why a way must not be timed; empty when it gives what eager gives."""
        try:
            found = judge(expected, see(way.call, *inputs, state))
        except Exception as error:  # eager had a result
            return said(error)
        finally:
            state.restore()
        return f"{DIFFERS}: {found.problem}" if found.problem else ""

    def _ways(self, point: Point, inputs: Inputs, state: ModelState) -> Iterator[_Way]:
        """Every way but eager; a new one is yielded here."""
        if self.stock is not None:
            yield _Way(Execution.STOCK, self.stock)
        with self.compiled.record() as record:
            is_served = self._run_once(inputs, state)
        yield _Way(Execution.CALL, self.compiled, served_by(record) if is_served else "")
        if not is_served or record.variant is None:
            return  # refused, or run by the model as it is: there is no row
        runner = self.compiled.runners()[record.variant]
        if runner.graphs is not None:
            yield from self._graphs(runner, inputs, state)
        rows = rows_of_call(runner, *inputs)
        for row in rows:
            yield _Way(row.execution, row.whole, row.served_by, row)
        self._note_costs(point, rows)

    def _graphs(self, runner: Runner, inputs: Inputs, state: ModelState) -> Iterator[_Way]:
        """The graphs that serve a call, if any do; the first call of a size only tries them."""
        with self.compiled.record() as record:
            if not self._run_once(inputs, state):
                return
        served = record.cuda_graph
        if served.mode is CUDAGraphMode.NONE:
            if served.note:
                self.notes.append(f"no CUDA graph at {sizes_text(record.sizes)}: {served.note}")
            return
        row = graphs_of_call(runner, *inputs)
        padded = "" if served.padded_to is None else f", padded to {served.padded_to}"
        yield _Way(row.execution, row.whole, f"{served.mode.name}{padded}", row)

    def _run_once(self, inputs: Inputs, state: ModelState) -> bool:
        args, kwargs = copied(*inputs)
        try:
            self.compiled(*args, **kwargs)
        except Exception:  # it is raised again, and told, where the result is compared
            return False
        finally:
            state.restore()
        return True

    def _note_costs(self, point: Point, rows: Sequence[RowCall]) -> None:
        """What the artifacts of each row took to compile that another row does not need."""
        of_range = [each.row for each in rows if each.execution is Execution.RANGE]
        shared = {id(artifact) for row in of_range for artifact in row.artifacts.values()}
        for each in rows:
            own = list(each.row.artifacts.values())
            if each.execution is Execution.EXACT:
                own = [artifact for artifact in own if id(artifact) not in shared]
            self.costs_at[sizes_text(point), each.execution] = _seconds_of(own)

    # ---------------------------------------------------------------------------------- timing

    def _time(self, point: Point, ways: list[tuple[_Way, Inputs]]) -> None:
        calls = {way.execution.value: way.timed(inputs) for way, inputs in ways}
        options = self.options
        times = interleaved(
            calls, rounds=options.rounds, clock=options.clock, cancel=options.cancel
        )
        for way, _ in ways:
            measured = times[way.execution.value]
            microseconds = tuple(seconds * 1e6 for seconds in measured.times)
            self.found.append(
                Timing(
                    point,
                    way.execution,
                    way.served_by,
                    microseconds,
                    measured.number_per_run,
                )
            )

    def _time_pieces(self, point: Point, rows: list[tuple[RowCall, Inputs]]) -> None:
        """Each piece by itself, the rows taking turns."""
        options = self.options
        timed = [(row, row.recorded(*inputs, options.clock)) for row, inputs in rows]
        runs: list[list[list[float]]] = [[] for _ in timed]
        for number in range(options.rounds + _WARM_UP_RUNS):
            if options.cancel is not None:
                options.cancel.raise_if_cancelled()
            order = range(len(timed)) if number % 2 else reversed(range(len(timed)))
            for position in order:
                seconds = timed[position][1]()
                if number >= _WARM_UP_RUNS:
                    runs[position].append(seconds)
        for (row, _), own in zip(timed, runs, strict=True):
            self.pieces += [
                PieceTiming(
                    sizes=point,
                    served_by=row.served_by,
                    index=piece.index,
                    kind=piece.kind,
                    unique_id=piece.unique_id,
                    splits_at=", ".join(piece.splitting_names),
                    microseconds=tuple(run[position] * 1e6 for run in own),
                )
                for position, piece in enumerate(row.pieces)
            ]

    # ---------------------------------------------------------------------------------- result

    def timings(self) -> Timings:
        """Everything that was found."""
        compilation = self.compilation
        order = list(Execution)
        places = {sizes_text(each.sizes): at for at, each in reversed([*enumerate(self.found)])}
        self.found.sort(key=lambda e: (places[sizes_text(e.sizes)], order.index(e.execution)))
        if self.options.progress is not None:
            self.options.progress(Progress(self.total, self.total, "measured"))
        dispatch = compilation.compiled.dispatch
        return Timings(
            name=compilation.name,
            timings=tuple(self.found),
            pieces=tuple(self.pieces),
            compile_costs=tuple(_cost(artifact) for artifact in compilation.artifacts),
            costs_at=self.costs_at,
            dispatch="" if dispatch is None else dispatch.name,
            threads=torch.get_num_threads(),
            devices=views.devices(compilation),
            notes=tuple(self.notes),
        )


def _cost(artifact: Artifact) -> CompileCost:
    return CompileCost(
        artifact.unique_id,
        range_text(artifact.size_range),
        artifact.compile_seconds,
        artifact.origin.value + (" (torch's cache)" if artifact.from_torch_cache else ""),
    )


def _seconds_of(artifacts: Sequence[Artifact]) -> float | None:
    """What compiling them took in all; None when that of one is not known."""
    known = [each.compile_seconds for each in artifacts]
    return None if None in known else sum(each for each in known if each is not None)


__all__ = ["MeasureOptions", "measure"]

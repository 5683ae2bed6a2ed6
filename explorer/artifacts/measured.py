"""Timings: how long a model takes at some sizes, in each way that it can be run, and its pieces."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from explorer.artifacts.pieces import PieceKind

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

DIFFERS = "differs from eager"
"""What ``Timing.problem`` begins with where a result was wrong."""

FigureName: TypeAlias = Literal["latency", "pieces", "compile"]


class Execution(Enum):
    """One way to run a model."""

    EAGER = "eager"
    """The model as it is."""
    STOCK = "torch.compile"
    """The whole model through ``torch.compile``, with the same dims marked dynamic."""
    CALL = "CompiledModel call"
    """A call as a user makes it: conditions checked, a row picked, the output rebuilt."""
    RANGE = "range artifacts"
    """The stitching function of the range that holds the size, alone."""
    EXACT = "exact-size artifacts"
    """The stitching function of that very size, alone."""
    CUDA_GRAPH = "CUDA graphs"
    """The graphs that serve the call, with the copies that they need."""


@dataclass(frozen=True)
class Timing:
    """One way to run the model, at one size.

    Attributes:
        sizes: size name -> value.
        execution: the way.
        served_by: dispatch sizes of the artifacts, in words; empty where none is used.
        microseconds: wall time of a call, one mean per run; empty when it was not timed. Runs with
            one number were of one round, for all executions at one size.
        calls_per_run: how many calls a run is the mean of.
        problem: why it was not timed, in words; empty when it was.
    """

    sizes: Mapping[str, int]
    execution: Execution
    served_by: str = ""
    microseconds: tuple[float, ...] = ()
    calls_per_run: int = 0
    problem: str = ""

    @property
    def is_timed(self) -> bool:
        """Whether there are runs."""
        return bool(self.microseconds)

    @property
    def median(self) -> float:
        """Of the runs, in microseconds."""
        return statistics.median(self.microseconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Microseconds below which a quarter, and three quarters, of the runs lie."""
        return quartiles(self.microseconds)

    @property
    def spread(self) -> float:
        """Distance between the quartiles, in microseconds."""
        low, high = self.quartiles
        return high - low


def quartiles(values: tuple[float, ...]) -> tuple[float, float]:
    """The first and the third quartile; of one value, that value twice."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


@dataclass(frozen=True)
class PieceTiming:
    """One piece at one size, in the order of execution.

    Attributes:
        sizes: size name -> value.
        served_by: dispatch sizes of its row, in words.
        index: of the piece.
        kind: compiled or splitting.
        unique_id: its group; None for a splitting piece.
        splits_at: names of the ops or modules that a splitting piece is.
        microseconds: wall time, one value per run.
    """

    sizes: Mapping[str, int]
    served_by: str
    index: int
    kind: PieceKind
    unique_id: str | None
    splits_at: str
    microseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the runs, in microseconds."""
        return statistics.median(self.microseconds)

    @property
    def spread(self) -> float:
        """Distance between the quartiles, in microseconds."""
        low, high = quartiles(self.microseconds)
        return high - low


@dataclass(frozen=True)
class CompileCost:
    """What one artifact took to compile.

    Attributes:
        unique_id: the group that it serves.
        served_by: its dispatch sizes, in words.
        seconds: wall time when it was compiled, whichever process did; None when not known.
        origin: where it came from this time.
    """

    unique_id: str
    served_by: str
    seconds: float | None
    origin: str


@dataclass(frozen=True)
class BreakEven:
    """After how many calls compiling something has paid for itself.

    Attributes:
        sizes: size name -> value.
        what: the execution that was compiled for.
        instead_of: the execution that would run otherwise.
        seconds: what compiling it took; None when not known.
        saved_microseconds: median of what a call saves; negative when it is slower.
        interval: in which that median lies with at least 95 % confidence.
        calls: after how many it has paid; None when never, or when it cannot be told.
        text: the same in a sentence.
    """

    sizes: Mapping[str, int]
    what: Execution
    instead_of: Execution
    seconds: float | None
    saved_microseconds: float
    interval: tuple[float, float]
    calls: int | None
    text: str


@dataclass(frozen=True)
class Timings:
    """How long a model takes, and what compiling it took.

    Attributes:
        name: of the model.
        timings: one per size and execution, the sizes as asked.
        pieces: one per size, row and piece.
        compile_costs: one per artifact.
        costs_at: sizes in words -> seconds of the artifacts that serve that size alone; None when
            not known.
        dispatch: name of the size that picks a range; empty when nothing is dynamic.
        threads: of torch, while it was measured.
        devices: where weights and inputs live.
        notes: what a reader should know, one sentence each.
    """

    name: str
    timings: tuple[Timing, ...]
    pieces: tuple[PieceTiming, ...]
    compile_costs: tuple[CompileCost, ...]
    costs_at: Mapping[tuple[str, Execution], float | None]
    dispatch: str
    threads: int
    devices: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def of(self, execution: Execution, **sizes: int) -> Timing | None:
        """The timing of one execution at some sizes; None when there is none.

        Args:
            execution: the way to run.
            sizes: by name; the first timing of that execution where none is given.
        """
        for each in self.timings:
            if each.execution is execution and all(
                each.sizes.get(k) == v for k, v in sizes.items()
            ):
                return each
        return None

    def frame(self) -> pandas.DataFrame:
        """One row per size and execution, times in microseconds of wall time."""
        from explorer.report import timings_view, views

        return views.frame(timings_view.timing_rows(self))

    def pieces_frame(self) -> pandas.DataFrame:
        """One row per size, row of the dispatch table and piece, in microseconds of wall time."""
        from explorer.report import timings_view, views

        return views.frame(timings_view.piece_rows(self))

    def break_even(self) -> pandas.DataFrame:
        """One row per size and thing that was compiled for it; ``text`` says it in a sentence."""
        from explorer.report import timings_view, views

        return views.frame(timings_view.break_even_rows(self))

    def figure(self, what: FigureName = "latency") -> Figure:
        """One picture, drawn without a display.

        Args:
            what: ``latency`` over the sizes, ``pieces`` at each size, or ``compile`` seconds.

        Raises:
            ConfigError: there is no such picture.
        """
        from explorer.report import timings_figure

        return timings_figure.figure(self, what)

    def figures(self) -> dict[str, Figure]:
        """Every picture, by name."""
        from explorer.report import timings_figure

        return {what: self.figure(what) for what in timings_figure.NAMES}

    def report(self) -> str:
        """All of it in words and tables: what the pictures show, as text."""
        from explorer.report import timings_text

        return timings_text.report(self)

    def _repr_html_(self) -> str:
        from explorer.report import timings_text

        return timings_text.fragment(self)

    def __repr__(self) -> str:
        from explorer.report.wording import label_of

        timed = sum(each.is_timed for each in self.timings)
        return (
            f"<Timings of {label_of(self.name, 80)}: {timed} timed, "
            f"{len(self.timings) - timed} not>"
        )

"""Coverage: which captured graph serves which part of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.artifacts.audited import Intervals


@dataclass(frozen=True)
class CoveredRegion:
    """The part of a domain that one variant serves.

    Attributes:
        variant: position of the variant.
        example: sizes and values that it was captured for.
        intervals: its sizes; empty when there are several dimensions.
        points: how many points of the domain; of a sample, how many of those looked at.
        same_graph_as: position of a variant that is the same program, or None.
    """

    variant: int
    example: Mapping[str, int]
    intervals: Intervals
    points: int
    same_graph_as: int | None


@dataclass(frozen=True)
class UncoveredPoint:
    """A point that no captured graph serves although eager works there.

    Attributes:
        sizes: where.
        reason: why it could not be captured.
    """

    sizes: Mapping[str, int]
    reason: str


@dataclass(frozen=True)
class Coverage:
    """What ``CompiledModel.cover`` came to.

    Attributes:
        dimensions: names of what varies.
        domain: name -> (first, last), both included.
        coverage: which points were looked at, in words.
        captures: how many captures it took, those at size 1 included.
        graphs: how many different graphs there are now.
        regions: what each variant serves.
        eager_fails: sizes at which eager has no result either, presumed ones included; empty when
            there are several dimensions.
        failing_points: how many points that is.
        uncovered: points that could not be captured.
        seconds: wall seconds.
    """

    dimensions: tuple[str, ...]
    domain: Mapping[str, tuple[int, int]]
    coverage: str
    captures: int
    graphs: int
    regions: tuple[CoveredRegion, ...]
    eager_fails: Intervals
    failing_points: int
    uncovered: tuple[UncoveredPoint, ...]
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether every point that was looked at is served, but for those where eager fails."""
        return not self.uncovered

    def summary(self) -> str:
        """One line."""
        missing = f", {len(self.uncovered)} not covered" if self.uncovered else ""
        fails = f", eager fails at {self.failing_points:,}" if self.failing_points else ""
        verb = "covers" if self.graphs == 1 else "cover"
        return (
            f"{_counted(self.graphs, 'graph')} {verb} {self.coverage}{fails}{missing}; "
            f"{_counted(self.captures, 'capture')}, {self.seconds:.1f} s"
        )

    def report(self) -> str:
        """The same, and what each graph serves, a line each."""
        from explorer.report import guard_html

        return guard_html.coverage_text(self)

    def _repr_html_(self) -> str:
        from explorer.report import guard_html

        return guard_html.coverage_html(self)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

"""GuardAudit: for which sizes a captured graph is right, and what happens at the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from explorer.artifacts.common import SourceLocation
from explorer.artifacts.guards import BranchSite, GuardRecord, Specialization

if TYPE_CHECKING:
    from explorer.artifacts.diagnosed import Diagnosis

Intervals: TypeAlias = tuple[tuple[int, int], ...]
"""Ascending sizes as (first, last) pairs, both included."""


class AuditStatus(Enum):
    """How far an audit can be relied on."""

    EXACT = "exact"
    """Every point of the domain was decided."""
    SAMPLED = "sampled"
    """Some points of the domain were decided; ``GuardAudit.coverage`` says how many."""
    UNKNOWN = "unknown"
    """Some condition could not be evaluated, so no size is called valid."""


class PointState(Enum):
    """What an audit found at one point of the domain."""

    VALID = "valid"
    """Every condition holds."""
    VALID_BY_PROBE = "valid by probe"
    """Some size is 1, and a capture at 1 gives the same graph."""
    RUNS_EAGERLY = "runs eagerly"
    """Some size is 0: the model itself serves the call."""
    WRONG = "wrong"
    """Some condition does not hold, and eager works or was not tried."""
    EAGER_FAILS = "eager fails"
    """Some condition does not hold, and eager has no result either."""
    NOT_KNOWN = "not known"
    """A condition could not be evaluated, or size 1 could not be settled."""


class EagerOutcome(Enum):
    """What the model itself did."""

    WORKS = "works"
    FAILS = "fails"
    MIXED = "works at some"
    NOT_KNOWN = "not known"


@dataclass(frozen=True)
class EagerProbe:
    """One eager run.

    Attributes:
        sizes: name -> value.
        outcome: WORKS, FAILS or NOT_KNOWN.
        problem: what it raised, or why it is not known; empty when it works.
    """

    sizes: Mapping[str, int]
    outcome: EagerOutcome
    problem: str = ""


@dataclass(frozen=True)
class SignatureGroup:
    """The points at which the same conditions do not hold.

    Attributes:
        signature: indices in ``GuardAudit.guards``, ascending.
        intervals: its sizes; empty when there are several dimensions.
        points: how many points of the domain it has; of a sample, how many of those looked at.
        probes: the eager runs.
        eager: what they came to.
        is_presumed: whether the group has points that were not run: they are taken to behave as
            the probes did, those of a mixed group to work.
        fails: the sizes at which eager fails, presumed ones included; empty when there are several
            dimensions.
        failing_points: how many points that is.
    """

    signature: tuple[int, ...]
    intervals: Intervals
    points: int
    probes: tuple[EagerProbe, ...]
    eager: EagerOutcome
    is_presumed: bool
    fails: Intervals = ()
    failing_points: int = 0


@dataclass(frozen=True)
class Violation:
    """A condition that does not hold at some sizes, where eager works or was not tried.

    Attributes:
        index: of the condition in ``GuardAudit.guards``.
        guard: the condition.
        site: the line that made it, where known.
        dimension: whose sizes ``intervals`` are; None when the condition reads several.
        intervals: the sizes that it rejects; empty when it reads several dimensions.
        points: how many points of the domain that is; of a sample, how many of those looked at.
        example: one of them.
        text: more in words, such as how the graph at size 1 differs.
    """

    index: int
    guard: GuardRecord
    site: SourceLocation | None
    dimension: str | None
    intervals: Intervals
    points: int
    example: Mapping[str, int]
    text: str = ""


@dataclass(frozen=True)
class SettledSize:
    """What a capture at size 1 came to.

    Attributes:
        names: the sizes that are 1.
        others: the other sizes in that capture.
        difference: what differs from the general graph, in words; None when nothing does.
    """

    names: tuple[str, ...]
    others: Mapping[str, int]
    difference: str | None


@dataclass(frozen=True)
class ReplayCheck:
    """A second audit: at which points every question of the trace has the answer that it had.

    It is conservative: another path through an operator need not be another graph. So it never
    makes a valid size invalid; it is shown beside the conditions.

    Attributes:
        questions: how many were asked.
        skipped: how many of them could not be evaluated; each weakens the check.
        stricter_points: valid points at which some question has another answer.
        stricter: their sizes; empty when there are several dimensions.
        laxer_points: points that a condition on sizes rejects although every answer is the same.
        laxer: their sizes; empty when there are several dimensions.
    """

    questions: int
    skipped: int
    stricter_points: int
    stricter: Intervals
    laxer_points: int
    laxer: Intervals

    @property
    def agrees(self) -> bool:
        """Whether both audits draw the same line, sizes 0 and 1 apart."""
        return not self.stricter_points and not self.laxer_points


@dataclass(frozen=True, eq=False, repr=False)
class Region:
    """The points that an audit looked at, and what it found there.

    Attributes:
        axes: dimension -> int64 sizes. In a grid they are ascending and the points are all
            combinations; else all have one entry per point.
        is_grid: whether the points are the combinations of the axes.
        mask: where every condition holds, by guards alone; one axis of the array per dimension in
            a grid, else one entry per point.
        states: per point the position of its state in ``tuple(PointState)``, of the same shape.
    """

    axes: Mapping[str, np.ndarray]
    is_grid: bool
    mask: np.ndarray
    states: np.ndarray

    def where(self, state: PointState) -> np.ndarray:
        """The mask of the points with a state."""
        return self.states == list(PointState).index(state)


class Judge(Protocol):
    """Decides points that are asked for one by one."""

    def is_valid(self, sizes: Mapping[str, int]) -> bool:
        """Whether a call of these sizes gets eager's result."""
        ...

    def intervals(self, dimension: str, fixing: Mapping[str, int]) -> Intervals:
        """The valid sizes of one dimension, by guards alone, at given values of the others."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class GuardAudit:
    """For which sizes a captured graph is right, and what happens at the others.

    Attributes:
        dimensions: names of what varies: dynamic sizes, and int arguments of the call.
        domain: name -> (first, last) value, both included.
        status: how far the answer can be relied on.
        coverage: which points were decided, in words.
        guards: the conditions: those of the capture first, with the same indices.
        valid: the sizes at which every condition holds, by guards alone; None when there are
            several dimensions: see ``region`` and ``intervals``.
        valid_by_probe: sizes settled by a probe: ``(1,)`` when a capture at size 1 gives the same
            graph; with several dimensions, when it does somewhere: see ``settled`` and ``region``.
        settled: what each capture at size 1 came to; with several dimensions there may be several.
        violations: per condition the sizes that it rejects and at which eager works, in the order
            of ``guards``.
        eager_fails: sizes at which eager has no result either; empty when there are several
            dimensions, see ``groups``.
        not_known: sizes that no known condition rejects but that are not known to be valid; empty
            when there are several dimensions.
        groups: the sizes that are not covered, by the conditions that they violate.
        branch_sites: tests in the user's source that depend on sizes.
        specializations: inputs that became constants, or tied to one another.
        unknown: why not every condition is known, one sentence each.
        notes: what a user should know, one sentence each.
        replay: the second audit; None without recorded questions.
        region: the points that were looked at.
        judge: decides other points.
    """

    dimensions: tuple[str, ...]
    domain: Mapping[str, tuple[int, int]]
    status: AuditStatus
    coverage: str
    guards: tuple[GuardRecord, ...]
    valid: Intervals | None
    valid_by_probe: tuple[int, ...]
    settled: tuple[SettledSize, ...]
    violations: tuple[Violation, ...]
    eager_fails: Intervals
    not_known: Intervals
    groups: tuple[SignatureGroup, ...]
    branch_sites: tuple[BranchSite, ...]
    specializations: tuple[Specialization, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    replay: ReplayCheck | None
    region: Region
    judge: Judge = field(compare=False)

    @property
    def replay_agrees(self) -> bool | None:
        """Whether the second audit draws the same line; None when there is nothing to replay."""
        return None if self.replay is None else self.replay.agrees

    def is_valid(self, **sizes: int) -> bool:
        """Whether a call of these sizes gets eager's result.

        It is exact at every point, in the domain or not, whatever ``status`` says. Size 0 is
        served by the model itself, so it is valid; a size 1 that was not settled yet is settled
        now, which takes a capture. A dispatch size above ``max_size`` is not valid where
        ``out_of_range`` refuses it; ``valid`` and ``intervals`` look at conditions alone. Where a
        capture at size 1 makes another dim a constant, it may say no for a call that is served.

        Args:
            sizes: a value for every dynamic size; an int argument that is left out is as in the
                example.

        Raises:
            ConfigError: a name that is missing or not there, or a value that is no size.
        """
        return self.judge.is_valid(sizes)

    def intervals(self, dimension: str, fixing: Mapping[str, int] | None = None) -> Intervals:
        """The sizes of one dimension at which every condition holds, by guards alone.

        It is exact, whatever ``status`` says of the whole domain.

        Args:
            dimension: one of ``dimensions``.
            fixing: values of the others; those of the example where it is left out.

        Raises:
            ConfigError: a name that is not there, or a value that is no size.
        """
        return self.judge.intervals(dimension, dict(fixing or {}))

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """With it, what the graph returns where it is not right; it is run for that, once."""
        from explorer.guards.diagnosis import diagnosis_of

        judge: Any = self.judge
        return diagnosis_of(self, judge.captured, judge.config)

    def report(self) -> str:
        """The audit in words."""
        return self.diagnosis.report()

    def _repr_html_(self) -> str:
        return self.diagnosis._repr_html_()

    def __repr__(self) -> str:
        names = ", ".join(self.dimensions) or "no dimension"
        return (
            f"<GuardAudit over {names}: {self.status.value}, {len(self.violations)} conditions "
            "that do not hold everywhere>"
        )

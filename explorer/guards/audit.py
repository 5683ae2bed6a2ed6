"""A captured graph in, a GuardAudit out: where it is right, and what happens at the other sizes.

1. every condition is evaluated at the points of the domain;
2. size 1, which torch leaves out without looking, is captured and compared;
3. the points left over are grouped by the conditions that they violate, and the model itself is run
   at a few points of each group: where eager has no result either, nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from explorer.artifacts import NormalisedGraph
from explorer.artifacts.audited import (
    AuditStatus,
    GuardAudit,
    Intervals,
    PointState,
    Region,
    ReplayCheck,
    SettledSize,
    SignatureGroup,
    Violation,
)
from explorer.config import CompilationConfig
from explorer.guards.conditions import Conditions
from explorer.guards.domain import resolve_domain
from explorer.guards.findings import Findings
from explorer.guards.judge import PointJudge, pairs
from explorer.guards.regions import choose_points
from explorer.guards.replay import replay_mask
from explorer.size_range import SizeRange


def audit(
    normalised: NormalisedGraph,
    config: CompilationConfig,
    domain: SizeRange | Mapping[str, SizeRange] | None = None,
) -> GuardAudit:
    """For which sizes of a domain a captured graph is right, and what happens at the others.

    Args:
        normalised: the graph, with its capture.
        config: read for the default domain, and to capture at size 1.
        domain: a range for the one dynamic size, or name -> range; 1..min(max_size, 65536) for a
            size that is left out.

    Raises:
        ConfigError: a name that is not there, or a value that is no range.
    """
    conditions = Conditions.of(normalised.captured)
    ranges = resolve_domain(conditions.dimensions, config, domain)
    points = choose_points(conditions, ranges)
    judge = PointJudge(normalised, config, points.all_sizes)
    found = Findings(judge, points, conditions.truth(points.broadcast, points.shape))
    found.settle_ones()
    groups = found.examine_groups()
    return _result(found, {each.name: (r.start, r.end) for each, r in ranges.items()}, groups)


def _result(
    found: Findings, domain: Mapping[str, tuple[int, int]], groups: tuple[SignatureGroup, ...]
) -> GuardAudit:
    points, captured = found.points, found.judge.captured
    status = AuditStatus.EXACT if points.is_exact else AuditStatus.SAMPLED
    settled = tuple(
        SettledSize(each.names, dict(each.others), each.found.difference)
        for each in found.judge.settlements
    )
    by_probe = found.where(PointState.VALID_BY_PROBE)
    return GuardAudit(
        dimensions=tuple(points.axes),
        domain=domain,
        status=AuditStatus.UNKNOWN if found.unknown else status,
        coverage=points.coverage,
        guards=tuple(found.guards),
        valid=found.intervals_of(found.valid) if len(points.axes) == 1 else None,
        valid_by_probe=(1,) if by_probe.any() else (),
        settled=settled,
        violations=_violations(found),
        eager_fails=found.intervals_of(found.where(PointState.EAGER_FAILS)),
        not_known=found.intervals_of(found.where(PointState.NOT_KNOWN)),
        groups=groups,
        branch_sites=captured.branch_sites,
        specializations=captured.specializations,
        unknown=found.unknown,
        notes=tuple(found.notes),
        replay=_replay(found),
        region=Region(
            axes=points.axes,
            is_grid=points.is_grid,
            mask=found.valid.reshape(points.shape),
            states=found.states.reshape(points.shape),
        ),
        judge=found.judge,
    )


def _violations(found: Findings) -> tuple[Violation, ...]:
    """Per condition what it rejects where eager works."""
    rows = found.violated & found.where(PointState.WRONG)
    return tuple(
        _violation(found, int(index), np.flatnonzero(rows[index]))
        for index in np.flatnonzero(rows.any(axis=1))
    )


def _violation(found: Findings, index: int, positions: np.ndarray) -> Violation:
    guard, read = found.guards[index], found.read_by(index)
    dimension = read[0] if len(read) == 1 else None
    return Violation(
        index=index,
        guard=guard,
        site=guard.location,
        dimension=dimension,
        intervals=() if dimension is None else _rejected(found, index, dimension, positions),
        points=found.points.weight(positions),
        example=found.points.at(int(positions[0])),
        text=found.differences.get(index, ""),
    )


def _rejected(found: Findings, index: int, dimension: str, positions: np.ndarray) -> Intervals:
    """The sizes of one dimension that a condition on it rejects and at which eager works."""
    if found.points.is_exact or index >= len(found.judge.conditions.guards):
        return pairs(found.points.sizes_in(dimension, positions))
    axis = found.points.all_sizes[dimension]
    holds = found.judge.conditions.truth({dimension: axis}, axis.shape).holds[index]
    return pairs(axis[~holds])


def _replay(found: Findings) -> ReplayCheck | None:
    """The second audit, over sizes of at least 2."""
    if not found.judge.captured.evaluations:
        return None
    points = found.points
    values = {
        symbol: points.broadcast.get(each.name, np.int64(each.hint))
        for each in found.judge.conditions.dimensions
        for symbol in each.symbols
    }
    evaluations = found.judge.captured.evaluations
    same, questions, skipped = replay_mask(evaluations, values, points.shape)
    shape_conditions = found.violated[: len(found.judge.captured.guards)]
    stricter = found.valid & ~same
    laxer = shape_conditions.any(axis=0) & same & ~found.zero & ~found.one
    return ReplayCheck(
        questions=questions,
        skipped=skipped,
        stricter_points=points.weight(np.flatnonzero(stricter)),
        stricter=found.intervals_of(stricter),
        laxer_points=points.weight(np.flatnonzero(laxer)),
        laxer=found.intervals_of(laxer),
    )

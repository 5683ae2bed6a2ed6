"""A captured graph in, a Diagnosis out: what is wrong where, what it returns there, what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.artifacts import (
    CapturedGraph,
    NormalisedGraph,
    Specialization,
    SpecializationReason,
)
from explorer.artifacts.audited import (
    GuardAudit,
    PointState,
)
from explorer.artifacts.diagnosed import (
    Answer,
    AnswerKind,
    Diagnosis,
    Finding,
    FindingKind,
    FixTrial,
)
from explorer.config import CompilationConfig
from explorer.guards.allowed import matching, names_of_input
from explorer.guards.answers import LARGEST_ANSWERED_SIZE, answer_of_graph
from explorer.guards.audit import audit as audit_graph
from explorer.guards.cond_traps import cond_graph_traps
from explorer.guards.diagnosis_findings import findings_of, names_of_finding, working_points
from explorer.guards.eager import quiet_run
from explorer.guards.op_traps import fake_guard_traps
from explorer.guards.predicate_traps import cond_predicate_traps, cond_side_traps
from explorer.guards.trap import Trap
from explorer.guards.trials import Patient, try_fixes
from explorer.progress import CancelToken, ProgressCallback
from explorer.size_range import SizeRange

_MOST_CHECKED = 8
_MOST_KEPT = 4


@dataclass(frozen=True)
class Wishes:
    """What a diagnosis is asked for.

    Attributes:
        domain: as for ``Compilation.audit``.
        allow: what the author means to be so: a condition, an input, or ``file:line``.
        try_fixes: whether to compile and compare fixes.
        progress: told which fix is being tried.
        cancel: looked at between fixes.
    """

    domain: SizeRange | Mapping[str, SizeRange] | None = None
    allow: tuple[str, ...] = ()
    try_fixes: bool = False
    progress: ProgressCallback | None = field(default=None, compare=False)
    cancel: CancelToken | None = field(default=None, compare=False)


def diagnose_graph(
    normalised: NormalisedGraph, config: CompilationConfig, wishes: Wishes | None = None
) -> Diagnosis:
    """Audits a captured graph, runs it where it is wrong, and tries what may help.

    Args:
        normalised: the graph, with its capture.
        config: how it is compiled, and what calls get that it is not right for.
        wishes: the domain, what is allowed, whether to try fixes.

    Raises:
        ConfigError: a domain that does not fit.
        Cancelled: somebody asked to stop.
    """
    with quiet_run():  # the author's make_inputs may draw numbers, and the model warn
        return _diagnosed(normalised, config, wishes or Wishes())


def _diagnosed(normalised: NormalisedGraph, config: CompilationConfig, wishes: Wishes) -> Diagnosis:
    audit = audit_graph(normalised, config, wishes.domain)
    captured = normalised.captured
    findings = findings_of(audit, captured, wishes.allow)
    trials: tuple[FixTrial, ...] = ()
    if wishes.try_fixes and any(not each.is_allowed and each.points for each in findings):
        patient = patient_of(audit, captured, config, findings)
        trials = try_fixes(patient, progress=wishes.progress, cancel=wishes.cancel)
    return diagnosis_of(
        audit, captured, config, findings=findings, trials=trials, allow=wishes.allow
    )


def diagnosis_of(
    audit: GuardAudit,
    captured: CapturedGraph,
    config: CompilationConfig,
    *,
    findings: tuple[Finding, ...] | None = None,
    trials: tuple[FixTrial, ...] = (),
    allow: Sequence[str] = (),
) -> Diagnosis:
    """The diagnosis of an audit that is there already."""
    found = findings if findings is not None else findings_of(audit, captured, allow)
    checked, mismatches = _checked(audit, captured)
    used = {token for each in found for token in matching(names_of_finding(each), allow)}
    used |= {
        token
        for each in captured.specializations
        for token in matching(names_of_input(each), allow)
    }
    return Diagnosis(
        audit=audit,
        policy=config.guard_policy.name,
        hints=captured.hints,
        findings=found,
        specializations=_not_allowed(captured, audit, allow),
        traps=(
            *cond_predicate_traps(captured.branch_sites, captured.guards),
            *cond_side_traps(captured.guards),
            *fake_guard_traps(captured.guards),
            *(str(trap) for trap in _traps_of_backend(captured, config)),
        ),
        trials=trials,
        checked=checked,
        mismatches=mismatches,
        allowed=tuple(allow),
        unmatched=tuple(token for token in allow if token not in used),
        evaluates_guards=config.dynamic_shapes.evaluate_guards,
    )


def patient_of(
    audit: GuardAudit,
    captured: CapturedGraph,
    config: CompilationConfig,
    findings: Sequence[Finding],
) -> Patient:
    """What fixes are tried on: the points where they have to help, and the branches.

    Args:
        audit: of the graph.
        captured: the graph.
        config: how it is compiled.
        findings: what is allowed and what is not; only the latter is to be fixed.
    """
    open_ones = [each for each in findings if not each.is_allowed and each.points]
    allowed = {v.index for each in findings if each.is_allowed for v in each.violations}
    points = [
        sizes
        for group in audit.groups
        if not allowed & set(group.signature)
        for sizes in working_points(group)
    ]
    points += [each.sizes for finding in open_ones for each in finding.answers if not allowed]
    branches = [
        each.location
        for each in open_ones
        if each.kind is FindingKind.BRANCH and each.location is not None
    ]
    kept = [_example(captured), *_valid_points(audit)[:_MOST_KEPT]]
    small = [each for each in kept if max(each.values(), default=0) <= LARGEST_ANSWERED_SIZE]
    return Patient(
        captured, config, _unique(points), tuple(dict.fromkeys(branches)), kept=_unique(small)
    )


def _unique(points: Iterable[Mapping[str, int]]) -> tuple[Mapping[str, int], ...]:
    return tuple({tuple(sorted(point.items())): point for point in points}.values())


def _example(captured: CapturedGraph) -> dict[str, int]:
    return {name: int(size) for name, size in captured.hints.items()}


# ----------------------------------------------------------------------- where the graph is right


def _checked(
    audit: GuardAudit, captured: CapturedGraph
) -> tuple[tuple[Mapping[str, int], ...], tuple[Answer, ...]]:
    """Points that the audit calls right, at which the graph was run beside the model."""
    answers = [answer_of_graph(captured, point) for point in _valid_points(audit)]
    known = [each for each in answers if each.kind is not AnswerKind.NOT_KNOWN]
    same = tuple(each.sizes for each in known if each.kind is AnswerKind.SAME)
    wrong = (AnswerKind.WRONG, AnswerKind.RAISES)
    return same, tuple(each for each in known if each.kind in wrong)


def _valid_points(audit: GuardAudit) -> list[dict[str, int]]:
    """The ends of valid runs, or some valid points when there are several dimensions."""
    axes = audit.region.axes
    if not axes:
        return [{}]
    where = audit.region.where(PointState.VALID) | audit.region.where(PointState.VALID_BY_PROBE)
    grids = list(axes.values())
    if audit.region.is_grid:
        grids = [each.ravel() for each in np.meshgrid(*grids, indexing="ij")]
    small = np.all([each <= LARGEST_ANSWERED_SIZE for each in grids], axis=0)
    positions = np.flatnonzero(where.ravel() & small)
    if len(positions) == 0:
        return []
    ends = np.flatnonzero(np.diff(positions) > 1)
    telling = np.unique(np.concatenate([[0], ends, ends + 1, [len(positions) - 1]]))
    spread = np.linspace(0, len(telling) - 1, min(_MOST_CHECKED, len(telling))).astype(int)
    chosen = positions[telling[np.unique(spread)]]
    return [
        {name: int(grid[position]) for name, grid in zip(axes, grids, strict=True)}
        for position in chosen
    ]


def _not_allowed(
    captured: CapturedGraph, audit: GuardAudit, allow: Sequence[str]
) -> tuple[Specialization, ...]:
    """Inputs that became constants or one size, without those that vary in the audit."""
    return tuple(
        each
        for each in captured.specializations
        if not matching(names_of_input(each), allow)
        and not (each.reason is SpecializationReason.PYTHON_VALUE and each.source in audit.domain)
    )


def _traps_of_backend(captured: CapturedGraph, config: CompilationConfig) -> tuple[Trap, ...]:
    """What is captured without an error and that Inductor cannot compile."""
    return cond_graph_traps(captured.graph) if config.backend == "inductor" else ()

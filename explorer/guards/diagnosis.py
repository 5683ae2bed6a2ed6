"""A captured graph in, a Diagnosis out: what is wrong where, what it returns there, what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest

import numpy as np
import sympy

from explorer.artifacts import (
    BranchSite,
    CapturedGraph,
    GuardOrigin,
    NormalisedGraph,
    SiteKind,
    Specialization,
    SpecializationReason,
)
from explorer.artifacts.audited import (
    EagerOutcome,
    GuardAudit,
    PointState,
    SignatureGroup,
    Violation,
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
from explorer.guards.allowed import matching, names_of_input, names_of_test
from explorer.guards.answers import LARGEST_ANSWERED_SIZE, answer_of_graph
from explorer.guards.audit import audit as audit_graph
from explorer.guards.eager import random_state_kept
from explorer.guards.op_traps import fake_guard_traps
from explorer.guards.predicate_traps import cond_predicate_traps, cond_side_traps
from explorer.guards.sides import sides_of
from explorer.guards.trials import Patient, try_fixes
from explorer.guards.whole_tests import answer_of_statement
from explorer.progress import CancelToken, ProgressCallback
from explorer.size_range import SizeRange

_MOST_ANSWERS = 3
_MOST_RUNS = 16
_MOST_CHECKED = 8
_MOST_KEPT = 4

_KINDS = {
    GuardOrigin.BRANCH: FindingKind.BRANCH,
    GuardOrigin.ASSERT: FindingKind.CHECK,
    GuardOrigin.TORCH_CHECK: FindingKind.CHECK,
    GuardOrigin.INT_SPECIALIZATION: FindingKind.INT,
    GuardOrigin.OPERATOR: FindingKind.OPERATOR,
    GuardOrigin.ZERO_ONE: FindingKind.FRAMEWORK,
    GuardOrigin.RANGE: FindingKind.FRAMEWORK,
    GuardOrigin.VALUE: FindingKind.VALUE,
}


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
    with random_state_kept():  # the author's make_inputs may draw numbers, and the model warn
        return _diagnosed(normalised, config, wishes or Wishes())


def _diagnosed(normalised: NormalisedGraph, config: CompilationConfig, wishes: Wishes) -> Diagnosis:
    audit = audit_graph(normalised, config, wishes.domain)
    captured = normalised.captured
    findings = _findings(audit, captured, wishes.allow)
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
    found = findings if findings is not None else _findings(audit, captured, allow)
    checked, mismatches = _checked(audit, captured)
    used = {token for each in found for token in matching(_names(each), allow)}
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
        for sizes in _working(group)
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


# ----------------------------------------------------------------------------------------- findings


def _findings(
    audit: GuardAudit, captured: CapturedGraph, allow: Sequence[str]
) -> tuple[Finding, ...]:
    groups: dict[object, list[Violation]] = {}
    for violation in audit.violations:
        key = violation.site or violation.guard.text
        groups.setdefault(key, []).append(violation)
    found = [_finding(audit, captured, tuple(group), allow) for group in groups.values()]
    return tuple(sorted(found, key=lambda each: (each.is_allowed, -each.points)))


def _finding(
    audit: GuardAudit,
    captured: CapturedGraph,
    violations: tuple[Violation, ...],
    allow: Sequence[str],
) -> Finding:
    first = violations[0]
    location = first.site
    site = next((s for s in captured.branch_sites if s.location == location), None)
    kind = _KINDS.get(first.guard.origin, FindingKind.OTHER)
    if kind is FindingKind.FRAMEWORK:
        site = _decided_by_assumption(captured, first.example)
        if site is not None:
            kind, location = FindingKind.BRANCH, site.location
    if site is not None and site.kind is SiteKind.WHILE:
        kind = FindingKind.LOOP
    frozen, other = _sides(site, captured.branch_sites)
    finding = Finding(
        kind=kind,
        violations=violations,
        site=site,
        location=location,
        frozen=frozen,
        other=other,
        points=_points(audit, violations),
        answers=_answers(audit, captured, violations),
        hidden=tuple(s for s in captured.branch_sites if s.behind and s.behind == location),
    )
    if matching(_names(finding), allow):
        return replace(finding, is_allowed=True)
    return finding


def _decided_by_assumption(captured: CapturedGraph, sizes: Mapping[str, int]) -> BranchSite | None:
    """The first test that has another answer at some sizes, though it left no condition behind."""
    values = {
        symbol: sympy.Integer(sizes[size.name])
        for size in captured.sizes
        if size.name in sizes
        for symbol in (size.symbol, *size.torch_symbols)
    }
    for site in captured.branch_sites:
        asked = [sympy.sympify(each).xreplace(values) for each in site.expressions]
        known = {bool(each) for each in asked if each in (sympy.true, sympy.false)}
        if not site.guards and site.kind is not SiteKind.INT and known - set(site.answers):
            return site
    return None


def _names(finding: Finding) -> set[str]:
    return names_of_test(finding.violations, finding.site, finding.location)


def _points(audit: GuardAudit, violations: tuple[Violation, ...]) -> int:
    """How many points some conditions rule out together; of several dims, the most of one."""
    if len(audit.dimensions) == 1 and all(each.intervals for each in violations):
        sizes = {size for each in violations for a, b in each.intervals for size in range(a, b + 1)}
        return len(sizes)  # ruled out by several, counted once
    return max(each.points for each in violations)


def _sides(site: BranchSite | None, every: tuple[BranchSite, ...]) -> tuple[str, str]:
    """What the frozen side of a branch does, and the other one; empty when it is not known."""
    if site is None or site.kind in (SiteKind.INT, SiteKind.WHILE):
        return "", ""
    sides, answer = sides_of(site.location), answer_of_statement(site, every)
    if sides is None or answer is None:
        return "", ""
    return sides.of(answer), sides.of(not answer)


def _answers(
    audit: GuardAudit, captured: CapturedGraph, violations: tuple[Violation, ...]
) -> tuple[Answer, ...]:
    """What the graph returns at points that these conditions rule out, wrong answers first.

    Conditions stand in the order of their tests: where an earlier one does not hold either, the
    model takes another way before it comes to this test.
    """
    indices = {each.index for each in violations}
    groups = [group for group in audit.groups if indices & set(group.signature)]
    first = [group for group in groups if min(group.signature) in indices]
    probes = [_working(group) for group in first or groups]
    points = list(chain.from_iterable(zip_longest(*probes)))
    found: list[Answer] = []
    wrong: list[Answer] = []
    for sizes in [p for p in points if p is not None] or [each.example for each in violations]:
        if len(wrong) == _MOST_ANSWERS or len(found) == _MOST_RUNS:
            break
        found.append(answer_of_graph(captured, sizes))
        wrong += [found[-1]] if found[-1].kind in (AnswerKind.WRONG, AnswerKind.RAISES) else []
    others = [each for each in found if each not in wrong]
    return (*wrong, *others[: 1 if wrong else _MOST_ANSWERS])


def _working(group: SignatureGroup) -> list[Mapping[str, int]]:
    return [probe.sizes for probe in group.probes if probe.outcome is EagerOutcome.WORKS]


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

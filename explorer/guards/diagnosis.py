"""A captured graph in, a Diagnosis out: what is wrong where, what it returns there, what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.artifacts import (
    BranchSite,
    CapturedGraph,
    GuardOrigin,
    NormalisedGraph,
    SiteKind,
    SourceLocation,
    Specialization,
    SpecializationReason,
)
from explorer.artifacts.audited import EagerOutcome, GuardAudit, PointState, Violation
from explorer.artifacts.diagnosed import (
    Answer,
    AnswerKind,
    Diagnosis,
    Finding,
    FindingKind,
    FixTrial,
)
from explorer.config import CompilationConfig
from explorer.guards.answers import LARGEST_ANSWERED_SIZE, answer_of_graph
from explorer.guards.audit import audit as audit_graph
from explorer.guards.op_traps import fake_guard_traps
from explorer.guards.predicate_traps import cond_predicate_traps, cond_side_traps
from explorer.guards.sides import sides_of
from explorer.guards.trials import Patient, try_fixes
from explorer.guards.whole_tests import answer_of_statement
from explorer.progress import CancelToken, ProgressCallback
from explorer.size_range import SizeRange

_MOST_ANSWERS = 3
_MOST_CHECKED = 8

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
    wishes = wishes or Wishes()
    audit = audit_graph(normalised, config, wishes.domain)
    captured = normalised.captured
    findings = _findings(audit, captured, wishes.allow)
    trials: tuple[FixTrial, ...] = ()
    wrong = [each for each in findings if not each.is_allowed and each.points]
    if wishes.try_fixes and wrong:
        patient = patient_of(audit, captured, config, wrong)
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
    used = {token for each in found for token in _matching(_names_of_finding(each), allow)}
    used |= {
        token
        for each in captured.specializations
        for token in _matching(_names_of_input(each), allow)
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
    )


def patient_of(
    audit: GuardAudit,
    captured: CapturedGraph,
    config: CompilationConfig,
    findings: Iterable[Finding],
) -> Patient:
    """What fixes are tried on: the points where they have to help, and the branches."""
    points = [
        probe.sizes
        for group in audit.groups
        for probe in group.probes
        if probe.outcome is EagerOutcome.WORKS
    ]
    points += [each.sizes for finding in findings for each in finding.answers]
    points.append(_example(captured))
    small = [p for p in points if max(p.values(), default=0) <= LARGEST_ANSWERED_SIZE]
    unique = {tuple(sorted(point.items())): point for point in small}
    branches = [
        each.location
        for each in findings
        if each.kind is FindingKind.BRANCH and each.location is not None
    ]
    return Patient(captured, config, tuple(unique.values()), tuple(dict.fromkeys(branches)))


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
    if _matching(_names_of_finding(finding), allow):
        return Finding(**{**vars(finding), "is_allowed": True})
    return finding


def _points(audit: GuardAudit, violations: tuple[Violation, ...]) -> int:
    """How many points some conditions rule out together; of several dims, the most of one."""
    if len(audit.dimensions) == 1 and all(each.intervals for each in violations):
        sizes = {size for each in violations for a, b in each.intervals for size in range(a, b + 1)}
        return len(sizes)
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
    """What the graph returns at points of the groups that these conditions rule out."""
    indices = {each.index for each in violations}
    probes = [
        probe.sizes
        for group in audit.groups
        if indices & set(group.signature)
        for probe in group.probes
        if probe.outcome is EagerOutcome.WORKS
    ]
    probes = probes or [each.example for each in violations]
    return tuple(answer_of_graph(captured, sizes) for sizes in probes[:_MOST_ANSWERS])


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


# ---------------------------------------------------------------------------------- what is allowed


def _names_of_finding(finding: Finding) -> set[str]:
    names = {each.guard.text for each in finding.violations}
    names |= {source for each in finding.violations for source in each.guard.sources}
    return names | names_of_place(finding.location)


def _names_of_input(each: Specialization) -> set[str]:
    return {each.source, f"{each.source} == {each.value}"} | names_of_place(each.location)


def names_of_place(location: SourceLocation | None) -> set[str]:
    """``/home/me/model.py:3`` by its ends: ``model.py:3``, ``me/model.py:3`` ..."""
    if location is None:
        return set()
    parts = str(location).split("/")
    return {"/".join(parts[number:]) for number in range(len(parts))}


def _matching(names: set[str], allow: Sequence[str]) -> list[str]:
    plain = {" ".join(name.split()) for name in names}
    return [token for token in allow if " ".join(token.split()) in plain]


def _not_allowed(
    captured: CapturedGraph, audit: GuardAudit, allow: Sequence[str]
) -> tuple[Specialization, ...]:
    """Inputs that became constants or one size, without those that vary in the audit."""
    return tuple(
        each
        for each in captured.specializations
        if not _matching(_names_of_input(each), allow)
        and not (each.reason is SpecializationReason.PYTHON_VALUE and each.source in audit.domain)
    )

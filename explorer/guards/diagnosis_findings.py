"""An audit in, its findings out: one per test or assumption, with what the graph returns there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

import sympy

from explorer.artifacts import (
    BranchSite,
    CapturedGraph,
    GuardOrigin,
    SiteKind,
)
from explorer.artifacts.audited import (
    EagerOutcome,
    GuardAudit,
    SignatureGroup,
    Violation,
)
from explorer.artifacts.diagnosed import Answer, AnswerKind, Finding, FindingKind
from explorer.guards.allowed import matching, names_of_test
from explorer.guards.answers import answer_of_graph
from explorer.guards.sides import sides_of
from explorer.guards.whole_tests import answer_of_statement

_MOST_ANSWERS = 3
_MOST_RUNS = 16

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


def findings_of(
    audit: GuardAudit, captured: CapturedGraph, allow: Sequence[str]
) -> tuple[Finding, ...]:
    """What is wrong where, the largest first, what the author allows last.

    Args:
        audit: of the graph.
        captured: the graph.
        allow: what is meant to be so.
    """
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
    if matching(names_of_finding(finding), allow):
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


def names_of_finding(finding: Finding) -> set[str]:
    """What a finding may be called."""
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
    probes = [working_points(group) for group in first or groups]
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


def working_points(group: SignatureGroup) -> list[Mapping[str, int]]:
    """The points of a group at which the model itself was run and works."""
    return [probe.sizes for probe in group.probes if probe.outcome is EagerOutcome.WORKS]

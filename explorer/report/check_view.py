"""A CheckResult in, plain data for JSON out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts import BranchSite, GuardRecord, SourceLocation, Specialization
from explorer.artifacts.audited import GuardAudit, Intervals, Violation
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Answer, Diagnosis, Finding, FixTrial
from explorer.guards.places import source_between
from explorer.report.wording import clean

if TYPE_CHECKING:
    from explorer.check import CheckResult

Row = dict[str, Any]


def check_view(result: CheckResult) -> Row:
    """Everything that a check found; keys do not change their meaning within a version."""
    diagnosis, error = result.diagnosis, result.fixed_dim
    view: Row = {
        "target": clean(result.name),
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "error": None,
        "variants_limit": None if result.limit is None else clean(result.limit),
        "beyond_max_size": clean(result.beyond) or None,
        "coverage": None if result.coverage is None else _coverage(result.coverage),
        "trials": [_trial(each) for each in result.trials],
        "allowed_without_match": [clean(each) for each in result.unmatched],
    }
    if error is not None:
        place = error.location if isinstance(error.location, SourceLocation) else None
        view["error"] = {
            "kind": "fixed dim",
            "text": clean(str(error)),
            "value": error.value,
            "allowed": result.allowed,
            **_place(place),
        }
    if diagnosis is not None:
        view |= _diagnosis(diagnosis)
    return view


def _diagnosis(diagnosis: Diagnosis) -> Row:
    audit = diagnosis.audit
    return {
        "policy": diagnosis.policy,
        "evaluates_guards": diagnosis.evaluates_guards,
        "captured_at": _sizes(diagnosis.hints),
        **_audit(audit),
        "findings": [_finding(each) for each in diagnosis.findings],
        "specializations": [_specialization(each) for each in diagnosis.specializations],
        "traps": [clean(each) for each in diagnosis.traps],
        "checked": [_sizes(each) for each in diagnosis.checked],
        "mismatches": [_answer(each) for each in diagnosis.mismatches],
        "trials": [_trial(each) for each in diagnosis.trials],
        "allowed": [clean(each) for each in diagnosis.allowed],
        "allowed_without_match": [clean(each) for each in diagnosis.unmatched],
    }


def _audit(audit: GuardAudit) -> Row:
    return {
        "status": audit.status.value,
        "domain": {clean(name): list(ends) for name, ends in audit.domain.items()},
        "looked_at": audit.coverage,
        "valid": None if audit.valid is None else _intervals(audit.valid),
        "valid_by_probe": list(audit.valid_by_probe),
        "violations": [_violation(each) for each in audit.violations],
        "eager_fails": _intervals(audit.eager_fails),
        "not_known": _intervals(audit.not_known),
        "unknown": [clean(each) for each in audit.unknown],
        "branch_sites": [_site(each) for each in audit.branch_sites],
    }


def _intervals(intervals: Intervals) -> list[list[int]]:
    return [[first, last] for first, last in intervals]


def _sizes(sizes: Mapping[str, int]) -> dict[str, int]:
    return {clean(name): value for name, value in sizes.items()}


def _finite(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def _place(place: SourceLocation | None) -> Row:
    if place is None:
        return {"file": None, "line": None, "column": None, "code": ""}
    return {
        "file": clean(place.file),
        "line": place.line,
        "column": place.column,
        "code": clean(place.text),
    }


def _guard(guard: GuardRecord) -> Row:
    return {
        "condition": clean(guard.text),
        "made_by": guard.origin.value,
        "op": None if guard.operator is None else clean(guard.operator),
        "reads": [clean(each) for each in guard.sources],
    }


def _violation(violation: Violation) -> Row:
    return {
        **_guard(violation.guard),
        **_place(violation.site),
        "dimension": None if violation.dimension is None else clean(violation.dimension),
        "sizes": _intervals(violation.intervals),
        "points": violation.points,
        "example": _sizes(violation.example),
    }


def _site(site: BranchSite) -> Row:
    return {
        **_place(site.location),
        "test": clean(source_between(site.location)),
        "kind": site.kind.value,
        "answers": list(site.answers),
        "recorded_as": site.recorded_as.value,
    }


def _answer(answer: Answer) -> Row:
    return {
        "sizes": _sizes(answer.sizes),
        "result": answer.kind.value,
        "problem": clean(answer.problem),
        "largest_difference": _finite(answer.largest),
    }


def _finding(finding: Finding) -> Row:
    return {
        "kind": finding.kind.value,
        **_place(finding.location),
        "conditions": [clean(each.guard.text) for each in finding.violations],
        "frozen_side": clean(finding.frozen),
        "other_side": clean(finding.other),
        "points": finding.points,
        "returns": [_answer(each) for each in finding.answers],
        "never_reached": [_site(each) for each in finding.hidden],
        "allowed": finding.is_allowed,
    }


def _specialization(each: Specialization) -> Row:
    value = each.value if isinstance(each.value, int) else clean(each.value)
    return {
        "input": clean(each.source),
        "value": value,
        "reason": each.reason.value,
        **_place(each.location),
    }


def _trial(trial: FixTrial) -> Row:
    return {
        "fix": trial.fix,
        "outcome": trial.outcome.value,
        "text": clean(trial.text),
        "compared": [_sizes(each) for each in trial.compared],
        "mismatches": trial.mismatches,
        "diff": clean(trial.diff, keep="\n\t"),
        "seconds": round(trial.seconds, 3),
    }


def _coverage(coverage: Coverage) -> Row:
    return {
        "complete": coverage.is_complete,
        "graphs": coverage.graphs,
        "captures": coverage.captures,
        "regions": [
            {
                "variant": each.variant,
                "captured_at": _sizes(each.example),
                "sizes": _intervals(each.intervals),
                "points": each.points,
                "same_graph_as": each.same_graph_as,
            }
            for each in coverage.regions
        ],
        "uncovered": [
            {"sizes": _sizes(each.sizes), "reason": clean(each.reason)}
            for each in coverage.uncovered
        ],
    }

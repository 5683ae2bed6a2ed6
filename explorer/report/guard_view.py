"""A Compilation and its Diagnosis in; at which sizes it is wrong, why, what helps, as data, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.artifacts import BranchSite, CapturedGraph, GuardRecord, SourceLocation
from explorer.artifacts.audited import AuditStatus, GuardAudit
from explorer.artifacts.common import Size
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis, Finding
from explorer.artifacts.guards import RecordedAs, SiteKind
from explorer.config import CompilationConfig, GuardPolicy
from explorer.guards.diagnose import (
    beside_sentences,
    policy_text,
    right_text,
    specialization_text,
    wrong_texts,
)
from explorer.guards.domain import LARGEST_DEFAULT_SIZE
from explorer.guards.finding_text import finding_sentences
from explorer.guards.fix_text import FixNote, fix_notes
from explorer.guards.intervals_text import counted_intervals, point_text
from explorer.guards.places import source_between
from explorer.guards.variants import dimensions_of
from explorer.report.guard_axis import STATES, axis_rows, map_view
from explorer.report.guard_results_view import coverage_view, sentence, trial_view
from explorer.report.views import Row
from explorer.report.wording import (
    clean,
    counted,
    listed,
    place_text,
    seconds_text,
    shortened,
    with_short_paths,
)

if TYPE_CHECKING:
    from explorer.compilation import Compilation
    from explorer.size_range import SizeRange
    from explorer.trying import Trial

_LONGEST_NAME = 200
_MOST_ROWS = 200
NOT_AUDITED = "The audit was not run, so which sizes are wrong is not known yet."
_GETS = {
    "DROP": "A call gets the wrong result without an error",
    "CHECK": "A call raises GuardViolation",
    "VARIANTS": "A call gets a graph of its own",
}
_FIX_WORDS = {"ok": "works", "!!": "loud", "--": "advice", "no": "no help"}
_RECORDED = {
    RecordedAs.GUARD: "the graph keeps it as a condition",
    RecordedAs.IMPLIED: "it follows from other conditions",
    RecordedAs.CACHED: "the same question was answered before",
    RecordedAs.NOT_REACHED: "it stands on a side that the capture did not take",
}


@dataclass(frozen=True)
class _Table:
    """What the dispatch table adds to an axis."""

    dispatch: Size | None = None
    ranges: tuple[SizeRange, ...] = ()
    exact: tuple[int, ...] = ()


def guard_view(
    compilation: Compilation,
    diagnosis: Diagnosis | None = None,
    *,
    coverage: Coverage | None = None,
    trials: Iterable[Trial] = (),
) -> Row:
    """Everything that the view of guards shows; sentences and numbers are final.

    Args:
        compilation: what is looked at.
        diagnosis: of it; without one only what the capture recorded is shown.
        coverage: what ``CompiledModel.cover`` came to.
        trials: of sizes, oldest first.
    """
    compiled = compilation.compiled
    table = _Table(compiled.dispatch, compiled.ranges, compiled.exact_sizes)
    view = _view(compilation.captured, compilation.config, diagnosis, table)
    view["name"] = sentence(compilation.name, _LONGEST_NAME)
    view["coverage"] = None if coverage is None else coverage_view(coverage)
    view["trials"] = [trial_view(each) for each in trials]
    return view


def diagnosis_view(diagnosis: Diagnosis) -> Row:
    """The same of a diagnosis alone, without the ranges of a compilation."""
    judge: Any = diagnosis.audit.judge
    view = _view(judge.captured, judge.config, diagnosis, _Table())
    return view | {"name": "", "coverage": None, "trials": []}


def _view(
    captured: CapturedGraph, config: CompilationConfig, diagnosis: Diagnosis | None, table: _Table
) -> Row:
    dimensions = dimensions_of(captured)
    example = {each.name: each.hint for each in dimensions}
    policy = config.guard_policy
    return {
        "audited": diagnosis is not None,
        "policy": policy.name,
        "example": sentence(point_text(dict(captured.hints))),
        "lead": _lead(captured, diagnosis),
        "policy_text": _policy(diagnosis),
        "status": "not audited" if diagnosis is None else _status(diagnosis.audit),
        "verdict": _verdict(diagnosis),
        "inputs": [
            {
                "key": each.name,
                "name": sentence(each.name, 80),
                "value": each.hint,
                "is_size": each.is_size,
                "text": f"{'size' if each.is_size else 'argument'}, {each.hint} in the example",
            }
            for each in dimensions
        ],
        "axes": _axes(captured, config, diagnosis, table, example),
        "map": None if diagnosis is None else map_view(diagnosis.audit),
        "legend": dict(STATES),
        "findings_head": "Where the first graph is not right, and why"
        if policy is GuardPolicy.VARIANTS
        else "What is wrong, and why",
        "findings": _findings(captured, diagnosis),
        "sites": [_site(i, each) for i, each in enumerate(captured.branch_sites[:_MOST_ROWS])],
        "conditions": [
            _condition(i, each)
            for i, each in enumerate(captured.guards[:_MOST_ROWS])
            if not each.is_bound
        ],
        "specializations": [
            {"text": sentence(specialization_text(each)), "line": _line(each.location)}
            for each in captured.specializations[:_MOST_ROWS]
        ],
        "notes": _notes(diagnosis),
        "fixes": [] if diagnosis is None else [_fix(each) for each in fix_notes(diagnosis)],
        "fixes_text": _fixes_text(diagnosis),
        "can_try_fixes": _can_try_fixes(diagnosis),
        "domain_text": _domain_text(captured, config, diagnosis),
        "cover_problem": _cover_problem(policy),
    }


def _line(location: SourceLocation | None) -> list[Any] | None:
    """As the key of a line in a selection."""
    return None if location is None else [location.file, location.line]


# --------------------------------------------------------------------------------------- the answer


def _lead(captured: CapturedGraph, diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        made = sum(not each.is_bound for each in captured.guards)
        tests = counted(len(captured.branch_sites), "test")
        conditions = counted(made, "condition")
        return f"{NOT_AUDITED} The capture recorded {tests} and {conditions} on sizes."
    audit = diagnosis.audit
    if not audit.domain:
        return "Nothing is dynamic: there is only the example."
    is_first = diagnosis.policy == "VARIANTS"
    parts = [f"{'The first graph is right for' if is_first else 'Right for'} {right_text(audit)}"]
    for name, text in wrong_texts(diagnosis).items():
        parts.append(
            f"not at {text}, which get graphs of their own" if is_first else f"{name} {text}"
        )
    fails = sum(each.failing_points for each in audit.groups)
    if fails:
        sizes = counted_intervals(audit.eager_fails) if audit.eager_fails else ""
        parts.append(f"the model itself fails at {sizes or counted(fails, 'point')}")
    if audit.not_known:
        parts.append(f"not known at {counted_intervals(audit.not_known)}")
    return sentence("; ".join(parts) + ".")


def _policy(diagnosis: Diagnosis | None) -> str:
    """What a call gets where the graph is not right; nothing where it is right everywhere."""
    if diagnosis is None or not diagnosis.findings:
        return ""
    return sentence(f"Policy {policy_text(diagnosis)}.")


def _verdict(diagnosis: Diagnosis | None) -> str:
    """``clean``, ``wrong``, ``unknown``, or ``variants`` where other graphs serve the rest."""
    if diagnosis is None or diagnosis.audit.status is AuditStatus.UNKNOWN:
        return "unknown"
    if diagnosis.is_clean:
        return "clean"
    return "variants" if diagnosis.policy == "VARIANTS" else "wrong"


def _status(audit: GuardAudit) -> str:
    return f"{audit.status.value}: {sentence(audit.coverage)}"


def _notes(diagnosis: Diagnosis | None) -> list[Row]:
    """Sentences beside the findings; ``is_bad`` for what is a reason to worry."""
    if diagnosis is None:
        return []
    audit = diagnosis.audit
    bad = [*(f"Not known: {each}." for each in audit.unknown)]
    if audit.status is AuditStatus.SAMPLED:
        bad.append("Not every point was looked at; a single size can be tried and is then exact.")
    texts = [*audit.notes, *beside_sentences(diagnosis)]
    rows = [{"text": sentence(each), "is_bad": True} for each in bad]
    worrying = ("Trap: ", "MISMATCH", "Whether eager works")
    return rows + [{"text": sentence(each), "is_bad": each.startswith(worrying)} for each in texts]


# ----------------------------------------------------------------------------------------- the axis


def _axes(
    captured: CapturedGraph,
    config: CompilationConfig,
    diagnosis: Diagnosis | None,
    table: _Table,
    example: Mapping[str, int],
) -> list[Row]:
    if diagnosis is not None:
        gets = _GETS[diagnosis.policy]
        if diagnosis.evaluates_guards:
            gets = "A call fails if the test is on a size, and is else not looked at"
        rows = axis_rows(diagnosis.audit, example, gets)
    else:
        rows = [_bare_axis(size, config) for size in captured.sizes]
    for row in rows:
        is_dispatch = table.dispatch is not None and clean(table.dispatch.name) == row["name"]
        row["ranges"] = [
            {"first": each.start, "last": each.end, "text": str(each)}
            for each in (table.ranges if is_dispatch else ())
        ]
        row["exact"] = list(table.exact) if is_dispatch else []
        row["ticks_text"] = _ticks_text(row)
    return rows


def _bare_axis(size: Size, config: CompilationConfig) -> Row:
    """An axis before the audit: its sizes, and that nothing is known of them."""
    name, last = clean(size.name), min(config.max_size, LARGEST_DEFAULT_SIZE)
    text = f"{name} = 1–{last} ({counted(last, 'size')}): not audited yet."
    return {
        "key": size.name,
        "name": name,
        "first": 1,
        "last": last,
        "example": size.hint,
        "fixed": "",
        "text": f"{name} = 1–{last}",
        "segments": [{"first": 1, "last": last, "state": "unseen", "text": text, "guards": []}],
    }


def _ticks_text(row: Mapping[str, Any]) -> str:
    parts = []
    if row["ranges"]:
        ranges = listed([each["text"] for each in row["ranges"]], 8)
        parts.append(f"compiled for {'range' if len(row['ranges']) == 1 else 'ranges'} {ranges}")
    if row["exact"]:
        noun = "size" if len(row["exact"]) == 1 else "sizes"
        parts.append(f"exact {noun} {listed(map(str, row['exact']), 8)}")
    if row["example"] is not None:
        parts.append(f"captured at {row['name']} = {row['example']}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _domain_text(
    captured: CapturedGraph, config: CompilationConfig, diagnosis: Diagnosis | None
) -> str:
    """The domain as a person would write it: ``n=1-64``, or ``1-64`` for one size."""
    last = min(config.max_size, LARGEST_DEFAULT_SIZE)
    domain: Mapping[str, tuple[int, int]] = {each.name: (1, last) for each in captured.sizes}
    if diagnosis is not None:
        domain = diagnosis.audit.domain
    if len(domain) == 1:
        ((low, high),) = domain.values()
        return f"{low}-{high}"
    return ", ".join(f"{clean(name)}={low}-{high}" for name, (low, high) in domain.items())


def _cover_problem(policy: GuardPolicy) -> str:
    if policy is GuardPolicy.VARIANTS:
        return ""
    return (
        "To cover every size, one graph is captured for each region of sizes, which "
        f"guard_policy {policy.name} does not do: compile with guard_policy=GuardPolicy.VARIANTS."
    )


# -------------------------------------------------------------------------- findings, sites, fixes


def _findings(captured: CapturedGraph, diagnosis: Diagnosis | None) -> list[Row]:
    if diagnosis is None:
        return []
    return [_finding(captured, diagnosis, each) for each in diagnosis.findings[:_MOST_ROWS]]


def _finding(captured: CapturedGraph, diagnosis: Diagnosis, finding: Finding) -> Row:
    known = len(captured.guards)
    conditions = [sentence(each.guard.text, _LONGEST_NAME) for each in finding.violations]
    sites = captured.branch_sites
    return {
        "kind": finding.kind.value,
        "title": f"{finding.kind.value}{' (allowed)' if finding.is_allowed else ''}",
        "place": sentence(place_text(finding.location), _LONGEST_NAME),
        "line": _line(finding.location),
        "code": sentence(finding.location.text if finding.location else conditions[0]),
        "site": next((i for i, each in enumerate(sites) if each is finding.site), None),
        "guards": [each.index for each in finding.violations if each.index < known],
        "conditions": listed(conditions, 4),
        "sentences": [sentence(each) for each in finding_sentences(diagnosis, finding)],
        "is_allowed": finding.is_allowed,
    }


def _site(index: int, site: BranchSite) -> Row:
    answers = listed(dict.fromkeys(str(each) for each in site.answers), 4)
    if site.recorded_as is RecordedAs.NOT_REACHED:
        said = "never reached"
    elif site.kind is SiteKind.INT:
        said = f"was the number {answers}"
    else:
        said = f"was {answers}"
    return {
        "index": index,
        "place": sentence(place_text(site.location), _LONGEST_NAME),
        "line": _line(site.location),
        "code": sentence(site.location.text),
        "test": sentence(source_between(site.location)),
        "text": sentence(site.text),
        "kind": site.kind.value,
        "words": f"{said} in the capture; {_RECORDED[site.recorded_as]}",
        "guards": list(site.guards),
    }


def _condition(index: int, guard: GuardRecord) -> Row:
    return {
        "index": index,
        "text": sentence(guard.text),
        "made_by": guard.operator or guard.origin.value,
        "place": sentence(place_text(guard.location), _LONGEST_NAME),
        "line": _line(guard.location),
        "code": sentence(guard.location.text) if guard.location else "",
    }


def _fix(note: FixNote) -> Row:
    took = "" if note.seconds is None else f" ({seconds_text(note.seconds)})"
    return {
        "mark": note.mark,
        "words": _FIX_WORDS[note.mark],
        "title": sentence(note.title),
        "text": f"{sentence(note.text)}{took}",
        "diff": shortened(clean(with_short_paths(note.diff), keep="\n\t"), 20_000),
        "tried": note.seconds is not None,
    }


def _can_try_fixes(diagnosis: Diagnosis | None) -> bool:
    """Whether there is something to fix that nothing was tried for."""
    return diagnosis is not None and not diagnosis.trials and bool(fix_notes(diagnosis))


def _fixes_text(diagnosis: Diagnosis | None) -> str:
    if diagnosis is None:
        return "Fixes are looked for after the audit."
    if diagnosis.trials:
        works = sum(each.mark == "ok" for each in fix_notes(diagnosis))
        tried = counted(len(diagnosis.trials), "fix", "fixes")
        return f"{tried} tried on this model, compiled and compared with eager: {works} work."
    if not any(each.points and not each.is_allowed for each in diagnosis.findings):
        return "Nothing has to be fixed: nothing is wrong that is not allowed."
    if diagnosis.policy == "VARIANTS":
        return "Nothing has to be fixed: under VARIANTS a call elsewhere gets a graph of its own."
    return "None was tried yet: below is advice. Trying compiles each and compares it with eager."


__all__ = ["NOT_AUDITED", "diagnosis_view", "guard_view"]

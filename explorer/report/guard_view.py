"""A Compilation and its Diagnosis in; at which sizes it is wrong, why, what helps, as data, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    from explorer.trying import Ran, Trial

COLOURS = 8
LONGEST_TEXT = 2_000
"""Characters of one sentence."""

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
    view["name"] = _text(compilation.name, _LONGEST_NAME)
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
        "example": _text(point_text(dict(captured.hints))),
        "lead": _lead(captured, diagnosis),
        "policy_text": "" if diagnosis is None else f"Policy {policy_text(diagnosis)}.",
        "status": "not audited" if diagnosis is None else _status(diagnosis.audit),
        "is_clean": diagnosis is not None and diagnosis.is_clean,
        "inputs": [
            {
                "key": each.name,
                "name": _text(each.name, 80),
                "value": each.hint,
                "is_size": each.is_size,
                "text": f"{'size' if each.is_size else 'argument'}, {each.hint} in the example",
            }
            for each in dimensions
        ],
        "axes": _axes(captured, config, diagnosis, table, example),
        "map": None if diagnosis is None else map_view(diagnosis.audit),
        "legend": dict(STATES),
        "findings": _findings(captured, diagnosis),
        "sites": [_site(i, each) for i, each in enumerate(captured.branch_sites[:_MOST_ROWS])],
        "conditions": [
            _condition(i, each)
            for i, each in enumerate(captured.guards[:_MOST_ROWS])
            if not each.is_bound
        ],
        "specializations": [
            {"text": _text(specialization_text(each)), "line": _line(each.location)}
            for each in captured.specializations[:_MOST_ROWS]
        ],
        "notes": _notes(diagnosis),
        "fixes": [] if diagnosis is None else [_fix(each) for each in fix_notes(diagnosis)],
        "fixes_text": _fixes_text(diagnosis),
        "can_try_fixes": _can_try_fixes(diagnosis),
        "domain_text": _domain_text(captured, config, diagnosis),
        "cover_problem": _cover_problem(policy),
    }


def _text(text: object, width: int = LONGEST_TEXT) -> str:
    return shortened(clean(with_short_paths(shortened(str(text), 2 * LONGEST_TEXT))), width)


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
    parts = [f"Right for {right_text(audit)}"]
    parts += [f"{name} {text}" for name, text in wrong_texts(diagnosis).items()]
    fails = sum(each.failing_points for each in audit.groups)
    if fails:
        sizes = counted_intervals(audit.eager_fails) if audit.eager_fails else ""
        parts.append(f"the model itself fails at {sizes or counted(fails, 'point')}")
    if audit.not_known:
        parts.append(f"not known at {counted_intervals(audit.not_known)}")
    return _text("; ".join(parts) + ".")


def _status(audit: GuardAudit) -> str:
    return f"{audit.status.value}: {_text(audit.coverage)}"


def _notes(diagnosis: Diagnosis | None) -> list[Row]:
    """Sentences beside the findings; ``is_bad`` for what is a reason to worry."""
    if diagnosis is None:
        return []
    audit = diagnosis.audit
    bad = [*(f"Not known: {each}." for each in audit.unknown)]
    if audit.status is AuditStatus.SAMPLED:
        bad.append("Not every point was looked at; a single size can be tried and is then exact.")
    texts = [*audit.notes, *beside_sentences(diagnosis)]
    rows = [{"text": _text(each), "is_bad": True} for each in bad]
    worrying = ("Trap: ", "MISMATCH", "Whether eager works")
    return rows + [{"text": _text(each), "is_bad": each.startswith(worrying)} for each in texts]


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
        parts.append(f"exact sizes {listed(map(str, row['exact']), 8)}")
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
    conditions = [_text(each.guard.text, _LONGEST_NAME) for each in finding.violations]
    sites = captured.branch_sites
    return {
        "kind": finding.kind.value,
        "title": f"{finding.kind.value}{' (allowed)' if finding.is_allowed else ''}",
        "place": _text(place_text(finding.location), _LONGEST_NAME),
        "line": _line(finding.location),
        "code": _text(finding.location.text if finding.location else conditions[0]),
        "site": next((i for i, each in enumerate(sites) if each is finding.site), None),
        "guards": [each.index for each in finding.violations if each.index < known],
        "conditions": listed(conditions, 4),
        "sentences": [_text(each) for each in finding_sentences(diagnosis, finding)],
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
        "place": _text(place_text(site.location), _LONGEST_NAME),
        "line": _line(site.location),
        "code": _text(site.location.text),
        "test": _text(source_between(site.location)),
        "text": _text(site.text),
        "kind": site.kind.value,
        "words": f"{said} in the capture; {_RECORDED[site.recorded_as]}",
        "guards": list(site.guards),
    }


def _condition(index: int, guard: GuardRecord) -> Row:
    return {
        "index": index,
        "text": _text(guard.text),
        "made_by": guard.operator or guard.origin.value,
        "place": _text(place_text(guard.location), _LONGEST_NAME),
        "line": _line(guard.location),
        "code": _text(guard.location.text) if guard.location else "",
    }


def _fix(note: FixNote) -> Row:
    took = "" if note.seconds is None else f" ({seconds_text(note.seconds)})"
    return {
        "mark": note.mark,
        "words": _FIX_WORDS[note.mark],
        "title": _text(note.title),
        "text": f"{_text(note.text)}{took}",
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


# ------------------------------------------------------------------------------ trials and coverage


def trial_view(trial: Trial) -> Row:
    """One trial: ``sizes sizes_text outcome is_wrong columns policy``."""
    columns = [_ran("model as it is", trial.eager)]
    if trial.compiled is not None:
        columns.append(_ran("compiled", trial.compiled))
    if trial.unchecked is not None:
        columns.append(_ran("graph, if nothing checked", trial.unchecked))
    wrong = trial.outcome.value == "different"
    return {
        "sizes": {clean(name): value for name, value in trial.sizes.items()},
        "sizes_text": _text(trial.sizes_text, _LONGEST_NAME),
        "outcome": trial.outcome.value,
        "is_wrong": wrong,
        "columns": columns,
        "policy": _text(trial.policy),
    }


def _ran(head: str, ran: Ran) -> Row:
    return {
        "head": head,
        "text": _text(ran.text),
        "has_failed": ran.has_failed,
        "difference": _text(ran.difference),
    }


def coverage_view(coverage: Coverage) -> Row:
    """Which graph serves which sizes: ``summary is_complete regions uncovered fails``."""
    fails = coverage.eager_fails
    return {
        "summary": _text(coverage.summary()),
        "is_complete": coverage.is_complete,
        "dimensions": [clean(each) for each in coverage.dimensions],
        "first": min((low for low, _ in coverage.domain.values()), default=1),
        "last": max((high for _, high in coverage.domain.values()), default=1),
        "regions": [
            {
                "variant": each.variant,
                "label": f"#{each.variant}",
                "colour": each.variant % COLOURS,
                "intervals": [list(pair) for pair in each.intervals[:_MOST_ROWS]],
                "is_cut": len(each.intervals) > _MOST_ROWS,
                "text": _region_text(each),
            }
            for each in coverage.regions
        ],
        "uncovered": [
            _text(f"Not covered: {point_text(each.sizes)}: {each.reason}")
            for each in coverage.uncovered[:_MOST_ROWS]
        ],
        "fails_text": _text(f"The model itself fails at {counted_intervals(fails)}.")
        if fails
        else "",
    }


def _region_text(region: Any) -> str:
    where = counted(region.points, "point")
    if region.intervals:
        where = counted_intervals(region.intervals)
    same = "" if region.same_graph_as is None else f", the same program as #{region.same_graph_as}"
    captured = point_text(region.example)
    return _text(f"Graph #{region.variant}, captured at {captured}, serves {where}{same}.")


__all__: Sequence[str] = [
    "NOT_AUDITED",
    "coverage_view",
    "diagnosis_view",
    "guard_view",
    "trial_view",
]

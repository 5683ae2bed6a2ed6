"""An audit or a diagnosis in, its findings in words out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from explorer.artifacts import GuardOrigin
from explorer.artifacts.audited import AuditStatus, EagerOutcome, GuardAudit, SignatureGroup
from explorer.artifacts.diagnosed import (
    Answer,
    AnswerKind,
    Diagnosis,
    Finding,
    FindingKind,
    FixTrial,
    TrialOutcome,
)
from explorer.guards.fixes import FIXES, Fix, Situation
from explorer.guards.intervals_text import counted_intervals, intervals_text, merged, point_text
from explorer.guards.places import source_between
from explorer.report.wording import clean, counted, place_text, with_short_paths

_WIDTH = 110
_MARKS = {
    TrialOutcome.WORKS: "ok",
    TrialOutcome.LOUD: "!!",
    TrialOutcome.WRONG: "no",
    TrialOutcome.FAILS: "no",
    TrialOutcome.NOT_APPLICABLE: "--",
}
_POLICY_TEXTS = {
    "DROP": "The condition is dropped: the graph runs",
    "CHECK": "A call there raises GuardViolation. Without the check (GuardPolicy.DROP, or vLLM) "
    "the graph runs",
    "VARIANTS": "A call there captures another graph. Without that (GuardPolicy.DROP, or vLLM) "
    "this graph runs",
}


def report(audit: GuardAudit) -> str:
    """What the graph is right for, what it returns elsewhere, what may help; compiles nothing."""
    from explorer.guards.diagnosis import diagnosis_of

    judge: Any = audit.judge
    return diagnosis_text(diagnosis_of(audit, judge.captured, judge.config))


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The whole diagnosis: the answer, each finding, what is not the author's doing, the fixes."""
    parts = [_head(diagnosis)]
    parts += [_finding(diagnosis, each) for each in diagnosis.findings]
    parts.append(_beside(diagnosis))
    if any(each.points and not each.is_allowed for each in diagnosis.findings):
        parts.append(_fixes(diagnosis))
    lines = [line for part in parts if part for line in (*part, "")]
    return "\n".join(clean(with_short_paths(line)) for line in lines[:-1])


def _wrapped(text: str, indent: str = "  ", hanging: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + hanging
    ) or [indent.rstrip()]


# --------------------------------------------------------------------------------------- the answer


def _head(diagnosis: Diagnosis) -> list[str]:
    audit = diagnosis.audit
    ranges = ", ".join(f"{name} = {a}-{b}" for name, (a, b) in audit.domain.items())
    lines = [f"{ranges or 'Nothing is dynamic'}: {audit.status.value}, {audit.coverage}"]
    lines += _wrapped(f"right for    {_right_text(audit)}", hanging=" " * 13)
    if any(each.points for each in diagnosis.findings):
        named = [p for f in diagnosis.findings for v in f.violations for p in v.intervals]
        sizes = intervals_text(merged(named)) if named and len(audit.dimensions) == 1 else ""
        wrong = sum(each.points - each.failing_points for each in audit.groups)
        lines += _wrapped(f"wrong at     {sizes or counted(wrong, 'point')}", hanging=" " * 13)
    fails = sum(each.failing_points for each in audit.groups)
    if fails:
        sizes = intervals_text(audit.eager_fails) if audit.eager_fails else ""
        text = (
            f"{sizes or counted(fails, 'point')}: not a specialization, the model rejects them too"
        )
        lines += _wrapped(f"eager fails  {text}", hanging=" " * 13)
    if audit.not_known:
        lines += _wrapped(f"not known    {intervals_text(audit.not_known)}", hanging=" " * 13)
    lines += [line for why in audit.unknown for line in _wrapped(f"not known    {why}")]
    lines += [line for note in audit.notes for line in _wrapped(f"note         {note}")]
    return lines


def _right_text(audit: GuardAudit) -> str:
    if audit.status is AuditStatus.UNKNOWN:
        return "no size that is known: not every condition could be evaluated"
    if audit.valid is None:
        count = int(audit.region.mask.sum())
        return f"{count:,} of {audit.region.mask.size:,} points that were looked at"
    text = counted_intervals(audit.valid)
    if audit.valid_by_probe:
        text += f", and {', '.join(map(str, audit.valid_by_probe))} by a capture of its own"
    return text


# ----------------------------------------------------------------------------------------- findings


def _finding(diagnosis: Diagnosis, finding: Finding) -> list[str]:
    place = place_text(finding.location)
    code = finding.location.text if finding.location else finding.violations[0].guard.text
    title = finding.kind.value.upper()
    allowed = "   (allowed)" if finding.is_allowed else ""
    reads = ", ".join(
        f"{name} = {source}" for name, source in _names_of_sources(diagnosis, finding).items()
    )
    head = f"{title}   {place}   {code}{allowed}"
    lines = [f"{head}{' ' * max(3, 90 - len(head))}{reads}" if reads else head]
    lines += _wrapped(_what_happened(diagnosis, finding))
    lines += _wrapped(_what_it_returns(diagnosis, finding))
    lines += _wrapped(_affected(diagnosis, finding))
    for each in finding.hidden:
        test = source_between(each.location)
        lines += _wrapped(f"Behind it, never reached: {place_text(each.location)} `{test}`")
    return lines


def _names_of_sources(diagnosis: Diagnosis, finding: Finding) -> Mapping[str, str]:
    sources = {s for each in finding.violations for s in each.guard.sources}
    names = [each.dimension for each in finding.violations if each.dimension]
    if len(sources) == 1 and len(set(names)) == 1:
        return {names[0]: sources.pop()}
    return {}


def _what_happened(diagnosis: Diagnosis, finding: Finding) -> str:
    hints = point_text(diagnosis.hints)
    first = finding.violations[0].guard
    if finding.kind is FindingKind.BRANCH and finding.site is not None:
        answer = finding.site.answers[0] if len(finding.site.answers) == 1 else None
        test = source_between(finding.site.location)
        text = f"One graph was captured at {hints}. The test `{test}` was {answer} there, "
        if finding.frozen:
            return text + (
                f"so only that side is in the graph: it {finding.frozen}. "
                f"The other side {finding.other}."
            )
        return text + "so only that side is in the graph."
    if finding.kind is FindingKind.LOOP:
        tests = finding.site.answers.count(True) if finding.site else 0
        asked = len(finding.site.expressions) if finding.site else 0
        times = counted(max(asked - 1, tests), "time")
        return f"One graph was captured at {hints}. The loop was unrolled {times} there."
    if finding.kind is FindingKind.INT and finding.site is not None:
        test, value = source_between(finding.site.location), finding.site.answers[0]
        return (
            f"One graph was captured at {hints}. `{test}` needs {finding.site.text} as a number, "
            f"which was {value} there and is a constant of the graph: it is right only where "
            f"{first.text}."
        )
    if finding.kind is FindingKind.OPERATOR:
        return (
            f"The operator {first.operator} tested its arguments: the graph was recorded for "
            f"{' and '.join(v.guard.text for v in finding.violations)}."
        )
    if finding.kind is FindingKind.FRAMEWORK:
        why = "; ".join(v.text for v in finding.violations if v.text)
        return (
            f"Not your code: the framework assumed {first.text}. A capture below gives another "
            f"graph{f' ({why})' if why else ''}."
        )
    if finding.kind is FindingKind.VALUE:
        return f"A Python value is a constant of the graph: it is right only where {first.text}."
    if finding.kind is FindingKind.CHECK:
        return f"The model says so itself: {first.text}."
    return f"The graph is right only where {first.text}."


def _what_it_returns(diagnosis: Diagnosis, finding: Finding) -> str:
    wrong = [each for each in finding.answers if each.kind in (AnswerKind.WRONG, AnswerKind.RAISES)]
    if not wrong:
        return _nothing_seen(finding)
    policy = _POLICY_TEXTS[diagnosis.policy]
    first = wrong[0]
    if first.kind is AnswerKind.RAISES:
        return f"{policy} and fails: at {point_text(first.sizes)} {first.problem}"
    shown = "; ".join(_answer_text(each) for each in wrong)
    instead = ""
    if finding.frozen.startswith("returns") and finding.other.startswith("returns"):
        given, expected = finding.frozen.removeprefix("returns "), finding.other
        instead = f" {given} instead of {expected.removeprefix('returns ')}"
    verb = f"returns{instead}" if instead else "gives another result"
    return f"{policy} and {verb} without an error: {shown}."


def _nothing_seen(finding: Finding) -> str:
    if not finding.answers:
        return ""
    same = [each for each in finding.answers if each.kind is AnswerKind.SAME]
    if same:
        points = "; ".join(point_text(each.sizes) for each in same)
        return (
            f"The graph gave eager's result at {points} all the same: the condition is stricter "
            "than it has to be there, or both sides agree for these inputs."
        )
    return f"What it returns there is not known: {finding.answers[0].problem}."


def _answer_text(answer: Answer) -> str:
    largest = "" if answer.largest is None else f", by up to {answer.largest:.3g}"
    return f"at {point_text(answer.sizes)} {answer.problem}{largest}"


def _affected(diagnosis: Diagnosis, finding: Finding) -> str:
    first = finding.violations[0]
    total = _total(diagnosis.audit)
    by_size = bool(first.intervals) and len(diagnosis.audit.dimensions) == 1
    text = f"Affected: {finding.points:,} of {total:,} {'sizes' if by_size else 'points'}"
    if first.intervals:
        runs = intervals_text(merged(p for each in finding.violations for p in each.intervals))
        text += f" ({runs})" if by_size else f" ({first.dimension} = {runs})"
    else:
        text += f", such as {point_text(first.example)}"
    return f"{text}."


def _total(audit: GuardAudit) -> int:
    total = 1
    for first, last in audit.domain.values():
        total *= last - first + 1
    return total


# ---------------------------------------------------------------------------- beside the findings


def _beside(diagnosis: Diagnosis) -> list[str]:
    audit, lines = diagnosis.audit, []
    for guard in audit.guards:
        if guard.origin is GuardOrigin.ZERO_ONE:
            lines += _wrapped(_zero_one_text(audit, guard.text, guard.operators))
    for each in diagnosis.specializations:
        at = f" at {place_text(each.location)}" if each.location else ""
        lines += _wrapped(f"Constant: {each.source} is {each.value} ({each.reason.value}{at}).")
    lines += [line for each in diagnosis.traps for line in _wrapped(f"Trap: {each}")]
    lines += _groups(audit)
    if diagnosis.checked:
        points = "; ".join(point_text(each) for each in diagnosis.checked)
        lines += _wrapped(
            f"Checked against eager, nothing guarding the call: "
            f"{counted(len(diagnosis.checked) + len(diagnosis.mismatches), 'point')} ({points}), "
            f"{counted(len(diagnosis.mismatches), 'mismatch', 'mismatches')}."
        )
    for each in diagnosis.mismatches:
        lines += _wrapped(f"MISMATCH where the conditions hold: {_answer_text(each)}.")
    for token in diagnosis.unmatched:
        lines += _wrapped(f"--allow {token} matches nothing.")
    return lines


def _zero_one_text(audit: GuardAudit, text: str, operators: Sequence[str]) -> str:
    relied = f" ({', '.join(operators[:4])} asked)" if operators else ""
    same = [each for each in audit.settled if each.difference is None]
    settled = ""
    if same:
        sizes = point_text(dict.fromkeys(same[0].names, 1))
        settled = f" A capture at {sizes} gives the same graph, so that size is fine."
    return f"Not your code: the framework assumed {text}{relied}.{settled}"


def _groups(audit: GuardAudit) -> list[str]:
    """How sure it is what eager does at the sizes that are not covered."""
    lines = []
    for group in audit.groups:
        where = _group_points(group)
        if group.eager is EagerOutcome.NOT_KNOWN:
            why = group.probes[0].problem if group.probes else "nothing was run"
            lines += _wrapped(f"Whether eager works is not known for {where}: {why}.")
        elif group.is_presumed and group.eager is not EagerOutcome.WORKS:
            ran = "; ".join(point_text(probe.sizes) for probe in group.probes[:4])
            lines += _wrapped(
                f"Eager {group.eager.value} for {where}: run at {ran}, else presumed."
            )
    works = [each for each in audit.groups if each.eager is EagerOutcome.WORKS and each.is_presumed]
    if works:
        count = counted(sum(len(each.probes) for each in works), "point")
        lines += _wrapped(
            f"Eager was run at {count} of the sizes that are not covered; at the others it is "
            "presumed to work, as where the same conditions do not hold."
        )
    return lines


def _group_points(group: SignatureGroup) -> str:
    if group.intervals:
        return intervals_text(group.intervals)
    return counted(group.points, "point")


# -------------------------------------------------------------------------------------------- fixes


def _fixes(diagnosis: Diagnosis) -> list[str]:
    tried = {each.fix: each for each in diagnosis.trials}
    lines = ["FIX" if tried else "FIX   (none was tried here: `explorer check` does)"]
    if "author" in tried:
        lines += _trial_lines("the version that you gave", tried["author"])
    for fix in _ordered(FIXES, tried):
        if fix.id in tried:
            lines += _trial_lines(fix.title, tried[fix.id])
        elif Situation.SIZE_TEST in fix.situations and _applies(fix, diagnosis):
            lines += _advice(fix)
    return lines


def _applies(fix: Fix, diagnosis: Diagnosis) -> bool:
    """A number that the graph has as a constant has no two sides."""
    kinds = {each.kind for each in diagnosis.findings if not each.is_allowed and each.points}
    return FindingKind.BRANCH in kinds or fix.id not in ("torch.cond", "torch.where")


def _ordered(fixes: Iterable[Fix], tried: Mapping[str, FixTrial]) -> list[Fix]:
    """Those that work first, then untried ones, then those that do not help."""

    def rank(fix: Fix) -> int:
        if fix.id in tried:
            return {"ok": 0, "!!": 1, "--": 2, "no": 3}[_MARKS[tried[fix.id].outcome]]
        return 2 if fix.helps else 4

    return sorted(fixes, key=rank)


def _trial_lines(title: str, trial: FixTrial) -> list[str]:
    mark = _MARKS[trial.outcome]
    lines = [f"  {mark}  {title}"]
    text = trial.text
    if trial.outcome is TrialOutcome.WORKS:
        text += f"; compiled, and equal to eager at {_points_text(trial.compared)}"
    lines += _wrapped(f"tried: {text} ({trial.seconds:.1f} s)", indent=" " * 6)
    lines += [f"      {line}" for line in trial.diff.splitlines()]
    return lines


def _points_text(points: Sequence[Mapping[str, int]]) -> str:
    shown = "; ".join(point_text(each) for each in points[:6])
    return shown if len(points) <= 6 else f"{shown} and {len(points) - 6} more"


def _advice(fix: Fix) -> list[str]:
    mark = "--" if fix.helps else "no"
    lines = [f"  {mark}  {fix.title}"]
    state = "not tried: " if fix.helps else ""
    return lines + _wrapped(f"{state}{fix.description} {fix.warnings[0]}", indent=" " * 6)

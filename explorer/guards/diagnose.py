"""A diagnosis in, its findings in words out."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.artifacts import GuardOrigin, Specialization, SpecializationReason
from explorer.artifacts.audited import (
    AuditStatus,
    EagerOutcome,
    GuardAudit,
    PointState,
    SignatureGroup,
)
from explorer.artifacts.diagnosed import AnswerKind, Diagnosis, Finding
from explorer.guards.finding_text import answer_text, finding_lines
from explorer.guards.fix_text import fix_lines
from explorer.guards.intervals_text import (
    counted_intervals,
    intervals_text,
    merged,
    point_text,
    points_text,
)
from explorer.guards.lines import wrapped
from explorer.report.wording import counted, listed, place_text

_POLICY_TEXTS = {
    "DROP": "DROP: nothing checks a call, so elsewhere it gets what is said below",
    "CHECK": "CHECK: a call elsewhere raises GuardViolation; below is what the graph does when "
    "nothing checks it (GuardPolicy.DROP, or vLLM)",
    "VARIANTS": "VARIANTS: a call elsewhere gets a graph of its own; below is what this one does "
    "there when nothing checks it (GuardPolicy.DROP, or vLLM)",
}
_EVALUATED = (
    "evaluate_guards: a call that a test on sizes does not hold for fails, and values are not "
    "looked at; below is what the graph does when nothing checks it"
)
_HEAD_INDENT = " " * 13


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """The whole diagnosis: the answer, each finding, what is not the author's doing, the fixes."""
    parts = [_head(diagnosis)]
    parts += [finding_lines(diagnosis, each) for each in diagnosis.findings]
    parts.append(_beside(diagnosis))
    parts.append(fix_lines(diagnosis))
    lines = [line for part in parts if part for line in (*part, "")]
    return "\n".join(lines[:-1])


# --------------------------------------------------------------------------------------- the answer


def _head(diagnosis: Diagnosis) -> list[str]:
    audit = diagnosis.audit
    ranges = ", ".join(f"{name} = {a}-{b}" for name, (a, b) in audit.domain.items())
    first = f"{ranges}: {audit.status.value}, {audit.coverage}"
    lines = wrapped(first if ranges else "Nothing is dynamic: there is only the example", indent="")
    lines += _row("right for", right_text(audit))
    lines += _wrong_rows(diagnosis)
    fails = sum(each.failing_points for each in audit.groups)
    if fails:
        sizes = counted_intervals(audit.eager_fails) if audit.eager_fails else ""
        text = f"{sizes or counted(fails, 'point')}: no fault of the graph, the model fails as well"
        lines += _row("eager fails", text)
    if audit.not_known:
        lines += _row("not known", intervals_text(audit.not_known))
    lines += [line for why in audit.unknown for line in _row("not known", why)]
    lines += [line for note in audit.notes for line in _row("note", note)]
    if diagnosis.findings:
        lines += _row("policy", policy_text(diagnosis))
    return lines


def policy_text(diagnosis: Diagnosis) -> str:
    """What a call gets that the graph is not right for."""
    return _EVALUATED if diagnosis.evaluates_guards else _POLICY_TEXTS[diagnosis.policy]


def _row(name: str, text: str) -> list[str]:
    return wrapped(f"{name:<11}  {text}", hanging=_HEAD_INDENT)


def right_text(audit: GuardAudit) -> str:
    """The sizes that the graph is right for, and how many they are."""
    if audit.status is AuditStatus.UNKNOWN:
        return "no size that is known: not every condition could be evaluated"
    if audit.valid is None:
        right = (PointState.VALID, PointState.VALID_BY_PROBE, PointState.RUNS_EAGERLY)
        count = sum(int(audit.region.where(each).sum()) for each in right)
        return f"{count:,} of {audit.region.mask.size:,} points that were looked at"
    text = counted_intervals(audit.valid) if audit.valid else "no size by its conditions"
    if audit.valid_by_probe:
        text += f", and {', '.join(map(str, audit.valid_by_probe))} by a capture of its own"
    return text


def _wrong_rows(diagnosis: Diagnosis) -> list[str]:
    return [line for name, text in wrong_texts(diagnosis).items() for line in _row(name, text)]


def wrong_texts(diagnosis: Diagnosis) -> dict[str, str]:
    """The sizes that are not covered, those that the author allows apart; empty when all are.

    The first key is ``wrong at`` where every run there gave another result, else ``not covered``.
    """
    open_ones = [each for each in diagnosis.findings if not each.is_allowed and each.points]
    found = {}
    if open_ones:
        answers = {answer.kind for each in open_ones for answer in each.answers}
        is_plain = bool(answers) and answers <= {AnswerKind.WRONG, AnswerKind.RAISES}
        found["wrong at" if is_plain else "not covered"] = _where(diagnosis, open_ones)
    allowed = [each for each in diagnosis.findings if each.is_allowed and each.points]
    if allowed:
        found["allowed"] = _where(diagnosis, allowed)
    return found


def _where(diagnosis: Diagnosis, findings: Sequence[Finding]) -> str:
    """The sizes of some findings, each counted once."""
    violations = [each for finding in findings for each in finding.violations]
    if len(diagnosis.audit.dimensions) == 1 and all(each.intervals for each in violations):
        return counted_intervals(merged(pair for each in violations for pair in each.intervals))
    indices = {each.index for each in violations}
    groups = [each for each in diagnosis.audit.groups if indices & set(each.signature)]
    return counted(sum(each.points - each.failing_points for each in groups), "point")


# ---------------------------------------------------------------------------- beside the findings


def _beside(diagnosis: Diagnosis) -> list[str]:
    return [line for text in beside_sentences(diagnosis) for line in wrapped(text)]


def beside_sentences(diagnosis: Diagnosis) -> list[str]:
    """What is not the author's doing, what became a constant, what was compared."""
    audit, texts = diagnosis.audit, []
    said = {v.index for finding in diagnosis.findings for v in finding.violations}
    for index, guard in enumerate(audit.guards):
        if guard.origin is GuardOrigin.ZERO_ONE and index not in said and audit.domain:
            texts.append(_zero_one_text(audit, guard.text, guard.operators))
    texts += [specialization_text(each) for each in diagnosis.specializations]
    texts += [f"Trap: {each}" for each in diagnosis.traps]
    texts += _groups(audit)
    texts.append(_checked(diagnosis))
    texts += _second_look(audit)
    for each in diagnosis.mismatches:
        texts.append(f"MISMATCH where the conditions hold: {answer_text(each)}.")
    for token in diagnosis.unmatched:
        texts.append(f"Allowed, but nothing of that name was found: {token}")
    return texts


def _second_look(audit: GuardAudit) -> list[str]:
    """Where the questions of the trace and the conditions that were kept of them disagree."""
    replay, parts = audit.replay, []
    if replay is None or replay.agrees:
        return []
    if replay.stricter_points:
        sizes = f" ({intervals_text(replay.stricter)})" if replay.stricter else ""
        parts.append(
            f"otherwise at {counted(replay.stricter_points, 'point')} that the conditions accept"
            f"{sizes}"
        )
    if replay.laxer_points:
        sizes = f" ({intervals_text(replay.laxer)})" if replay.laxer else ""
        parts.append(f"alike at {counted(replay.laxer_points, 'point')} that they rule out{sizes}")
    return [
        f"A second look: the questions of the trace would be answered {', and '.join(parts)}. "
        "It changes nothing above."
    ]


def specialization_text(each: Specialization) -> str:
    """An input that became a constant or tied to another one."""
    at = f" at {place_text(each.location)}" if each.location else ""
    if each.reason is SpecializationReason.UNIFIED:
        return (
            f"Tied: {each.source} has to be {each.value}{at}. Give both dims one name if they are "
            "one size, or allow it."
        )
    text = f"Constant: {each.source} is {each.value} in the graph ({each.reason.value}{at})."
    if each.reason is SpecializationReason.PYTHON_VALUE:
        text += " Name it in the domain to look at other values, or allow it."
    return text


def _checked(diagnosis: Diagnosis) -> str:
    if not diagnosis.checked and not diagnosis.mismatches:
        return "The graph was not compared with eager where it is right."
    points = points_text(diagnosis.checked) if diagnosis.checked else ""
    count = len(diagnosis.checked) + len(diagnosis.mismatches)
    return (
        f"Compared with eager where the conditions hold: {counted(count, 'point')}"
        f"{f' ({points})' if points else ''}, "
        f"{counted(len(diagnosis.mismatches), 'mismatch', 'mismatches')}."
    )


def _zero_one_text(audit: GuardAudit, text: str, operators: Sequence[str]) -> str:
    relied = f" ({listed(operators, 4)} asked)" if operators else ""
    same = [
        each for each in audit.settled if each.difference is None and text.split()[0] in each.names
    ]
    settled = ""
    if same:
        sizes = point_text(dict.fromkeys(same[0].names, 1))
        settled = f" A capture at {sizes} gives the same graph, so that size is fine."
    return f"Not your code: the framework assumed {text}{relied}.{settled}"


def _groups(audit: GuardAudit) -> list[str]:
    """How sure it is what eager does at the sizes that are not covered."""
    texts = []
    for group in audit.groups:
        if group.eager is EagerOutcome.NOT_KNOWN:
            why = group.probes[0].problem if group.probes else "nothing was run"
            texts.append(f"Whether eager works at {_group_points(group)} is not known: {why}.")
    presumed = [
        each
        for each in audit.groups
        if each.is_presumed and each.eager is not EagerOutcome.NOT_KNOWN
    ]
    if presumed:
        runs = sum(len(each.probes) for each in audit.groups)
        count = counted(sum(each.points for each in audit.groups), "point")
        texts.append(
            f"Eager was run at {runs:,} of the {count} that do not fulfil every condition; the "
            "others are presumed to behave as those at which the same conditions do not hold."
        )
    return texts


def _group_points(group: SignatureGroup) -> str:
    if group.intervals:
        return intervals_text(group.intervals)
    return counted(group.points, "point")

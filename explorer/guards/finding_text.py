"""One finding in, its lines in a report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from explorer.artifacts.audited import GuardAudit
from explorer.artifacts.diagnosed import Answer, AnswerKind, Diagnosis, Finding, FindingKind
from explorer.guards.intervals_text import merged, point_text, points_text, short_intervals
from explorer.guards.lines import WIDTH, one_line, wrapped
from explorer.guards.places import source_between
from explorer.guards.whole_tests import place_of_test
from explorer.report.wording import counted, listed, place_text

_SHORTEST_CODE = 40
_WRONG = (AnswerKind.WRONG, AnswerKind.RAISES)


def finding_lines(diagnosis: Diagnosis, finding: Finding) -> list[str]:
    """The line, what is frozen, what the graph returns, how many sizes that is."""
    sentences = finding_sentences(diagnosis, finding)
    return [*_title(finding), *(line for text in sentences for line in wrapped(text))]


def finding_sentences(diagnosis: Diagnosis, finding: Finding) -> list[str]:
    """What is frozen, what the graph returns, how many sizes that is: paragraphs without titles."""
    texts = [
        _what_happened(diagnosis, finding),
        _what_it_returns(diagnosis, finding),
        _affected(diagnosis.audit, finding),
        _hidden(finding),
    ]
    return [text for text in texts if text]


def _title(finding: Finding) -> list[str]:
    """The kind, the place and the code on one line; on two where the path is long."""
    reads = "".join(f"   {name} = {source}" for name, source in _names_of_sources(finding).items())
    kind = f"{finding.kind.value.upper()}{' (allowed)' if finding.is_allowed else ''}"
    place = place_text(finding.location)
    begin = f"{kind}   {place}" if place else kind
    end = one_line(reads)
    code = finding.location.text if finding.location else finding.violations[0].guard.text
    room = WIDTH - len(begin) - len(end) - 3
    if room >= min(_SHORTEST_CODE, len(code)):
        return [f"{one_line(begin)}   {one_line(code, room)}{end}"]
    return [one_line(f"{begin}{end}"), f"  {one_line(code, WIDTH - 2)}"]


def _names_of_sources(finding: Finding) -> Mapping[str, str]:
    sources = {s for each in finding.violations for s in each.guard.sources}
    names = {each.dimension for each in finding.violations if each.dimension}
    if len(sources) == 1 and len(names) == 1 and names != sources:
        return {names.pop(): sources.pop()}
    return {}


# ------------------------------------------------------------------------------------ what happened


def _what_happened(diagnosis: Diagnosis, finding: Finding) -> str:
    captured = f"One graph was captured at {point_text(diagnosis.hints)}."
    describe = _DESCRIBED.get(finding.kind)
    said = describe(finding) if describe is not None else ""
    if said:
        return said if finding.kind not in _TOLD_WITH_CAPTURE else f"{captured} {said}"
    return f"{captured} It is right only where {_conditions(finding)}."


def _conditions(finding: Finding) -> str:
    return listed([each.guard.text for each in finding.violations], 4)


def _branch(finding: Finding) -> str:
    if finding.site is None:
        return ""
    test = source_between(place_of_test(finding.site.location))
    if len(finding.site.answers) != 1 and not finding.frozen:
        return (
            f"The test `{test}` was made several times there, with both answers, and the graph "
            f"keeps each: it is right only where {_conditions(finding)}."
        )
    answer = len(finding.site.answers) == 1 and bool(finding.site.answers[0])
    text = f"The test `{test}` was {answer} there, so only that side is in "
    text += "the graph"
    text += f": it {finding.frozen}. The other side {finding.other}." if finding.frozen else "."
    guard = finding.violations[0].guard
    if guard.is_bound:
        text += f" It left no condition of its own: the framework had assumed {guard.text} before."
    return text


def _loop(finding: Finding) -> str:
    if finding.site is None:
        return ""
    test = source_between(place_of_test(finding.site.location))
    turns = finding.site.answers.count(True) and len(finding.site.expressions) - 1
    if not finding.site.answers.count(True):
        return (
            f"The loop was left at once, as `{test}` was False there: the graph has no turn of it."
        )
    if False not in finding.site.answers:
        return f"The loop over `{test}` was unrolled: the graph has as many turns as it took there."
    return f"The loop was unrolled: after {counted(turns, 'turn')} in the graph `{test}` was False."


def _number(finding: Finding) -> str:
    if finding.site is None:
        return ""
    test, value = source_between(finding.site.location), finding.site.answers[0]
    return (
        f"`{test}` needs {finding.site.text} as a number, which was {value} there and is a "
        f"constant of the graph: it is right only where {_conditions(finding)}."
    )


def _operator(finding: Finding) -> str:
    names = {each.guard.operator for each in finding.violations if each.guard.operator}
    who = f"The operator {', '.join(sorted(names))}" if names else "An operator"
    return f"{who} tested its arguments: the graph is right only where {_conditions(finding)}."


def _framework(finding: Finding) -> str:
    guard = finding.violations[0].guard
    asked = f" ({listed(guard.operators, 4)} asked)" if guard.operators else ""
    text = f"Not your code: the framework assumed {guard.text}{asked}."
    why = "; ".join(one_line(each.text, 160) for each in finding.violations if each.text)
    return f"{text} A capture at the size left out gives another graph: {why}." if why else text


def _value(finding: Finding) -> str:
    return (
        f"A Python value is a constant of the graph: it is right only where {_conditions(finding)}."
    )


def _check(finding: Finding) -> str:
    return f"The model says so itself: {_conditions(finding)}."


_DESCRIBED: Mapping[FindingKind, Callable[[Finding], str]] = {
    FindingKind.BRANCH: _branch,
    FindingKind.LOOP: _loop,
    FindingKind.INT: _number,
    FindingKind.OPERATOR: _operator,
    FindingKind.FRAMEWORK: _framework,
    FindingKind.VALUE: _value,
    FindingKind.CHECK: _check,
}
_TOLD_WITH_CAPTURE = (FindingKind.BRANCH, FindingKind.LOOP, FindingKind.INT)


# ------------------------------------------------------------------------------- what it returns


def _what_it_returns(diagnosis: Diagnosis, finding: Finding) -> str:
    wrong = [each for each in finding.answers if each.kind in _WRONG]
    same = [each for each in finding.answers if each.kind is AnswerKind.SAME]
    if not wrong:
        return _nothing_seen(finding, same)
    if wrong[0].kind is AnswerKind.RAISES:
        does = "the graph fails where the model does not"
    else:
        does = f"the graph returns {_instead(finding) or 'another result'}, without an error"
    unchecked = "Unchecked, " if diagnosis.policy != "DROP" or diagnosis.evaluates_guards else ""
    text = f"{unchecked}{does}: {'; '.join(answer_text(each) for each in wrong)}."
    if same:
        text += f" At {point_text(same[0].sizes)} it gives eager's result all the same."
    return text[0].upper() + text[1:]


def _instead(finding: Finding) -> str:
    """``x + 1 instead of x * 2``, where both sides leave the function."""
    if finding.frozen.startswith("returns") and finding.other.startswith("returns"):
        given, expected = (
            each.removeprefix("returns ") for each in (finding.frozen, finding.other)
        )
        return f"{given} instead of {expected}"
    return ""


def _nothing_seen(finding: Finding, same: list[Answer]) -> str:
    if same:
        points = points_text([each.sizes for each in same])
        return (
            f"No wrong result was seen: the graph gives eager's result at {points}. The condition "
            "may be stricter than it has to be, or both sides agree for these inputs."
        )
    if finding.answers:
        return f"What the graph returns there is not known: {finding.answers[0].problem}."
    return ""


def answer_text(answer: Answer) -> str:
    """What was seen at one point."""
    largest = f", by up to {answer.largest:.3g}" if answer.largest else ""
    return f"at {point_text(answer.sizes)} {one_line(answer.problem, 240)}{largest}"


def _affected(audit: GuardAudit, finding: Finding) -> str:
    first = finding.violations[0]
    by_size = bool(first.intervals) and len(audit.dimensions) == 1
    total = 1
    for low, high in audit.domain.values():
        total *= high - low + 1
    text = f"Affected: {finding.points:,} of {total:,} {'sizes' if by_size else 'points'}"
    if first.intervals:
        runs = short_intervals(merged(p for each in finding.violations for p in each.intervals))
        return f"{text}: {'' if by_size else f'{first.dimension} = '}{runs}."
    return f"{text}, such as {point_text(first.example)}."


def _hidden(finding: Finding) -> str:
    if not finding.hidden:
        return ""
    tests = [
        f"`{source_between(each.location)}` in line {each.location.line}" for each in finding.hidden
    ]
    return f"Never reached because of it: {listed(tests, 6)}."

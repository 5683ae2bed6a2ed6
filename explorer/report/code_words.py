"""What is marked at a line of code in, sentences out: for tooltips, terminals, screen readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.artifacts import (
    BranchSite,
    Enforcement,
    GuardOrigin,
    GuardRecord,
    RecordedAs,
    SiteKind,
)
from explorer.guards.listing import enforcement_of
from explorer.guards.places import source_between
from explorer.guards.sides import sides_of
from explorer.guards.whole_tests import answer_of_statement, place_of_test
from explorer.report.code_marks import Mark
from explorer.report.folding import SPLITTING_MARK
from explorer.report.wording import clean, counted, listed, shortened

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_VALUES = 6
MOST_CONDITIONS = 4

_LONGEST = 300

MADE_BY: Mapping[GuardOrigin, str] = {
    GuardOrigin.BRANCH: "a test in the model",
    GuardOrigin.ASSERT: "an assert in the model",
    GuardOrigin.TORCH_CHECK: "torch._check in the model",
    GuardOrigin.INT_SPECIALIZATION: "a size that is needed as a number",
    GuardOrigin.OPERATOR: "an operator",
    GuardOrigin.RANGE: "the capture, as a bound of a size",
    GuardOrigin.ZERO_ONE: "the framework, which sets sizes 0 and 1 apart",
    GuardOrigin.DUCK_EQUAL: "torch, as two dims had one size in the example",
    GuardOrigin.STATIC_DIM: "a dim that was not asked to be dynamic",
    GuardOrigin.VALUE: "a Python value",
    GuardOrigin.INDUCTOR: "the compiler",
    GuardOrigin.DECLARED: "names or marks that you gave",
    GuardOrigin.OTHER: "torch",
}
HELD_BY: Mapping[Enforcement, str] = {
    Enforcement.CHECKED: "a call that does not fulfil it raises GuardViolation",
    Enforcement.RUNTIME_ASSERT: "the graph tests it itself and raises",
    Enforcement.ROUTED: "another artifact or graph serves a call that does not fulfil it",
    Enforcement.DROPPED: "nothing looks at it at run time, so that the answer may be wrong",
}


def nodes_text(count: int, letters: list[dict[str, Any]]) -> str:
    """``33 nodes, in pieces A, B ×11 and 12 splitting pieces``."""
    compiled = [each for each in letters if each["letter"] != SPLITTING_MARK]
    splitting = sum(each["count"] for each in letters if each["letter"] == SPLITTING_MARK)
    named = [
        each["letter"] if each["count"] == 1 else f"{each['letter']} ×{each['count']}"
        for each in compiled
    ]
    pieces = sum(each["count"] for each in compiled)
    where = []
    if named:
        where.append(f"{'piece' if pieces == 1 else 'pieces'} {listed(named, 8)}")
    if splitting:
        where.append(counted(splitting, "splitting piece"))
    return f"{counted(count, 'node')}, in {' and '.join(where)}"


def about_tests(compilation: Compilation, mark: Mark, *, is_text_known: bool) -> list[str]:
    """What is said of the tests and conditions of a line, and of one that was left out.

    Args:
        compilation: of the line.
        mark: of the line.
        is_text_known: whether its file has the text of the capture.
    """
    captured = compilation.captured
    said = [_left_out()] if mark.ran is False else []
    for number in mark.sites[:MOST_CONDITIONS]:
        said.append(site_text(captured.branch_sites, number, is_text_known=is_text_known))
    said += _more(len(mark.sites), "test")
    said += [
        guard_text(captured.guards[number], compilation) for number in mark.guards[:MOST_CONDITIONS]
    ]
    said += _more(len(mark.guards), "condition")
    return [shortened(clean(text), _LONGEST) for text in said]


def about_nodes(mark: Mark, letters: list[dict[str, Any]]) -> list[str]:
    """What is said of the nodes of a line, and of the values that they make."""
    said = [f"{nodes_text(len(mark.nodes), letters)}."] if mark.nodes else []
    if mark.values:
        values = [text if n == 1 else f"{text} ({n}×)" for text, n in mark.values.items()]
        said.append(f"Makes {listed(values, MOST_VALUES)}.")
    return [shortened(clean(text), _LONGEST) for text in said]


def _left_out() -> str:
    return "Not in the graph: a test was decided at the capture, and this is its other side."


def _more(count: int, noun: str) -> list[str]:
    left = count - MOST_CONDITIONS
    return [f"And {counted(left, f'more {noun}')} on this line."] if left > 0 else []


def guard_text(guard: GuardRecord, compilation: Compilation) -> str:
    """The condition, who made it, and what is done about it at run time."""
    held = HELD_BY[enforcement_of(guard, compilation.config)]
    return f"Condition {guard.text}, made by {MADE_BY[guard.origin]}: {held}."


def site_text(sites: tuple[BranchSite, ...], number: int, *, is_text_known: bool) -> str:
    """The test, what it answered, and which side is in the graph."""
    site = sites[number]
    if site.recorded_as is RecordedAs.NOT_REACHED:
        behind = f" of line {site.behind.line}" if site.behind else ""
        return f"Test {site.text} was not reached: it is on the other side of the test{behind}."
    if site.kind is SiteKind.INT:
        return f"{site.text} is needed as a number: {site.answers[0]} is a constant of the graph."
    test = source_between(place_of_test(site.location)) if is_text_known else site.text
    if len(site.answers) != 1:
        return f"Test `{test}` had both answers at the capture: the graph keeps each of them."
    text = f"Test `{test}` was {bool(site.answers[0])} at the capture: only that side is kept"
    return f"{text}{_side(sites, site) if is_text_known else ''}.{_recorded(site)}"


def _side(sites: tuple[BranchSite, ...], site: BranchSite) -> str:
    """``, which returns x + 1; the other one returns x * 2``."""
    sides, answer = sides_of(site.location), answer_of_statement(site, sites)
    if sides is None or answer is None:
        return ""
    return f", which {sides.of(answer)}; the other one {sides.of(not answer)}"


def _recorded(site: BranchSite) -> str:
    if site.recorded_as is RecordedAs.IMPLIED:
        return " It left no condition of its own: it followed from earlier ones."
    if site.recorded_as is RecordedAs.CACHED:
        return " It left no condition of its own: the same had been asked before."
    return ""

"""Answers of single tests in, what the whole test of an ``if`` or ternary came to out.

A trace answers each operand of ``and`` and ``or`` by itself, and that of ``not``: which side was
taken follows from all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from explorer.artifacts import BranchSite, SiteKind, SourceLocation
from explorer.guards.places import bytes_before, located
from explorer.guards.syntax import Enclosing, enclosing

Span: TypeAlias = tuple[int, int, int, int]
"""(line, column, end line, end column), columns in UTF-8 bytes as in the syntax tree."""


def whole_test(found: Enclosing) -> ast.expr | None:
    """The test of the innermost ternary, ``if``, ``while`` or ``assert`` at a place."""
    if found.ternary is not None:
        return found.ternary.test
    if isinstance(found.statement, ast.If | ast.While | ast.Assert):
        return found.statement.test
    return None


def answer_of_statement(site: BranchSite, every: Iterable[BranchSite]) -> bool | None:
    """What the whole test around a site came to; None when that is not known.

    Args:
        site: one test.
        every: the tests of the capture, which may be operands of the same one.
    """
    test = whole_test(enclosing(site.location))
    return None if test is None else answer_of(test, known_answers(test, site.location, every))


def known_answers(
    test: ast.expr, place: SourceLocation, every: Iterable[BranchSite]
) -> dict[Span, bool]:
    """The one answer of each part of a test that a capture asked; none where it got both."""
    found: dict[Span, bool] = {}
    for site in every:
        if site.location.file != place.file or site.kind is SiteKind.INT:
            continue
        part = part_of(test, site.location)
        answer = None if part is None else _one_answer(part, site)
        if part is not None and answer is not None:
            found[_span(part)] = answer
    return found


def _one_answer(part: ast.expr, site: BranchSite) -> bool | None:
    if len(site.answers) == 1:
        return bool(site.answers[0])
    # `2 < n < 9` is asked for each sign, at one place, until an answer is False.
    signs = len(part.ops) if isinstance(part, ast.Compare) else 1
    return False if 1 < len(site.expressions) <= signs and False in site.answers else None


def part_of(test: ast.expr, place: SourceLocation) -> ast.expr | None:
    """The part of a test that a place is that of; None when it is another test's."""
    span = span_of(place)
    leaves = list(_leaves(test))
    for leaf in leaves:
        if _span(leaf) == span:
            return leaf
    # Of a name alone, as in `if small:`, Python knows the place of the statement or ternary.
    found = enclosing(place)
    around = found.ternary or found.statement
    is_whole = around is not None and _span(around) == span
    return leaves[0] if len(leaves) == 1 and is_whole and whole_test(found) is test else None


def answer_of(test: ast.expr, answers: Mapping[Span, bool]) -> bool | None:
    """What a test comes to, as far as the answers of its parts say."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = answer_of(test.operand, answers)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        found = [answer_of(each, answers) for each in test.values]
        decides = isinstance(test.op, ast.Or)
        return decides if decides in found else found[-1]
    return answers.get(_span(test))


def decided(test: ast.expr, place: SourceLocation, answers: Mapping[Span, bool]) -> bool:
    """Whether no later part of a test was asked than the one at a place."""
    return _is_last_asked(test, part_of(test, place), answers)


def _is_last_asked(test: ast.expr, part: ast.expr | None, answers: Mapping[Span, bool]) -> bool:
    asked = [leaf for leaf in _leaves(test) if _span(leaf) in answers]
    return bool(asked) and asked[-1] is part


def not_asked(
    test: ast.expr, place: SourceLocation, answers: Mapping[Span, bool]
) -> Iterator[ast.expr]:
    """The operands of ``and`` and ``or`` that were left out because of the part at a place."""
    part = part_of(test, place)
    for join in ast.walk(test):
        if not isinstance(join, ast.BoolOp):
            continue
        holder = next((v for v in join.values if _is_last_asked(v, part, answers)), None)
        if holder is not None and answer_of(holder, answers) is isinstance(join.op, ast.Or):
            yield from join.values[join.values.index(holder) + 1 :]


def place_of_test(place: SourceLocation) -> SourceLocation:
    """The place of a test itself, where Python only knows that of the statement around it."""
    test = whole_test(enclosing(place))
    part = None if test is None else part_of(test, place)
    if part is None or _span(part) == span_of(place):
        return place
    return located(place.file, place.function, _span(part))


def span_of(place: SourceLocation) -> Span:
    """A place as the syntax tree counts."""
    end_line = place.end_line or place.line
    start = bytes_before(place.file, place.line, place.column or 0)
    return place.line, start, end_line, bytes_before(place.file, end_line, place.end_column or 0)


def _span(node: ast.expr | ast.stmt) -> Span:
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    return node.lineno, node.col_offset, end_line, end


def _leaves(test: ast.expr) -> Iterator[ast.expr]:
    """The parts of a test that are asked, in the order of asking."""
    if isinstance(test, ast.BoolOp):
        for each in test.values:
            yield from _leaves(each)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _leaves(test.operand)
    else:
        yield test

"""Tests in the user's source: what a test stands in, and the tests that a capture did not reach."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from explorer.artifacts import BranchSite, RecordedAs, SiteKind, SourceLocation
from explorer.guards.places import located
from explorer.guards.syntax import enclosing, untaken_statements
from explorer.guards.whole_tests import (
    answer_of,
    decided,
    known_answers,
    not_asked,
    whole_test,
)


def kind_of(place: SourceLocation) -> SiteKind | None:
    """What the test at a place stands in; None when the source does not say."""
    found = enclosing(place)
    operand = found.expression
    if isinstance(found.statement, ast.Assert) and _inside(found.statement.test, operand):
        return SiteKind.ASSERT
    if found.is_operand:
        return SiteKind.AND_OR
    if found.ternary is not None:
        return SiteKind.TERNARY
    if isinstance(found.statement, ast.While):
        return SiteKind.WHILE
    if isinstance(found.statement, ast.If):
        return SiteKind.IF
    return None


def not_reached(sites: Iterable[BranchSite]) -> tuple[BranchSite, ...]:
    """The tests on the sides that a capture did not take, found in the source."""
    sites = tuple(sites)
    known = {_key(site.location) for site in sites}
    found: dict[tuple[str, int, int], BranchSite] = {}
    for site in sites:
        if len(site.answers) != 1 or site.kind is SiteKind.INT:
            continue
        for test, kind in _tests_not_taken(site.location, sites):
            place = _place(site.location, test)
            key = _key(place)
            if key not in known and key not in found:
                text = ast.unparse(test)
                found[key] = BranchSite(
                    place, text, kind, (), RecordedAs.NOT_REACHED, behind=site.location
                )
    return tuple(found.values())


def _key(place: SourceLocation) -> tuple[str, int, int]:
    return (place.file, place.line, place.column or 0)


def _inside(outer: ast.AST, inner: ast.AST | None) -> bool:
    return inner is not None and any(each is inner for each in ast.walk(outer))


def _tests_not_taken(
    place: SourceLocation, every: Iterable[BranchSite]
) -> Iterator[tuple[ast.expr, SiteKind]]:
    """Tests that were left out because of one: operands behind it, and those of the other side."""
    found = enclosing(place)
    test = whole_test(found)
    if test is None:
        return
    answers = known_answers(test, place, every)
    for operand in not_asked(test, place, answers):
        yield from _operands(operand, SiteKind.AND_OR)
    answer = answer_of(test, answers)
    if answer is None or not decided(test, place, answers):
        return  # another operand decided
    if found.ternary is not None:
        yield from _tests_in([found.ternary.orelse if answer else found.ternary.body])
    elif isinstance(found.statement, ast.If):
        yield from _tests_in(untaken_statements(found, answer))
    elif isinstance(found.statement, ast.While) and not answer:
        yield from _tests_in(found.statement.body)


def _tests_in(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, SiteKind]]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        kinds = {ast.If: SiteKind.IF, ast.While: SiteKind.WHILE, ast.IfExp: SiteKind.TERNARY}
        kind = kinds.get(type(node)) or (SiteKind.ASSERT if isinstance(node, ast.Assert) else None)
        if kind is not None:
            yield from _operands(node.test, kind)  # type: ignore[attr-defined]
        yield from _tests_in(ast.iter_child_nodes(node))


def _operands(test: ast.expr, kind: SiteKind) -> Iterator[tuple[ast.expr, SiteKind]]:
    if isinstance(test, ast.BoolOp):
        for value in test.values:
            yield from _operands(value, SiteKind.AND_OR)
    else:
        yield test, kind


def _place(near: SourceLocation, node: ast.expr) -> SourceLocation:
    end = (node.end_lineno or node.lineno, node.end_col_offset)
    return located(near.file, near.function, (node.lineno, node.col_offset, *end))

"""Tests in the user's source: what a test stands in, and the tests that a capture did not reach."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator
from functools import lru_cache

from explorer.artifacts import BranchSite, RecordedAs, SiteKind, SourceLocation
from explorer.guards.places import located


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
        for test, kind in _tests_not_taken(site.location, bool(site.answers[0])):
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


# ---------------------------------------------------------------------------------- the syntax tree


@lru_cache(maxsize=64)
def _tree(file: str, source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        pass
    lines = source.splitlines()  # a notebook cell may have magics, which are no Python
    plain = ["" if line.lstrip().startswith(("%", "!")) else line for line in lines]
    try:
        return ast.parse("\n".join(plain))
    except (SyntaxError, ValueError):
        return None


def syntax_tree(file: str) -> ast.Module | None:
    """The syntax tree of a file or notebook cell, or None when there is no source."""
    lines = linecache.getlines(file)
    return _tree(file, "".join(lines)) if lines else None


class Enclosing:
    """Where a test stands.

    Attributes:
        statement: the innermost statement around it.
        ternary: the innermost ternary whose test it is in.
        is_operand: whether it is an operand of ``and`` or ``or``.
        expression: the innermost expression at the place.
        parents: the nodes around it, outermost first.
    """

    def __init__(self) -> None:
        self.statement: ast.stmt | None = None
        self.ternary: ast.IfExp | None = None
        self.is_operand = False
        self.expression: ast.expr | None = None
        self.parents: list[ast.AST] = []


def enclosing(place: SourceLocation) -> Enclosing:
    """The innermost statement at a place, and the ternary and ``and`` or ``or`` around the test."""
    found = Enclosing()
    node: ast.AST | None = syntax_tree(place.file)
    # The tree counts columns in bytes.
    start = (place.line, _bytes(place.file, place.line, place.column or 0))
    end_line = place.end_line or place.line
    end = (end_line, _bytes(place.file, end_line, place.end_column or start[1]))
    while node is not None:
        found.parents.append(node)
        inner = next((each for each in _children(node) if _spans(each, start, end)), None)
        if isinstance(node, ast.stmt):
            found.statement, found.ternary, found.is_operand = node, None, False
        if isinstance(node, ast.IfExp) and inner is node.test:
            found.ternary, found.is_operand = node, False
        if isinstance(node, ast.BoolOp) and inner is not None:
            found.is_operand = True
        if isinstance(inner, ast.expr):
            found.expression = inner
        node = inner
    return found


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if hasattr(child, "lineno"):
            yield child
        else:  # arguments, comprehensions and match cases have no place of their own
            yield from _children(child)


def _spans(node: ast.AST, start: tuple[int, int], end: tuple[int, int]) -> bool:
    first = (getattr(node, "lineno", 0), _column(node, "col_offset"))
    last = (getattr(node, "end_lineno", 0) or 0, _column(node, "end_col_offset"))
    return first <= start and end <= last


def _column(node: ast.AST, name: str) -> int:
    return getattr(node, name, 0) or 0


def _inside(outer: ast.AST, inner: ast.AST | None) -> bool:
    return inner is not None and any(each is inner for each in ast.walk(outer))


def _tests_not_taken(place: SourceLocation, answer: bool) -> Iterator[tuple[ast.expr, SiteKind]]:
    """Tests on the side that an answer did not take: of a statement, a ternary, an ``and``."""
    found = enclosing(place)
    if found.is_operand:
        yield from _operands_not_taken(found, answer)
        return
    if found.ternary is not None:
        other = found.ternary.orelse if answer else found.ternary.body
        yield from _tests_in([other])
    elif isinstance(found.statement, ast.If):
        yield from _tests_in(untaken_statements(found, answer))
    elif isinstance(found.statement, ast.While) and not answer:
        yield from _tests_in(found.statement.body)


def untaken_statements(found: Enclosing, answer: bool) -> list[ast.stmt]:
    """The statements that an ``if`` skips; a side that leaves makes the rest the other side."""
    statement = found.statement
    assert isinstance(statement, ast.If)
    if not answer:
        return statement.body
    if statement.orelse:
        return statement.orelse
    if not isinstance(statement.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
        return []
    parent = found.parents[found.parents.index(statement) - 1]
    for _, block in ast.iter_fields(parent):
        if isinstance(block, list) and statement in block:
            return block[block.index(statement) + 1 :]
    return []


def _operands_not_taken(found: Enclosing, answer: bool) -> Iterator[tuple[ast.expr, SiteKind]]:
    operations = [each for each in found.parents if isinstance(each, ast.BoolOp)]
    innermost = operations[-1]
    decides = isinstance(innermost.op, ast.And) is (not answer)
    operand = next((v for v in innermost.values if _inside(v, found.expression)), None)
    if not decides or operand is None:
        return
    for other in innermost.values[innermost.values.index(operand) + 1 :]:
        yield other, SiteKind.AND_OR


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


def _bytes(file: str, line: int, characters: int) -> int:
    return len(linecache.getline(file, line)[:characters].encode())


def _place(near: SourceLocation, node: ast.expr) -> SourceLocation:
    end = (node.end_lineno or node.lineno, node.end_col_offset)
    return located(near.file, near.function, (node.lineno, node.col_offset, *end))

"""A place in the user's source in, what stands around it out."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache

from explorer.artifacts import SourceLocation
from explorer.guards.places import bytes_before


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
    start = (place.line, bytes_before(place.file, place.line, place.column or 0))
    end_line = place.end_line or place.line
    end = (end_line, bytes_before(place.file, end_line, place.end_column or start[1]))
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
    innermost = found.parents[-1] if found.parents else None
    if isinstance(innermost, ast.IfExp) and _starts_and_ends(innermost, start, end):
        found.ternary = innermost  # its test is a name alone: Python knows this place for it
    return found


def _starts_and_ends(node: ast.AST, start: tuple[int, int], end: tuple[int, int]) -> bool:
    return _spans(node, start, end) and (
        (getattr(node, "lineno", 0), _column(node, "col_offset")) == start
    )


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

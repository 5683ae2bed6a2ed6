"""The place of a test in, what its two sides do out, as short text."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from explorer.artifacts import SourceLocation
from explorer.guards.sites import Enclosing, enclosing, untaken_statements

_LONGEST = 60


@dataclass(frozen=True)
class Sides:
    """What a branch does on either side, as ``returns x * 2`` or ``lines 12-18``.

    Attributes:
        when_true: where the test holds.
        when_false: where it does not.
    """

    when_true: str
    when_false: str

    def of(self, answer: bool) -> str:
        """The side that an answer takes."""
        return self.when_true if answer else self.when_false


def sides_of(place: SourceLocation) -> Sides | None:
    """The two sides of the ``if`` or ternary around a test; None for another kind of test."""
    found = enclosing(place)
    if found.ternary is not None:
        return Sides(*(f"gives {_short(side)}" for side in _ternary_sides(found.ternary)))
    if not isinstance(found.statement, ast.If):
        return None
    # What one answer leaves out is what the other one runs.
    return Sides(_text(untaken_statements(found, False)), _text(_other_side(found)))


def _ternary_sides(ternary: ast.IfExp) -> tuple[ast.expr, ast.expr]:
    return ternary.body, ternary.orelse


def _other_side(found: Enclosing) -> list[ast.stmt]:
    return untaken_statements(found, True)


def _text(statements: list[ast.stmt]) -> str:
    if not statements:
        return "goes on"
    first = statements[0]
    if isinstance(first, ast.Return):
        return f"returns {_short(first.value)}" if first.value is not None else "returns None"
    if len(statements) == 1 and isinstance(first, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return f"does {_short(first)}"
    if len(statements) == 1 and isinstance(first, ast.Raise):
        return f"raises {_short(first.exc)}" if first.exc is not None else "raises"
    last = statements[-1]
    if len(statements) == 2 and isinstance(last, ast.Return) and isinstance(first, ast.Assign):
        return f"does {_short(first)} and returns {_short(last.value)}"
    begin, end = first.lineno, last.end_lineno or last.lineno
    return f"runs line {begin}" if begin == end else f"runs lines {begin}-{end}"


def _short(node: ast.AST | None) -> str:
    text = "None" if node is None else ast.unparse(node)
    text = " ".join(text.split())
    return f"`{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}`"

"""The place of a test in, what its two sides do out, as short text."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from explorer.artifacts import SourceLocation
from explorer.guards.syntax import enclosing, untaken_statements

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
        return Sides(f"gives {_short(found.ternary.body)}", f"gives {_short(found.ternary.orelse)}")
    if not isinstance(found.statement, ast.If):
        return None
    # What one answer leaves out is what the other one runs.
    return Sides(_text(untaken_statements(found, False)), _text(untaken_statements(found, True)))


def _text(statements: list[ast.stmt]) -> str:
    if not statements:
        return "goes on behind the `if`"
    first, last = statements[0], statements[-1]
    begin, end = first.lineno, last.end_lineno or last.lineno
    one = _text_of_one(first) if len(statements) == 1 or isinstance(first, ast.Return) else ""
    if one:
        return one
    if isinstance(first, ast.If):
        return f"goes on with the test {_short(first.test)} in line {begin}"
    if len(statements) == 2 and isinstance(last, ast.Return) and isinstance(first, ast.Assign):
        return f"does {_short(first)} and returns {_short(last.value)}"
    return f"runs line {begin}" if begin == end else f"runs lines {begin}-{end}"


def _text_of_one(statement: ast.stmt) -> str:
    """What a single statement does; empty when its lines say it better."""
    if isinstance(statement, ast.Return):
        return f"returns {_short(statement.value)}"
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return f"does {_short(statement)}"
    if isinstance(statement, ast.Raise):
        return f"raises {_short(statement.exc)}" if statement.exc is not None else "raises"
    if isinstance(statement, ast.Pass):
        return "does nothing"
    return ""


def _short(node: ast.AST | None) -> str:
    text = "None" if node is None else ast.unparse(node)
    text = " ".join(text.split())
    return f"`{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}`"

"""Source text with its syntax tree: positions, edits, lines at another indentation."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)

Edit = tuple[int, int, str]
"""(start, end, new text), as offsets in characters."""


@dataclass(frozen=True, eq=False)
class SourceText:
    """One file's text.

    Attributes:
        text: all of it.
    """

    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Node -> the node it is a part of."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def lines(self) -> list[str]:
        """Lines without their ends; line n is at n - 1. Only a newline ends one."""
        return self.text.split("\n")

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def column(self, line: int, utf8_bytes: int) -> int:
        """A column of the syntax tree in characters."""
        return len(self.lines[line - 1].encode()[:utf8_bytes].decode())

    def start(self, node: ast.AST) -> tuple[int, int]:
        """(line, column in characters) at which a node begins."""
        line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
        return line, self.column(line, column)

    def end(self, node: ast.AST) -> tuple[int, int]:
        """(line, column in characters) behind a node."""
        line, column = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return line, self.column(line, column)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """A node's place as offsets."""
        (line, column), (end_line, end_column) = self.start(node), self.end(node)
        return self._starts[line - 1] + column, self._starts[end_line - 1] + end_column

    def node_at(self, start: tuple[int, int], kind: type[Node]) -> Node:
        """The node of a kind that begins at (line, column in characters)."""
        return next(
            each
            for each in ast.walk(self.tree)
            if isinstance(each, kind) and self.start(each) == start
        )

    def segment(self, node: ast.AST) -> str:
        """A node's text."""
        start, end = self.span(node)
        return self.text[start:end]

    def indentation(self, line: int) -> str:
        """The white space at the start of a line."""
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]

    def is_comment(self, line: int) -> bool:
        """Whether a line holds a comment and nothing else."""
        return line <= len(self.lines) and self.lines[line - 1].lstrip().startswith("#")

    @cached_property
    def _tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def _inside_strings(self) -> frozenset[int]:
        """Lines that begin inside a string, so that their white space counts."""
        found: set[int] = set()
        for node in ast.walk(self.tree):
            is_text = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
            )
            if is_text:
                found |= set(range(self.start(node)[0] + 1, self.end(node)[0] + 1))
        return frozenset(found)

    def comment_behind_code(self, first: int, last: int) -> list[str]:
        """Comments that stand behind code in some lines, as lines of their own."""
        return [
            token.string
            for token in self._tokens
            if token.type == tokenize.COMMENT
            and first <= token.start[0] <= last
            and not self.is_comment(token.start[0])
        ]

    def edited(self, edits: Iterable[Edit]) -> SourceText:
        """The text with some edits, which do not overlap."""
        text = self.text
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        return SourceText(text)

    def with_lines(self, first: int, last: int, new: list[str]) -> SourceText:
        """The text with the lines ``first..last`` replaced."""
        return SourceText("\n".join([*self.lines[: first - 1], *new, *self.lines[last:]]))

    def moved(
        self, first: int, last: int, *, old: str, new: str, edits: Iterable[Edit] = ()
    ) -> list[str]:
        """Some lines at another indentation.

        Args:
            first: the first line.
            last: the last one.
            old: their indentation.
            new: the one they get.
            edits: changes inside them that leave the number of lines as it is.
        """
        lines = self.edited(edits).lines
        moved = []
        for number in range(first, last + 1):
            line = lines[number - 1]
            if number in self._inside_strings or not line.strip():
                moved.append(line if number in self._inside_strings else "")
                continue
            kept = line[len(old) :] if line.startswith(old) else line.lstrip()
            moved.append(new + kept)
        return moved

"""Lines of source in, where keywords, strings, comments and numbers stand in them out.

A span is ``[start, end, kind]``: characters of its line, end exclusive. Kinds are one letter, as
they travel for every line: ``k`` keyword, ``s`` string, ``c`` comment, ``n`` number, ``d`` the name
that a ``def`` or ``class`` defines. All other text has no span.
"""

from __future__ import annotations

import keyword
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import TypeAlias

Span: TypeAlias = list[int | str]

PYTHON = frozenset(keyword.kwlist)
CPP = frozenset(
    re.findall(
        r"\S+",
        """alignas auto bool break case char class const constexpr continue do double else enum
        extern false float for goto if inline int int8_t int16_t int32_t int64_t long namespace
        nullptr operator public private restrict return short signed sizeof static static_cast
        struct switch template this true typedef typename uint8_t uint32_t uint64_t union unsigned
        using void volatile while __global__ __restrict__""",
    )
)
"""Keywords of C++, and names of types that are written like them."""

_TOKEN = re.compile(
    r"""(?P<c>//.*|/\*.*?\*/|\#.*)
    |(?P<s>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<n>\b\d[\w.]*)
    |(?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)


def python_spans(lines: Sequence[str]) -> list[list[Span]]:
    """The spans of each line of a Python source; what is no Python is read line by line."""
    found: list[list[Span]] = [[] for _ in lines]
    read = 0
    try:
        for token in _tokens(lines):
            _add(found, lines, token)
            read = max(read, token.end[0])
    except (tokenize.TokenError, SyntaxError, ValueError):
        for number in range(read, len(lines)):
            found[number] = line_spans(lines[number], PYTHON)
    return found


def _tokens(lines: Sequence[str]) -> Iterator[tokenize.TokenInfo]:
    rest = iter(lines)
    before = ""
    for token in tokenize.generate_tokens(lambda: next((f"{each}\n" for each in rest), "")):
        kind = _kind(token, before)
        if kind:
            yield token._replace(line=kind)  # the line is not needed any more
        before = token.string


def _kind(token: tokenize.TokenInfo, before: str) -> str:
    if token.type == tokenize.NAME:
        if token.string in PYTHON:
            return "k"
        return "d" if before in ("def", "class") else ""
    name = tokenize.tok_name[token.type]
    if token.type == tokenize.STRING or name.startswith("FSTRING"):
        return "s"
    return {tokenize.NUMBER: "n", tokenize.COMMENT: "c"}.get(token.type, "")


def _add(found: list[list[Span]], lines: Sequence[str], token: tokenize.TokenInfo) -> None:
    """Adds a token to every line that it stands in."""
    (first, start), (last, end) = token.start, token.end
    for number in range(first, min(last, len(lines)) + 1):
        begin = start if number == first else 0
        stop = end if number == last else len(lines[number - 1])
        if stop > begin:
            found[number - 1].append([begin, stop, token.line])


def line_spans(line: str, keywords: frozenset[str]) -> list[Span]:
    """The spans of a line that is read by itself.

    Args:
        line: one line.
        keywords: ``PYTHON`` or ``CPP``; the language decides what begins a comment.
    """
    found: list[Span] = []
    at = 0
    while match := _TOKEN.search(line, at):
        kind = match.lastgroup or ""
        at = match.end()
        if kind == "c" and not _is_comment(match[0], keywords):
            at = match.start() + (2 if match[0].startswith("/") else 1)
            continue
        if kind == "word":
            kind = "k" if match[0] in keywords else ""
        if kind:
            found.append([match.start(), match.end(), kind])
    return found


def _is_comment(text: str, keywords: frozenset[str]) -> bool:
    """``#`` is none in C++, where it begins an ``#include``; ``//`` divides in Python."""
    return text.startswith("#") == (keywords is PYTHON)

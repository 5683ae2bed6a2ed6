"""Two sources in, line beside line out: only what really differs is marked, names of values not.

A value is called ``linear_3`` in one piece and ``linear_7`` in the next. So the lines are paired
twice: first with all names alike, which shows which name of the one text stands for which of the
other; then with each name in the place of its partner. What differs then differs.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TypeAlias

from explorer.report.blocks import LONGEST_HINT, MOST_LINES
from explorer.report.drawn_blocks import PairedLine, SideBySide, Words

Line: TypeAlias = tuple[str, ...]
"""The words of a line; joined, they are the line."""

_WORD = re.compile(r"\.\w+|\w+|\s+|[^\w\s]")  # with its dot, ``.silu`` is no name of a value
_ANY_NAME = "\0"
_LIKE_ENOUGH = 0.6
_MOST_COMPARED = 60
"""Lines of a changed part that are compared with each other; of more, they are paired in order."""


def side_by_side(
    titles: tuple[str, str],
    left: str,
    right: str,
    names: tuple[Collection[str], Collection[str]] = ((), ()),
) -> SideBySide:
    """Two texts side by side.

    Args:
        titles: what each of them is.
        left: the first text.
        right: the second.
        names: for each of them, words whose spelling does not matter.
    """
    ours, theirs = _lines_of(left), _lines_of(right)
    partner_of = _partners(ours, theirs, (set(names[0]), set(names[1])))
    keys = [tuple(partner_of.get(word, word) for word in line) for line in ours]
    lines = [_compared(ours, theirs, keys, *pair) for pair in _paired(keys, theirs)]
    return SideBySide(titles[0], titles[1], tuple(lines))


def _lines_of(text: str) -> list[Line]:
    lines = text.strip("\n").split("\n")[:MOST_LINES]
    return [tuple(_WORD.findall(line[:LONGEST_HINT])) for line in lines]


def _partners(
    ours: Sequence[Line], theirs: Sequence[Line], names: tuple[set[str], set[str]]
) -> dict[str, str]:
    """Name of the first text -> the name of the second that stands in its places."""
    first, second = (
        [tuple(_ANY_NAME if word in own else word for word in line) for line in lines]
        for lines, own in zip((ours, theirs), names, strict=True)
    )
    occurs = Counter(first) + Counter(second)
    votes: Counter[tuple[str, str]] = Counter()
    last_seen: dict[tuple[str, str], int] = {}
    for i, j in _paired(first, second):
        if i is None or j is None:
            continue
        weight = 2 if occurs[first[i]] <= 2 else 1  # a line like many others tells less
        for a, b in _equal_places(first[i], second[j]):
            if first[i][a] == _ANY_NAME:
                pair = (ours[i][a], theirs[j][b])
                votes[pair] += weight
                last_seen[pair] = i  # the body of a function tells more than its inputs
    found: dict[str, str] = {}
    taken: set[str] = set()
    for a, b in sorted(votes, key=lambda pair: (-votes[pair], -last_seen[pair])):
        if a not in found and b not in taken:
            found[a] = b
            taken.add(b)
    alone = names[0] - found.keys()
    return found | {name: _ANY_NAME + name for name in alone}  # no word of the second is like it


def _paired(ours: Sequence[Line], theirs: Sequence[Line]) -> list[tuple[int | None, int | None]]:
    """Numbers of lines that belong together; None where a text has no such line."""
    found: list[tuple[int | None, int | None]] = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            found += zip(range(a, b), range(c, d), strict=True)
        elif a == b or c == d or max(b - a, d - c) > _MOST_COMPARED:
            found += zip_longest(range(a, b), range(c, d))
        else:
            found += _most_alike(ours, theirs, range(a, b), range(c, d))
    return found


def _most_alike(
    ours: Sequence[Line], theirs: Sequence[Line], left: range, right: range
) -> list[tuple[int | None, int | None]]:
    """Lines of a part that differs, each beside the next one that is much like it."""
    found: list[tuple[int | None, int | None]] = []
    start = right.start
    for i in left:
        likeness = {j: _likeness(ours[i], theirs[j]) for j in range(start, right.stop)}
        best = max(likeness, key=likeness.__getitem__, default=None)
        if best is None or likeness[best] < _LIKE_ENOUGH:
            found.append((i, None))
            continue
        found += [(None, j) for j in range(start, best)]
        found.append((i, best))
        start = best + 1
    return found + [(None, j) for j in range(start, right.stop)]


def _likeness(first: Line, second: Line) -> float:
    words = [[word for word in line if not word.isspace()] for line in (first, second)]
    matcher = difflib.SequenceMatcher(None, *words, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _LIKE_ENOUGH else 0.0


def _equal_places(first: Line, second: Line) -> list[tuple[int, int]]:
    """Places of words that two lines have in common, in order."""
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    return [
        (match.a + step, match.b + step)
        for match in matcher.get_matching_blocks()
        for step in range(match.size)
    ]


def _compared(
    ours: Sequence[Line],
    theirs: Sequence[Line],
    keys: Sequence[Line],
    i: int | None,
    j: int | None,
) -> PairedLine:
    """Two lines, with what differs between them."""
    if j is None:
        assert i is not None
        return PairedLine("left", _parts(ours[i], _all(ours[i])), None)
    if i is None:
        return PairedLine("right", None, _parts(theirs[j], _all(theirs[j])))
    equal = _equal_places(keys[i], theirs[j])
    if len(equal) == len(ours[i]) == len(theirs[j]):
        return PairedLine(
            "same", _parts(ours[i], _all(ours[i])), _parts(theirs[j], _all(theirs[j]))
        )
    left, right = ({place[side] for place in equal} for side in (0, 1))
    return PairedLine("changed", _parts(ours[i], left), _parts(theirs[j], right))


def _all(line: Line) -> set[int]:
    return set(range(len(line)))


def _parts(line: Line, equal: Collection[int]) -> Words:
    """Neighbouring words that agree in whether they differ, as one part."""
    parts: list[tuple[str, bool]] = []
    for place, word in enumerate(line):
        differs = place not in equal
        if parts and parts[-1][1] == differs:
            parts[-1] = (parts[-1][0] + word, differs)
        else:
            parts.append((word, differs))
    return tuple(parts)


__all__ = ["side_by_side"]

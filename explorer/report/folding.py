"""A sequence of labels in, runs out: ``A ▨ B ▨ B ▨ C`` is ``A ▨ (B ▨)×2 C``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SPLITTING_MARK = "▨"
"""Stands for a splitting piece wherever pieces are written in a row."""

LONGEST_BODY = 24
"""A repeated body has at most this many labels."""


@dataclass(frozen=True)
class Run:
    """A body of labels and how often it follows itself.

    Attributes:
        start: position of the first label.
        body: the labels of one repetition.
        count: repetitions, at least 1.
    """

    start: int
    body: tuple[str, ...]
    count: int

    @property
    def length(self) -> int:
        """Labels in all repetitions together."""
        return len(self.body) * self.count

    def __str__(self) -> str:
        text = " ".join(self.body)
        if self.count == 1:
            return text
        return f"({text})×{self.count}" if len(self.body) > 1 else f"{text}×{self.count}"


def fold(labels: Sequence[str]) -> tuple[Run, ...]:
    """The labels as runs, in order; a repeated body begins with a compiled piece where it can."""
    runs: list[Run] = []
    position = 0
    while position < len(labels):
        best = _longest_run(labels, position)
        if best.count > 1 and best.body[0].startswith(SPLITTING_MARK):
            after = _longest_run(labels, position + 1)
            if after.length >= best.length:
                best = Run(position, (labels[position],), 1)
        runs.append(best)
        position += best.length
    return tuple(runs)


def _longest_run(labels: Sequence[str], start: int) -> Run:
    best = Run(start, tuple(labels[start : start + 1]), 1)
    for width in range(1, min(LONGEST_BODY, (len(labels) - start) // 2) + 1):
        body = tuple(labels[start : start + width])
        count = 1
        while tuple(labels[start + count * width : start + (count + 1) * width]) == body:
            count += 1
        if count > 1 and width * count > best.length:
            best = Run(start, body, count)
    return best

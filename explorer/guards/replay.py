"""A second audit: the points at which every question of a trace has the answer that it had.

It needs no list of conditions, so it finds a condition that such a list forgot. It is
conservative: another path through an operator's own code need not be another graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from explorer.artifacts import Evaluation
from explorer.artifacts.common import Expression
from explorer.guards.arrays import ArrayEvaluator, UnknownExpression


def replay_mask(
    evaluations: Iterable[Evaluation], sizes: Mapping[Expression, Any], shape: tuple[int, ...]
) -> tuple[np.ndarray, int, int]:
    """Where every answer is as it was.

    Args:
        evaluations: the questions of the trace.
        sizes: symbol -> values that broadcast to ``shape``.
        shape: of the points.

    Returns:
        A mask with one entry per point, how many questions there were, and how many of them could
        not be evaluated.
    """
    asked = {(each.expression, each.result) for each in evaluations}
    evaluator = ArrayEvaluator(sizes)
    same = np.ones(shape, dtype=bool)
    skipped = 0
    for expression, result in asked:
        try:
            numbers, defined = evaluator.value(expression)
        except UnknownExpression:
            skipped += 1
            continue
        same &= np.equal(numbers, result) & defined
    return same.ravel(), len(asked), skipped

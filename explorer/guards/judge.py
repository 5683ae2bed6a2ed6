"""One point in, whether the captured graph is right there out; size 1 is settled when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from explorer.artifacts import NormalisedGraph
from explorer.artifacts.audited import Intervals
from explorer.config import CompilationConfig
from explorer.errors import ConfigError
from explorer.guards.arrays import ArrayEvaluator, UnknownExpression
from explorer.guards.conditions import Conditions, Truth
from explorer.guards.domain import checked_point
from explorer.guards.size_one import Settled, settle_with_conditions


class PointJudge:
    """Decides single points and rows of points.

    Args:
        normalised: the graph.
        config: to capture at size 1 with.
        axes: dimension -> its values in the domain, ascending.
    """

    def __init__(
        self,
        normalised: NormalisedGraph,
        config: CompilationConfig,
        axes: Mapping[str, np.ndarray],
    ) -> None:
        self.captured = normalised.captured
        self.conditions = Conditions.of(normalised.captured)
        self.axes = axes
        self.settled: dict[tuple[str, ...], Settled] = {}
        self._normalised = normalised
        self._config = config

    def settle(self, names: tuple[str, ...]) -> Settled:
        """What a capture where some sizes are 1 came to."""
        if names not in self.settled:
            found = settle_with_conditions(self._normalised, self._config, names)
            self.settled[names] = found
        return self.settled[names]

    def truth_at_one(self, settled: Settled, points: Mapping[str, Any]) -> tuple[Any, ...]:
        """Per condition of a capture at size 1 where it holds; not where it is not known."""
        symbols = {
            symbol: points.get(each.name, each.hint)
            for each in self.conditions.dimensions
            for symbol in each.symbols
        }
        evaluator = ArrayEvaluator(symbols)
        found = []
        for guard in settled.conditions:
            try:
                found.append(evaluator.holds(guard.expression))
            except UnknownExpression:
                found.append(np.zeros((), dtype=bool))
        return tuple(found)

    def is_valid(self, sizes: Mapping[str, int]) -> bool:
        """Whether a call of these sizes gets eager's result.

        Raises:
            ConfigError: a name that is missing or not there, or a value that is no size.
        """
        known = self.conditions.dimensions
        point = checked_point(known, sizes)
        live = [each.name for each in known if each.is_size]
        if any(point[name] == 0 for name in live):
            return True
        truth = self.conditions.truth(point, ())
        if self.captured.unknown or truth.unknown or not truth.holds.all():
            return False
        ones = tuple(name for name in live if point[name] == 1)
        if not ones:
            return True
        settled = self.settle(ones)
        return settled.difference is None and all(self.truth_at_one(settled, point))

    def valid_by_guards(self, truth: Truth, points: Mapping[str, Any]) -> np.ndarray:
        """Where every condition holds and no size is 0 or 1; nowhere when one is not known.

        Args:
            truth: of the points.
            points: dimension -> one value per point, or one for all.
        """
        if self.captured.unknown or truth.unknown:
            return np.zeros(truth.holds.shape[1], dtype=bool)
        valid: np.ndarray = np.all(truth.holds, axis=0)
        for each in self.conditions.dimensions:
            if each.is_size:
                valid &= np.greater(points.get(each.name, each.hint), 1)
        return valid

    def intervals(self, dimension: str, fixing: Mapping[str, int]) -> Intervals:
        """The valid sizes of one dimension, by guards alone, at given values of the others.

        Raises:
            ConfigError: a name that is not there, or a value that is no size.
        """
        if dimension not in self.axes:
            listed = ", ".join(self.axes) or "none"
            raise ConfigError(f"There is no dimension {dimension!r}; the dimensions are {listed}.")
        hints = {each.name: each.hint for each in self.conditions.dimensions}
        point = checked_point(self.conditions.dimensions, {**hints, **fixing})
        axis = self.axes[dimension]
        points = {**point, dimension: axis}
        truth = self.conditions.truth(points, axis.shape)
        return pairs(axis[self.valid_by_guards(truth, points)])


def pairs(sizes: np.ndarray) -> Intervals:
    """Ascending sizes as (first, last) pairs."""
    if len(sizes) == 0:
        return ()
    breaks = np.flatnonzero(np.diff(sizes) > 1)
    firsts = sizes[np.concatenate([[0], breaks + 1])]
    lasts = sizes[np.concatenate([breaks, [len(sizes) - 1]])]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))

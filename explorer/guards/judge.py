"""One point in, whether the captured graph is right there out; size 1 is settled when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.artifacts import NormalisedGraph
from explorer.artifacts.audited import Intervals
from explorer.config import CompilationConfig, OutOfRange
from explorer.errors import ConfigError
from explorer.guards.arrays import ArrayEvaluator, UnknownExpression
from explorer.guards.conditions import Conditions, Truth
from explorer.guards.domain import checked_point
from explorer.guards.size_one import Settled, settle_with_conditions
from explorer.stages.compile_plan import dispatch_size


@dataclass(frozen=True, eq=False)
class Settlement:
    """One capture at size 1.

    Attributes:
        names: the sizes that are 1.
        others: the other sizes in that capture.
        found: what it came to.
    """

    names: tuple[str, ...]
    others: Mapping[str, int]
    found: Settled


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
        self.settlements: list[Settlement] = []
        self._normalised = normalised
        self.config = config

    @property
    def asked_at_one(self) -> tuple[int, ...]:
        """Indices of the conditions that a call of size 1 has to meet, as the runtime sees it.

        A capture at that size decides, not the conditions on the sizes of the general graph, unless
        the graph evaluates these itself.
        """
        of_sizes = len(self.captured.guards)
        known = self.conditions.considered
        if self.config.dynamic_shapes.evaluate_guards:
            return known
        return tuple(index for index in known if index >= of_sizes)

    def settlement_at(self, names: tuple[str, ...], point: Mapping[str, int]) -> Settlement:
        """What a capture where some sizes are 1 came to, one that is right at a point.

        Args:
            names: the sizes that are 1.
            point: name -> value of every dimension.
        """
        for known in self.settlements:
            if known.names == names and self.region_of(known, point).all():
                return known
        others = {
            each.name: point[each.name]
            for each in self.conditions.dimensions
            if each.is_size and each.name not in names
        }
        found = settle_with_conditions(self._normalised, self.config, names, others=others)
        self.settlements.append(Settlement(names, others, found))
        return self.settlements[-1]

    def region_of(self, settlement: Settlement, points: Mapping[str, Any]) -> np.ndarray:
        """Where the capture at size 1 is right: at its own sizes, and where its conditions hold.

        Args:
            settlement: the capture.
            points: dimension -> one value per point, or one for all.
        """
        own = np.ones((), dtype=bool)
        for name, value in settlement.others.items():
            own = own & np.equal(points[name], value)
        conditions = settlement.found.conditions
        if conditions is None:
            return own
        evaluator = ArrayEvaluator(
            {
                symbol: points.get(each.name, each.hint)
                for each in self.conditions.dimensions
                for symbol in each.symbols
            }
        )
        holds = np.ones((), dtype=bool)
        try:
            for guard in conditions:
                holds = holds & evaluator.holds(guard.expression)
        except UnknownExpression:
            return own
        return own | holds

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
        if self.is_beyond(point):
            return False
        ones = tuple(name for name in live if point[name] == 1)
        truth = self.conditions.truth(point, (), only=self.asked_at_one if ones else None)
        if self.captured.unknown or truth.unknown or not truth.holds.all():
            return False
        return not ones or self.settlement_at(ones, point).found.difference is None

    def is_beyond(self, sizes: Mapping[str, int]) -> bool:
        """Whether the configuration refuses a call, as its dispatch size is above ``max_size``.

        Args:
            sizes: a value for every dynamic size.
        """
        dispatch = dispatch_size(self.captured, self.config)
        if dispatch is None or self.config.out_of_range is OutOfRange.EAGER:
            return False
        return sizes[dispatch.name] > self.config.max_size

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

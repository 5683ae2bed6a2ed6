"""All conditions of one captured graph, and where each of them holds over some points."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from explorer.artifacts import CapturedGraph, GuardOrigin, GuardRecord, Phase
from explorer.artifacts.common import Expression
from explorer.guards.arrays import ArrayEvaluator, UnknownExpression
from explorer.guards.domain import Dimension, known_dimensions

_ELSEWHERE = (GuardOrigin.STATIC_DIM, GuardOrigin.INDUCTOR)
"""A static dim is checked with the inputs; of the compiler's conditions each artifact has its own,
and other artifacts serve the rest."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Where the conditions hold.

    Attributes:
        holds: (guards, points) bool; True for a condition that is not considered or not known.
        unknown: index of a condition that could not be evaluated -> why.
    """

    holds: np.ndarray
    unknown: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a captured graph relies on.

    Attributes:
        dimensions: everything that may vary.
        guards: the capture's conditions with their indices, then those on int arguments, then
            those that the graph tests itself.
    """

    dimensions: tuple[Dimension, ...]
    guards: tuple[GuardRecord, ...]

    @classmethod
    def of(cls, captured: CapturedGraph) -> Conditions:
        """Those of one capture."""
        dimensions = known_dimensions(captured)
        symbols = {symbol for each in dimensions for symbol in each.symbols}
        more = [
            each
            for each in (*captured.value_guards, *captured.runtime_asserts)
            if each.expression is not None and each.expression.free_symbols <= symbols
        ]
        return cls(dimensions, (*captured.guards, *more))

    @cached_property
    def considered(self) -> tuple[int, ...]:
        """Indices of the conditions that decide whether the graph is right."""
        return tuple(
            index
            for index, guard in enumerate(self.guards)
            if guard.expression is not None
            and guard.origin not in _ELSEWHERE
            and guard.phase is not Phase.INDUCTOR
        )

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Indices of the considered conditions that are bounds which torch keeps of a size."""
        return tuple(index for index in self.considered if self.guards[index].is_bound)

    @cached_property
    def name_of(self) -> Mapping[Expression, str]:
        """Symbol -> name of the dimension."""
        return {symbol: each.name for each in self.dimensions for symbol in each.symbols}

    def read_by(self, index: int) -> tuple[str, ...]:
        """Names of the dimensions that a condition reads, in order."""
        expression = self.guards[index].expression
        symbols = set() if expression is None else expression.free_symbols
        read = {self.name_of[symbol] for symbol in symbols if symbol in self.name_of}
        return tuple(each.name for each in self.dimensions if each.name in read)

    def truth(
        self,
        points: Mapping[str, Any],
        shape: tuple[int, ...],
        *,
        only: Collection[int] | None = None,
    ) -> Truth:
        """Where each condition holds.

        A bound holds where some size is 1: torch makes bounds for sizes of at least 2, also those
        of other sizes that follow from them.

        Args:
            points: dimension -> its values, arrays that broadcast to ``shape``; the example's
                value where it is left out.
            shape: of the points; the result has them in one row.
            only: indices of the conditions to evaluate; the others count as holding.
        """
        values = {each.name: points.get(each.name, each.hint) for each in self.dimensions}
        evaluator = ArrayEvaluator(self._by_symbol(values))
        some_one = np.zeros(shape, dtype=bool)
        for each in self.dimensions:
            if each.is_size:
                some_one |= np.equal(values[each.name], 1)
        holds = np.ones((len(self.guards), *shape), dtype=bool)
        unknown = {}
        for index in self.considered if only is None else only:
            guard = self.guards[index]
            try:
                holds[index] = evaluator.holds(guard.expression)
            except UnknownExpression as reason:
                unknown[index] = str(reason)
            if guard.is_bound:
                holds[index] |= some_one
        return Truth(holds.reshape(len(self.guards), math.prod(shape)), unknown)

    def _by_symbol(self, values: Mapping[str, Any]) -> dict[Expression, Any]:
        return {symbol: values[each.name] for each in self.dimensions for symbol in each.symbols}

    def unknown_text(self, index: int, reason: str) -> str:
        """Why a condition is not known, in a sentence."""
        guard = self.guards[index]
        place = f" ({guard.location})" if guard.location else ""
        symbols = set() if guard.expression is None else guard.expression.free_symbols
        outside = sorted(str(symbol) for symbol in symbols - set(self.name_of))
        if outside:
            reason = f"it depends on {', '.join(outside)}, which is no dynamic size"
        return f"whether {guard.text}{place} holds is not known: {reason}"

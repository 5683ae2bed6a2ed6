"""A domain in, the kinds of points in it out: those at which the same conditions hold.

A condition that reads one dimension divides that axis into kinds of sizes. The kind of a point is
that of its sizes, and which of the conditions that read two dimensions hold there. Counting the
kinds needs no list of all points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.guards.conditions import Conditions
from explorer.guards.domain import Dimension
from explorer.guards.signatures import group_columns

MOST_WORK = 2**28
"""Points times conditions on two dimensions that are looked at in one plane: a few seconds."""

_BLOCK_POINTS = 2**18
_MOST_KINDS = 2**20


@dataclass(frozen=True, eq=False)
class Axis:
    """One dimension of a domain.

    Attributes:
        name: of the dimension.
        sizes: every value, ascending.
        kinds: per value the number of its kind.
        count: how many kinds there are.
    """

    name: str
    sizes: np.ndarray
    kinds: np.ndarray
    count: int

    def examples(self) -> np.ndarray:
        """The first, the last and two middle sizes of each kind, ascending."""
        order = np.argsort(self.kinds, kind="stable")
        chosen = []
        for part in np.split(order, np.cumsum(np.bincount(self.kinds))[:-1]):
            middle = len(part) // 2
            chosen += [part[0], part[middle], part[min(middle + 1, len(part) - 1)], part[-1]]
        return self.sizes[np.unique(chosen)]

    def kinds_of(self, sizes: np.ndarray) -> np.ndarray:
        """Per given size the number of its kind."""
        return self.kinds[np.searchsorted(self.sizes, sizes)]


def axis_of(conditions: Conditions, dimension: Dimension, sizes: np.ndarray) -> Axis:
    """The kinds of sizes of one dimension; sizes 0 and 1 are kinds of their own.

    Args:
        conditions: those that read other dimensions too are taken at the example's values of them.
        dimension: the axis.
        sizes: every value, ascending.
    """
    alone = [i for i in conditions.considered if dimension.name in conditions.read_by(i)]
    truth = conditions.truth({dimension.name: sizes}, sizes.shape, only=alone).holds[alone]
    apart = [sizes == 0, sizes == 1] if dimension.is_size else []
    table = np.concatenate([truth, np.array(apart, dtype=bool).reshape(-1, len(sizes))])
    kinds = np.zeros(len(sizes), dtype=np.int64)
    groups = group_columns(table, np.ones(len(sizes), dtype=bool))
    for number, (_, positions) in enumerate(groups):
        kinds[positions] = number
    return Axis(dimension.name, sizes, kinds, len(groups))


def joint_conditions(conditions: Conditions, names: set[str]) -> tuple[int, ...]:
    """Indices of the conditions that read two or more of some dimensions."""
    return tuple(
        index for index in conditions.considered if len(names & set(conditions.read_by(index))) > 1
    )


@dataclass(frozen=True, eq=False)
class Kinds:
    """The kinds of points of a domain.

    Attributes:
        conditions: of the graph.
        axes: of the domain.
        joint: indices of the conditions that read several of them.
    """

    conditions: Conditions
    axes: tuple[Axis, ...]
    joint: tuple[int, ...]

    @property
    def possible(self) -> int:
        """How many kinds there may be."""
        return math.prod(axis.count for axis in self.axes) << len(self.joint)

    @property
    def points(self) -> int:
        """How many points the domain has."""
        return math.prod(len(axis.sizes) for axis in self.axes)

    @property
    def is_countable(self) -> bool:
        """Whether counting them takes a reasonable time."""
        if self.possible > _MOST_KINDS:
            return False
        return not self.joint or (len(self.axes) == 2 and self.points * len(self.joint) < MOST_WORK)

    def of_grid(self, sizes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Per point of a grid the number of its kind, in one row.

        Args:
            sizes: dimension -> sizes of the grid's axis, in the order of ``axes``.
        """
        shape = tuple(len(values) for values in sizes.values())
        shaped, kind = {}, np.zeros((), dtype=np.int64)
        for position, axis in enumerate(self.axes):
            form = [-1 if place == position else 1 for place in range(len(self.axes))]
            shaped[axis.name] = sizes[axis.name].reshape(form)
            kind = kind * axis.count + axis.kinds_of(sizes[axis.name]).reshape(form)
        kind = np.broadcast_to(kind, shape).ravel()
        truth = self.conditions.truth(shaped, shape, only=self.joint).holds
        for index in self.joint:
            kind = kind * 2 + truth[index]
        return kind

    def count(self) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        """Per kind how many points of the domain it has, and a point of each that occurs."""
        if not self.joint:
            return self._count_products()
        first, second = self.axes
        counts = np.zeros(self.possible, dtype=np.int64)
        examples: list[tuple[int, ...]] = []
        rows = max(1, _BLOCK_POINTS // len(second.sizes))
        for start in range(0, len(first.sizes), rows):
            block = first.sizes[start : start + rows]
            kinds = self.of_grid({first.name: block, second.name: second.sizes})
            found = np.bincount(kinds, minlength=self.possible)
            for kind in np.flatnonzero((counts == 0) & (found > 0)):
                row, column = divmod(int(np.argmax(kinds == kind)), len(second.sizes))
                examples.append((int(block[row]), int(second.sizes[column])))
            counts += found
        return counts, examples

    def _count_products(self) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        counts = np.ones((), dtype=np.float64)  # a product of many axes is more than 64 bits hold
        for axis in self.axes:
            counts = np.multiply.outer(counts, np.bincount(axis.kinds).astype(np.float64))
        return np.asarray(counts).ravel(), []

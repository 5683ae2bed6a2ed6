"""A domain in, the points of it that an audit looks at out: all of them, or as many as will do.

A plane of 8192 times 8192 sizes has a few kinds of points only. Where the kinds can be counted, a
small grid that has a point of each stands for the plane, and nothing is left undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from explorer.guards.conditions import Conditions
from explorer.guards.domain import Dimension
from explorer.guards.kinds import Axis, Kinds, axis_of, joint_conditions
from explorer.guards.valid import runs, sizes_of
from explorer.size_range import SizeRange

MOST_POINTS = 256 * 256
"""Points that are looked at one by one, when there are several dimensions."""

_MOST_PER_AXIS = 256
_SEED = 0


@dataclass(frozen=True, eq=False)
class Points:
    """The points of a domain that are looked at.

    Attributes:
        axes: dimension -> int64 values: the axes of a grid, else one value per point.
        is_grid: which of the two.
        is_exact: whether they decide every point of the domain.
        coverage: which points they are, in words.
        all_sizes: dimension -> every value of the domain, ascending.
        kinds: the axes of the domain, when the points stand for others of their kind.
        weights: per point for how many points of the domain it stands, the points of a kind in
            equal parts; None when each stands for itself.
    """

    axes: Mapping[str, np.ndarray]
    is_grid: bool
    is_exact: bool
    coverage: str
    all_sizes: Mapping[str, np.ndarray]
    kinds: tuple[Axis, ...] = ()
    weights: np.ndarray | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """One entry per axis of a grid, else the number of points."""
        if self.is_grid:
            return tuple(len(axis) for axis in self.axes.values())
        return (len(next(iter(self.axes.values()))),)

    @cached_property
    def count(self) -> int:
        """How many."""
        return math.prod(self.shape)

    @cached_property
    def broadcast(self) -> dict[str, np.ndarray]:
        """Dimension -> values in a form that broadcasts to ``shape``."""
        if not self.is_grid:
            return dict(self.axes)
        rank = len(self.axes)
        return {
            name: axis.reshape([-1 if place == position else 1 for place in range(rank)])
            for position, (name, axis) in enumerate(self.axes.items())
        }

    @cached_property
    def flat(self) -> dict[str, np.ndarray]:
        """Dimension -> one value per point."""
        return {
            name: np.broadcast_to(values, self.shape).ravel()
            for name, values in self.broadcast.items()
        }

    def at(self, position: int) -> dict[str, int]:
        """One point."""
        return {name: int(values[position]) for name, values in self.flat.items()}

    def weight(self, positions: np.ndarray) -> int:
        """How many points of the domain some points stand for, given by position."""
        return len(positions) if self.weights is None else round(self.weights[positions].sum())

    def sizes_in(self, dimension: str, positions: np.ndarray) -> np.ndarray:
        """The values of a dimension that some points stand for, given by position, ascending."""
        found = self.flat[dimension][positions]
        if len(self.axes) == 1:
            return found
        for axis in self.kinds:
            if axis.name == dimension:
                return axis.sizes[np.isin(axis.kinds, axis.kinds_of(found))]
        return np.unique(found)


def choose_points(conditions: Conditions, domain: Mapping[Dimension, SizeRange]) -> Points:
    """The points to look at."""
    sizes = {each.name: sizes_of(values) for each, values in domain.items()}
    total = math.prod(len(each) for each in sizes.values())
    whole = math.prod(each.end - each.start + 1 for each in domain.values())
    if len(sizes) <= 1 or total <= MOST_POINTS:
        if total == whole:
            return Points(sizes, True, True, f"all {whole:,} points", sizes)
        return Points(sizes, True, False, f"{total:,} of {whole:,} points, near both ends", sizes)
    kinds = Kinds(
        conditions,
        tuple(axis_of(conditions, each, sizes[each.name]) for each in domain),
        joint_conditions(conditions, set(sizes)),
    )
    if total == whole and kinds.is_countable:
        found = _one_of_each(kinds, domain)
        if found is not None:
            return found
    return _sample(conditions, domain, sizes, whole)


def _one_of_each(kinds: Kinds, domain: Mapping[Dimension, SizeRange]) -> Points | None:
    """A grid with points of every kind; None when it takes too many."""
    counts, examples = kinds.count()
    sizes = {axis.name: axis.sizes for axis in kinds.axes}
    chosen = {}
    for place, (dimension, axis) in enumerate(zip(domain, kinds.axes, strict=True)):
        told = [axis.examples(), np.array([point[place] for point in examples], dtype=np.int64)]
        if kinds.joint:
            told.append(_telling_sizes(kinds.conditions, dimension, axis.sizes))
        chosen[axis.name] = np.unique(np.concatenate(told))
    if math.prod(len(each) for each in chosen.values()) > 4 * MOST_POINTS:
        return None
    kind = kinds.of_grid(chosen)
    here = np.bincount(kind, minlength=len(counts))
    return Points(
        axes=chosen,
        is_grid=True,
        is_exact=True,
        coverage=f"all {kinds.points:,} points, {int((counts > 0).sum()):,} kinds of them",
        all_sizes=sizes,
        kinds=kinds.axes,
        weights=counts[kind] / here[kind],
    )


def _sample(
    conditions: Conditions,
    domain: Mapping[Dimension, SizeRange],
    sizes: Mapping[str, np.ndarray],
    whole: int,
) -> Points:
    """Sizes where some condition turns, and others by chance, the same ones each time."""
    chosen = {each.name: _telling_sizes(conditions, each, sizes[each.name]) for each in domain}
    if len(chosen) == 2:
        points = Points(chosen, True, False, "", sizes)
    else:
        generator = np.random.default_rng(_SEED)
        half = MOST_POINTS // 2
        picked = [
            np.concatenate([generator.choice(chosen[name], half), generator.choice(axis, half)])
            for name, axis in sizes.items()
        ]
        rows = np.unique(np.stack(picked), axis=1)
        points = Points(dict(zip(sizes, rows, strict=True)), False, False, "", sizes)
    return replace(points, coverage=f"{points.count:,} of {whole:,} points")


def _telling_sizes(conditions: Conditions, dimension: Dimension, sizes: np.ndarray) -> np.ndarray:
    """At most 256 sizes of a dimension, ascending."""
    generator = np.random.default_rng(_SEED)
    reads = [i for i in conditions.considered if dimension.name in conditions.read_by(i)]
    truth = conditions.truth({dimension.name: sizes}, sizes.shape, only=reads).holds[reads]
    wanted = {int(sizes[0]), int(sizes[-1]), *(int(size) for size in sizes[:4]), dimension.hint}
    for row in truth:
        for run in runs(sizes[row])[:8]:
            wanted |= {run.start - 1, run.start, run.end, run.end + 1}
    found = np.intersect1d(np.array(sorted(wanted)), sizes)
    if len(found) > _MOST_PER_AXIS:
        return found[np.linspace(0, len(found) - 1, _MOST_PER_AXIS).astype(int)]
    rest = np.setdiff1d(sizes, found)
    missing = min(_MOST_PER_AXIS - len(found), len(rest))
    return np.sort(np.concatenate([found, generator.choice(rest, missing, replace=False)]))

"""A domain in, the points of it that an audit looks at out: all of them, or as many as will do.

Conditions that read one dimension draw lines across the domain. Where no condition reads two, sizes
between the same lines behave alike, so a few of them stand for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from explorer.guards.conditions import Conditions
from explorer.guards.domain import Dimension
from explorer.guards.signatures import group_columns
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
        stands_in: dimension -> per value of the domain the position in ``axes`` of the one that
            stands for it; None when every point stands for itself only.
    """

    axes: Mapping[str, np.ndarray]
    is_grid: bool
    is_exact: bool
    coverage: str
    all_sizes: Mapping[str, np.ndarray]
    stands_in: Mapping[str, np.ndarray] | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """One entry per axis of a grid, else the number of points."""
        if self.is_grid:
            return tuple(len(axis) for axis in self.axes.values())
        return (len(next(iter(self.axes.values()))),)

    @cached_property
    def count(self) -> int:
        """How many."""
        return int(np.prod(self.shape, dtype=np.int64))

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

    @cached_property
    def _weights(self) -> np.ndarray:
        """Per point of a grid, for how many points of the domain it stands."""
        weight: Any = np.ones((), dtype=object)
        for name, axis in self.axes.items():
            assert self.stands_in is not None
            counts = np.bincount(self.stands_in[name], minlength=len(axis))
            weight = np.multiply.outer(weight, counts.astype(object))
        return np.asarray(weight).ravel()

    def weight(self, positions: np.ndarray) -> int:
        """How many points of the domain some points stand for, given by position."""
        return len(positions) if self.stands_in is None else int(self._weights[positions].sum())

    def sizes_in(self, dimension: str, positions: np.ndarray) -> np.ndarray:
        """The values of a dimension that some points have, given by position, ascending."""
        if self.stands_in is None:
            found = self.flat[dimension][positions]
            return found if len(self.axes) == 1 else np.unique(found)
        place = list(self.axes).index(dimension)
        mask = np.zeros(self.count, dtype=bool)
        mask[positions] = True
        others = tuple(axis for axis in range(len(self.axes)) if axis != place)
        marked: np.ndarray = np.any(mask.reshape(self.shape), axis=others)
        return self.all_sizes[dimension][marked[self.stands_in[dimension]]]


def choose_points(conditions: Conditions, domain: Mapping[Dimension, SizeRange]) -> Points:
    """The points to look at."""
    axes = {each.name: sizes_of(values) for each, values in domain.items()}
    total = int(np.prod([len(axis) for axis in axes.values()], dtype=object))
    whole = int(np.prod([v.end - v.start + 1 for v in domain.values()], dtype=object))
    if len(axes) <= 1 or total <= MOST_POINTS:
        if total == whole:
            return Points(axes, True, True, f"all {whole:,} points", axes)
        return Points(axes, True, False, f"{total:,} of {whole:,} points, near both ends", axes)
    if total == whole and not _joint(conditions, domain):
        found = _products(conditions, domain, axes, whole)
        if found.count <= MOST_POINTS:
            return found
    return _sample(conditions, domain, axes, whole)


def _joint(conditions: Conditions, domain: Mapping[Dimension, SizeRange]) -> bool:
    """Whether some condition reads two of the dimensions."""
    names = {each.name for each in domain}
    read = (set(conditions.read_by(index)) & names for index in conditions.considered)
    return any(len(each) > 1 for each in read)


def _axis_truth(conditions: Conditions, dimension: Dimension, axis: np.ndarray) -> np.ndarray:
    """(conditions, sizes) of the conditions on this dimension, and of being 0 or 1."""
    alone = [i for i in conditions.considered if dimension.name in conditions.read_by(i)]
    truth = conditions.truth({dimension.name: axis}, axis.shape).holds[alone]
    apart = [axis == 0, axis == 1] if dimension.is_size else []
    return np.concatenate([truth, np.array(apart, dtype=bool).reshape(-1, len(axis))])


def _products(
    conditions: Conditions,
    domain: Mapping[Dimension, SizeRange],
    axes: Mapping[str, np.ndarray],
    whole: int,
) -> Points:
    """The first, middle and last size of each kind, per axis, in all combinations."""
    chosen, stands_in = {}, {}
    for dimension in domain:
        axis = axes[dimension.name]
        truth = _axis_truth(conditions, dimension, axis)
        place = np.zeros(len(axis), dtype=np.int64)
        for _, positions in group_columns(truth, np.ones(len(axis), dtype=bool)):
            place[positions] = positions[len(positions) // 2]
            place[positions[0]], place[positions[-1]] = positions[0], positions[-1]
        kept, stands_in[dimension.name] = np.unique(place, return_inverse=True)
        chosen[dimension.name] = axis[kept]
    text = f"all {whole:,} points, dimension by dimension"
    return Points(chosen, True, True, text, axes, stands_in)


def _sample(
    conditions: Conditions,
    domain: Mapping[Dimension, SizeRange],
    axes: Mapping[str, np.ndarray],
    whole: int,
) -> Points:
    """Sizes where some condition turns, and others by chance, the same ones each time."""
    generator = np.random.default_rng(_SEED)
    chosen = {
        dimension.name: _telling_sizes(conditions, dimension, axes[dimension.name], generator)
        for dimension in domain
    }
    if len(chosen) == 2:
        points = Points(chosen, True, False, "", axes)
    else:
        picked = {}
        for name, axis in axes.items():
            telling = generator.choice(chosen[name], MOST_POINTS // 2)
            picked[name] = np.concatenate([telling, generator.choice(axis, MOST_POINTS // 2)])
        rows = np.unique(np.stack(list(picked.values())), axis=1)
        picked = dict(zip(picked, rows, strict=True))
        points = Points(picked, False, False, "", axes)
    return replace(points, coverage=f"{points.count:,} of {whole:,} points")


def _telling_sizes(
    conditions: Conditions,
    dimension: Dimension,
    axis: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """At most 256 sizes of an axis, ascending."""
    reads = [i for i in conditions.considered if dimension.name in conditions.read_by(i)]
    truth = conditions.truth({dimension.name: axis}, axis.shape).holds[reads]
    wanted = {int(axis[0]), int(axis[-1]), *(int(size) for size in axis[:4]), dimension.hint}
    for row in truth:
        for run in runs(axis[row])[:8]:
            wanted |= {run.start - 1, run.start, run.end, run.end + 1}
    found = np.intersect1d(np.array(sorted(wanted)), axis)[:_MOST_PER_AXIS]
    rest = np.setdiff1d(axis, found)
    missing = min(_MOST_PER_AXIS - len(found), len(rest))
    return np.sort(np.concatenate([found, generator.choice(rest, missing, replace=False)]))

"""A domain in, captured graphs for all of it out: what no graph is right for yet is captured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from explorer.artifacts.audited import EagerOutcome, Intervals
from explorer.artifacts.covered import Coverage, CoveredRegion, UncoveredPoint
from explorer.config import CompilationConfig
from explorer.errors import CaptureError, InputError
from explorer.guards.conditions import Conditions
from explorer.guards.domain import resolve_domain
from explorer.guards.eager import EagerRuns, inputs_at_point
from explorer.guards.judge import pairs
from explorer.guards.regions import Points, choose_points
from explorer.guards.variants import (
    dimensions_of,
    fixed_sizes,
    plain_values,
    region_mask,
    request_of_call,
    sizes_of_call,
)
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.runtime.runner import Runner
from explorer.runtime.variants import Variants
from explorer.size_range import SizeRange
from explorer.stages.capture import named_dims

MOST_FAILURES = 16
"""Points that cannot be captured, after which the search ends."""

_NOBODY, _EAGER, _FAILS, _REFUSED = -1, -2, -3, -4


def cover(
    variants: Variants,
    config: CompilationConfig,
    domain: SizeRange | Mapping[str, SizeRange] | None,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    partial: Callable[[Coverage], None] | None = None,
) -> Coverage:
    """Captures and compiles until every point of a domain has a graph.

    Args:
        variants: the graphs so far; grows.
        config: for the default domain.
        domain: as for ``Compilation.audit``.
        progress: told how many points are decided.
        cancel: looked at between captures.
        partial: told what the graphs so far cover, before each further one.

    Raises:
        ConfigError: a name that is not there, or a value that is no range.
        VariantsLimit: more graphs are needed than ``variants_limit`` allows.
        Cancelled: somebody asked to stop; the graphs so far are kept.
    """
    started = time.perf_counter()
    search = _Search(variants, config, domain)
    while (probe := search.next_probe()) is not None:
        if cancel is not None:
            cancel.raise_if_cancelled()
        if progress is not None:
            done = int(np.count_nonzero(search.owner != _NOBODY))
            progress(Progress(done, search.points.count, _named(search.points.at(probe))))
        if partial is not None:
            partial(search.result(time.perf_counter() - started))
        search.settle(probe)
    if progress is not None:
        progress(Progress(search.points.count, search.points.count, "covered"))
    return search.result(time.perf_counter() - started)


def _named(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sizes.items())


class _Search:
    """Which variant serves each point, as far as it is known.

    Attributes:
        points: of the domain.
        owner: per point the position of its variant, or one of the negative marks.
    """

    def __init__(
        self,
        variants: Variants,
        config: CompilationConfig,
        domain: SizeRange | Mapping[str, SizeRange] | None,
    ) -> None:
        self._variants = variants
        first = variants.runners[0].captured
        self._first = first
        ranges = resolve_domain(dimensions_of(variants.runners[0].captured), config, domain)
        self._domain = {each.name: (r.start, r.end) for each, r in ranges.items()}
        self._sizes = [each.name for each in ranges if each.is_size]
        self.points: Points = choose_points(Conditions.of(first), ranges)
        self.owner = np.full(self.points.count, _NOBODY, dtype=np.int32)
        self._eager = EagerRuns(first)
        self._answers: list[np.ndarray] = []
        self._failures: list[UncoveredPoint] = []
        self._zero, self._one = self._any_is(0), self._any_is(1)
        self.owner[self._zero] = _EAGER
        wanted = self._apart_from_points(variants.runners[0])
        for position, runner in enumerate(variants.runners):
            if self._apart_from_points(runner) == wanted:
                self._take(position)

    def _apart_from_points(self, runner: Runner) -> tuple[object, ...]:
        """What a runner's call has besides sizes and what varies: the points share the example's.

        A graph for ``flag=True`` says nothing about calls with ``flag=False``.
        """
        values = [each for each in plain_values(runner.request) if each[0] not in self.points.axes]
        tensors = [
            (leaf.path, leaf.tensor.dtype, leaf.tensor.device, leaf.tensor.dim())
            for leaf in named_dims(runner.request)[0]
        ]
        return values, tensors

    def _any_is(self, size: int) -> np.ndarray:
        found = np.zeros(self.points.count, dtype=bool)
        for name in self._sizes:
            found |= self.points.flat[name] == size
        return found

    def next_probe(self) -> int | None:
        """The next point to decide, the largest first; those with a size of 1 come last."""
        left = self.owner == _NOBODY
        if not left.any() or len(self._failures) >= MOST_FAILURES:
            return None
        plain = np.flatnonzero(left & ~self._one)
        return int(plain[-1]) if len(plain) else int(np.flatnonzero(left)[-1])

    def settle(self, probe: int) -> None:
        """Decides one point, and with it those that are served alike."""
        point = self.points.at(probe)
        if self._eager.at(point).outcome is EagerOutcome.FAILS:
            self._reject(probe)
            return
        try:
            args, kwargs = inputs_at_point(self._first, point)
            if self._one[probe] and self._served_as_one(probe, args, kwargs):
                return
            self._variants.add(args, kwargs)
        except (CaptureError, InputError) as error:
            self._failures.append(UncoveredPoint(point, str(error)))
            self.owner[probe] = _REFUSED
            return
        position = len(self._variants.runners) - 1
        self._take(position)
        self.owner[probe] = position  # it was captured for this very point

    def _take(self, position: int) -> None:
        """Gives a variant the points that it is right for and nobody has."""
        captured = self._variants.runners[position].captured
        flat, count = self.points.flat, self.points.count
        mask = region_mask(captured, flat, count)
        self.owner[mask & (self.owner == _NOBODY)] = position
        conditions = Conditions.of(captured)
        known = dict(flat)
        self._answers += list(conditions.truth(known, (count,)).holds)
        self._answers += [
            flat[name] == value for name, value in fixed_sizes(captured).items() if name in flat
        ]

    def _reject(self, probe: int) -> None:
        """Takes it that eager fails where no known condition tells the point from this one."""
        alike = self.owner == _NOBODY
        for answers in self._answers:
            alike &= answers == answers[probe]
        alike &= self._one == self._one[probe]
        self.owner[alike] = _FAILS
        self.owner[probe] = _FAILS

    def _served_as_one(self, probe: int, args: tuple, kwargs: Mapping[str, object]) -> bool:
        """Whether a variant is the same program as a capture at this point, where a size is 1."""
        request = request_of_call(self._variants.request, args, kwargs)
        special = self._variants.size_one.special_for_call(request)
        captured = special.normalised.captured
        mask = region_mask(captured, self.points.flat, self.points.count)
        mask &= self.owner == _NOBODY
        mask[probe] = True
        sizes, values = sizes_of_call(request), plain_values(request)
        for position, runner in enumerate(self._variants.runners):
            own = {each.name for each in runner.captured.sizes}
            fixed = fixed_sizes(runner.captured)
            fits = all(sizes[name] == value for name, value in fixed.items() if name in sizes)
            if not fits or plain_values(runner.captured.request) != values:
                continue
            here = {name: size for name, size in sizes.items() if name in own}
            general = runner.unique.split.normalised
            if self._variants.size_one.difference(general, here) is None:
                self.owner[mask] = position
                return True
        return False

    def result(self, seconds: float) -> Coverage:
        """What was found."""
        left = np.flatnonzero((self.owner == _NOBODY) & ~self._zero)
        more = [UncoveredPoint(self.points.at(int(p)), "not tried") for p in left[:MOST_FAILURES]]
        fails = self.owner == _FAILS
        return Coverage(
            dimensions=tuple(self.points.axes),
            domain=self._domain,
            coverage=self.points.coverage,
            captures=self._variants.captures,
            graphs=len(self._variants.compilations),
            regions=tuple(self._region(p) for p in range(len(self._variants.runners))),
            eager_fails=self._intervals(fails),
            failing_points=self.points.weight(np.flatnonzero(fails)),
            uncovered=(*self._failures, *more),
            seconds=seconds,
        )

    def _region(self, position: int) -> CoveredRegion:
        runner = self._variants.runners[position]
        mask = self.owner == position
        request = runner.captured.request
        return CoveredRegion(
            variant=position,
            example=sizes_of_call(request),
            intervals=self._intervals(mask),
            points=self.points.weight(np.flatnonzero(mask)),
            same_graph_as=self._variants.same_graph_as(position),
        )

    def _intervals(self, mask: np.ndarray) -> Intervals:
        if len(self.points.axes) != 1:
            return ()
        (values,) = self.points.flat.values()
        return pairs(values[mask])

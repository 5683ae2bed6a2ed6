"""Captures at size 1, made once and shared: what a general graph is compared with there.

State: the captures so far. A capture at 1 is right for those other sizes at which its own
conditions hold, and for the Python values that it was made with.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from explorer import example_inputs
from explorer.artifacts import CapturedGraph, NormalisedGraph
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.errors import CaptureError, InputError
from explorer.guards.size_one import same_at
from explorer.guards.variants import (
    capture_fixing,
    fixed_sizes,
    plain_values,
    region_mask,
    request_of_call,
    sizes_of_call,
)
from explorer.stages.capture import CaptureRequest
from explorer.stages.normalise import normalise


@dataclass(frozen=True, eq=False)
class Special:
    """A graph captured with some sizes at 1.

    Attributes:
        normalised: the graph.
        values: the Python values that it was captured with.
        differences: general graph -> what differs from it, None when nothing does.
    """

    normalised: NormalisedGraph
    values: tuple[object, ...]
    differences: dict[NormalisedGraph, str | None] = field(default_factory=dict)

    def fits(self, sizes: Mapping[str, int], values: tuple[object, ...]) -> bool:
        """Whether it is right at some sizes, for some Python values."""
        fixed = fixed_sizes(self.normalised.captured)
        ones = {name for name, size in sizes.items() if size == 1}
        if self.values != values or not ones <= {k for k, v in fixed.items() if v == 1}:
            return False
        points = {name: np.array([size]) for name, size in sizes.items()}
        return bool(region_mask(self.normalised.captured, points, 1)[0])


class SizeOneCaptures:
    """What is known of size 1 for one model.

    Attributes:
        count: how many captures it took.
    """

    def __init__(self, config: CompilationConfig) -> None:
        self.count = 0
        self._config = config
        self._specials: list[Special] = []
        self._lock = threading.RLock()

    def difference(self, general: NormalisedGraph, sizes: Mapping[str, int]) -> str | None:
        """What differs between a general graph and a capture at some sizes, at least one of them 1.

        Args:
            general: captured with these sizes dynamic; its conditions other than the bounds of
                sizes hold at ``sizes``.
            sizes: size name -> value.

        Returns:
            None when the general graph is the same program there, else what differs, in words.
        """
        with self._lock:
            try:
                special = self.special(general.captured, sizes)
            except (CaptureError, InputError) as error:
                return f"it cannot be captured there: {error}"
            known = special.differences
            if general not in known:
                captured = special.normalised.captured
                fixed = {
                    name: size
                    for name, size in fixed_sizes(captured).items()
                    if name in {each.name for each in general.captured.sizes}
                }
                call = (captured.request.args, captured.request.kwargs)
                known[general] = same_at(general, special.normalised, fixed, call)
            return known[general]

    def special(self, captured: CapturedGraph, sizes: Mapping[str, int]) -> Special:
        """A capture at some sizes, at least one of them 1, with the Python values of a graph.

        Raises:
            CaptureError: it cannot be captured there.
            InputError: there are no inputs of these sizes.
        """
        known = self._known(sizes, plain_values(captured.request))
        if known is not None:
            return known
        args, kwargs = example_inputs.at(captured.request, sizes, captured=captured)
        return self._add(request_of_call(captured.request, args, kwargs))

    def special_for_call(self, request: CaptureRequest) -> Special:
        """A capture for one call, at least one of whose sizes is 1.

        Args:
            request: as ``request_of_call`` makes it.

        Raises:
            CaptureError: it cannot be captured.
        """
        with self._lock:
            known = self._known(sizes_of_call(request), plain_values(request))
            return known or self._add(request)

    def _known(self, sizes: Mapping[str, int], values: tuple[object, ...]) -> Special | None:
        return next((each for each in self._specials if each.fits(sizes, values)), None)

    def _add(self, request: CaptureRequest) -> Special:
        counters.add(captured=1)
        special = capture_fixing(request, self._config)
        found = Special(normalise(special), plain_values(request))
        self._specials.append(found)
        self.count += 1
        return found

    def forget(self) -> None:
        """Drops every capture: the model has changed."""
        self._specials.clear()


__all__ = ["SizeOneCaptures", "Special"]

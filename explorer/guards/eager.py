"""Points in, what the model itself does there out.

A size that a condition rejects is no fault of the graph where eager has no result either.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer import example_inputs
from explorer.artifacts import CapturedGraph
from explorer.artifacts.audited import EagerOutcome, EagerProbe
from explorer.as_it_is import as_it_is
from explorer.errors import ExplorerError
from explorer.guards.regions import Points
from explorer.model_state import ModelState
from explorer.random_state import random_state_kept
from explorer.stages.capture import checked_model
from explorer.torch_private.capture import traced_function

LARGEST_PROBED_SIZE = 8192
"""Eager attention needs gigabytes at larger sizes; a group without smaller ones has one probe."""

MOST_PROBES_OF_A_GROUP = 64
MOST_PROBES = 512
_SMALL_GROUP = 8


@dataclass(frozen=True, eq=False)
class Examined:
    """What eager did at the points of one group.

    Attributes:
        probes: the runs, in the order of the points.
        outcome: what they came to.
        fails: positions of the points at which it fails, presumed ones included.
    """

    probes: tuple[EagerProbe, ...]
    outcome: EagerOutcome
    fails: np.ndarray

    @property
    def is_known(self) -> bool:
        """Whether some run told something."""
        return self.outcome is not EagerOutcome.NOT_KNOWN


class EagerRuns:
    """Runs a model at other sizes and leaves it as it was.

    Args:
        captured: knows the model and its example.
    """

    def __init__(self, captured: CapturedGraph) -> None:
        self.captured = captured
        self.count = 0

    def examine(self, points: Points, positions: np.ndarray) -> Examined:
        """Runs the model at some points of a group.

        Args:
            points: all points.
            positions: of the group, ascending.
        """
        coordinates = np.stack([values[positions] for values in points.flat.values()])
        small = positions[(coordinates <= LARGEST_PROBED_SIZE).all(axis=0)]
        candidates = small if len(small) else positions[:1]
        probes = self._run(points, candidates, _first_probes(len(candidates)))
        outcome = _outcome(probes.values())
        if outcome is EagerOutcome.MIXED:
            spread = np.linspace(0, len(candidates) - 1, MOST_PROBES_OF_A_GROUP).astype(int)
            probes |= self._run(points, candidates, spread.tolist(), known=probes)
        fails = [p for p, probe in probes.items() if probe.outcome is EagerOutcome.FAILS]
        return Examined(
            probes=tuple(probes[position] for position in sorted(probes)),
            outcome=outcome,
            fails=positions if outcome is EagerOutcome.FAILS else np.array(sorted(fails), int),
        )

    def _run(
        self,
        points: Points,
        candidates: np.ndarray,
        chosen: Sequence[int],
        known: Mapping[int, EagerProbe] | None = None,
    ) -> dict[int, EagerProbe]:
        wanted = dict.fromkeys(int(candidates[each]) for each in chosen)
        return {
            position: (known or {}).get(position) or self.at(points.at(position))
            for position in wanted
        }

    def at(self, sizes: Mapping[str, int]) -> EagerProbe:
        """Runs the model once.

        Args:
            sizes: values of sizes and of int arguments.
        """
        request = self.captured.request
        if request is None:
            reason = "the capture was made by hand, so there are no inputs of other sizes"
            return EagerProbe(sizes, EagerOutcome.NOT_KNOWN, reason)
        if self.count >= MOST_PROBES:
            reason = f"{MOST_PROBES} runs were enough"
            return EagerProbe(sizes, EagerOutcome.NOT_KNOWN, reason)
        self.count += 1
        try:
            with quiet_run():
                args, kwargs = inputs_at_point(self.captured, sizes)
        except ExplorerError as error:
            return EagerProbe(sizes, EagerOutcome.NOT_KNOWN, str(error))
        return self._called(sizes, args, kwargs)

    def _called(
        self, sizes: Mapping[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> EagerProbe:
        model = self.captured.model
        state = ModelState(model)
        try:
            with torch.no_grad(), quiet_run():
                as_it_is(model)(*args, **kwargs)
        except Exception as error:  # whatever the user's model raises
            if _is_out_of_memory(error):
                return EagerProbe(sizes, EagerOutcome.NOT_KNOWN, "there is not enough memory")
            lines = str(error).strip().splitlines()
            problem = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
            return EagerProbe(sizes, EagerOutcome.FAILS, problem)
        finally:
            state.restore()
        return EagerProbe(sizes, EagerOutcome.WORKS)


def _first_probes(count: int) -> list[int]:
    """The first, the last, and two in the middle: neighbours tell what depends on a remainder."""
    if count <= _SMALL_GROUP:
        return list(range(count))
    return sorted({0, count // 2, min(count // 2 + 1, count - 1), count - 1})


def _outcome(probes: Any) -> EagerOutcome:
    found = {probe.outcome for probe in probes} - {EagerOutcome.NOT_KNOWN}
    if not found:
        return EagerOutcome.NOT_KNOWN
    return found.pop() if len(found) == 1 else EagerOutcome.MIXED


def inputs_at_point(captured: CapturedGraph, sizes: Mapping[str, int]) -> example_inputs.Inputs:
    """Inputs of some sizes, in memory of their own, with other values for some int arguments.

    Args:
        captured: knows the example.
        sizes: name of a size or of an int argument -> value.

    Raises:
        ExplorerError: there are no such inputs.
    """
    request = captured.request
    named = {each.name for each in captured.sizes} | example_inputs.size_names(request)
    wanted = {name: size for name, size in sizes.items() if name in named}
    args, kwargs = example_inputs.at(request, wanted, captured=captured)
    args, kwargs = example_inputs.copied(args, kwargs)
    values = {name: value for name, value in sizes.items() if name not in named}
    return _with_arguments(captured, args, kwargs, values) if values else (args, kwargs)


def _with_arguments(
    captured: CapturedGraph,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    values: Mapping[str, int],
) -> example_inputs.Inputs:
    """The call with other values for arguments that are ints.

    Raises:
        ExplorerError: a value that is no argument, such as an attribute of the model.
    """
    function, receiver = traced_function(checked_model(captured.request.model))
    first = () if receiver is None else (receiver,)
    bound = inspect.signature(function).bind(*first, *args, **kwargs)
    bound.apply_defaults()
    for name, value in values.items():
        if name not in bound.arguments:
            raise ExplorerError(f"{name} is no argument of the call, so eager was not tried")
        bound.arguments[name] = value
    return bound.args[len(first) :], bound.kwargs


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate" in str(error)


@contextmanager
def quiet_run() -> Iterator[None]:
    """Inside, the random state is kept, see ``random_state_kept``, and there are no warnings."""
    with warnings.catch_warnings(), random_state_kept():
        warnings.simplefilter("ignore")
        yield

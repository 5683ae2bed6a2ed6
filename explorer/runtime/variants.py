"""Calls in, outputs out: each call through the captured graph that is right for it.

State: the variants, in the order of their captures. A call that fits none of them adds one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from explorer.artifacts import CapturedGraph
from explorer.compilation import Compilation
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.errors import GuardViolation
from explorer.guards.size_one import same_at
from explorer.guards.size_one_captures import SizeOneCaptures
from explorer.guards.variants import (
    capture_fixing,
    fixed_sizes,
    region_mask,
    request_of_call,
    sizes_of_call,
)
from explorer.runtime.runner import NOT_SERVED, RunEagerly, Runner
from explorer.runtime.variant_table import VariantTable
from explorer.runtime.variants_limit import too_many
from explorer.stages.capture import CaptureRequest, named_dims
from explorer.stages.inputs import check_tensors

logger = logging.getLogger("explorer")


class Rebuild(Protocol):
    """Compiles the model again."""

    def __call__(self, captured: CapturedGraph | None = None) -> Compilation:
        """Args: the capture to compile, or None to capture first."""
        ...

    def stored(self, request: CaptureRequest) -> Compilation | None:
        """A stored compilation that is right for a call.

        Args:
            request: the call, with dims of size 1 as constants.
        """
        ...


@dataclass(frozen=True, eq=False)
class Variant:
    """One captured graph with what runs it.

    Attributes:
        runner: runs it.
        same_graph_as: position of another variant that is the same program at this one's sizes; its
            artifacts may differ, since a compiler knows the sizes that it compiles for.
    """

    runner: Runner
    same_graph_as: int | None


class Variants:
    """The captured graphs of one model, and which of them serves a call.

    Attributes:
        request: the model and its example call.
        size_one: the captures at size 1, which all variants share.
    """

    def __init__(
        self,
        request: CaptureRequest,
        first: Runner,
        rebuild: Rebuild,
        is_outdated: Callable[[Runner, tuple[Any, ...], Mapping[str, Any]], bool],
    ) -> None:
        """Begins with one variant.

        Args:
            request: the model and its example call.
            first: runs the graph of the example.
            rebuild: compiles another capture.
            is_outdated: whether a runner's parameters or submodules are no longer the model's.
        """
        self.request = request
        self._rebuild = rebuild
        self._is_outdated = is_outdated
        self._config: CompilationConfig = first.config
        self.size_one = SizeOneCaptures(self._config)
        self._captures = 0 if first.compilation.was_loaded_whole else 1
        self._lock = threading.RLock()
        self._now: tuple[tuple[Variant, ...], VariantTable] = ((), VariantTable(request, (), 0))
        self._replace((Variant(self._shared(first), None),))

    @property
    def _variants(self) -> tuple[Variant, ...]:
        return self._now[0]

    @property
    def runners(self) -> tuple[Runner, ...]:
        """One per variant, in the order of their captures."""
        return tuple(each.runner for each in self._variants)

    @property
    def compilations(self) -> tuple[Compilation, ...]:
        """One per distinct graph."""
        return tuple(
            each.runner.compilation for each in self._variants if each.same_graph_as is None
        )

    @property
    def captures(self) -> int:
        """How many captures there were, the first one and those at size 1 included.

        What was loaded from the store is none.
        """
        return self._captures + self.size_one.count

    def same_graph_as(self, position: int) -> int | None:
        """Position of another variant that is the same program as this one, or None."""
        return self._variants[position].same_graph_as

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The model's result, through the variant that is right for the call.

        Raises:
            RunEagerly: the graph that is right runs no operation, or some size is 0.
            VariantsLimit: the call needs one more graph than ``variants_limit`` allows.
            SizeOutOfRange: the dispatch size is above all ranges.
            GuardViolation: something about an input that no capture would take.
            ExplorerError: the model cannot be captured for this call.
        """
        variants, table = self._now
        for position in table.candidates(args, kwargs):
            runner = variants[position].runner
            if runner.is_empty:
                self._run_eagerly_if_fits(runner, args, kwargs)
                continue
            try:
                result = runner.fast_call(args, kwargs)
                if result is not NOT_SERVED:
                    return result
                if runner.state_problem(args, kwargs) is None:
                    return runner.call(args, kwargs)
            except GuardViolation:
                continue
        return self._call_another(args, kwargs, variants)

    def _run_eagerly_if_fits(
        self, runner: Runner, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """A graph without operations: where it is right there is nothing to run.

        Raises:
            RunEagerly: it is right for the call.
        """
        if runner.state_problem(args, kwargs) is not None:
            return
        sizes = sizes_of_call(request_of_call(self.request, args, kwargs))
        own = {each.name: sizes[each.name] for each in runner.captured.sizes}
        if 0 in sizes.values():
            raise RunEagerly
        if 1 in own.values():
            normalised = runner.unique.split.normalised
            fits = self.size_one.difference(normalised, own) is None
        else:
            points = {name: np.array([size]) for name, size in sizes.items()}
            fits = bool(region_mask(runner.captured, points, 1)[0])
        if fits:
            raise RunEagerly

    def _call_another(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], seen: tuple[Variant, ...]
    ) -> Any:
        with self._lock:
            if self._variants is not seen:  # another thread added one meanwhile
                return self.call(args, kwargs)
            self._refuse_without_a_capture(args, kwargs)
            runner = self.add(args, kwargs)
        if runner.is_empty:
            raise RunEagerly
        try:
            return runner.call(args, kwargs)
        except GuardViolation:
            # A capture made for this very call does not take it: something that no capture would.
            with self._lock:
                self._replace(tuple(v for v in self._variants if v.runner is not runner))
            raise

    def _refuse_without_a_capture(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Ends a call that another graph could not serve either.

        Raises:
            RunEagerly: some size is 0, or the configuration leaves the size to eager.
            SizeOutOfRange: the dispatch size is above all ranges.
        """
        sizes = sizes_of_call(request_of_call(self.request, args, kwargs))
        if 0 in sizes.values():
            raise RunEagerly
        name = self._config.dispatch_dim or next(iter(sizes), None)
        # A model that makes a graph for each size may have one for a large size: nothing to pick.
        found = [r for r in self.runners if r.dispatch is not None and r.dispatch.name == name]
        if found and sizes[str(name)] > self._config.max_size:
            found[0].row_of(sizes[str(name)])

    def add(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Runner:
        """Captures and compiles a graph for one call.

        Raises:
            VariantsLimit: there are ``variants_limit`` already.
            ExplorerError: the model cannot be captured for this call.
        """
        with self._lock:
            kept = tuple(
                each for each in self._variants if not self._is_outdated(each.runner, args, kwargs)
            )
            if len(kept) < len(self._variants):
                self.size_one.forget()  # the model itself has changed
            # What no capture would take is said before a limit is.
            request = request_of_call(self.request, args, kwargs)
            check_tensors(named_dims(request)[0])
            if len(kept) >= self._config.variants_limit:
                captured = [each.runner.captured for each in self._variants]
                raise too_many(sizes_of_call(request), captured)
            compilation = self._rebuild.stored(request)
            if compilation is None:
                compilation = self._rebuild(self._captured_for(request))
            graphing = self._variants[0].runner.graphing
            runner = self._shared(Runner(compilation.captured.request, compilation, graphing))
            runner.recording = self._variants[0].runner.recording
            self._replace(_with_another(kept, runner))
            made = "loaded" if compilation.was_loaded_whole else "captured"
            logger.info("%s variant %d: %s", made, len(kept), compilation.name)
            return runner

    def _captured_for(self, request: CaptureRequest) -> CapturedGraph:
        if request.fixed_dims:
            return self.size_one.special_for_call(request).normalised.captured
        counters.add(captured=1)
        self._captures += 1
        return capture_fixing(request, self._config)

    def _shared(self, runner: Runner) -> Runner:
        """The runner, settling size 1 with the captures that all variants share."""
        runner.size_one = self.size_one
        return runner

    def _replace(self, variants: tuple[Variant, ...]) -> None:
        captured = [each.runner.captured for each in variants]
        table = VariantTable(self.request, captured, self._config.max_size)
        for position, each in enumerate(variants):
            each.runner.variant = position
        self._now = (variants, table)  # in one go: a call in another thread reads both


def _with_another(variants: tuple[Variant, ...], runner: Runner) -> tuple[Variant, ...]:
    """The variants with one more; which of them are the same program is worked out anew for it."""
    distinct = [position for position, each in enumerate(variants) if each.same_graph_as is None]
    same = next((p for p in distinct if _is_same(variants[p].runner, runner)), None)
    if same is not None:
        return (*variants, Variant(runner, same))
    # A graph for size 1 may have been there before the general one that is right there as well.
    covered = {p for p in distinct if _is_same(runner, variants[p].runner)}
    covered |= {p for p, each in enumerate(variants) if each.same_graph_as in covered}
    kept = (
        Variant(each.runner, len(variants)) if position in covered else each
        for position, each in enumerate(variants)
    )
    return (*kept, Variant(runner, None))


def _is_same(general: Runner, special: Runner) -> bool:
    """Whether a graph is the same program as another one, at the sizes that the other has fixed."""
    names = {size.name for size in general.captured.sizes}
    fixed = {k: v for k, v in fixed_sizes(special.captured).items() if k in names}
    dynamic = {size.name for size in special.captured.sizes}
    if names - set(fixed) != dynamic or _tensors(general) != _tensors(special):
        return False
    request = special.captured.request
    call = (request.args, request.kwargs)
    return (
        same_at(general.unique.split.normalised, special.unique.split.normalised, fixed, call)
        is None
    )


def _tensors(runner: Runner) -> list[tuple[Any, ...]]:
    """What a graph relies on in the tensors of the call, sizes apart."""
    return [
        (each.path, each.dtype, each.device, len(each.shape))
        for each in runner.captured.user_inputs
    ]

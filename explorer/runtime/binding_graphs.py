"""The CUDA graphs that read one set of parameters: found, captured and tried."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from explorer.artifacts import DispatchEntry
from explorer.artifacts.cuda_graphs import CUDAGraphRecord, ServedByGraph
from explorer.config import CUDAGraphMode
from explorer.counters import counters
from explorer.random_state import random_state_kept
from explorer.runtime.call_form import NotKnown
from explorer.runtime.cuda_graph_api import first_line
from explorer.runtime.graph_capture import Capturer
from explorer.runtime.graph_entry import Entry, Plan
from explorer.runtime.graph_trial import Inconclusive, difference, other_rows
from explorer.runtime.static_memory import Layout, Written, resized

if TYPE_CHECKING:
    from explorer.runtime.cuda_graph import GraphCalls

logger = logging.getLogger("explorer")

NOT_GRAPHED = object()
"""Result of a call that no graph serves."""

_MOST_OTHER_SIZES = 4
"""Graphs are kept for so many values of the sizes that are not the dispatch size."""


class BindingGraphs:
    """The graphs that read one set of parameters."""

    def __init__(self, calls: GraphCalls, binding: Any) -> None:
        self.last = ServedByGraph()
        self._calls = calls
        self._runner = calls.runner
        self._api = calls.graphing.api
        self._config = calls.runner.config
        self._binding = binding
        self._lock = threading.Lock()
        named = zip(calls.runner.bound_names, binding.values, strict=True)
        self._bound = {name: each for name, each in named if isinstance(each, torch.Tensor)}
        places = {name: (at, dim) for name, at, dim in calls.runner.size_places}
        dispatch = calls.runner.dispatch
        self._place_of_size = None if dispatch is None else places.get(dispatch.name)
        self._begin()

    def _begin(self) -> None:
        """Without a graph."""
        runner = self._runner
        self._addresses = [each.data_ptr() for each in self._bound.values()]
        self._plans: dict[Any, Plan] = {}
        self._entries: dict[Any, Entry] = {}
        self._refusals: dict[str, None] = {}
        self._others: list[Any] = []
        self._without_full: set[Any] = set()
        self._capturer: Capturer | None = None
        names = [each.name for each in runner.layout.inputs]
        written = {names[position] for position in runner.layout.written}
        self._written_bound = {n: each for n, each in self._bound.items() if n in written}

    def serve(self, row: DispatchEntry, values: tuple[Any, ...]) -> Any:
        """The outputs, or ``NOT_GRAPHED``; it waits for nobody."""
        if not self._lock.acquire(blocking=False):
            return NOT_GRAPHED  # another thread's, or this one's in the middle of a call
        try:
            return self._serve(row, values)
        finally:
            self._lock.release()

    def _serve(self, row: DispatchEntry, values: tuple[Any, ...]) -> Any:
        if self._api.is_capturing():
            self.last = ServedByGraph(note="the call is part of another capture")
            return NOT_GRAPHED
        if self._is_above_the_largest(values):
            return NOT_GRAPHED
        device = self._calls.device
        if not self._api.is_current(device):
            self.last = ServedByGraph(note=f"the current device is not {device}, the model's")
            return NOT_GRAPHED
        if [each.data_ptr() for each in self._bound.values()] != self._addresses:
            logger.warning("capturing CUDA graphs again: %s lies elsewhere", self._moved())
            self._begin()
        key = tuple([each.shape if isinstance(each, torch.Tensor) else each for each in values])
        plan = self._plans.get(key)
        if plan is None or self._calls.graphing.captures_all:
            with self._api.in_order():  # captures replay, in memory that a call may still read
                plan = self._settled(values)
            self._keep(key, plan)
        self.last = plan.served
        if not plan.is_served:
            return NOT_GRAPHED
        with self._api.in_order():
            if not plan.is_tried:
                return self._tried(plan, row, values) if plan.is_due() else NOT_GRAPHED
            result = tuple(plan.run(values))
            if plan.layouts is not None:
                plan.entry.padded_calls += 1
                counters.add(cudagraphs_padded=1)
            return result

    def _is_above_the_largest(self, values: tuple[Any, ...]) -> bool:
        """Whether a call is of a size without graphs, told before anything else is looked at."""
        if self._place_of_size is None or self._calls.graphing.captures_all:
            return False
        at, dim = self._place_of_size
        if values[at].shape[dim] <= self._config.capture_sizes[-1]:
            return False
        note = self._above()
        self.last = ServedByGraph(note=note)
        self._refusals[note] = None
        return True

    def _above(self) -> str:
        return f"the size is above {self._config.capture_sizes[-1]}, the largest capture size"

    def _keep(self, key: Any, plan: Plan) -> None:
        """Remembers a plan; of those without graphs only why, since there may be any number."""
        if plan.form:
            self._plans[key] = plan
        else:
            self._refusals[plan.entry.note] = None

    def _moved(self) -> str:
        pairs = zip(self._bound.items(), self._addresses, strict=True)
        paths = {each.name: each.path for each in self._runner.layout.inputs}
        return next(paths[name] for (name, t), address in pairs if t.data_ptr() != address)

    def records(self, variant: int) -> tuple[CUDAGraphRecord, ...]:
        """Every graph, in the order of their captures."""
        found: list[CUDAGraphRecord] = []
        for entry in list(self._entries.values()):
            found += entry.records(variant)
        return tuple(found)

    def notes(self) -> tuple[str, ...]:
        """Why calls are served by no graph, or by no full one."""
        found = [entry.note for entry in list(self._entries.values())]
        found += [plan.served.note for plan in list(self._plans.values())]
        found += list(self._refusals)
        return tuple(dict.fromkeys(note for note in found if note))

    # ------------------------------------------------------------------------------ for some shapes

    def _settled(self, values: tuple[Any, ...]) -> Plan:
        """How calls of these shapes are served; captures what is needed for that."""
        form = self._calls.form
        if form is None or self._calls.refusal:
            return self._without(self._calls.refusal)
        sizes = form.sizes_of(values)
        dispatch = self._runner.dispatch
        size = None if dispatch is None else sizes[dispatch.name]
        others = tuple(item for item in sizes.items() if dispatch and item[0] != dispatch.name)
        if others not in self._others:
            if len(self._others) == _MOST_OTHER_SIZES:
                return self._without(f"there are graphs for {_MOST_OTHER_SIZES} other sizes")
            self._others.append(others)
        if self._calls.graphing.captures_all:
            self._capture_all(others, sizes, values, copies=self._config.cudagraph_copy_inputs)
        target = size if size is None else self._config.padded_size(size)
        if size is not None and target is None:
            return self._without(self._above())
        copies = self._config.cudagraph_copy_inputs or target != size
        if copies and self._calls.written:
            path = form.inputs[self._calls.written[0]].path
            return self._without(f"the model writes to {path}, so no copy of it would do")
        entry = self._entry(others, target, sizes, values, copies=copies)
        plan = Plan(entry, form.inputs)
        if plan.is_served:
            self._fit(plan, sizes, size, values)
        return plan

    def _without(self, note: str) -> Plan:
        return Plan(Entry(None, CUDAGraphMode.NONE, note), ())

    def _fit(self, plan: Plan, sizes: Mapping[str, int], size: int | None, values: Any) -> None:
        """Prepares a plan for the sizes of a call."""
        assert self._calls.form is not None
        plan.prepare(values)
        if plan.entry.size != size:
            try:
                plan.layouts = self._calls.form.outputs_at(sizes)
            except NotKnown as reason:
                plan.blocked = f"{reason}, so no rows can be taken off again"

    def _entry(
        self,
        others: Any,
        target: int | None,
        sizes: Mapping[str, int],
        values: Any,
        *,
        copies: bool,
    ) -> Entry:
        """The graphs of a capture size, captured now when there are none."""
        key = (others, target, copies)
        if key not in self._entries:
            if copies and target is not None:
                self._capture_all(others, sizes, values, copies=True)
            else:
                self._entries[key] = self._captured(key, sizes, values)
        return self._entries[key]

    def _capture_all(
        self, others: Any, sizes: Mapping[str, int], values: Any, *, copies: bool
    ) -> None:
        """Captures every size, the largest first, so that the smaller ones find memory there.

        Where values are not copied, these are the sizes that the tensors of the call are large
        enough for: a later call is expected to pass their beginnings.
        """
        dispatch = self._runner.dispatch
        if dispatch is None:
            return
        for size in reversed(self._config.capture_sizes):
            key = (others, size, copies)
            wanted = {**sizes, dispatch.name: size}
            if key not in self._entries and (copies or self._has_beginnings(wanted, values)):
                self._entries[key] = self._captured(key, wanted, values)

    def _has_beginnings(self, sizes: Mapping[str, int], values: Sequence[Any]) -> bool:
        """Whether the beginnings of a call's tensors are tensors of some sizes as they are."""
        assert self._calls.form is not None
        try:
            layouts = self._calls.form.inputs_at(sizes)
        except NotKnown:
            return False
        for value, layout in zip(values, layouts, strict=True):
            if isinstance(layout, Layout):
                if any(want > have for want, have in zip(layout.shape, value.shape, strict=True)):
                    return False
                steps = zip(layout.shape, layout.stride, value.stride(), strict=True)
                if any(want != have for size, want, have in steps if size > 1):
                    return False
        return True

    # -------------------------------------------------------------------------------------- capture

    def _captured(self, key: Any, sizes: Mapping[str, int], values: Sequence[Any]) -> Entry:
        """The graphs of one size; what the model writes meanwhile is put back.

        Args:
            key: other sizes, capture size, whether values are copied.
            sizes: all of them.
            values: of a call, of any dispatch size.
        """
        form, (_, size, copies) = self._calls.form, key
        mode = CUDAGraphMode.PIECEWISE if key in self._without_full else self._config.cudagraph_mode
        assert form is not None
        row = self._runner.row_at(sizes)
        if row is None:
            return Entry(size, CUDAGraphMode.NONE, f"the captured graph is not right at {size}")
        try:
            layouts = form.inputs_at(sizes)
        except NotKnown as reason:
            return Entry(size, CUDAGraphMode.NONE, str(reason))
        given = [
            self._input(index, value, layout, copies=copies)
            for index, (value, layout) in enumerate(zip(values, layouts, strict=True))
        ]
        written = self._written(given)
        try:
            with random_state_kept():
                return self._captures().capture(size, row, given, mode=mode, copies=copies)
        finally:
            written.restore()

    def _input(self, index: int, value: Any, layout: Any, *, copies: bool) -> Any:
        """A value of a call at the sizes of a capture, where the graph shall read it."""
        if not isinstance(layout, Layout):
            return layout
        at_size = resized(value, layout.shape)
        if not copies:
            return at_size
        place = self._captures().buffers.like(index, value, layout.shape, layout.stride)
        return place.copy_(at_size)

    def _captures(self) -> Capturer:
        if self._capturer is None:
            self._capturer = Capturer(
                self._api,
                self._runner.unique,
                lambda row, wrap: self._runner.bind(row, self._binding, None, wrap),
                bound=[*self._bound.values(), *self._runner.constants.values()],
                warmups=self._config.cudagraph_num_of_warmups,
                is_partitioned=self._config.use_inductor_graph_partition,
            )
        return self._capturer

    def _written(self, values: Sequence[Any]) -> Written:
        """What a run with these values writes to."""
        given = {f"input {index}": values[index] for index in self._calls.written}
        return Written({**self._written_bound, **given})

    # ---------------------------------------------------------------------------------------- trial

    def _tried(self, plan: Plan, row: DispatchEntry, values: Sequence[Any]) -> tuple[Any, ...]:
        """Runs with and without graphs; returns the latter's results, whatever comes out."""
        plain = self._captures().plain(row)
        written = self._written(values)
        try:
            with random_state_kept():  # the run that counts draws what it would without graphs
                got: Sequence[Any] | str = plan.run(values)
        except RuntimeError as error:  # shapes that do not fit the call
            got = first_line(error)
        got_written = written.now()
        written.restore()
        expected = tuple(plain(*values))
        if isinstance(got, str):
            problem = got
        else:
            problem = difference(expected, got, written.now(), got_written)
        try:
            if not problem and plan.layouts is not None:
                with random_state_kept():
                    problem = self._tried_otherwise(plan, plain, values)
            plan.is_tried = True
        except Inconclusive as reason:
            plan.doubt = f"padding to {plan.entry.size} could not be tried: {reason}"
            self.last = plan.served
        if problem:
            self._give_up(plan, problem)
            self.last = plan.served
        return expected

    def _tried_otherwise(self, plan: Plan, plain: Callable[..., Any], values: Sequence[Any]) -> str:
        """What is different on other rows than those of the call; empty when nothing is.

        Raises:
            Inconclusive: there are no other rows.
        """
        assert self._calls.form is not None and plan.entry.function is not None
        written, smaller = self._written(()), list(values)
        for index, each in enumerate(self._calls.form.inputs):
            target = plan.entry.inputs[index]
            if not isinstance(target, torch.Tensor):
                continue
            if target.shape == values[index].shape:
                target.copy_(values[index])
                continue
            example = self._calls.examples[index]
            target.copy_(other_rows(values[index], example, target.shape, each.path))
            corner = target[tuple(slice(size) for size in values[index].shape)]
            smaller[index] = torch.empty_like(values[index]).copy_(corner)
        try:
            got = plan.taken(plan.entry.function(*plan.entry.inputs))
            got_written = written.now()
            written.restore()
            expected = tuple(plain(*smaller))
            return difference(expected, got, written.now(), got_written)
        except (RuntimeError, IndexError) as error:
            raise Inconclusive(f"the run on other rows failed ({first_line(error)})") from error
        finally:
            written.restore()

    def _give_up(self, plan: Plan, problem: str) -> None:
        """Takes a graph that answered otherwise than a plain run out of use."""
        entry = plan.entry
        if plan.layouts is not None:
            plan.blocked = (
                f"padded to {entry.size} the result is another one ({problem}), so rows have to do "
                "with one another"
            )
        elif (
            entry.mode is CUDAGraphMode.FULL
            and self._config.cudagraph_mode is CUDAGraphMode.FULL_AND_PIECEWISE
        ):
            self._fall_back(entry, problem)
            return
        else:
            plan.blocked = f"a replay gave another result than a plain run ({problem})"
        logger.warning("no CUDA graph serves such calls: %s", plan.blocked)

    def _fall_back(self, entry: Entry, problem: str) -> None:
        """Has the pieces captured at the next such call."""
        key = next(key for key, each in self._entries.items() if each is entry)
        logger.warning("no CUDA graph of a whole call at size %s: %s", entry.size, problem)
        self._without_full.add(key)
        del self._entries[key]
        self._plans = {k: plan for k, plan in self._plans.items() if plan.entry is not entry}


__all__ = ["NOT_GRAPHED", "BindingGraphs"]

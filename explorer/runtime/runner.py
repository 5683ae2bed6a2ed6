"""Runs the pieces of one compilation.

It checks the call, reads the size once, picks the function and calls it.
"""

from __future__ import annotations

import bisect
import inspect
import operator
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from explorer.artifacts import (
    Artifact,
    DispatchEntry,
    RunRecord,
    StitchedProgram,
    UniquePieces,
)
from explorer.compilation import Compilation
from explorer.config import CompilationConfig, GuardPolicy, OutOfRange
from explorer.errors import GuardViolation, InputError, SizeOutOfRange
from explorer.guards.size_one_captures import SizeOneCaptures
from explorer.runtime import accept, predicate
from explorer.runtime.cuda_graph import GraphCalls, Graphing
from explorer.runtime.fast_calls import NOT_SERVED, FastCalls
from explorer.runtime.flat_inputs import flat_inputs
from explorer.runtime.graph_capture import Wrap
from explorer.runtime.plan import function_name
from explorer.runtime.recorded_calls import places_of_sizes, recording_call
from explorer.runtime.state_problems import StateProblems
from explorer.runtime.stitch import PER_CALL, write_program
from explorer.runtime.violation import state_violation
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest
from explorer.stages.inputs import bind_arguments, tensor_leaves, user_arguments
from explorer.stages.piece_compiler import PieceCompiler
from explorer.torch_private.capture import undecorated
from explorer.torch_private.hooks import ModuleWatch


class RunEagerly(Exception):
    """Ends a call before anything ran, so that the model itself serves it."""


class _Binding:
    """Parameters and buffers as found last, and the stitching functions that have them in place.

    It is replaced whole when one of them is another object, so that two threads never mix two sets.
    """

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self.functions: dict[str, Any] = {}
        self.graphs: Any = None  # what ``GraphCalls`` keeps of them


class Runner:
    """Runs the pieces of one compilation.

    Args:
        request: what was captured.
        compilation: what is run.
        graphing: captures CUDA graphs; None where the configuration asks for none.
    """

    def __init__(
        self, request: CaptureRequest, compilation: Compilation, graphing: Graphing | None = None
    ) -> None:
        self.request = request
        self.compilation = compilation
        self.config: CompilationConfig = compilation.config
        self.layout = compilation.plan.call
        self.captured = self.layout.captured
        self.raw = self.captured.raw
        self.is_empty = self.raw.is_empty
        self.recording: RunRecord | None = None
        self.dispatch = compilation.compiled.dispatch
        names = self.raw.function.__code__.co_varnames
        self.receiver_name = names[0] if names and self.raw.receiver is not None else ""
        self._programs: dict[tuple[str, bool], StitchedProgram] = {}
        self.size_one = SizeOneCaptures(self.config)
        self.variant = 0
        self._one_artifacts: dict[tuple[Any, ...], Mapping[str, Artifact]] = {}
        drops = self.config.guard_policy is GuardPolicy.DROP
        self._evaluates = self.config.dynamic_shapes.evaluate_guards
        self.checks_values = not drops and not self._evaluates
        self.checks_sizes = not drops or self._evaluates
        self._fast = FastCalls(self)
        self._prepare_scope()
        self.graphing = graphing
        self.graphs: GraphCalls | None = None
        if self.is_empty:
            return
        self._forward = self.raw.bind(self._run_flat)
        self._prepare_inputs()
        self._prepare_dispatch()
        if graphing is not None:
            self.graphs = GraphCalls(self, graphing)

    @property
    def unique(self) -> UniquePieces:
        """The pieces; a plain call does not need them."""
        return self.compilation.unique

    def _prepare_scope(self) -> None:
        function, receiver = self.raw.function, self.raw.receiver
        self.signature = inspect.signature(function, follow_wrapped=False)
        code = function.__code__
        self._first = () if receiver is None else (receiver,)
        self._names = code.co_varnames[: code.co_argcount]
        plain = not code.co_kwonlyargcount and not code.co_flags & 0x0C
        self._simple_count = len(self._names) if plain else -1
        self.cells = tuple(zip(code.co_freevars, function.__closure__ or (), strict=True))
        model = self.captured.model
        outside = undecorated(model) is not model
        self.modules = ModuleWatch(model, function, hooks_run_outside=outside)
        self._call_tensors = threading.local()

    def _prepare_inputs(self) -> None:
        inputs, values = self.layout.inputs, self.layout.example_values
        count = len(self.captured.inputs)
        bound = [i for i, each in enumerate(inputs) if each.kind not in PER_CALL and i < count]
        per_call = [i for i, each in enumerate(inputs) if each.kind in PER_CALL]
        self.constants = {each.name: values[i] for i, each in enumerate(inputs) if i >= count}
        self.bound_names = tuple(inputs[i].name for i in bound)
        self.bound_sources = tuple((i, inputs[i].source) for i in bound)
        self._take_bound = _getter(bound)
        self._take_per_call = _getter(per_call)
        self.size_places = places_of_sizes(self)
        self.binding = _Binding(self._take_bound(values))
        self._accepted_size, self.predicate_source = predicate.write_predicate(
            self.captured, self.dispatch, check_guards=self.checks_sizes
        )
        self._written = self.layout.written
        self._tensor_positions = tuple(
            each.position for each in predicate.tensors_of(self.captured)
        )
        weights = [(source, values[i]) for i, source in self.bound_sources]
        self._state = StateProblems(self.captured, self.modules, weights)
        self.writes_among_several = bool(self._written) and len(self._tensor_positions) > 1
        self._returned = self.layout.returned

    def _prepare_dispatch(self) -> None:
        self._rows = list(self.compilation.plan.entries)
        ranges = [row for row in self._rows if row.size_range and not _is_exact(row, self)]
        self._range_ends = [row.size_range.end for row in ranges if row.size_range]
        self._range_rows = ranges
        self._exact_rows = {
            row.size_range.start: row
            for row in self._rows
            if row.size_range and _is_exact(row, self)
        }

    # ---------------------------------------------------------------------------- the model's state

    def state_problem(self, args: Any, kwargs: Any) -> str | None:
        """The first condition on model state or Python values that does not hold, or None.

        Where the policy drops these conditions, only parameters, buffers and submodules count.
        """
        if not self.checks_values:
            return self._state.of_weights()
        return self._state.first(self._scope(args, kwargs))

    def violation(self, reason: str, args: Any, kwargs: Any) -> GuardViolation:
        """The error for a ``state_problem``."""
        known = {guard.text: guard.location for guard in self.captured.value_guards}
        scope = self._scope(args, kwargs)
        global_scope = self.raw.function.__globals__
        return state_violation(reason, scope, global_scope, known, receiver=self.receiver_name)

    def _scope(self, args: Any, kwargs: Any) -> dict[str, Any]:
        if not kwargs and len(args) + len(self._first) == self._simple_count:
            scope = dict(zip(self._names, (*self._first, *args), strict=True))
        else:
            bound = self.signature.bind(*self._first, *args, **kwargs)
            bound.apply_defaults()
            scope = dict(bound.arguments)
        for name, cell in self.cells:
            scope[name] = cell.cell_contents
        return scope

    # ------------------------------------------------------------------------------------- one call

    def fast_call(self, args: Any, kwargs: Any) -> Any:
        """The same as ``state_problem`` and ``call``, or ``NOT_SERVED``: take these."""
        return self._fast.serve(args, kwargs)

    def call(self, args: Any, kwargs: Any) -> Any:
        """Binds the call, runs the pieces, rebuilds the output."""
        result = self._call(args, kwargs)
        self._fast.learn(args, kwargs)
        return result

    def _call(self, args: Any, kwargs: Any) -> Any:
        if self.captured.outside:
            self._call_tensors.values = self._tensors_outside(args, kwargs)
        try:
            return self._forward(*self._first, *args, **kwargs)
        except (AttributeError, IndexError, KeyError, TypeError):
            # The bytecode reads sizes before anything is checked.
            accept.check_arguments(self.captured, self._scope(args, kwargs))
            raise

    def _tensors_outside(self, args: Any, kwargs: Any) -> tuple[torch.Tensor, ...]:
        """Tensors of the call that the graph does not take, but whose sizes its conditions read."""
        bound = bind_arguments(self.raw.function, self.raw.receiver, args, kwargs)
        leaves = tensor_leaves(user_arguments(bound, self.raw.receiver))
        found = {leaf.path: leaf.tensor for leaf in leaves}
        for path in self.captured.outside:
            if path not in found:
                raise accept.missing_violation(path)
        return tuple(found[path] for path in self.captured.outside)

    def _run_flat(self, *values: Any) -> Any:
        if self.captured.outside:
            values += self._call_tensors.values
        binding = self.binding
        bound = self._take_bound(values)
        if not all(map(operator.is_, bound, binding.values)):
            binding = self.binding = _Binding(bound)
        size = self._accepted_size(values)
        if size == predicate.NOT_ACCEPTED:
            return self.run_special(values, binding)
        if self.writes_among_several:
            self.refuse_overlap(values)
        return self._run_row(self.row_of(size), values, binding)

    def row_of(self, size: int) -> DispatchEntry:
        """The row that serves a dispatch size."""
        if self.dispatch is None:
            return self._rows[0]
        row = self._exact_rows.get(size)
        if row is None:
            row = self.range_row_of(size)
        return row if row is not None else self._outside(size)

    def range_row_of(self, size: int) -> DispatchEntry | None:
        """The row of the range that holds a dispatch size, whether or not it has one of its own."""
        index = bisect.bisect_left(self._range_ends, size)
        row = self._range_rows[index] if index < len(self._range_rows) else None
        holds = row is not None and row.size_range is not None and size in row.size_range
        return row if holds else None

    def row_for_call(
        self, args: Any, kwargs: Any
    ) -> tuple[DispatchEntry, tuple[Any, ...], Mapping[str, int]]:
        """What a call comes to: its row, what the row's function takes, and the sizes by name.

        Raises:
            RunEagerly: the model itself serves the call.
            RunError: nothing serves it.
        """
        values = flat_inputs(self.raw, args, kwargs)
        if self.captured.outside:
            values += self._tensors_outside(args, kwargs)
        sizes = accept.read_sizes(self.captured, values)
        size = self._accepted_size(values)
        if size == predicate.NOT_ACCEPTED:
            row, values = self._special_row(values)
        else:
            row = self.row_of(size)
        return row, self._take_per_call(values), sizes

    def row_at(self, sizes: Mapping[str, int]) -> DispatchEntry | None:
        """The row that serves some sizes; None where the captured graph is not right for them."""
        ones = frozenset(name for name, size in sizes.items() if size == 1)
        if 0 in sizes.values():
            return None
        try:
            if self.checks_sizes:
                self._check_sizes(sizes, ones)
            if ones:
                return self._row_at_one(sizes, ones)
            return self.row_of(sizes[self.dispatch.name] if self.dispatch is not None else 0)
        except (GuardViolation, SizeOutOfRange, RunEagerly):
            return None

    def _outside(self, size: int) -> DispatchEntry:
        if self.config.out_of_range is OutOfRange.EAGER:
            raise RunEagerly
        assert self.dispatch is not None
        raise accept.out_of_range(self.dispatch, size, self.config)

    def _run_row(self, row: DispatchEntry, values: tuple[Any, ...], binding: _Binding) -> Any:
        per_call = self._take_per_call(values)
        recording = self.recording  # another thread may end it
        if recording is None:
            return self.function_of(row, binding)(*per_call)
        result = recording_call(self, row, binding, recording)(*per_call)
        recording.sizes = accept.read_sizes(self.captured, values)
        return result

    def function_of(self, row: DispatchEntry, binding: _Binding) -> Callable[..., Any]:
        """The stitching function of a row with the bound values in place."""
        function = binding.functions.get(row.function_name)
        if function is None:
            function = self.bind(row, binding, None)
            if self.graphs is not None:
                function = self.graphs.around(row, binding, function)
            binding.functions[row.function_name] = function
        return function

    def recorded_function_of(
        self,
        row: DispatchEntry,
        binding: _Binding,
        clock: Callable[[], float] = time.perf_counter,
    ) -> Callable[..., Any]:
        """The same, for a list and the inputs; it adds the time before and after each piece.

        Args:
            row: of the dispatch table.
            binding: the bound values.
            clock: seconds; one that waits for a device makes the pieces there take turns with the
                host.
        """
        if clock is not time.perf_counter:
            return self.bind(row, binding, {"clock": clock})
        name = f"{row.function_name} recorded"  # no function has a name with a space in it
        function = binding.functions.get(name)
        if function is None:
            function = binding.functions[name] = self.bind(row, binding, {"clock": clock})
        return function

    def bind(
        self, row: DispatchEntry, binding: _Binding, extra: Any, wrap: Wrap | None = None
    ) -> Any:
        """A new stitching function of a row.

        Args:
            row: of the table.
            binding: the bound values.
            extra: names for recording, or None.
            wrap: what to put around each compiled piece: (name, function) -> function.
        """
        name, artifacts = row.function_name, row.artifacts
        program_key = (name, extra is not None)
        program = self._programs.get(program_key)
        if program is None:
            program = self._programs[program_key] = (
                self.layout.program.named(name)
                if extra is None
                else write_program(self.unique, name, recording=True)
            )
        bound = dict(zip(self.bound_names, binding.values, strict=True)) | self.constants
        runners = self._runners(program, artifacts)
        if wrap is not None:
            compiled = [each for each in runners if self.layout.pieces[each] is not None]
            runners |= {each: wrap(each, runners[each]) for each in compiled}
        return program.bind(bound, runners, extra)

    def _runners(
        self, program: StitchedProgram, artifacts: Mapping[str, Artifact]
    ) -> dict[str, Callable[[list[Any]], Any]]:
        runners: dict[str, Callable[[list[Any]], Any]] = {}
        for name in program.called:
            unique_id = self.layout.pieces[name]
            if unique_id is not None:
                runners[name] = artifacts[unique_id].callable
            else:
                piece = next(each for each in self.unique.pieces if each.name == name)
                forward = piece.graph_module().forward
                runners[name] = lambda arguments, forward=forward: forward(*arguments)
        return runners

    # ---------------------------------------------------------------------------- what is not plain

    def run_special(self, values: tuple[Any, ...], binding: _Binding) -> Any:
        """A call that the predicate did not accept: size 0 or 1, other strides, or a violation."""
        row, values = self._special_row(values)
        return self._run_row(row, values, binding)

    def _special_row(self, values: tuple[Any, ...]) -> tuple[DispatchEntry, tuple[Any, ...]]:
        """The row that serves such a call, and the inputs in the captured layout."""
        sizes = accept.read_sizes(self.captured, values)
        if 0 in sizes.values():
            raise RunEagerly
        restride = accept.check_tensors(self.captured, values, sizes)
        ones = frozenset(name for name, size in sizes.items() if size == 1)
        if self.checks_sizes:
            self._check_sizes(sizes, ones)
        if restride:
            values = self._restrided(values, restride, sizes)
        if self.writes_among_several:
            self.refuse_overlap(values)
        if ones:
            return self._row_at_one(sizes, ones), values
        size = sizes[self.dispatch.name] if self.dispatch is not None else 0
        return self.row_of(size), values

    def _check_sizes(self, sizes: Mapping[str, int], ones: frozenset[str]) -> None:
        if not ones or self._evaluates:
            domain = SizeRange(1, self.config.max_size)
            accept.check_guards(
                self.captured, sizes, domain, self.dispatch, branches_only=bool(ones)
            )
            return
        difference = self.size_one.difference(self.unique.split.normalised, sizes)
        if difference is not None:
            domain = SizeRange(1, self.config.max_size)
            accept.check_guards(self.captured, sizes, domain, self.dispatch, branches_only=True)
            named = " and ".join(f"{name} = 1" for name in sorted(ones))
            raise GuardViolation(
                f"The captured graph is not right for {named}: a capture at that size gives "
                f"another graph ({difference}). Let guard_policy=GuardPolicy.VARIANTS capture one "
                "for it, or accept wrong results with GuardPolicy.DROP.",
                guard=" and ".join(f"{name} >= 2" for name in sorted(ones)),
                given=named,
                accepted="sizes of at least 2",
            )

    def _row_at_one(self, sizes: Mapping[str, int], ones: frozenset[str]) -> DispatchEntry:
        """A row with artifacts of its own for the sizes that are 1, compiled on first use."""
        size_range: SizeRange | None = None
        if self.dispatch is not None:
            size = sizes[self.dispatch.name]
            if size == 1 and 1 in self._exact_rows and ones == {self.dispatch.name}:
                return self._exact_rows[1]
            size_range = SizeRange(1, 1) if size == 1 else self.row_of(size).size_range
        fixed = dict.fromkeys(sorted(ones), 1)
        key = (size_range, *fixed)
        if key not in self._one_artifacts:
            compiler = PieceCompiler(self.unique, self.config)
            made: dict[str, Artifact] = {}
            for piece in self.unique.unique_pieces:
                if set(piece.size_names) & ones:
                    made[piece.unique_id] = compiler.make_at(piece.unique_id, size_range, fixed)
                else:
                    made[piece.unique_id] = self.compilation.compiled.artifact_for_range(
                        piece.unique_id, size_range
                    )
            self._one_artifacts[key] = made
        suffix = "".join(
            f"_{name}_1" for name in fixed if name != getattr(self.dispatch, "name", None)
        )
        return DispatchEntry(
            size_range, self._one_artifacts[key], function_name(size_range) + suffix
        )

    def _restrided(
        self,
        values: tuple[Any, ...],
        restride: tuple[predicate.TensorAt, ...],
        sizes: Mapping[str, int],
    ) -> tuple[Any, ...]:
        """The inputs with a copy in the captured layout where strides differ.

        Raises:
            GuardViolation: a copy would hide a write, or an output that shares memory with the
                input, or what the model asked about the layout has another answer.
        """
        points = {size.symbol: sizes[size.name] for size in self.captured.sizes}
        changed = list(values)
        for each in restride:
            path = each.expected.path
            wanted = accept.expected_stride(each.expected, points)
            given = tuple(values[each.position].stride())
            why = self._why_no_copy(each)
            if why is not None:
                is_contiguous = predicate.is_contiguous_layout(each.expected)
                remedy = f"{path}.contiguous()" if is_contiguous else "it in that layout"
                raise GuardViolation(
                    f"{path} has strides {given}, but the graph was captured with {wanted} and "
                    f"{why}, so a copy would not do: pass {remedy}.",
                    guard=f"{path}.stride() == {wanted}",
                    given=str(given),
                    accepted=str(wanted),
                )
            tensor = values[each.position]
            fresh = torch.empty_strided(
                tuple(tensor.shape), wanted, dtype=tensor.dtype, device=tensor.device
            )
            changed[each.position] = fresh.copy_(tensor)
        return tuple(changed)

    def _why_no_copy(self, tensor: predicate.TensorAt) -> str | None:
        questions = tensor.expected.layout_questions
        if questions:
            return f"depends on them ({questions[0]})"
        if tensor.position in self._written:
            return "writes to it"
        return "returns a view of it" if tensor.position in self._returned else None

    def refuse_overlap(self, values: Any) -> None:
        """Refuses inputs that share memory when the graph writes to one of them.

        Args:
            values: the flat inputs, or position -> tensor for those of the call.

        Raises:
            InputError: naming both.
        """
        owner: dict[int, int] = {}
        for position in self._tensor_positions:
            storage = values[position].untyped_storage().data_ptr()
            other = owner.setdefault(storage, position)
            if other != position and (position in self._written or other in self._written):
                names = [self.captured.inputs[each].path for each in (other, position)]
                raise InputError(
                    f"{names[0]} and {names[1]} share memory and the model writes to one of them, "
                    f"which is not supported: pass {names[1]}.clone()."
                )


def _is_exact(row: DispatchEntry, runner: Runner) -> bool:
    found = row.size_range
    return (
        found is not None
        and found.is_single_size
        and found.start in runner.compilation.compiled.exact_sizes
    )


def _getter(positions: list[int]) -> Callable[[Any], tuple[Any, ...]]:
    """A fast function that picks some positions as a tuple."""
    if not positions:
        return lambda values: ()
    if len(positions) == 1:
        only = positions[0]
        return lambda values: (values[only],)
    return operator.itemgetter(*positions)


__all__ = ["NOT_SERVED", "RunEagerly", "Runner"]

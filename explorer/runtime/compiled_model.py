"""Step 7: a model that runs through its compiled pieces, and answers as the model would.

State of this class: which parameters are bound, which stitching functions were written, what was
found out about size 1, and the recording that is going on. Everything else is in the frozen
Compilation.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from explorer.artifacts import RunRecord
from explorer.artifacts.covered import Coverage
from explorer.artifacts.cuda_graphs import CUDAGraphRecord
from explorer.as_it_is import as_it_is
from explorer.compilation import Compilation
from explorer.config import CUDAGraphMode, GradPolicy, GuardPolicy
from explorer.errors import ConfigError, GradRequired, RunError
from explorer.intermediate_tensors import IntermediateTensors
from explorer.progress import CancelToken, ProgressCallback
from explorer.runtime.cover import cover
from explorer.runtime.cuda_graph import Graphing
from explorer.runtime.cuda_graph_api import CudaGraphs, GraphApi
from explorer.runtime.runner import NOT_SERVED, RunEagerly, Runner
from explorer.runtime.variants import Rebuild, Variants
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest
from explorer.stages.graphs import dotted_path
from explorer.torch_private.capture import undecorated
from explorer.torch_private.hooks import SUBMODULES_AS_TRACED
from explorer.torch_private.transforms import leave_transforms, open_transforms

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger("explorer")
_MOST_STATES = 4


class CompiledModel:
    """Runs like the model that it was made from; see ``compile_model``.

    A call raises ``GuardViolation`` where the captured graph is not valid (``guard_policy`` CHECK),
    ``SizeOutOfRange`` outside the ranges, ``GradRequired`` when an input requires grad.

    Attributes:
        model_before_compiling: the model as it was given.
    """

    def __init__(
        self,
        request: CaptureRequest,
        compilation: Compilation,
        rebuild: Rebuild,
        *,
        graph_api: GraphApi | None = None,
    ) -> None:
        self._request = request
        self._graphing: Graphing | None = None
        if compilation.config.cudagraph_mode is not CUDAGraphMode.NONE:
            self._graphing = Graphing(graph_api or CudaGraphs())
        self._model = undecorated(compilation.captured.model)
        self._as_it_is = as_it_is(compilation.captured.model)
        self.model_before_compiling = request.model
        self._rebuild = rebuild
        self._lock = threading.RLock()
        self._states = [Runner(request, compilation, self._graphing)]
        self._said: set[str] = set()
        self._variants: Variants | None = None
        if compilation.config.guard_policy is GuardPolicy.VARIANTS:
            self._variants = Variants(request, self._states[0], rebuild, _is_outdated)

    @property
    def compilation(self) -> Compilation:
        """The compilation that served last, or will serve first; under VARIANTS the first one."""
        if self._variants is not None:
            return self._variants.compilations[0]
        return self._states[0].compilation

    @property
    def variants(self) -> tuple[Compilation, ...]:
        """The captured graphs that calls are served from; one unless the policy is VARIANTS."""
        if self._variants is not None:
            return self._variants.compilations
        return (self._states[0].compilation,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result for these arguments, through its compiled pieces."""
        if torch.compiler.is_compiling():
            return self._model(*args, **kwargs)  # a trace around this one sees the model itself
        runner = self._states[0]
        if runner.is_empty and self._variants is None:
            return self._as_it_is(*args, **kwargs)
        was_enabled, transforms = torch.is_grad_enabled(), open_transforms()
        if was_enabled:
            if self._asks_for_grad(args, kwargs):
                return self._as_it_is(*args, **kwargs)
            self._say_once("grad", "gradients are not computed: compiled pieces run under no_grad")
            torch.set_grad_enabled(False)
        try:
            if self._variants is not None:
                return self._variants.call(args, kwargs)
            result = runner.fast_call(args, kwargs)
            if result is not NOT_SERVED:
                return result
            runner = self._matching(runner, args, kwargs)
            return runner.call(args, kwargs)
        except RunEagerly:
            pass
        except BaseException:  # inside a transform, which may have enabled gradients
            leave_transforms(transforms)
            torch.set_grad_enabled(False)
            raise
        finally:
            if was_enabled:
                torch.set_grad_enabled(True)
        return self._run_eagerly(runner, args, kwargs)

    def _run_eagerly(self, runner: Runner, args: Any, kwargs: Any) -> Any:
        started = time.perf_counter()
        result = self._as_it_is(*args, **kwargs)
        if runner.recording is not None:
            _fill_eager(runner.recording, (time.perf_counter() - started) * 1e6)
        return result

    def cover(
        self,
        domain: SizeRange | Mapping[str, SizeRange] | None = None,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
        partial: Callable[[Coverage], None] | None = None,
    ) -> Coverage:
        """Captures and compiles up front what calls of a domain need.

        Args:
            domain: a range for the one dynamic size, or name of a size or int argument -> range;
                1..min(max_size, 65536) for a size that is left out.
            progress: told how many points are decided.
            cancel: looked at between captures.
            partial: told what the graphs so far cover, before each further one.

        Raises:
            ConfigError: the policy is not VARIANTS, or the domain does not fit.
            VariantsLimit: more graphs are needed than ``variants_limit`` allows.
            Cancelled: somebody asked to stop; the graphs so far are kept.
        """
        if self._variants is None:
            raise ConfigError(
                "cover captures more graphs, which guard_policy "
                f"{self._states[0].config.guard_policy.name} does not do: compile with "
                "guard_policy=GuardPolicy.VARIANTS."
            )
        config = self._states[0].config
        with torch.no_grad():
            return cover(
                self._variants, config, domain, progress=progress, cancel=cancel, partial=partial
            )

    def capture_cuda_graphs(self, *args: Any, **kwargs: Any) -> tuple[CUDAGraphRecord, ...]:
        """Captures the CUDA graphs of every capture size before they are needed, largest first.

        The model runs several times for each of them; what it writes to its inputs, parameters and
        buffers is put back.

        Args:
            args: of a call. With ``cudagraph_copy_inputs`` any call will do, and without arguments
                the example is taken. Else the tensors of the largest call: later calls have to
                pass them, or their beginnings (``tokens[:n]``), and sizes beyond them are left to
                calls that need them.
            kwargs: of the same call.

        Returns:
            The graphs that there are now.

        Raises:
            ConfigError: the mode is NONE, or tensors are missing.
            RunError: it was called while something else is captured or traced.
        """
        config, graphing = self._states[0].config, self._graphing
        if graphing is None:
            raise ConfigError(
                "cudagraph_mode is NONE, so there are no CUDA graphs to capture: compile with "
                "cudagraph_mode=CUDAGraphMode.PIECEWISE or FULL."
            )
        if torch.compiler.is_compiling() or graphing.api.is_capturing():
            raise RunError(
                "capture_cuda_graphs was called while something else is captured or traced, and "
                "captures do not nest: call it before."
            )
        if not args and not kwargs:
            if not config.cudagraph_copy_inputs:
                raise ConfigError(
                    "capture_cuda_graphs needs the tensors that later calls will pass, because "
                    "cudagraph_copy_inputs is False: give them, or set it to True."
                )
            args, kwargs = self._request.args, dict(self._request.kwargs)
        with self._lock:
            graphing.thread = threading.get_ident()
            try:
                with torch.no_grad():
                    self(*args, **kwargs)
            finally:
                graphing.thread = None
        return self.cuda_graphs

    @property
    def cuda_graphs(self) -> tuple[CUDAGraphRecord, ...]:
        """The CUDA graphs that there are now, in the order of their captures."""
        graphs = [(each.graphs, number) for number, each in enumerate(self.runners())]
        return tuple(one for each, number in graphs if each for one in each.records(number))

    @property
    def cuda_graph_notes(self) -> tuple[str, ...]:
        """Why calls were served by no CUDA graph, or by none of the whole call."""
        graphs = [each.graphs for each in self.runners()]
        return tuple(dict.fromkeys(note for each in graphs if each for note in each.notes()))

    def cuda_graphs_frame(self) -> pandas.DataFrame:
        """One row per CUDA graph: size, piece, bytes, replays, padded calls."""
        from explorer.report import cuda_graph_view, views

        return views.frame(cuda_graph_view.cuda_graph_rows(self.cuda_graphs))

    @contextlib.contextmanager
    def record(self) -> Iterator[RunRecord]:
        """Records the calls inside the block; the object has the last one when the block ends."""
        record = RunRecord()
        for runner in self.runners():
            runner.recording = record
        try:
            yield record
        finally:
            for runner in self.runners():
                runner.recording = None

    def runners(self) -> list[Runner]:
        """What runs the captured graphs; ``RunRecord.variant`` is an index into it."""
        return self._states if self._variants is None else list(self._variants.runners)

    def __repr__(self) -> str:
        return f"<CompiledModel {self.compilation.summary().splitlines()[0]}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "A CompiledModel holds compiled code and cannot be copied or pickled: copy the model "
            "and compile the copy."
        )

    # --------------------------------------------------------------------- which state of the model

    def _matching(self, runner: Runner, args: Any, kwargs: Any) -> Runner:
        """A runner whose capture fits the model's state and the call's Python values."""
        reason = runner.state_problem(args, kwargs)
        if reason is None:
            return runner
        with self._lock:
            for other in self._states[1:]:
                if other.state_problem(args, kwargs) is None:
                    self._states.remove(other)
                    self._states.insert(0, other)
                    return other
            if not _asks_for_a_new_capture(reason, runner.receiver_name):
                if runner.config.guard_policy is GuardPolicy.DROP:
                    return runner
                raise runner.violation(reason, args, kwargs)
            self._say_once(f"parameter {reason}", f"compiling again: {_shown_change(reason)}")
            fresh = Runner(self._request, self._rebuild(), self._graphing)
            fresh.recording = runner.recording
            self._states.insert(0, fresh)
            del self._states[_MOST_STATES:]
            return fresh

    def _asks_for_grad(self, args: Any, kwargs: Any) -> bool:
        """Whether some input requires grad and eager shall serve it.

        Raises:
            GradRequired: some input does, and the policy is ERROR.
        """
        path = _path_that_requires_grad(args, kwargs)
        if path is None:
            return False
        if self._states[0].config.grad is GradPolicy.EAGER:
            return True
        raise GradRequired(
            f"{path} requires grad, but a compiled model has no backward: call it under "
            "torch.no_grad(), detach the input, or set grad=GradPolicy.EAGER."
        )

    def _say_once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            logger.warning("%s", text)


def _path_that_requires_grad(args: Any, kwargs: Any) -> str | None:
    for index, value in enumerate(args):
        if isinstance(value, torch.Tensor):
            if value.requires_grad:
                return f"positional input {index}"
        elif isinstance(value, list | tuple | dict | IntermediateTensors):
            items = value if isinstance(value, list | tuple) else value.values()
            if _path_that_requires_grad(tuple(items), {}) is not None:
                return f"a tensor inside positional input {index}"
    for name, value in kwargs.items():
        if _path_that_requires_grad((value,), {}) is not None:
            return f"input {name!r}"
    return None


def _asks_for_a_new_capture(reason: str, receiver_name: str) -> bool:
    """Whether a parameter, buffer or submodule changed, which eager would follow without a word."""
    if reason == SUBMODULES_AS_TRACED:
        return True
    if f"L['{receiver_name}']" not in reason:
        return False
    return reason.startswith("tensor ") or "._parameters[" in reason or "._buffers[" in reason


def _is_outdated(runner: Runner, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a runner's parameters, buffers or submodules are no longer the model's."""
    reason = runner.state_problem(args, kwargs)
    return reason is not None and _asks_for_a_new_capture(reason, runner.receiver_name)


def _shown_change(reason: str) -> str:
    """Torch's words for a changed parameter, in the user's.

    For example ``layers.0.weight: dtype mismatch ...``.
    """
    if reason == SUBMODULES_AS_TRACED:
        return "a submodule is another object"
    text = reason.partition(". Guard failed on")[0]
    found = re.match(r"tensor '(.*?)' (?=\w)", text)
    return f"{dotted_path(found[1])}: {text[found.end() :]}" if found else text


def _fill_eager(record: RunRecord, microseconds: float) -> None:
    record.fill({}, None, None, (), microseconds, ())

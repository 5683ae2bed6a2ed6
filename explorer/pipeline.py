"""The story: seven steps, in order. Each is a pure function from one frozen artifact to the next.

1. capture    model, example inputs  -> CapturedGraph
2. normalise  CapturedGraph          -> NormalisedGraph
3. split      NormalisedGraph        -> SplitGraph
4. dedupe     SplitGraph             -> UniquePieces
5. compile    UniquePieces           -> CompiledPieces
6. plan       CompiledPieces         -> DispatchPlan
7. run        DispatchPlan           -> outputs, in ``runtime.compiled_model.CompiledModel``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from explorer.artifacts import DispatchPlan, UniquePieces
from explorer.config import CompilationConfig
from explorer.progress import CancelToken, ProgressCallback
from explorer.runtime.plan import plan_dispatch
from explorer.stages.capture import CaptureRequest, capture
from explorer.stages.compile import compile_pieces
from explorer.stages.dedupe import dedupe
from explorer.stages.normalise import normalise
from explorer.stages.split import split
from explorer.thread_settings import thread_state

STEPS = ("capture", "normalise", "split", "dedupe", "compile", "plan", "run")

_T = TypeVar("_T")


class StepRunner(Protocol):
    """Runs a step, or takes its result from before when nothing that it reads has changed."""

    def __call__(self, name: str, reads: tuple[Any, ...], step: Callable[[], _T]) -> _T:
        """Args: the step's name, all that it reads, and the step itself."""
        ...


def cut(request: CaptureRequest, config: CompilationConfig, step: StepRunner) -> UniquePieces:
    """Steps 1 to 4: everything before a backend is called."""
    captured = step(
        "capture",
        (request, config.dynamic_shapes, thread_state()),
        lambda: capture(request, config),
    )
    normalised = step("normalise", (captured,), lambda: normalise(captured))
    pieces = step(
        "split", (normalised, config.splitting_ops), lambda: split(normalised, config.splitting_ops)
    )
    dispatch = config.dispatch_dim or (captured.sizes[0].name if captured.sizes else None)
    return step(
        "dedupe",
        (pieces, config.dedupe, dispatch),
        lambda: dedupe(pieces, enabled=config.dedupe, dispatch=dispatch),
    )


def compile_and_plan(
    unique: UniquePieces,
    config: CompilationConfig,
    step: StepRunner,
    *,
    memory: Any,
    progress: ProgressCallback | None,
    cancel: CancelToken | None,
) -> DispatchPlan:
    """Steps 5 and 6."""
    compiled = step(
        "compile",
        (object(),),  # artifacts are looked up one by one, by key
        lambda: compile_pieces(unique, config, memory=memory, progress=progress, cancel=cancel),
    )
    return step("plan", (compiled,), lambda: plan_dispatch(compiled))

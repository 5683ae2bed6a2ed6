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

from explorer.artifacts import (
    CapturedGraph,
    DispatchPlan,
    NormalisedGraph,
    SplitGraph,
    UniquePieces,
)
from explorer.config import CompilationConfig, GuardPolicy
from explorer.guards.variants import capture_general
from explorer.progress import CancelToken, ProgressCallback
from explorer.runtime.plan import plan_dispatch
from explorer.stages.capture import CaptureRequest, capture
from explorer.stages.compile import compile_pieces
from explorer.stages.compile_plan import knows_conditions
from explorer.stages.dedupe import SizeFacts, dedupe
from explorer.stages.normalise import normalise
from explorer.stages.split import find_splitting_nodes, split
from explorer.thread_settings import thread_state

STEPS = ("capture", "normalise", "split", "dedupe", "compile", "plan", "run")

_T = TypeVar("_T")


class StepRunner(Protocol):
    """Runs a step, or takes its result from before when nothing that it reads has changed."""

    def __call__(self, name: str, reads: tuple[Any, ...], step: Callable[[], _T]) -> _T:
        """Args: the step's name, all that it reads, and the step itself."""
        ...


def cut(
    request: CaptureRequest,
    config: CompilationConfig,
    step: StepRunner,
    *,
    captured: CapturedGraph | None = None,
) -> UniquePieces:
    """Steps 1 to 4: everything before a backend is called.

    Args:
        request: what to capture.
        config: how to capture and cut it.
        step: runs a step.
        captured: the result of step 1 when it is there already.
    """
    if captured is None:
        variants = config.guard_policy is GuardPolicy.VARIANTS
        take = capture_general if variants else capture
        captured = step("capture", capture_reads(request, config), lambda: take(request, config))
    normalised = step("normalise", (captured,), lambda: normalise(captured))
    cut_reads = (normalised, config.splitting_ops, config.cuts_at)
    pieces = step("split", cut_reads, lambda: _split(normalised, config))
    dispatch = config.dispatch_dim or (captured.sizes[0].name if captured.sizes else None)
    facts = SizeFacts.RELIED_ON if knows_conditions(config) else SizeFacts.LEFT_OUT
    return step(
        "dedupe",
        (pieces, config.dedupe, dispatch, facts),
        lambda: dedupe(pieces, enabled=config.dedupe, dispatch=dispatch, facts=facts),
    )


def _split(normalised: NormalisedGraph, config: CompilationConfig) -> SplitGraph:
    if config.cuts_at != config.splitting_ops:  # Inductor cuts; a typo is an error all the same
        find_splitting_nodes(normalised, config.splitting_ops)
    return split(normalised, config.cuts_at)


def capture_reads(request: CaptureRequest, config: CompilationConfig) -> tuple[Any, ...]:
    """All that step 1 reads."""
    is_general = config.guard_policy is GuardPolicy.VARIANTS
    return (request, config.dynamic_shapes, thread_state(), is_general)


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

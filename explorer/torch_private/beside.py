"""What torch changes for the whole process while it traces or compiles, kept to one thread.

A notebook's cell runs while a panel compiles in another thread. Settings of torch are per thread
since torch 2.13; what follows is not, and is seen by the other threads as little as torch allows:

- One thread traces or compiles at a time, under torch's own lock: a cell's ``torch.compile``,
  ``torch._dynamo.reset`` and ``torch.fx`` tracing wait for the trace, or for the one artifact, that
  is being made, and the other way round. A function that is compiled already runs without waiting.
- Dynamo and AOTAutograd save the random state, the default dtype and deterministic flags, and
  restore them at their end. What another thread did meanwhile would be undone.
- While Dynamo traces, every graph module that is made in the process is one that it will not look
  into. While AOTAutograd traces, every function of ``torch.compile`` refuses to be called.

What torch gives no way to keep apart: its own counters (``torch._dynamo.utils.counters``, numbers
of frames in log lines) count our traces too, though not as recompiles of the cell's functions; a
module that a cell calls while AOTAutograd traces goes through a wrapper of torch's, which costs
time; the default generator belongs to the process, so where code of a model runs eagerly under a
seed (comparisons, audits, autotuning on a GPU) a cell that draws random numbers at that very moment
draws from that seed. Python's collector of garbage is off for the whole process while a model is
captured and cut, and on again afterwards where it was on before.

Private names used (torch 2.13.0): of ``torch._dynamo.convert_frame`` ``compile_lock``,
``trace_frame`` with ``_torchdynamo_orig_backend`` and ``fx_forward_from_src_skip_result``;
``maybe_disable_inference_mode`` and ``maybe_disable_inference_mode_for_fake_prop`` of
``torch._dynamo.utils``; ``torch._dynamo.graph_bytecode_inputs.reset_user_object_tracking``;
``torch._C._PreserveDispatchKeyGuard`` and ``GlobalStateGuard``;
``torch.fx.graph_module._forward_from_src``; of ``torch.fx._symbolic_trace`` ``CURRENT_PATCHER``,
``_new_patcher`` and ``_is_fx_tracing_flag``; ``torch.export._trace._compiling_state_context`` and
``torch.compiler._is_exporting_flag``.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
import torch._dynamo.convert_frame as convert_frame
import torch._dynamo.utils as dynamo_utils
import torch.fx._symbolic_trace as symbolic_trace
import torch.fx.graph_module as graph_module

from explorer.errors import CaptureError
from explorer.torch_private.made_sources import forgotten_with_it

COMPILE_LOCK = convert_frame.compile_lock
"""Torch's own, reentrant: who holds it is the one thread that traces or compiles.

It is the only one for that: with one of ours beside it, two threads could wait for each other.
"""

SECONDS_FOR_A_TRACER = 60.0
"""How long another thread may be inside ``torch.fx`` tracing before this one gives up."""

MOST_TRACES = 3
"""A trace during which another thread changed a setting of the process is made again."""


class StateChangedError(Exception):
    """Another thread changed a setting of the process during a trace."""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside, no other thread traces or compiles, and torch's traces leave the others alone.

    Raises:
        CaptureError: another thread does not come out of ``torch.fx`` tracing.
    """
    owner = threading.get_ident()
    with COMPILE_LOCK, contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(torch.fx.Tracer, "trace", _waiting_trace(owner)))
        stack.enter_context(_waiting_exports(owner))
        _wait_for_tracers()
        stack.enter_context(patch.object(symbolic_trace, "_new_patcher", _own_flag(owner)))
        if threading.current_thread() is not threading.main_thread():
            stack.enter_context(_random_state_left(owner))
        yield


@contextlib.contextmanager
def quiet_dynamo() -> Iterator[None]:
    """Inside ``alone``: a trace of Dynamo restores what this thread changed, and nothing else.

    Raises:
        StateChangedError: another thread changed what the trace may have read.
    """
    owner, original = threading.get_ident(), convert_frame.trace_frame

    def trace_frame(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(*args, **kwargs)
        return _traced(original._torchdynamo_orig_backend, owner, args, kwargs)  # type: ignore[attr-defined]

    with patch.object(convert_frame, "trace_frame", trace_frame):
        yield


def _traced(trace: Callable[..., Any], owner: int, args: Any, kwargs: Any) -> Any:
    """What torch's ``preserve_global_state`` does, without what other threads may change."""
    # Here, so that a torch without these names can still import the package and say so.
    from torch._C._dynamo.guards import GlobalStateGuard
    from torch._dynamo import graph_bytecode_inputs

    grad = torch.is_grad_enabled()
    deterministic = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with (
        torch._C._PreserveDispatchKeyGuard(),
        dynamo_utils.maybe_disable_inference_mode(),
        dynamo_utils.maybe_disable_inference_mode_for_fake_prop(),
        _own_graph_modules(owner),
    ):
        inference = torch.is_inference_mode_enabled()
        graph_bytecode_inputs.reset_user_object_tracking()
        state = GlobalStateGuard()
        graph: Any = None
        try:
            output = trace(*args, **kwargs)
            graph = output.output_graph
        except BaseException as error:
            failed = getattr(error, "_torch_dynamo_tracer_output", None)
            graph = getattr(failed, "output_graph_for_cleanup", None)
            raise
        finally:
            torch._C._set_grad_enabled(grad)
            torch.autograd.grad_mode._enter_inference_mode(inference)
            if graph is not None and _sets_determinism(graph):
                torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        if not state.check():
            raise StateChangedError(state.reason().strip())
    return output


def _sets_determinism(output_graph: Any) -> bool:
    """Whether the traced code itself sets the flag: the tracer does so, too."""
    setter = torch._C._set_deterministic_algorithms
    return any(node.target is setter for node in output_graph.graph.nodes)


@contextlib.contextmanager
def _own_graph_modules(owner: int) -> Iterator[None]:
    """Graph modules that this thread makes meanwhile: Dynamo does not look into their code.

    A trace makes several, of which it hands out one; the text of each goes with its code.
    """
    original, skipped = (
        graph_module._forward_from_src,
        convert_frame.fx_forward_from_src_skip_result,
    )

    def forward_from_src(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == owner:
            return forgotten_with_it(skipped(*args, **kwargs))
        return original(*args, **kwargs)

    with patch.object(graph_module, "_forward_from_src", forward_from_src):
        yield


# --------------------------------------------------------------------------------- torch.fx tracing


def _waiting_trace(owner: int) -> Callable[..., Any]:
    """``Tracer.trace`` for the others: it patches ``nn.Module`` for the process, so it waits."""
    original = torch.fx.Tracer.trace

    @functools.wraps(original)
    def trace(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == owner or _is_inside(_TRACE):
            return original(*args, **kwargs)
        with COMPILE_LOCK:
            return original(*args, **kwargs)

    return trace


@contextlib.contextmanager
def _waiting_exports(owner: int) -> Iterator[None]:
    """``torch.export`` of the others waits: our trace would read the flags that it sets."""
    module = sys.modules.get("torch.export._trace")
    if module is None:
        yield
        return
    original: Callable[[], Any] = module._compiling_state_context

    @contextlib.contextmanager
    def compiling_state_context() -> Iterator[None]:
        is_free = threading.get_ident() == owner or torch.compiler._is_exporting_flag
        with contextlib.nullcontext() if is_free else COMPILE_LOCK, original():
            yield

    with patch.object(module, "_compiling_state_context", compiling_state_context):
        yield


def _is_busy() -> bool:
    return symbolic_trace.CURRENT_PATCHER is not None or torch.compiler._is_exporting_flag


def _wait_for_tracers() -> None:
    """Returns when no other thread traces with ``torch.fx`` or exports; new ones wait."""
    if not _is_busy() or _is_inside(_TRACE) or _is_inside(_EXPORT):
        return
    deadline = time.monotonic() + SECONDS_FOR_A_TRACER
    while _is_busy():
        if time.monotonic() > deadline:
            raise CaptureError(
                "Another thread has been inside torch.fx.symbolic_trace or torch.export for "
                f"{SECONDS_FOR_A_TRACER:g} seconds, and torch changes nn.Module for all threads "
                "meanwhile: let it end, then compile again."
            )
        time.sleep(0.001)


_TRACE = ("/torch/fx/_symbolic_trace.py", "trace")
_EXPORT = ("/torch/export/_trace.py", "_export")


def _is_inside(function: tuple[str, str]) -> bool:
    """Whether this thread runs that function: end of its file, and name."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == function[1] and code.co_filename.endswith(function[0]):
            return True
        frame = frame.f_back
    return False


class _OnlyIn:
    """True in one thread."""

    def __init__(self, owner: int) -> None:
        self._owner = owner

    def __bool__(self) -> bool:
        return threading.get_ident() == self._owner


def _own_flag(owner: int) -> Callable[[], Any]:
    """The flag that somebody traces, at which a compiled function refuses to be called."""
    original = symbolic_trace._new_patcher

    @contextlib.contextmanager
    def new_patcher() -> Iterator[Any]:
        with original() as patcher:
            if symbolic_trace._is_fx_tracing_flag is True and threading.get_ident() == owner:
                # The tracer takes it back at its end.
                symbolic_trace._is_fx_tracing_flag = _OnlyIn(owner)
            yield patcher

    return new_patcher


@contextlib.contextmanager
def _random_state_left(owner: int) -> Iterator[None]:
    """Torch's restoring of the random state does nothing in this thread.

    A trace draws no numbers, so there is nothing to restore; what another thread drew meanwhile
    would be drawn again.
    """

    def unless_own(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def set_rng_state(*args: Any, **kwargs: Any) -> None:
            if threading.get_ident() != owner:
                original(*args, **kwargs)

        return set_rng_state

    with contextlib.ExitStack() as stack:
        for module in (torch.random, torch.cuda):
            replaced = unless_own(module.set_rng_state)
            stack.enter_context(patch.object(module, "set_rng_state", replaced))
        yield


__all__ = [
    "COMPILE_LOCK",
    "MOST_TRACES",
    "StateChangedError",
    "alone",
    "quiet_dynamo",
]

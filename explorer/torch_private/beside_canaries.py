"""Canaries of what keeps a trace to its thread, and of the texts of graph modules.

What they look at is imported inside of them: a name that changed fails one of them, not all.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import fx


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


def _compile_lock() -> None:
    from torch._dynamo.convert_frame import compile_lock

    with compile_lock, compile_lock:  # by the same thread twice
        taken: list[bool] = []
        other = threading.Thread(target=lambda: taken.append(compile_lock.acquire(blocking=False)))
        other.start()
        other.join()
    _expect(taken == [False], "two threads can hold it at a time")


def _unwrapped_trace() -> None:
    from torch._dynamo import convert_frame

    inner = getattr(convert_frame.trace_frame, "_torchdynamo_orig_backend", None)
    _expect(callable(inner), "is not wrapped in preserve_global_state any longer")


def _state_guard() -> None:
    from torch._C._dynamo.guards import GlobalStateGuard

    guard = GlobalStateGuard()
    _expect(guard.check(), "does not find the state that it was made in")
    with torch.set_grad_enabled(not torch.is_grad_enabled()):
        _expect(not guard.check(), "does not see that the grad mode changed")
        _expect("grad" in guard.reason(), "does not say what changed")


def _state_of_a_trace() -> None:
    from torch._dynamo.graph_bytecode_inputs import reset_user_object_tracking
    from torch._dynamo.utils import (
        maybe_disable_inference_mode,
        maybe_disable_inference_mode_for_fake_prop,
    )

    reset_user_object_tracking()
    with (
        torch._C._PreserveDispatchKeyGuard(),
        maybe_disable_inference_mode(),
        maybe_disable_inference_mode_for_fake_prop(),
    ):
        _expect(not torch.is_inference_mode_enabled(), "inference mode is on in a trace")


def _code_of_graph_modules() -> None:
    from torch._dynamo.convert_frame import fx_forward_from_src_skip_result
    from torch.fx import graph_module

    made: list[Any] = []
    original = graph_module._forward_from_src

    def forward_from_src(*args: Any, **kwargs: Any) -> Any:
        made.append(fx_forward_from_src_skip_result(*args, **kwargs))
        return made[-1]

    graph_module._forward_from_src = forward_from_src
    try:
        module = _module()
    finally:
        graph_module._forward_from_src = original
    _expect(made and type(module).forward is made[-1], "does not make what forward is")
    file = made[-1].__code__.co_filename
    _expect(file in graph_module._loader.eval_cache, "does not keep the text under the file's name")


def _module() -> fx.GraphModule:
    graph = fx.Graph()
    graph.output(graph.placeholder("x"))
    return fx.GraphModule(torch.nn.Module(), graph)


def _tracers() -> None:
    from torch.fx import _symbolic_trace

    seen: list[Any] = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append((_symbolic_trace.CURRENT_PATCHER, _symbolic_trace._is_fx_tracing_flag))
        return x + 1

    fx.symbolic_trace(look)
    _expect(seen and seen[0][0] is not None and seen[0][1], "do not say that a trace goes on")
    _expect(_symbolic_trace.CURRENT_PATCHER is None, "say that a trace goes on after its end")
    _expect(callable(_symbolic_trace._new_patcher), "is not what begins a trace")


def _exports() -> None:
    from torch.export import _trace

    exporting: Any = getattr(_trace, "_compiling_state_context")  # noqa: B009 (torch exports no name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with exporting():
            _expect(torch.compiler._is_exporting_flag, "does not set the flag of an export")
    _expect(not torch.compiler._is_exporting_flag, "leaves the flag of an export set")


BESIDE_CANARIES: tuple[tuple[str, Callable[[], None]], ...] = (
    ("torch._dynamo.convert_frame.compile_lock", _compile_lock),
    ("convert_frame.trace_frame with _torchdynamo_orig_backend", _unwrapped_trace),
    ("torch._C._dynamo.guards.GlobalStateGuard", _state_guard),
    ("maybe_disable_inference_mode, reset_user_object_tracking", _state_of_a_trace),
    ("graph_module._forward_from_src and _loader.eval_cache", _code_of_graph_modules),
    ("torch.fx._symbolic_trace: CURRENT_PATCHER, _new_patcher", _tracers),
    ("torch.export._trace._compiling_state_context", _exports),
)
"""What is checked, and the check: it returns nothing, or raises."""

__all__ = ["BESIDE_CANARIES"]

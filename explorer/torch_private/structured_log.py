"""Torch's structured log: what ``TORCH_TRACE`` writes and tlparse shows.

Private names used (torch 2.13.0): ``torch._logging._internal``
(``trace_structured``, ``trace_log``), ``torch._guards`` (``CompileContext``, ``compile_context``)
and ``GraphModule.meta["dynamo_compile_id"]``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import fx
from torch._guards import CompileContext, compile_context
from torch._logging._internal import trace_log, trace_structured


def is_listening() -> bool:
    """Whether anything may read the log; torch takes its handler away when nobody does."""
    return bool(trace_log.handlers)


def compile_id_of(graph_module: fx.GraphModule | None) -> Any:
    """Torch's number of the capture that made a graph, under which tlparse lists it, or None."""
    return None if graph_module is None else graph_module.meta.get("dynamo_compile_id")


def log_artifact(
    name: str, encoding: str, payload: Callable[[], Any], compile_id: Any = None
) -> None:
    """Adds a file to the log.

    Args:
        name: of the file.
        encoding: ``json`` or ``string``.
        payload: makes the content; called only when somebody listens.
        compile_id: of the capture that it belongs to.
    """
    with as_part_of(compile_id):
        trace_structured(
            "artifact",
            metadata_fn=lambda: {"name": name, "encoding": encoding},
            payload_fn=payload,
            expect_trace_id=False,
        )


def log_graph(name: str, source: Callable[[], str], compile_id: Any = None) -> None:
    """Adds a graph as source text to the log; ``source`` is called only when somebody listens."""
    with as_part_of(compile_id):
        trace_structured(
            "graph_dump",
            metadata_fn=lambda: {"name": name},
            payload_fn=source,
            expect_trace_id=False,
        )


@contextlib.contextmanager
def as_part_of(compile_id: Any) -> Iterator[None]:
    """Makes what is logged in the block part of a capture, torch's own events too.

    It does nothing when nobody listens.
    """
    if compile_id is None or not is_listening():
        yield
        return
    with compile_context(CompileContext(compile_id)):
        yield

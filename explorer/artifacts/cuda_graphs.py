"""CUDA graphs of a compiled model, as they are now: CUDAGraphRecord, ServedByGraph."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.config import CUDAGraphMode


@dataclass(frozen=True)
class CUDAGraphRecord:
    """One CUDA graph.

    Attributes:
        size: dispatch size that it was captured at; None when nothing is dynamic.
        piece: name of the piece; None for a graph of the whole call.
        bytes: device memory that torch took for the capture; 0 where earlier ones had left enough.
        replays: how often it was replayed, the tries after the capture included.
        padded_calls: calls of a smaller size that it served.
        copies_inputs: whether the tensors of a call are copied to where it reads them.
        variant: index of the captured graph that it belongs to.
    """

    size: int | None
    piece: str | None
    bytes: int
    replays: int
    padded_calls: int
    copies_inputs: bool
    variant: int = 0


@dataclass(frozen=True)
class ServedByGraph:
    """How CUDA graphs had a part in one call.

    Attributes:
        mode: PIECEWISE or FULL; NONE when no graph had.
        size: the size that they were captured at; None when no graph had a part, or nothing is
            dynamic.
        padded_to: the same where the call was smaller; else None.
        note: why no graph had a part, or no full one, in words; empty when there is nothing to say.
    """

    mode: CUDAGraphMode = CUDAGraphMode.NONE
    size: int | None = None
    padded_to: int | None = None
    note: str = ""


NO_GRAPH = ServedByGraph()
"""No graph had a part in a call, and there is nothing to say about it."""

__all__ = ["NO_GRAPH", "CUDAGraphRecord", "ServedByGraph"]

"""One size with its CUDA graphs, and how a call reaches them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from explorer.artifacts.cuda_graphs import CUDAGraphRecord, ServedByGraph
from explorer.config import CUDAGraphMode
from explorer.counters import counters
from explorer.errors import CUDAGraphAddressError
from explorer.runtime.call_form import TensorInput
from explorer.runtime.cuda_graph_api import GraphApi
from explorer.runtime.piece_graph import PieceGraph
from explorer.runtime.static_memory import PaddedCopy, cut_to, storages, taken_out


@dataclass(eq=False)
class FullGraph:
    """The graph of a whole call.

    Attributes:
        graph: what the device replays.
        outputs: what it writes, in memory of the pool.
        bytes: device memory that the capture took.
        replays: how often it was replayed.
    """

    api: GraphApi
    graph: Any
    outputs: tuple[Any, ...]
    bytes: int
    replays: int = 0

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Replays; the values lie where the graph reads them."""
        self.api.replay(self.graph)
        self.replays += 1
        counters.add(cudagraphs_replayed=1)
        return self.outputs


@dataclass(eq=False)
class Entry:
    """One size with what serves it.

    Attributes:
        size: dispatch size; None when nothing is dynamic.
        mode: FULL, PIECEWISE, or NONE for a size without graphs.
        note: why there is none, or no full one, in words.
        function: values -> outputs, which the next call overwrites.
        copies: whether values are copied into ``inputs``.
        inputs: the values that were captured.
        kept: addresses of memory that is the user's.
        pieces: the graphs of pieces.
        padded_calls: calls of a smaller size that it served.
    """

    size: int | None
    mode: CUDAGraphMode
    note: str = ""
    function: Callable[..., Any] | None = None
    copies: bool = False
    inputs: tuple[Any, ...] = ()
    kept: frozenset[int] = frozenset()
    pieces: tuple[PieceGraph, ...] = ()
    padded_calls: int = 0

    def records(self, variant: int) -> list[CUDAGraphRecord]:
        """Its graphs as they are now."""
        common = (self.padded_calls, self.copies, variant)
        if isinstance(self.function, FullGraph):
            full = self.function
            return [CUDAGraphRecord(self.size, None, full.bytes, full.replays, *common)]
        return [
            CUDAGraphRecord(self.size, each.name, each.bytes, each.replays, *common)
            for each in self.pieces
            if each.is_captured
        ]


@dataclass(eq=False)
class Plan:
    """How calls of some shapes are served.

    Attributes:
        entry: what serves them.
        form: the inputs of a call.
        blocked: why no graph serves them although ``entry`` has some; empty when it does.
        layouts: what is returned at the sizes of the call; None for a call of the entry's own size.
        is_tried: whether its results were compared with those of a plain run.
        doubt: why that could not be done yet; empty when it was not begun, or is done.
    """

    entry: Entry
    form: Sequence[TensorInput | Any]
    blocked: str = ""
    layouts: list[Any] | None = None
    is_tried: bool = False
    doubt: str = ""
    _pause: int = 0
    _attempts: int = 0
    _loads: list[tuple[int, PaddedCopy]] = field(default_factory=list)

    def prepare(self, values: Sequence[Any]) -> None:
        """Works out the copies for the shapes of some values."""
        if self.entry.copies:
            self._loads = [
                (index, PaddedCopy(target, values[index].shape))
                for index, target in enumerate(self.entry.inputs)
                if isinstance(target, torch.Tensor)
            ]

    def is_due(self) -> bool:
        """Whether to try now: after one that showed nothing, rarer and rarer."""
        if self._pause:
            self._pause -= 1
            return False
        self._pause, self._attempts = min(2**self._attempts, 1024), self._attempts + 1
        return True

    @property
    def is_served(self) -> bool:
        """Whether a graph serves such calls, or may after a trial."""
        return self.entry.mode is not CUDAGraphMode.NONE and not self.blocked

    @property
    def served(self) -> ServedByGraph:
        """What the record of such a call says."""
        if not self.is_served or (self.doubt and not self.is_tried):
            return ServedByGraph(note=self.blocked or self.doubt or self.entry.note)
        size = self.entry.size
        padded_to = None if self.layouts is None else size
        return ServedByGraph(self.entry.mode, size, padded_to, self.entry.note)

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The outputs for the values of a call, in memory of their own.

        Raises:
            CUDAGraphAddressError: a tensor lies elsewhere than the one that was captured.
        """
        entry = self.entry
        assert entry.function is not None
        if not entry.copies:
            self._check_addresses(values)
            kept = entry.kept | storages(values)
            return taken_out(entry.function(*values), kept)
        for index, load in self._loads:
            load(values[index])
        return self.taken(entry.function(*entry.inputs))

    def taken(self, outputs: Sequence[Any]) -> list[Any]:
        """What the graphs returned, at the sizes of the call and in memory of its own."""
        if self.layouts is None:
            return taken_out(outputs, self.entry.kept)
        return cut_to(outputs, self.layouts, self.entry.kept)

    def _check_addresses(self, values: Sequence[Any]) -> None:
        for each, captured, given in zip(self.form, self.entry.inputs, values, strict=True):
            if isinstance(captured, Address) and captured.pointer != given.data_ptr():
                raise CUDAGraphAddressError(
                    f"{each.path} lies at another address than the tensor that the CUDA graph for "
                    f"size {self.entry.size} was captured with, and a replay would read that one: "
                    "write new values into the same tensor, or set cudagraph_copy_inputs=True.",
                    path=each.path,
                )


@dataclass(frozen=True)
class Address:
    """Where a tensor of the call lay at capture."""

    pointer: int


def captured_inputs(values: Sequence[Any], *, copies: bool) -> tuple[Any, ...]:
    """What an entry remembers of the values that it was captured with."""
    if copies:
        return tuple(values)
    return tuple(
        Address(each.data_ptr()) if isinstance(each, torch.Tensor) else each for each in values
    )


__all__ = ["Address", "Entry", "FullGraph", "Plan", "captured_inputs"]

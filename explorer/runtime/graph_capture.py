"""Captures one size: of the whole call, or of each compiled piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from explorer.artifacts import DispatchEntry, UniquePieces
from explorer.config import CUDAGraphMode
from explorer.counters import counters
from explorer.runtime.cuda_graph_api import CaptureFailed, GraphApi, first_line
from explorer.runtime.graph_entry import Entry, FullGraph, captured_inputs
from explorer.runtime.partitioned_piece import PartitionedPiece
from explorer.runtime.piece_graph import CapturePass, PieceFunction, PieceGraph
from explorer.runtime.static_memory import StaticBuffers, storages
from explorer.stages import effects
from explorer.stages.graphs import example_value, placeholders

Wrap = Callable[[str, PieceFunction], PieceFunction]
Bind = Callable[[DispatchEntry, Wrap | None], Callable[..., Any]]
FULL_MODES = (CUDAGraphMode.FULL, CUDAGraphMode.FULL_AND_PIECEWISE)


class Capturer:
    """Captures graphs that share one pool.

    Args:
        api: captures.
        unique: the pieces.
        bind: a row, and what to put around each compiled piece -> the stitching function.
        bound: the parameters, buffers and constants in it.
        warmups: runs before a capture.
        is_partitioned: whether Inductor cut the pieces into partitions, which are captured instead.
    """

    def __init__(
        self,
        api: GraphApi,
        unique: UniquePieces,
        bind: Bind,
        *,
        bound: Sequence[Any],
        warmups: int,
        is_partitioned: bool = False,
    ) -> None:
        self.buffers = StaticBuffers()
        self._api = api
        self._unique = unique
        self._bind = bind
        self._bound = storages(bound)
        self._warmups = warmups
        self._is_partitioned = is_partitioned
        self._pool = api.new_pool()
        self._plain: dict[str, Callable[..., Any]] = {}
        self._pieces = {piece.name: piece for piece in unique.pieces}

    def plain(self, row: DispatchEntry) -> Callable[..., Any]:
        """The stitching function of a row, without graphs."""
        if row.function_name not in self._plain:
            self._plain[row.function_name] = self._bind(row, None)
        return self._plain[row.function_name]

    def capture(
        self,
        size: int | None,
        row: DispatchEntry,
        values: Sequence[Any],
        *,
        mode: CUDAGraphMode,
        copies: bool,
    ) -> Entry:
        """The graphs of one size.

        The model runs a few times, on the values.

        Args:
            size: dispatch size.
            row: serves it.
            values: of the call, in the memory that the graphs shall read.
            mode: PIECEWISE, FULL, or FULL_AND_PIECEWISE: the second where the first fails.
            copies: whether later calls are copied into that memory.
        """
        plain = self.plain(row)
        captured = captured_inputs(values, copies=copies)
        common = {"copies": copies, "inputs": captured, "kept": self._bound}
        note = ""
        with self._api.aside():
            try:
                for _ in range(self._warmups):
                    plain(*values)
                if mode in FULL_MODES:
                    full, note = self._full(plain, values)
                    if full is not None:
                        return Entry(size, CUDAGraphMode.FULL, "", full, **common)
                    note = f"no graph of the whole call at size {size}: {note}"
                if mode is not CUDAGraphMode.FULL:
                    function, pieces = self._piecewise(row, values, copies=copies)
                    left_out = "; ".join(f"{p.name}: {p.refusal}" for p in pieces if p.refusal)
                    if any(each.is_captured for each in pieces):
                        note = "; ".join(each for each in (note, left_out) if each)
                        return Entry(
                            size,
                            CUDAGraphMode.PIECEWISE,
                            note,
                            function,
                            pieces=tuple(pieces),
                            **common,
                        )
                    note = left_out or "there is no compiled piece that could be captured"
            except Exception as error:  # whatever the user's ops raise; without graphs it is theirs
                note = f"the run before the capture at size {size} failed: {first_line(error)}"
        return Entry(size, CUDAGraphMode.NONE, note)

    # ------------------------------------------------------------------------------- the whole call

    def _full(
        self, plain: Callable[..., Any], values: Sequence[Any]
    ) -> tuple[FullGraph | None, str]:
        """The graph of the whole call; without one, why not."""
        why_not = self._elsewhere(self._unique.split.normalised.graph)
        if why_not:
            return None, why_not
        try:
            with self._api.refusing_synchronisation():
                plain(*values)
            before = self._api.reserved_bytes()
            graph, outputs = self._api.capture(lambda: tuple(plain(*values)), self._pool)
        except CaptureFailed as error:
            self._pool = self._api.new_pool()  # what a failed capture leaves is not known
            return None, str(error)
        except Exception as error:  # whatever an op says when it would wait for the device
            return None, first_line(error)
        counters.add(cudagraphs_captured=1)
        taken = max(self._api.reserved_bytes() - before, 0)
        return FullGraph(self._api, graph, self._kept_weakly(outputs, values), taken), ""

    def _kept_weakly(self, outputs: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
        """Outputs that leave the memory of the pool to later captures."""
        others = self._bound | storages(values)
        own = [value for value in outputs if _is_elsewhere(value, others)]
        weak = iter(self._api.weakly(own))
        return tuple(next(weak) if _is_elsewhere(value, others) else value for value in outputs)

    def _elsewhere(self, graph: fx.Graph) -> str:
        """What a graph makes that is not on the device; empty when all is."""
        for node in graph.nodes:
            value = example_value(node)
            if node.op in ("placeholder", "get_attr") or not isinstance(value, torch.Tensor):
                continue
            if value.device.type != self._api.device_type:
                return f"{node.name} is on {value.device}, where no CUDA graph reaches"
        return ""

    # ----------------------------------------------------------------------------------- the pieces

    def _piecewise(
        self, row: DispatchEntry, values: Sequence[Any], *, copies: bool
    ) -> tuple[Callable[..., Any], list[PieceGraph]]:
        stable = self._bound | storages(values)
        shared = CapturePass(self._api, self._pool, self.buffers, stable=set(stable))
        if copies:
            shared.lasting |= {id(each) for each in values if isinstance(each, torch.Tensor)}
        pieces: list[PieceGraph] = []

        def wrap(name: str, function: PieceFunction) -> PieceFunction:
            if self._is_partitioned:
                return PartitionedPiece(name, function, shared, pieces)
            graph = self._pieces[name].graph
            written = effects.written_inputs(graph)
            pieces.append(
                PieceGraph(
                    name,
                    function,
                    written=frozenset(
                        i for i, node in enumerate(placeholders(graph)) if node in written
                    ),
                    refusal=self._elsewhere(graph),
                    capture_pass=shared,
                )
            )
            return pieces[-1]

        function = self._bind(row, wrap)
        function(*values)
        self._pool = shared.pool
        return function, pieces


def _is_elsewhere(value: Any, places: frozenset[int]) -> bool:
    return isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() not in places


__all__ = ["Capturer"]

"""A piece that Inductor cut into partitions, each of them as a CUDA graph."""

from __future__ import annotations

from typing import Any

from explorer.runtime.piece_graph import CapturePass, PieceFunction, PieceGraph
from explorer.torch_private.partition import Partition, partitions_run_by


class PartitionedPiece:
    """Runs one piece; the first call captures its partitions, later ones replay them.

    Args:
        name: of the piece.
        function: runs it.
        capture_pass: what the capture shares with others.
        graphs: takes the graph of each partition.
    """

    def __init__(
        self,
        name: str,
        function: PieceFunction,
        capture_pass: CapturePass,
        graphs: list[PieceGraph],
    ) -> None:
        self._name = name
        self._function = function
        self._pass: CapturePass | None = capture_pass
        self._all = graphs
        self._graphs: dict[int, PieceGraph] = {}

    def __call__(self, arguments: list[Any]) -> Any:
        """The piece's outputs."""
        with partitions_run_by(self._run):
            result = self._function(arguments)
        self._pass = None
        return result

    def _run(self, partition: Partition, arguments: list[Any]) -> Any:
        graph = self._graphs.get(partition.index)
        if graph is None:
            if self._pass is None:
                return partition.function(arguments)
            graph = PieceGraph(
                f"{self._name}.partition_{partition.index}",
                partition.function,
                written=frozenset(),  # an input that is used again shows as an output's memory
                refusal="",
                capture_pass=self._pass,
            )
            self._graphs[partition.index] = graph
            self._all.append(graph)
        return graph(arguments)


__all__ = ["PartitionedPiece"]

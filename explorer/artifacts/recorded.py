"""Step 7: RunRecord."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from explorer.artifacts.compiled import Artifact
from explorer.artifacts.cuda_graphs import NO_GRAPH, ServedByGraph
from explorer.size_range import SizeRange


@dataclass
class RunRecord:
    """The last recorded call; filled while ``CompiledModel.record()`` is open.

    Attributes:
        sizes: size name -> value; empty when eager served the call.
        size_range: the row of the dispatch table that served it; None when eager did or nothing is
            dynamic.
        variant: index of the captured graph that served it; None when eager did.
        artifacts: the artifact of each compiled piece, in piece order.
        microseconds: wall time of all pieces together.
        piece_microseconds: wall time of each piece, in piece order; empty when eager or CUDA graphs
            served it.
        cuda_graph: how CUDA graphs had a part in it.
        calls: how many calls were recorded.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    size_range: SizeRange | None = None
    variant: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    microseconds: float = 0.0
    piece_microseconds: tuple[float, ...] = ()
    cuda_graph: ServedByGraph = NO_GRAPH
    calls: int = 0

    def fill(
        self,
        sizes: Mapping[str, int],
        size_range: SizeRange | None,
        variant: int | None,
        artifacts: tuple[Artifact, ...],
        microseconds: float,
        piece_microseconds: tuple[float, ...],
        cuda_graph: ServedByGraph = NO_GRAPH,
    ) -> None:
        """Replaces what is recorded by one more call."""
        self.sizes, self.size_range, self.variant = dict(sizes), size_range, variant
        self.artifacts, self.microseconds = artifacts, microseconds
        self.piece_microseconds, self.cuda_graph = piece_microseconds, cuda_graph
        self.calls += 1

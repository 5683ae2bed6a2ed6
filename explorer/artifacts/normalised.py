"""Step 2: NormalisedGraph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.artifacts.captured import CapturedGraph
from explorer.artifacts.common import GraphInput

if TYPE_CHECKING:
    from torch import fx


@dataclass(frozen=True)
class Rewrite:
    """One change that normalising made.

    Attributes:
        kind: what was rewritten: ``size``, ``symbol``, ``constant``.
        node: name of the node that went away.
        touched: names of the nodes that read it.
        text: a sentence.
    """

    kind: str
    node: str
    touched: tuple[str, ...]
    text: str


@dataclass(frozen=True, eq=False, repr=False)
class NormalisedGraph:
    """Step 2: the graph with sizes as per-dim values, so that it can be cut anywhere.

    Attributes:
        captured: the step before.
        graph: the rewritten copy.
        inputs: placeholders of ``graph``; those of the capture, then lifted constants.
        example_values: one per input.
        rewrites: what was changed.
    """

    captured: CapturedGraph
    graph: fx.Graph
    inputs: tuple[GraphInput, ...]
    example_values: tuple[Any, ...]
    rewrites: tuple[Rewrite, ...]

    def summary(self) -> str:
        """One line."""
        return f"normalised {len(self.graph.nodes)} nodes, {len(self.rewrites)} rewrites"

"""Step 3: Piece and SplitGraph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from explorer.artifacts.common import Expression, SourceLocation
from explorer.artifacts.normalised import NormalisedGraph

if TYPE_CHECKING:
    from torch import fx


class PieceKind(Enum):
    """Whether a piece is compiled or is what the graph was cut at."""

    COMPILED = "compiled"
    SPLITTING = "splitting"


@dataclass(frozen=True, eq=False, repr=False)
class Piece:
    """One part of the cut graph.

    Attributes:
        index: position in execution order, dense from 0.
        name: ``piece_<index>``.
        kind: compiled or splitting.
        graph: its own FX graph: placeholders named after the values they take, a tuple as output.
        inputs: names of the values that it takes, in order.
        outputs: names of the values that it makes for others, in order.
        size_names: names of the dynamic sizes that its shapes or arguments mention.
        source_lines: the user's lines that it came from, in order, without repeats.
        modules: module paths that its nodes came from, in order, without repeats.
        node_count: nodes without placeholders and output.
        splitting_names: canonical names of the splitting ops or modules in it.
        unique_id: label of its group after step 4 (``A``, ``B`` ...), None before and for splitting
            pieces.
    """

    index: int
    name: str
    kind: PieceKind
    graph: fx.Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size_names: tuple[str, ...]
    source_lines: tuple[SourceLocation, ...]
    modules: tuple[str, ...]
    node_count: int
    splitting_names: tuple[str, ...] = ()
    unique_id: str | None = None

    def readable(self) -> str:
        """The piece as Python source."""
        from explorer.stages.graphs import readable_source

        return readable_source(self.graph, self.name)

    def graph_module(self) -> fx.GraphModule:
        """A fresh module that runs the piece; its graph is a copy."""
        from explorer.stages.graphs import module_of

        return module_of(self.graph)

    def __repr__(self) -> str:
        unique = f" {self.unique_id}" if self.unique_id else ""
        return f"<{self.name}{unique} {self.kind.value} {self.node_count} nodes>"


@dataclass(frozen=True, eq=False, repr=False)
class SplitGraph:
    """Step 3: the pieces in execution order.

    Attributes:
        normalised: the step before.
        pieces: in order, dense indices.
        outputs: what the whole graph returns: names of values, constants, or numbers computed from
            sizes.
        crossing: value name -> indices of the pieces that read it, for values that cross a cut.
        notes: warnings, one sentence each.
    """

    normalised: NormalisedGraph
    pieces: tuple[Piece, ...]
    outputs: tuple[str | Literal | ComputedSize, ...]
    crossing: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line."""
        compiled = sum(piece.kind is PieceKind.COMPILED for piece in self.pieces)
        splitting = len(self.pieces) - compiled
        return f"split into {len(self.pieces)} pieces, {compiled} compiled, {splitting} splitting"


@dataclass(frozen=True)
class Literal:
    """A constant in the graph's output."""

    value: Any


@dataclass(frozen=True)
class ComputedSize:
    """A number in the graph's output that is computed from sizes.

    Attributes:
        expression: over the symbols in ``names``.
        names: symbol -> name of the value that holds it.
    """

    expression: Expression
    names: Mapping[Expression, str]

"""Every boundary type of the story, in the order of the steps. Each is frozen; none holds display code.

A frozen dataclass is shallow: a graph inside is still mutable. So a step copies a graph before it edits it, and the
types that hold graphs or tensors compare by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from explorer.size_range import SizeRange

if TYPE_CHECKING:
    import sympy
    import torch
    from torch import fx

    from explorer.torch_private.capture import RawCapture


# ---------------------------------------------------------------------------------------------- shared parts


@dataclass(frozen=True)
class SourceLocation:
    """One line of the user's code.

    Attributes:
        file: path as Python knows it; a notebook cell has a made-up one.
        line: 1-based.
        function: name of the enclosing function.
        text: the line, stripped; empty when unknown.
    """

    file: str
    line: int
    function: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Size:
    """One independent dynamic size of the captured graph.

    Attributes:
        name: the user's name, else made from the first input: ``x_0`` for ``x.size(0)``.
        sources: (input path, dim) of every dim that has this size; the first one is read at run time.
        symbol: the symbol that stands for it in ``expression`` fields of this package.
        torch_symbols: the symbols torch made for it; several when the user declared equal what torch kept apart.
        hint: its value at capture.
        low: smallest size that the capture allows by its range.
        high: largest, or None when there is no bound.
        unbacked: whether torch made it without a value.
    """

    name: str
    sources: tuple[tuple[str, int], ...]
    symbol: sympy.Symbol
    torch_symbols: tuple[sympy.Symbol, ...]
    hint: int
    low: int
    high: int | None
    unbacked: bool = False

    @property
    def label(self) -> str:
        """The size in the user's words: ``x.size(0)``."""
        path, dim = self.sources[0]
        return f"{path}.size({dim})"


class GuardOrigin(Enum):
    """Who made a condition."""

    SHAPE = "shape"
    """A test on sizes during the trace."""
    RANGE = "range"
    """The range torch gave a symbol: sizes 0 and 1 are apart."""
    DECLARED = "declared"
    """The user gave two dims one name."""


@dataclass(frozen=True)
class GuardRecord:
    """One condition on sizes that the captured graph relies on.

    Attributes:
        expression: the condition over the symbols of ``Size.symbol``.
        text: the same in the sizes' names.
        origin: who made it.
        location: the user's line, where known.
    """

    expression: sympy.Basic
    text: str
    origin: GuardOrigin
    location: SourceLocation | None = None


class InputKind(Enum):
    """What feeds one input of a captured graph."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    USER = "user"
    SIZE = "size"
    CONSTANT = "constant"
    OTHER = "other"


@dataclass(frozen=True)
class GraphInput:
    """One placeholder of the captured graph.

    Attributes:
        name: node name in the graph.
        kind: what feeds it.
        source: where its value is found, as an expression over ``L`` (the call's arguments) and ``G`` (globals).
        path: the same in the user's words: ``layers.0.weight``, ``x``, ``batch['ids']``.
    """

    name: str
    kind: InputKind
    source: str
    path: str


# ------------------------------------------------------------------------------------------------- 1 capture


@dataclass(frozen=True, eq=False, repr=False)
class CapturedGraph:
    """Step 1: one full graph of a model, and all that it assumed.

    Attributes:
        graph: the FX graph; parameters and buffers are placeholders.
        inputs: one entry per placeholder, in order.
        example_values: the real value of each placeholder at capture.
        sizes: the independent dynamic sizes, in signature order.
        guards: the conditions on sizes under which the graph is right.
        notes: what a user should know, one sentence each.
        user_inputs: layout of each tensor the user passes.
        raw: torch's own record of the capture; the runtime binds calls with it.
        model: the callable that was captured.
        hints: size name -> size of the example that was traced.
    """

    graph: fx.Graph
    inputs: tuple[GraphInput, ...]
    example_values: tuple[Any, ...]
    sizes: tuple[Size, ...]
    guards: tuple[GuardRecord, ...]
    notes: tuple[str, ...]
    user_inputs: tuple[UserTensor, ...]
    raw: RawCapture
    model: Callable[..., Any]
    hints: Mapping[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        """One line."""
        sizes = ", ".join(f"{size.name} = {size.label}" for size in self.sizes) or "no dynamic size"
        return (
            f"captured {len(self.graph.nodes)} nodes, {len(self.inputs)} inputs, {sizes}, "
            f"{len(self.guards)} guards on sizes"
        )


@dataclass(frozen=True, eq=False, repr=False)
class UserTensor:
    """What the graph relies on in one tensor of the call.

    Attributes:
        source: where it is found, as in ``GraphInput.source``.
        path: the same in the user's words.
        dtype: element type.
        device: where it lives.
        shape: per dim a number or an expression over the sizes' symbols.
        stride: per dim a number or an expression.
        written: whether the graph writes to it.
    """

    source: str
    path: str
    dtype: torch.dtype
    device: torch.device
    shape: tuple[int | sympy.Basic, ...]
    stride: tuple[int | sympy.Basic, ...]
    written: bool


# ----------------------------------------------------------------------------------------------- 2 normalise


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


# --------------------------------------------------------------------------------------------------- 3 split


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
        unique_id: label of its group after step 4 (``A``, ``B`` ...), None before and for splitting pieces.
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
        outputs: what the whole graph returns: names of values, constants, or numbers computed from sizes.
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
        return f"split into {len(self.pieces)} pieces, {compiled} compiled, {len(self.pieces) - compiled} splitting"


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

    expression: sympy.Basic
    names: Mapping[sympy.Basic, str]


# -------------------------------------------------------------------------------------------------- 4 dedupe


@dataclass(frozen=True)
class Difference:
    """One way in which two pieces differ.

    Attributes:
        kind: ``call``, ``constant``, ``argument``, ``input``, ``output``, ``dtype``, ``device``, ``shape``, ``stride``,
            ``storage offset``, ``layout``, ``value``, ``alias``, ``symbol``, ``guard`` or ``kind``.
        a: what the first piece has.
        b: what the second has.
        source_lines: where in the user's code, first piece then second.
        hint: what to do about it, or empty.
    """

    kind: str
    a: str
    b: str
    source_lines: tuple[SourceLocation, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        places = " and ".join(dict.fromkeys(str(line) for line in self.source_lines))
        where = f" ({places})" if places else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"The {self.kind} differs: {self.a} against {self.b}{where}.{hint}"


@dataclass(frozen=True, eq=False, repr=False)
class UniquePiece:
    """Pieces that share one artifact per size range.

    Attributes:
        unique_id: ``A``, ``B`` ... ``Z``, ``AA`` ... in order of first appearance.
        fingerprint: sha256 of the canonical record, 64 hex digits.
        piece_indices: the pieces in the group, ascending.
        representative: the first of them; it is what gets compiled.
    """

    unique_id: str
    fingerprint: str
    piece_indices: tuple[int, ...]
    representative: Piece

    @property
    def size_names(self) -> tuple[str, ...]:
        """Names of the dynamic sizes that the group depends on."""
        return self.representative.size_names

    def __repr__(self) -> str:
        return f"<unique {self.unique_id} x {len(self.piece_indices)}>"


@dataclass(frozen=True, eq=False, repr=False)
class UniquePieces:
    """Step 4: groups of identical compiled pieces.

    Attributes:
        split: the step before.
        pieces: the pieces, now with their ``unique_id``.
        unique_pieces: the groups, in order of first appearance.
    """

    split: SplitGraph
    pieces: tuple[Piece, ...]
    unique_pieces: tuple[UniquePiece, ...]

    def summary(self) -> str:
        """One line."""
        compiled = sum(piece.kind is PieceKind.COMPILED for piece in self.pieces)
        return f"deduped {compiled} compiled pieces to {len(self.unique_pieces)} unique"


# ------------------------------------------------------------------------------------------------- 5 compile


class ArtifactOrigin(Enum):
    """Where an artifact came from."""

    COMPILED = "compiled"
    MEMORY = "memory"


@dataclass(frozen=True, eq=False, repr=False)
class Artifact:
    """One unique piece, compiled for one size range.

    Attributes:
        unique_id: the group it serves.
        size_range: dispatch sizes that it is right for; None when the piece does not depend on the dispatch size.
        requested_range: the range of the table that it was made for; differs where the compiler added guards.
        seconds: wall time of the compile, 0.0 when reused.
        bytes: size of the serialised form, or None when the backend has none.
        origin: compiled now, or reused.
        key: digest over everything that it depends on.
        guards: conditions on sizes that the compiler added, as text.
        callable: list of flat inputs -> sequence of outputs.
        backend: name of the backend that made it.
        notes: what a user should know, one sentence each.
        code: generated source, or empty.
    """

    unique_id: str
    size_range: SizeRange | None
    requested_range: SizeRange | None
    seconds: float
    bytes: int | None
    origin: ArtifactOrigin
    key: str
    guards: tuple[str, ...]
    callable: Callable[[list[Any]], Any]
    backend: str
    notes: tuple[str, ...] = ()
    code: str = ""

    def generated_code(self) -> str:
        """What the backend wrote; empty when it does not say."""
        return self.code

    def __repr__(self) -> str:
        return f"<artifact {self.unique_id}·{self.size_range or 'any size'} {self.origin.value}>"


@dataclass(frozen=True)
class SkippedRange:
    """A range of the table without an artifact, and why."""

    size_range: SizeRange
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class CompiledPieces:
    """Step 5: one artifact per unique piece and size range.

    Attributes:
        unique: the step before.
        artifacts: in the order they were made.
        skipped: ranges without a valid size.
        dispatch: the size that picks the range, or None when nothing is dynamic.
        ranges: the dispatch sizes that can be served, ascending, exact sizes not included.
        exact_sizes: dispatch sizes with artifacts of their own.
        same_code: groups of artifacts of one piece whose generated code is equal, as (unique id, ranges).
        notes: what a user should know.
    """

    unique: UniquePieces
    artifacts: tuple[Artifact, ...]
    skipped: tuple[SkippedRange, ...]
    dispatch: Size | None
    ranges: tuple[SizeRange, ...]
    exact_sizes: tuple[int, ...]
    same_code: tuple[tuple[str, tuple[SizeRange, ...]], ...] = ()
    notes: tuple[str, ...] = ()

    def artifact_for(self, unique_id: str, size: int | None) -> Artifact:
        """The artifact that serves one group at one dispatch size, exact sizes first.

        Raises:
            KeyError: nothing was compiled for that size.
        """
        candidates = self._by_unique_id[unique_id]
        for artifact in candidates:
            found = artifact.size_range
            if found is not None and found.is_single_size and size == found.start:
                return artifact
        for artifact in candidates:
            if artifact.size_range is None or (size is not None and size in artifact.size_range):
                return artifact
        raise KeyError(f"no artifact of piece {unique_id} for size {size}")

    @cached_property
    def _by_unique_id(self) -> dict[str, list[Artifact]]:
        groups: dict[str, list[Artifact]] = {}
        for artifact in self.artifacts:
            groups.setdefault(artifact.unique_id, []).append(artifact)
        return groups

    def summary(self) -> str:
        """One line."""
        seconds = sum(artifact.seconds for artifact in self.artifacts)
        made = sum(artifact.origin is ArtifactOrigin.COMPILED for artifact in self.artifacts)
        return f"{len(self.artifacts)} artifacts, {made} compiled in {seconds:.1f} s, {len(self.artifacts) - made} reused"


# ---------------------------------------------------------------------------------------------------- 6 plan


@dataclass(frozen=True)
class DispatchEntry:
    """One row of the dispatch table.

    Attributes:
        size_range: dispatch sizes of the row; None when nothing is dynamic.
        artifacts: unique id -> artifact that serves it there.
        function_name: name of its stitching function.
    """

    size_range: SizeRange | None
    artifacts: Mapping[str, Artifact]
    function_name: str


@dataclass(frozen=True, eq=False, repr=False)
class DispatchPlan:
    """Step 6: which artifacts serve which size, and the functions that run the pieces.

    Attributes:
        compiled: the step before.
        entries: exact sizes first, then ranges, each ascending.
        stitching_source: Python source of the first range's function; the others differ by artifact only.
    """

    compiled: CompiledPieces
    entries: tuple[DispatchEntry, ...]
    stitching_source: str

    def summary(self) -> str:
        """One line."""
        return f"planned {len(self.entries)} stitching functions"


# ----------------------------------------------------------------------------------------------------- 7 run


@dataclass
class RunRecord:
    """The last recorded call; filled while ``CompiledModel.record()`` is open.

    Attributes:
        sizes: size name -> value; empty when eager served the call.
        size_range: the row of the dispatch table that served it; None when eager did or nothing is dynamic.
        variant: index of the captured graph that served it; None when eager did.
        artifacts: the artifact of each compiled piece, in piece order.
        microseconds: wall time of all pieces together.
        piece_microseconds: wall time of each piece, in piece order; empty when eager served it.
        calls: how many calls were recorded.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    size_range: SizeRange | None = None
    variant: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    microseconds: float = 0.0
    piece_microseconds: tuple[float, ...] = ()
    calls: int = 0

    def fill(
        self,
        sizes: Mapping[str, int],
        size_range: SizeRange | None,
        variant: int | None,
        artifacts: tuple[Artifact, ...],
        microseconds: float,
        piece_microseconds: tuple[float, ...],
    ) -> None:
        """Replaces what is recorded by one more call."""
        self.sizes, self.size_range, self.variant = dict(sizes), size_range, variant
        self.artifacts, self.microseconds = artifacts, microseconds
        self.piece_microseconds = piece_microseconds
        self.calls += 1

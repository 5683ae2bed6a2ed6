"""Step 3: a NormalisedGraph in, a SplitGraph out.

The graph is walked once in order. A splitting op opens a splitting piece, everything between is
compiled. Only base sizes cross a cut: what is computed from them is computed again in each piece
that needs it, because a shared ``4*n`` that enters later pieces as an input would make equal layers
differ.
"""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import (
    ComputedSize,
    Literal,
    NormalisedGraph,
    Piece,
    PieceKind,
    SplitGraph,
)
from explorer.artifacts.common import Expression
from explorer.errors import UnknownSplittingOp
from explorer.stages import effects, op_names
from explorer.stages.graphs import (
    example_value,
    expression_of,
    is_tuple_getitem,
    module_paths,
    output_node,
    source_lines,
)
from explorer.torch_private import ops, transforms

MODULE_PREFIX = "module:"
LONGEST_NAME = 1000


class SplittingOpWarning(UserWarning):
    """A splitting op that exists but does not occur in the graph."""


@dataclass
class _Segment:
    """Nodes of one piece while the cut is being found."""

    kind: PieceKind
    nodes: list[fx.Node] = field(default_factory=list)


def split(normalised: NormalisedGraph, splitting_ops: tuple[str, ...]) -> SplitGraph:
    """Cuts the graph at the splitting ops.

    Args:
        normalised: the graph of step 2.
        splitting_ops: names as in ``CompilationConfig.splitting_ops``.

    Raises:
        UnknownSplittingOp: a name that means nothing; the message lists the three nearest.
    """
    graph = normalised.graph
    splitting, notes = find_splitting_nodes(normalised, splitting_ops)
    segments = _move_allocations(_segments(_placed_nodes(graph), splitting))
    pieces = _build_pieces(normalised, segments, splitting)
    alias = {
        symbol: size.symbol for size in normalised.captured.sizes for symbol in size.torch_symbols
    }
    names = {symbol: node.name for symbol, node in _base_sizes(normalised, alias).items()}
    outputs = tuple(_output_value(value, names, alias) for value in _flat_output(graph))
    return SplitGraph(normalised, pieces, outputs, _crossing(pieces), notes)


# -------------------------------------------------------------------------------- which nodes split


def find_splitting_nodes(
    normalised: NormalisedGraph, splitting_ops: Iterable[str]
) -> tuple[dict[fx.Node, str], tuple[str, ...]]:
    """Node -> the name that made it a splitting node.

    With it come warnings about names that match nothing.
    """
    table = _table(normalised)
    found: dict[fx.Node, str] = {}
    notes = []
    for text in splitting_ops:
        if len(text) > LONGEST_NAME:
            raise UnknownSplittingOp(
                f"A splitting op's name has {len(text)} characters: that is no op."
            )
        if text.startswith(MODULE_PREFIX):
            matched, note = _nodes_of_modules(normalised, text.removeprefix(MODULE_PREFIX))
        else:
            matched, note = _nodes_of_op(text, table)
        if not matched:
            notes.append(note)
            warnings.warn(note, SplittingOpWarning, stacklevel=4)
        for node, name in matched.items():
            found.setdefault(node, name)
    for name, place in _take_out_of_transforms(normalised.graph, found).items():
        notes.append(
            f"no cut at {name} at {place}: it is inside a transform of torch.func, such as vmap or "
            "grad, whose tensors cannot leave it"
        )
        warnings.warn(notes[-1], SplittingOpWarning, stacklevel=4)
    return found, tuple(notes)


def _take_out_of_transforms(graph: fx.Graph, found: dict[fx.Node, str]) -> dict[str, str]:
    """Drops nodes inside a transform, unless all of it is cut out; name -> place of what goes.

    Calls that only enter or leave something belong to no module of their own.
    """
    taken: dict[str, str] = {}
    for region in transforms.regions(graph):
        cuttable = [node for node in region if _can_split(node)]
        inside = [node for node in cuttable if node in found]
        if inside and all(node in found for node in cuttable if node.users):
            found.update((node, found[inside[0]]) for node in cuttable if node not in found)
            continue
        for node in inside:
            place = next(iter(source_lines([node])), "a line that is not known")
            taken.setdefault(found.pop(node), str(place))
    return taken


def present_ops(normalised: NormalisedGraph) -> dict[str, int]:
    """Canonical name -> how often it occurs, of the ops at which a cut has an effect."""
    return op_names.occurring(_table(normalised))


def _table(normalised: NormalisedGraph) -> dict[str, tuple[fx.Node, ...]]:
    return op_names.name_table(node for node in normalised.graph.nodes if _can_split(node))


def _can_split(node: fx.Node) -> bool:
    """Whether a cut at this node has an effect.

    Sizes are computed in every piece, items follow their tuple.
    """
    return not (_is_recomputed(node) or is_tuple_getitem(node) or _is_region_border(node))


def _nodes_of_op(
    text: str, table: Mapping[str, tuple[fx.Node, ...]]
) -> tuple[dict[fx.Node, str], str]:
    """The nodes that an op's name means, and what to say when there are none."""
    name = op_names.plain_name(text)
    matched = {node: op_names.canonical_name(node) for node in table.get(name, ())}
    if matched:
        return matched, ""
    known = op_names.known_names()
    if name in known:
        present = [f"{op} ({count})" for op, count in op_names.occurring(table).items()]
        return (
            {},
            f"the splitting op {text!r} does not occur in the graph; ops present: "
            f"{_listed(present)}",
        )
    near = op_names.nearest(text, [*table, *known] if len(text) < 200 else list(table))
    raise UnknownSplittingOp(
        f"No op is called {text[:200]!r}: the nearest names are {', '.join(near) or 'none'}. "
        "Accepted are ns::op, ns::op.overload, a public torch name, Tensor.method, and module:glob."
    )


def _listed(names: list[str]) -> str:
    more = "" if len(names) <= 20 else f" and {len(names) - 20} more"
    return f"{', '.join(names[:20]) or 'none'}{more}"


def _nodes_of_modules(normalised: NormalisedGraph, pattern: str) -> tuple[dict[fx.Node, str], str]:
    """The nodes traced in the modules that a glob means, and what to say when there are none.

    A module that is never called itself, such as a ``ModuleList``, means all that is inside it.
    """
    parts = pattern.split(".")
    found: dict[fx.Node, str] = {}
    traced: dict[str, None] = {}
    for node in normalised.graph.nodes:
        if node.op in ("placeholder", "output", "get_attr"):
            continue
        for path in _module_prefixes(node):
            traced.setdefault(path)
            if _glob_matches(parts, path.split(".")):
                if _can_split(node):
                    found[node] = f"{MODULE_PREFIX}{path}"
                break
    if found:
        return found, ""
    existing = _existing_modules(normalised)
    if any(_glob_matches(parts, name.split(".")) for name in [*existing, *traced]):
        return {}, (
            f"the splitting op '{MODULE_PREFIX}{pattern}' does not occur in the graph: no call was "
            f"traced from that module; modules traced: {_listed(list(traced))}"
        )
    near = op_names.nearest(pattern, traced or existing)
    raise UnknownSplittingOp(
        f"No module matches {MODULE_PREFIX}{pattern[:200]!r}: the nearest paths are "
        f"{', '.join(near) or 'none'}."
    )


def _module_prefixes(node: fx.Node) -> list[str]:
    """Paths of the modules around a node, containers too, outermost first."""
    found: dict[str, None] = {}
    for path in module_paths(node):
        parts = path.split(".")
        found |= dict.fromkeys(".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return list(found)


def _existing_modules(normalised: NormalisedGraph) -> list[str]:
    model = normalised.captured.raw.receiver
    if not isinstance(model, torch.nn.Module):
        return []
    return [name for name, _ in model.named_modules() if name]


def _glob_matches(pattern: list[str], path: list[str]) -> bool:
    return len(pattern) == len(path) and all(
        fnmatch.fnmatchcase(part, glob) for glob, part in zip(pattern, path, strict=True)
    )


# ----------------------------------------------------------------------------------- the cut itself


def _is_recomputed(node: fx.Node) -> bool:
    """Whether a node only computes with sizes, so that each piece does it again for itself."""
    if node.op not in ("call_function", "call_method"):
        return False
    if not isinstance(example_value(node), torch.SymInt | torch.SymBool | torch.SymFloat):
        return False
    inputs = node.all_input_nodes
    return bool(inputs) and all(_is_size(each) for each in inputs)


def _is_region_border(node: fx.Node) -> bool:
    """Whether a node enters or leaves autocast or inference mode."""
    if node.op != "call_function":
        return False
    return ops.region_exit(node.target) is not None or ops.is_region_exit(node.target)


def _open_regions(graph: fx.Graph) -> dict[fx.Node, tuple[fx.Node, ...]]:
    """Node -> the nodes that opened the regions around it, outermost first.

    Nodes outside all are left out.
    """
    opened: list[fx.Node] = []
    found: dict[fx.Node, tuple[fx.Node, ...]] = {}
    for node in graph.nodes:
        if not _is_region_border(node):
            found |= {node: tuple(opened)} if opened else {}
        elif ops.is_region_exit(node.target):
            opened = [each for each in opened if each is not node.args[0]]
        else:
            opened.append(node)
    return found


def _is_size(node: fx.Node) -> bool:
    return isinstance(example_value(node), torch.SymInt | torch.SymBool | torch.SymFloat)


def splitting_piece_counts(
    normalised: NormalisedGraph, choices: Mapping[str, Collection[fx.Node]]
) -> dict[str, int]:
    """How many splitting pieces each choice of nodes would make, if it alone were cut at.

    Args:
        normalised: the graph of step 2.
        choices: name of a choice -> the nodes to cut at.
    """
    placed = _placed_nodes(normalised.graph)
    counts = {}
    for name, nodes in choices.items():
        segments = _move_allocations(_segments(placed, nodes))
        counts[name] = sum(segment.kind is PieceKind.SPLITTING for segment in segments)
    return counts


def nodes_by_module(normalised: NormalisedGraph) -> dict[str, list[fx.Node]]:
    """Module path, containers too -> the nodes traced in it at which a cut has an effect."""
    found: dict[str, list[fx.Node]] = {}
    for node in _placed_nodes(normalised.graph):
        if _can_split(node):
            for path in _module_prefixes(node):
                found.setdefault(path, []).append(node)
    return found


def _placed_nodes(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that belong to one piece; sizes and borders of regions are made in each again."""
    return [
        node
        for node in graph.nodes
        if node.op not in ("placeholder", "output", "get_attr")
        and not (_is_recomputed(node) or _is_region_border(node))
    ]


def _segments(placed: Iterable[fx.Node], splitting: Collection[fx.Node]) -> list[_Segment]:
    segments: list[_Segment] = []
    segment_of: dict[fx.Node, _Segment] = {}
    for node in placed:
        if is_tuple_getitem(node) and node.args[0] in segment_of:
            home = segment_of[node.args[0]]
        else:
            kind = PieceKind.SPLITTING if node in splitting else PieceKind.COMPILED
            if not segments or segments[-1].kind is not kind:
                segments.append(_Segment(kind))
            home = segments[-1]
        home.nodes.append(node)
        segment_of[node] = home
    return segments


def _move_allocations(segments: list[_Segment]) -> list[_Segment]:
    """Joins a segment that only allocates to the compiled one before it.

    That is done where all its inputs are there already.
    """
    kept: list[_Segment] = []
    for segment in segments:
        home = _earlier_home(kept, segment)
        if home is not None:
            home.nodes += segment.nodes
        elif kept and kept[-1].kind is segment.kind:
            kept[-1].nodes += segment.nodes
        else:
            kept.append(segment)
    return kept


def _earlier_home(kept: list[_Segment], segment: _Segment) -> _Segment | None:
    if segment.kind is not PieceKind.COMPILED or not all(map(effects.is_allocation, segment.nodes)):
        return None
    later: set[fx.Node] = set(segment.nodes)
    for candidate in reversed(kept):
        if candidate.kind is PieceKind.COMPILED:
            needed = {each for node in segment.nodes for each in _real_inputs(node)}
            return None if needed & (later - set(segment.nodes)) else candidate
        later |= set(candidate.nodes)
    return None


def _real_inputs(node: fx.Node) -> list[fx.Node]:
    """What a node needs, looking through size computations."""
    found = []
    for each in node.all_input_nodes:
        found += _real_inputs(each) if _is_recomputed(each) else [each]
    return found


# --------------------------------------------------------------------------------------- the pieces


class _PieceBuilder:
    """Copies the nodes of one segment into a graph of its own."""

    def __init__(
        self,
        kind: PieceKind,
        base_sizes: Mapping[Expression, fx.Node],
        alias: Mapping[Expression, Expression],
        regions: Mapping[fx.Node, tuple[fx.Node, ...]],
    ) -> None:
        self.is_compiled = kind is PieceKind.COMPILED
        self.base_sizes = base_sizes
        self.alias = dict(alias)
        self.regions = regions
        self.entered: list[tuple[fx.Node, fx.Node]] = []
        self.graph = fx.Graph()
        self.new_of: dict[fx.Node, fx.Node] = {}
        self.inputs: dict[fx.Node, None] = {}

    def build(self, nodes: list[fx.Node], read_elsewhere: list[fx.Node]) -> fx.Graph:
        """The graph of the segment; ``self.inputs`` then has the outside nodes that it takes."""
        own = set(nodes)
        for node in nodes:
            self._find_inputs(node, own)
        if self.is_compiled:
            self._add_sizes(nodes)
        for node in self.inputs:
            placeholder = self.graph.placeholder(node.name)
            placeholder.meta = dict(node.meta)
            self.new_of[node] = placeholder
        for node in nodes:
            self._enter_regions(self.regions.get(node, ()))
            self._copy(node)
        self._enter_regions(())
        self.graph.output(tuple(self.new_of[node] for node in read_elsewhere))
        return self.graph

    def _enter_regions(self, wanted: tuple[fx.Node, ...]) -> None:
        """Leaves and enters regions until just the wanted ones are open.

        Each piece opens its own again.
        """
        while tuple(opener for opener, _ in self.entered) != wanted[: len(self.entered)]:
            opener, copied = self.entered.pop()
            leave = ops.region_exit(opener.target)
            assert leave is not None
            self.graph.call_function(leave, (copied,))
        for opener in wanted[len(self.entered) :]:
            self.entered.append((opener, self.graph.node_copy(opener)))

    def _find_inputs(self, node: fx.Node, own: set[fx.Node]) -> None:
        for each in node.all_input_nodes:
            if each in own or each in self.new_of:
                continue
            if each.op == "get_attr":
                continue
            if _is_recomputed(each):
                self._find_inputs(each, own)
            elif each not in self.inputs:
                self.inputs[each] = None

    def _add_sizes(self, nodes: list[fx.Node]) -> None:
        """Adds every base size that shapes mention as an input of its own.

        A compiler could not solve ``4*n`` for n. And torch 2.13's compile caches store and test the
        conditions of an artifact only over sizes that are inputs: without them a hit serves code
        that is wrong for the size.
        """
        present = {self._primary(example_value(node)) for node in self.inputs}
        for node in [*self.inputs, *nodes]:
            for symbol in size_symbols(example_value(node)):
                primary = self.alias.get(symbol, symbol)
                base = self.base_sizes.get(primary)
                if primary in present or base is None or base.op != "placeholder":
                    # A size that the graph makes may be read out later than it shows in a shape.
                    continue
                present.add(primary)
                self.inputs[base] = None

    def _primary(self, value: Any) -> Any:
        expression = expression_of(value)
        return (
            expression.xreplace(self.alias) if isinstance(expression, sympy.Basic) else expression
        )

    def _copy(self, node: fx.Node) -> fx.Node:
        if node not in self.new_of:
            for each in node.all_input_nodes:
                if each not in self.new_of:
                    self._copy(each)
            self.new_of[node] = self.graph.node_copy(node, self.new_of.__getitem__)
        return self.new_of[node]


def size_symbols(value: Any) -> tuple[Expression, ...]:
    """The symbols in the shape and strides of a value, in order of appearance."""
    found: dict[Expression, None] = {}
    if isinstance(value, torch.Tensor):
        parts = [*value.shape, *value.stride(), value.storage_offset()]
    elif isinstance(value, tuple | list):
        parts = [part for item in value for part in size_symbols(item)]
        return tuple(dict.fromkeys(parts))
    else:
        parts = [value]
    for part in parts:
        if isinstance(part, torch.SymInt):
            expression = part.node.expr
            if expression.is_Symbol:
                found.setdefault(expression)
            else:
                for symbol in sorted(expression.free_symbols, key=str):
                    found.setdefault(symbol)
    return tuple(found)


def _build_pieces(
    normalised: NormalisedGraph, segments: list[_Segment], splitting: Mapping[fx.Node, str]
) -> tuple[Piece, ...]:
    sizes = normalised.captured.sizes
    alias = {symbol: size.symbol for size in sizes for symbol in size.torch_symbols}
    name_of_symbol = {size.symbol: size.name for size in sizes}
    base_sizes = _base_sizes(normalised, alias)
    regions = _open_regions(normalised.graph)
    home = {node: index for index, segment in enumerate(segments) for node in segment.nodes}
    returned = {value for value in _flat_output(normalised.graph) if isinstance(value, fx.Node)}
    readers = _readers(normalised.graph, home, returned)
    pieces = []
    for index, segment in enumerate(segments):
        builder = _PieceBuilder(segment.kind, base_sizes, alias, regions)
        outside = [node for node in segment.nodes if readers.get(node, set()) - {index}]
        graph = builder.build(segment.nodes, outside)
        mentioned: dict[str, None] = {}
        for node in graph.nodes:
            for symbol in size_symbols(example_value(node)):
                primary = alias.get(symbol, symbol)
                if primary in name_of_symbol:
                    mentioned.setdefault(name_of_symbol[primary])
        names = [splitting[node] for node in segment.nodes if node in splitting]
        paths = [paths[-1] for node in segment.nodes if (paths := module_paths(node))]
        pieces.append(
            Piece(
                index=index,
                name=f"piece_{index}",
                kind=segment.kind,
                graph=graph,
                inputs=tuple(node.name for node in builder.inputs),
                outputs=tuple(node.name for node in outside),
                size_names=tuple(mentioned),
                source_lines=source_lines(segment.nodes),
                modules=tuple(dict.fromkeys(paths)),
                node_count=sum(node.op not in ("placeholder", "output") for node in graph.nodes),
                splitting_names=tuple(dict.fromkeys(names)),
            )
        )
    return tuple(pieces)


def _base_sizes(
    normalised: NormalisedGraph, alias: Mapping[Expression, Expression]
) -> dict[Expression, fx.Node]:
    found: dict[Expression, fx.Node] = {}
    for node in normalised.graph.nodes:
        value = example_value(node)
        if isinstance(value, torch.SymInt) and not _is_recomputed(node):
            expression = value.node.expr
            if isinstance(expression, sympy.Symbol):
                found.setdefault(alias.get(expression, expression), node)
    return found


def _readers(
    graph: fx.Graph, home: Mapping[fx.Node, int], returned: set[fx.Node]
) -> dict[fx.Node, set[int]]:
    """Node -> indices of the segments that read it, looking through size computations.

    -1 is the output.
    """
    found: dict[fx.Node, set[int]] = {}
    for node, index in home.items():
        for each in _real_inputs(node):
            found.setdefault(each, set()).add(index)
    for node in returned:
        for each in _real_inputs(node) if _is_recomputed(node) else [node]:
            found.setdefault(each, set()).add(-1)
    return found


def _flat_output(graph: fx.Graph) -> tuple[Any, ...]:
    value = output_node(graph).args[0]
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _output_value(
    value: Any, names: Mapping[Expression, str], alias: Mapping[Expression, Expression]
) -> str | Literal | ComputedSize:
    if not isinstance(value, fx.Node):
        return Literal(value)
    if not _is_recomputed(value):
        return value.name
    expression = example_value(value).node.expr.xreplace(dict(alias))
    return ComputedSize(expression, {symbol: names[symbol] for symbol in expression.free_symbols})


def _crossing(pieces: tuple[Piece, ...]) -> dict[str, tuple[int, ...]]:
    made = {name for piece in pieces for name in piece.outputs}
    found: dict[str, list[int]] = {}
    for piece in pieces:
        for name in piece.inputs:
            if name in made:
                found.setdefault(name, []).append(piece.index)
    return {name: tuple(indices) for name, indices in found.items()}


__all__ = [
    "LONGEST_NAME",
    "MODULE_PREFIX",
    "SplittingOpWarning",
    "find_splitting_nodes",
    "nodes_by_module",
    "present_ops",
    "size_symbols",
    "split",
    "splitting_piece_counts",
]

"""What somebody points at in, all that belongs to it out: pieces, nodes, lines, guards, artifacts.

A node is named by its piece and its own name, ``4/linear_3``: a size that several pieces compute
has one name in all of them. A line is ``(file, line)`` with the file as Python knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import fx

from explorer.artifacts import Piece, PieceKind, SourceLocation
from explorer.errors import ConfigError
from explorer.report.wording import counted, label_of, listed, range_text, short_path
from explorer.stages.graphs import user_location

if TYPE_CHECKING:
    from explorer.compilation import Compilation

Line: TypeAlias = tuple[str, int]

MOST_NODES = 2_000
"""Nodes that a selection names one by one; of more, the pieces are enough."""


@dataclass(frozen=True)
class Selected:
    """One thing that is selected, and all that belongs to it.

    Attributes:
        kind: ``piece``, ``unique``, ``node``, ``line``, ``guard``, ``site`` or ``artifact``.
        key: what tells it from others of its kind: an index, a letter, ``4/linear_3``, or a line.
        text: what it is, in words.
        pieces: indices of pieces.
        uniques: letters of unique pieces.
        nodes: names of nodes; empty where whole pieces are selected.
        lines: of the user's code.
        guards: indices in ``CapturedGraph.guards``.
        sites: indices in ``CapturedGraph.branch_sites``.
        artifacts: indices in ``Compilation.artifacts``.
    """

    kind: str
    key: str | int | Line
    text: str
    pieces: tuple[int, ...] = ()
    uniques: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    guards: tuple[int, ...] = ()
    sites: tuple[int, ...] = ()
    artifacts: tuple[int, ...] = ()

    def view(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "kind": self.kind,
            "key": list(self.key) if isinstance(self.key, tuple) else self.key,
            "text": self.text,
            "pieces": list(self.pieces),
            "uniques": list(self.uniques),
            "nodes": list(self.nodes),
            "lines": [list(line) for line in self.lines],
            "guards": list(self.guards),
            "sites": list(self.sites),
            "artifacts": list(self.artifacts),
        }


def node_id(piece: Piece, node: fx.Node) -> str:
    """``4/linear_3``."""
    return f"{piece.index}/{node.name}"


def line_of(location: SourceLocation | None) -> Line | None:
    """A line, where it is known."""
    return None if location is None else (location.file, location.line)


@dataclass(frozen=True, eq=False)
class Links:
    """Finds what belongs together in one compilation.

    Attributes:
        compilation: in which.
    """

    compilation: Compilation
    _finders: Mapping[str, Callable[[Any], Selected]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        finders = {
            "piece": self._piece,
            "unique": self._unique,
            "node": self._node,
            "line": self._line,
            "guard": self._guard,
            "site": self._site,
            "artifact": self._artifact,
        }
        object.__setattr__(self, "_finders", finders)

    def select(self, kind: str, key: Any) -> Selected:
        """What is selected when somebody points at one thing.

        Args:
            kind: as in ``Selected``.
            key: as in ``Selected``; a line may be a list.

        Raises:
            ConfigError: there is no such thing in this compilation.
        """
        try:
            found = self._finders[kind](key)
            return replace(found, text=label_of(found.text))
        except (KeyError, IndexError, TypeError, ValueError):
            raise ConfigError(
                f"There is no {label_of(kind, 40)} {label_of(key, 100)} in this compilation: "
                "select one that its views show."
            ) from None

    # ---------------------------------------------------------------------------------- the indices

    @cached_property
    def _piece_of(self) -> dict[str, tuple[Piece, fx.Node]]:
        return {
            node_id(piece, node): (piece, node)
            for piece in self.compilation.pieces
            for node in piece.graph.nodes
        }

    @cached_property
    def _nodes_at(self) -> dict[Line, list[str]]:
        found: dict[Line, list[str]] = {}
        for name, (_, node) in self._piece_of.items():
            if node.op in ("placeholder", "output"):
                continue
            line = line_of(user_location(node))
            if line is not None:
                found.setdefault(line, []).append(name)
        return found

    def _guards_at(self, lines: Iterable[Line]) -> tuple[int, ...]:
        wanted = set(lines)
        guards = self.compilation.captured.guards
        return tuple(i for i, each in enumerate(guards) if line_of(each.location) in wanted)

    def _sites_at(self, lines: Iterable[Line]) -> tuple[int, ...]:
        wanted = set(lines)
        sites = self.compilation.captured.branch_sites
        return tuple(i for i, each in enumerate(sites) if line_of(each.location) in wanted)

    def _artifacts_of(self, uniques: Iterable[str]) -> tuple[int, ...]:
        wanted = set(uniques)
        artifacts = self.compilation.artifacts
        return tuple(i for i, each in enumerate(artifacts) if each.unique_id in wanted)

    # ---------------------------------------------------------------------------------- the finders

    def _pieces(self, kind: str, key: Any, text: str, pieces: Iterable[Piece]) -> Selected:
        """Whole pieces, with their lines."""
        chosen = tuple(pieces)
        uniques = tuple(dict.fromkeys(each.unique_id for each in chosen if each.unique_id))
        places = [place for each in chosen for place in each.source_lines]
        lines = tuple(dict.fromkeys((place.file, place.line) for place in places))
        return Selected(
            kind=kind,
            key=key,
            text=text,
            pieces=tuple(each.index for each in chosen),
            uniques=uniques,
            lines=lines,
            guards=self._guards_at(lines),
            sites=self._sites_at(lines),
            artifacts=self._artifacts_of(uniques),
        )

    def _piece(self, key: int) -> Selected:
        piece = self.compilation.pieces[_index(key)]
        if piece.kind is PieceKind.SPLITTING:
            what = f"splits at {listed(piece.splitting_names, 3)}"
        else:
            what = f"compiled as {piece.unique_id}, {counted(piece.node_count, 'node')}"
        return self._pieces("piece", piece.index, f"piece {piece.index}: {what}", [piece])

    def _unique(self, key: str) -> Selected:
        found = {each.unique_id: each for each in self.compilation.unique_pieces}[key]
        pieces = [self.compilation.pieces[index] for index in found.piece_indices]
        text = f"unique piece {key}: occurs {len(pieces)}×, {found.representative.node_count} nodes"
        return self._pieces("unique", key, text, pieces)

    def _node(self, key: str) -> Selected:
        piece, node = self._piece_of[key]
        line = line_of(user_location(node))
        return self._nodes("node", key, f"node {node.name} in piece {piece.index}", [key], line)

    def _line(self, key: Any) -> Selected:
        file, number = key
        line = (str(file), _index(number))
        names = self._nodes_at.get(line, [])
        text = f"line {short_path(line[0])}:{line[1]}: {counted(len(names), 'node')}"
        return self._nodes("line", line, text, names, line)

    def _guard(self, key: int) -> Selected:
        guard = self.compilation.captured.guards[_index(key)]
        line = line_of(guard.location)
        names = self._nodes_at.get(line, []) if line else []
        found = self._nodes("guard", key, f"condition {guard.text}", names, line)
        return replace(found, guards=(key,), sites=self._sites_of(key) or found.sites)

    def _site(self, key: int) -> Selected:
        site = self.compilation.captured.branch_sites[_index(key)]
        line = line_of(site.location)
        names = self._nodes_at.get(line, []) if line else []
        found = self._nodes("site", key, f"test {site.text}", names, line)
        return replace(found, sites=(key,), guards=site.guards or found.guards)

    def _sites_of(self, guard: int) -> tuple[int, ...]:
        sites = self.compilation.captured.branch_sites
        return tuple(i for i, each in enumerate(sites) if guard in each.guards)

    def _artifact(self, key: int) -> Selected:
        artifact = self.compilation.artifacts[_index(key)]
        found = self._unique(artifact.unique_id)
        text = f"artifact {artifact.unique_id} for {range_text(artifact.size_range)}"
        return replace(found, kind="artifact", key=key, text=text, artifacts=(key,))

    def _nodes(
        self, kind: str, key: Any, text: str, names: list[str], line: Line | None
    ) -> Selected:
        """Some nodes, with the pieces that hold them."""
        pieces = [self._piece_of[name][0] for name in names]
        lines = () if line is None else (line,)
        uniques = tuple(dict.fromkeys(each.unique_id for each in pieces if each.unique_id))
        return Selected(
            kind=kind,
            key=key,
            text=text,
            pieces=tuple(dict.fromkeys(each.index for each in pieces)),
            uniques=uniques,
            nodes=tuple(names) if len(names) <= MOST_NODES else (),
            lines=lines,
            guards=self._guards_at(lines),
            sites=self._sites_at(lines),
            artifacts=self._artifacts_of(uniques),
        )


def _index(key: Any) -> int:
    """A key that is a number and not negative, which Python would count from the end.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(key, bool) or not isinstance(key, int) or key < 0:
        raise ValueError(key)
    return key

"""Runs the pieces of a compilation one by one beside the uncut graph, to the first difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from explorer.artifacts import NormalisedGraph, Piece, PieceKind
from explorer.compilation import Compilation
from explorer.results import Seen, judge
from explorer.runtime.accept import read_sizes
from explorer.runtime.flat_inputs import flat_inputs
from explorer.stages.effects import is_allocation
from explorer.stages.graphs import module_of
from explorer.torch_private.transforms import transforms_left


@dataclass(frozen=True)
class PieceDifference:
    """The first piece whose values are not those of the uncut graph.

    Attributes:
        piece: it.
        problem: what is different, in words.
        largest: largest difference of two elements; None when there was nothing to compare.
    """

    piece: Piece
    problem: str
    largest: float | None


def first_difference(
    compilation: Compilation, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> PieceDifference | None:
    """The first piece that differs for one call; None when each does what the graph does.

    Args:
        compilation: with the artifacts.
        args: positional arguments; they may be written to.
        kwargs: keyword arguments; they may be written to.
    """
    with torch.no_grad(), transforms_left():
        values = _flat_values(compilation, args, kwargs)
        reference = _Reference(compilation.normalised, compilation.pieces)
        reference.run(*(_copy(value) for value in values))
        names = [each.name for each in compilation.normalised.inputs]
        known: dict[str, Any] = dict(zip(names, values, strict=True))
        dispatch = compilation.compiled.dispatch
        sizes = read_sizes(compilation.captured, values)
        size = sizes[dispatch.name] if dispatch is not None else None
        for piece in compilation.pieces:
            run = _runner(compilation, piece, size)
            try:
                results = run([known[name] for name in piece.inputs])
                known.update(zip(piece.outputs, results, strict=True))
            except Exception as error:  # the uncut graph ran, so this is a difference
                lines = str(error).strip().splitlines() or ["without a message"]
                return PieceDifference(piece, f"{type(error).__name__}: {lines[0]}", None)
            found = judge(reference.after[piece.index], _seen(piece, known))
            if not found.is_equal:
                return PieceDifference(piece, found.problem, found.largest)
    return None


def _flat_values(
    compilation: Compilation, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """What a call gives the inputs of the normalised graph."""
    values = flat_inputs(compilation.captured.raw, args, kwargs)
    return (*values, *compilation.normalised.example_values[len(values) :])


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _runner(compilation: Compilation, piece: Piece, size: int | None) -> Callable[[list[Any]], Any]:
    """What runs one piece: a function of the list of its inputs."""
    if piece.kind is PieceKind.COMPILED:
        assert piece.unique_id is not None
        return compilation.compiled.artifact_for(piece.unique_id, size).callable
    module = piece.graph_module()
    return lambda arguments: module(*arguments)


def _seen(piece: Piece, known: Mapping[str, Any]) -> Seen:
    """What a piece shows: what it made, and what it may have written to.

    Memory that it only allocated holds anything; what a later piece writes there is seen then.
    """
    allocated = {node.name for node in piece.graph.nodes if is_allocation(node)}
    names = [name for name in (*piece.outputs, *piece.inputs) if name not in allocated]
    return Seen("values", {n: _copy(known[n]) for n in names if isinstance(known[n], torch.Tensor)})


class _Reference(fx.Interpreter):
    """Runs the uncut graph, and notes what each piece would show when its last node has run.

    Attributes:
        after: index of a piece -> what it shows.
    """

    def __init__(self, normalised: NormalisedGraph, pieces: tuple[Piece, ...]) -> None:
        super().__init__(module_of(normalised.graph), garbage_collect_values=False)
        self.after: dict[int, Seen] = {}
        self._known: dict[str, Any] = {}
        place = {node.name: number for number, node in enumerate(normalised.graph.nodes)}
        self._ending: dict[str, list[Piece]] = {}
        for piece in pieces:
            own = [
                node.name for node in piece.graph.nodes if node.op not in ("placeholder", "output")
            ]
            last = max((name for name in own if name in place), key=place.__getitem__)
            self._ending.setdefault(last, []).append(piece)

    def run_node(self, n: fx.Node) -> Any:
        """Runs one node, and looks at the pieces that end with it."""
        result = super().run_node(n)
        self._known[n.name] = result
        for piece in self._ending.get(n.name, ()):
            self.after[piece.index] = _seen(piece, self._known)
        return result

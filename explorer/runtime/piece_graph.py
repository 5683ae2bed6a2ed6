"""One compiled piece as a CUDA graph: a function of the piece's inputs that replays it.

What comes from a splitting op lies elsewhere at each call, so it is copied to where the graph reads
it. Where that would not do, the piece runs without its graph, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from explorer.counters import counters
from explorer.runtime.cuda_graph_api import CaptureFailed, GraphApi
from explorer.runtime.static_memory import StaticBuffers, is_overlapping

PieceFunction = Callable[[list[Any]], Any]
_NOTHING = object()


@dataclass(eq=False)
class CapturePass:
    """What the pieces of one capture have in common.

    Attributes:
        api: captures.
        pool: memory of all graphs.
        buffers: for what splitting ops make.
        stable: addresses of memory that stays: parameters, the call's inputs, and what the pieces
            captured so far have made.
        own: addresses among them that are the graphs' own, so that values may be copied there.
        lasting: ids of tensors that are the same objects at each call.
    """

    api: GraphApi
    pool: Any
    buffers: StaticBuffers
    stable: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)
    lasting: set[int] = field(default_factory=set)


class PieceGraph:
    """Runs one piece; the first call captures it, later ones replay.

    Args:
        name: of the piece.
        function: runs it without a graph.
        written: positions of inputs that it writes to.
        refusal: why it cannot be captured; empty when it may be tried.
        capture_pass: what the capture shares with other pieces; it is let go afterwards.

    Attributes:
        refusal: why it has no graph, in words; empty when it has one.
        bytes: device memory that the capture took.
        replays: how often it was replayed.
    """

    def __init__(
        self,
        name: str,
        function: PieceFunction,
        *,
        written: frozenset[int],
        refusal: str,
        capture_pass: CapturePass,
    ) -> None:
        self.name = name
        self.refusal = refusal
        self.bytes = 0
        self.replays = 0
        self._function = function
        self._written = written
        self._pass: CapturePass | None = capture_pass
        self._api = capture_pass.api
        self._graph: Any = None
        self._outputs: tuple[Any, ...] = ()
        self._inputs: list[Any] = []
        self._can_copy: list[bool] = []
        self._seen: list[Any] = []
        self._places: list[torch.Tensor] = []
        self._lasting = capture_pass.lasting

    @property
    def is_captured(self) -> bool:
        """Whether there is a graph."""
        return self._graph is not None

    def __call__(self, arguments: list[Any]) -> Any:
        """The piece's outputs; those of a replay are overwritten by the next one."""
        if self._pass is not None:
            return self._first(arguments)
        if self._graph is None or not self._is_in_place(arguments):
            return self._function(arguments)
        self._replay()
        return self._outputs

    def _is_in_place(self, arguments: list[Any]) -> bool:
        """Brings the inputs to where the graph reads them; False when that cannot be done."""
        copies = []
        for position, given in enumerate(arguments):
            wanted = self._inputs[position]
            if given is self._seen[position] or given is wanted:
                continue
            if not isinstance(wanted, torch.Tensor):
                if given != wanted:
                    return False
                continue
            if given.shape != wanted.shape or given.stride() != wanted.stride():
                return False
            if given.data_ptr() == wanted.data_ptr():
                if id(given) in self._lasting:
                    self._seen[position] = given
                continue
            if not self._can_copy[position]:
                return False
            copies.append((wanted, given))
        for wanted, given in copies:
            wanted.copy_(given)
        return True

    def _replay(self) -> None:
        self._api.replay(self._graph)
        self.replays += 1
        counters.add(cudagraphs_replayed=1)

    # -------------------------------------------------------------------------------------- capture

    def _first(self, arguments: list[Any]) -> Any:
        """Captures, and replays so that what comes next sees real values."""
        shared, self._pass = self._pass, None
        assert shared is not None
        if self.refusal:
            return self._function(arguments)
        given = list(arguments)
        arguments = list(given)
        for position, value in enumerate(given):
            if not isinstance(value, torch.Tensor) or _address(value) in shared.stable:
                continue
            if position in self._written or is_overlapping(value):
                self.refusal = "it writes to what a splitting op made, or a part repeats another"
                return self._function(arguments)
            place = shared.buffers.like((self.name, position), value, value.shape, value.stride())
            given[position] = place.copy_(value)
            self._places.append(place)
            shared.own.add(_address(place))
            shared.stable.add(_address(place))
        before = shared.api.reserved_bytes()
        try:
            self._graph, results = shared.api.capture(
                lambda: tuple(self._function(list(given))), shared.pool
            )
        except CaptureFailed as error:
            self.refusal = str(error)
            shared.pool = shared.api.new_pool()  # what a failed capture leaves is not known
            return self._function(arguments)
        self.bytes = max(shared.api.reserved_bytes() - before, 0)
        counters.add(cudagraphs_captured=1)
        self._keep(given, results, shared)
        self._replay()
        return results

    def _keep(self, given: list[Any], results: tuple[Any, ...], shared: CapturePass) -> None:
        """Remembers inputs and outputs; memory of the pool is left to later captures."""
        shown = {_address(each) for each in results if isinstance(each, torch.Tensor)}
        made = {address for address in shown if address not in shared.stable}
        made -= {_address(each) for each in given if isinstance(each, torch.Tensor)}
        shared.stable |= made
        shared.own |= made
        self._can_copy = [
            isinstance(each, torch.Tensor)
            and _address(each) in shared.own
            and _address(each) not in shown
            and position not in self._written
            and not is_overlapping(each)
            for position, each in enumerate(given)
        ]
        values = [*given, *results]
        own = [each for each in values if self._is_own(each, shared)]
        weak = iter(shared.api.weakly(own))
        kept = [next(weak) if self._is_own(each, shared) else each for each in values]
        self._inputs, self._outputs = kept[: len(given)], tuple(kept[len(given) :])
        self._seen = [_NOTHING] * len(given)
        shared.lasting |= {id(each) for each in self._outputs if isinstance(each, torch.Tensor)}

    def _is_own(self, value: Any, shared: CapturePass) -> bool:
        return isinstance(value, torch.Tensor) and _address(value) in shared.own


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


__all__ = ["CapturePass", "PieceGraph"]

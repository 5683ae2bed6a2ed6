"""How often each thing really happened: what was seen, captured, cut, compiled, reused.

For tests and for the explorer. ``counters`` counts in the whole process; ``Compilation.counts`` has
the part of one compilation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

_COUNTING: ContextVar[tuple[Counts, ...]] = ContextVar("counting", default=())
"""What else counts, besides the process, in this thread."""


@dataclass
class Counts:
    """Running counts. All fields only grow.

    The names of vLLM's ``compilation_counter`` that count the same are given where there is one.

    Attributes:
        models_seen: models that were given to be compiled (``num_models_seen``).
        captured: Dynamo traces, probes of size 1 included.
        layers_traced: calls of layers that repeat, into which those traces looked.
        layers_written: calls of layers that repeat, written like one that was traced.
        graphs_seen: captured graphs that were cut and compiled (``num_graphs_seen``).
        normalised: step 2 runs.
        split: step 3 runs.
        pieces_seen: pieces that were cut, splitting ones included
            (``num_piecewise_graphs_seen``).
        compiled_pieces_seen: those among them that are compiled
            (``num_piecewise_capturable_graphs_seen``).
        deduped: step 4 runs.
        requested: pairs of a compiled piece and a size range that an artifact was wanted for
            (``num_backend_compilations``).
        shared: those among them that an equal piece's artifact serves.
        compiled: artifacts that a backend made.
        compiled_by_inductor: those among them that Inductor made (``num_inductor_compiles``, which
            has the shared ones in it).
        compiled_by_eager: those among them that the eager backend made (``num_eager_compiles``).
        reused: artifacts taken from memory instead.
        saved: artifacts written to the store (``num_compiled_artifacts_saved``).
        loaded: artifacts read from the store (``num_compiled_artifacts_loaded``).
        compilations_saved: compilations written to the store whole, to be loaded without a trace.
        compilations_loaded: compilations read from the store whole; nothing of them was traced.
        cudagraphs_captured: CUDA graphs that were captured (``num_cudagraph_captured``).
        cudagraphs_replayed: replays of them, the tries after a capture included.
        cudagraphs_padded: calls that a graph of a larger size served.
        stock_compiled: models handed to ``torch.compile`` (``stock_torch_compile_count``).
    """

    models_seen: int = 0
    captured: int = 0
    layers_traced: int = 0
    layers_written: int = 0
    graphs_seen: int = 0
    normalised: int = 0
    split: int = 0
    pieces_seen: int = 0
    compiled_pieces_seen: int = 0
    deduped: int = 0
    requested: int = 0
    shared: int = 0
    compiled: int = 0
    compiled_by_inductor: int = 0
    compiled_by_eager: int = 0
    reused: int = 0
    saved: int = 0
    loaded: int = 0
    compilations_saved: int = 0
    compilations_loaded: int = 0
    cudagraphs_captured: int = 0
    cudagraphs_replayed: int = 0
    cudagraphs_padded: int = 0
    stock_compiled: int = 0

    def snapshot(self) -> dict[str, int]:
        """The counts now."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Counts)}

    @contextlib.contextmanager
    def expect(self, **deltas: int) -> Iterator[None]:
        """Asserts by how much each named count grows inside the block.

        Raises:
            AssertionError: a count grew by another amount.
            TypeError: there is no such count.
        """
        before = self.snapshot()
        unknown = set(deltas) - set(before)
        if unknown:
            raise TypeError(
                f"there is no counter {sorted(unknown)[0]!r}; there are {', '.join(before)}"
            )
        yield
        after = self.snapshot()
        grown = {name: after[name] - before[name] for name in deltas}
        wrong = {name: grown[name] for name in deltas if grown[name] != deltas[name]}
        if wrong:
            expected = {name: deltas[name] for name in wrong}
            raise AssertionError(
                f"expected the counters to grow by {expected}, they grew by {wrong}"
            )


class Counters(Counts):
    """The counts of a process; whatever is counted in a thread also counts for ``also_for``."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, **amounts: int) -> None:
        """Counts something that happened: ``counters.add(captured=1)``."""
        with self._lock:
            for counts in (self, *_COUNTING.get()):
                for name, amount in amounts.items():
                    setattr(counts, name, getattr(counts, name) + amount)

    def renew_lock(self) -> None:
        """For a forked process: a lock that another thread held at the fork would stay held."""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def also_for(self, counts: Counts) -> Iterator[None]:
        """Inside, what this thread counts is added to ``counts`` as well."""
        token = _COUNTING.set((*_COUNTING.get(), counts))
        try:
            yield
        finally:
            _COUNTING.reset(token)


def grown(counts: Counts) -> Mapping[str, int]:
    """The counts that are not 0."""
    return {name: count for name, count in counts.snapshot().items() if count}


counters = Counters()
"""The counts of this process."""

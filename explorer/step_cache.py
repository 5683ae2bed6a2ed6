"""Results of steps, found again by all that the step read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from explorer.artifacts import PieceKind
from explorer.counters import counters
from explorer.pipeline import StepRunner

_T = TypeVar("_T")
_COUNTS_OF_STEP: Mapping[str, Callable[[Any], Mapping[str, int]]] = {
    "capture": lambda captured: {"captured": 1, "graphs_seen": 1},
    "normalise": lambda normalised: {"normalised": 1},
    "split": lambda split: {
        "split": 1,
        "pieces_seen": len(split.pieces),
        "compiled_pieces_seen": sum(each.kind is PieceKind.COMPILED for each in split.pieces),
    },
    "dedupe": lambda unique: {"deduped": 1},
}


@dataclass
class _StepResult:
    reads: tuple[Any, ...]
    result: Any
    unclaimed_seconds: float


class StepCache:
    """Results of steps, found again by all that the step read."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.results: dict[str, list[_StepResult]] = {}

    def timed(self, seconds: dict[str, float], *, is_plan: bool = False) -> StepRunner:
        """A runner that notes the wall seconds of each step.

        0.0 for a result from an earlier update. A step that ran for a plan counts in the first
        update that takes its result.
        """

        def run(name: str, reads: tuple[Any, ...], step: Callable[[], _T]) -> _T:
            known = self._known(name, reads, step)
            seconds[name] = known.unclaimed_seconds
            if not is_plan:
                known.unclaimed_seconds = 0.0
            return known.result

        return run

    def has(self, name: str, reads: tuple[Any, ...]) -> bool:
        """Whether a step has run with this input."""
        return any(each.reads == reads for each in self.results.get(name, ()))

    def keep(self, name: str, reads: tuple[Any, ...], result: Any) -> None:
        """Takes a result that is known without running the step."""
        self.results.setdefault(name, []).append(_StepResult(reads, result, 0.0))

    def forget(self) -> None:
        """Drops every result."""
        self.results.clear()

    def _known(self, name: str, reads: tuple[Any, ...], step: Callable[[], Any]) -> _StepResult:
        counts = _COUNTS_OF_STEP.get(name)
        kept = self.results.setdefault(name, [])
        if counts is not None:
            for before in kept:
                if before.reads == reads:
                    return before
        started = time.perf_counter()
        found = _StepResult(reads, step(), 0.0)
        found.unclaimed_seconds = time.perf_counter() - started
        if counts is not None:
            counters.add(**counts(found.result))
            kept.append(found)
            del kept[: -self.limit]
        return found


__all__ = ["StepCache"]

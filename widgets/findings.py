"""What was found out about a compilation after it was made; it is kept as long as that is."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from explorer import Compilation
from explorer.artifacts import RunRecord
from explorer.artifacts.covered import Coverage
from explorer.artifacts.diagnosed import Diagnosis
from explorer.artifacts.measured import Timings
from explorer.stored_answer import StoredAnswer


@dataclass
class Findings:
    """Results of long looks at one compilation; None or empty before the first.

    Attributes:
        diagnosis: with the audit of its guards.
        coverage: of its variants.
        trials: sizes that were tried, latest last.
        timings: of its replay.
        record: the last call.
        answers: of the store; None before it was asked.
        pair: indices of two pieces that are compared.
        choices: what else was chosen in a view, by name.
    """

    diagnosis: Diagnosis | None = None
    coverage: Coverage | None = None
    trials: list[Any] = field(default_factory=list)
    timings: Timings | None = None
    record: RunRecord | None = None
    answers: tuple[StoredAnswer, ...] | None = None
    pair: tuple[int, int] | None = None
    choices: dict[str, Any] = field(default_factory=dict)

    @property
    def microseconds(self) -> Mapping[int, float]:
        """Index of a piece -> its time at the largest size that was measured."""
        if self.timings is None or not self.timings.pieces:
            return {}
        sizes, row = self.timings.pieces[-1].sizes, self.timings.pieces[-1].served_by
        return {
            each.index: each.median
            for each in self.timings.pieces
            if each.sizes == sizes and each.served_by == row
        }


class FindingsOf:
    """Findings by compilation."""

    def __init__(self) -> None:
        self._found: weakref.WeakKeyDictionary[Compilation, Findings] = weakref.WeakKeyDictionary()

    def __getitem__(self, compilation: Compilation) -> Findings:
        return self._found.setdefault(compilation, Findings())

    def clear(self) -> None:
        """Forgets all."""
        self._found.clear()

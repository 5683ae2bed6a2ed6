"""Step 6: DispatchPlan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.artifacts.compiled import Artifact, CompiledPieces
from explorer.size_range import SizeRange


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
        stitching_source: Python source of the first range's function; the others differ by artifact
            only.
    """

    compiled: CompiledPieces
    entries: tuple[DispatchEntry, ...]
    stitching_source: str

    def summary(self) -> str:
        """One line."""
        return f"planned {len(self.entries)} stitching functions"

"""Step 6: DispatchPlan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.artifacts.captured import CapturedGraph
from explorer.artifacts.common import GraphInput
from explorer.artifacts.compiled import Artifact, CompiledPieces
from explorer.artifacts.stitched import StitchedProgram
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
class CallLayout:
    """What a plain call needs, so that no graph has to be looked at to run one.

    Attributes:
        captured: what the call is checked against.
        inputs: of the stitching function, those that are bound once included.
        example_values: the value of each input at capture.
        written: positions of inputs that the graph writes to.
        returned: positions of inputs that some output shares memory with.
        output_count: how many values the stitching function returns.
        pieces: piece name -> unique id, in execution order; None for a splitting piece.
        program: the stitching function; the rows of the table differ by artifact only.
    """

    captured: CapturedGraph
    inputs: tuple[GraphInput, ...]
    example_values: tuple[Any, ...]
    written: tuple[int, ...]
    returned: frozenset[int]
    output_count: int
    pieces: Mapping[str, str | None]
    program: StitchedProgram


@dataclass(frozen=True, eq=False, repr=False)
class DispatchPlan:
    """Step 6: which artifacts serve which size, and the functions that run the pieces.

    Attributes:
        compiled: the step before.
        entries: exact sizes first, then ranges, each ascending.
        call: what a plain call needs.
    """

    compiled: CompiledPieces
    entries: tuple[DispatchEntry, ...]
    call: CallLayout

    @property
    def stitching_source(self) -> str:
        """Python source of the last row's function; the others differ by artifact only."""
        return self.call.program.source

    def summary(self) -> str:
        """One line."""
        return f"planned {len(self.entries)} stitching functions"

"""Step 6: CompiledPieces in, a DispatchPlan out.

The plan says which artifact serves which size, and has the program that runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from explorer.artifacts import (
    CallLayout,
    CompiledPieces,
    DispatchEntry,
    DispatchPlan,
    UniquePieces,
)
from explorer.runtime.stitch import write_program
from explorer.size_range import SizeRange
from explorer.stages import effects
from explorer.stages.graphs import output_node, placeholders


def plan_dispatch(compiled: CompiledPieces) -> DispatchPlan:
    """One row per exact size, then one per range.

    Raises:
        PlanError: no stitching function can be written.
    """
    rows = rows_of(compiled)
    names = [each.function_name for each in rows]
    return DispatchPlan(compiled, rows, _layout(compiled.unique, names))


def rows_of(compiled: CompiledPieces) -> tuple[DispatchEntry, ...]:
    """The rows of the table; reads the artifacts, not the pieces."""
    if compiled.dispatch is None:
        return (_entry(compiled, None),)
    exact = [_entry(compiled, SizeRange(size, size)) for size in compiled.exact_sizes]
    return (*exact, *(_entry(compiled, size_range) for size_range in compiled.ranges))


def _entry(compiled: CompiledPieces, size_range: SizeRange | None) -> DispatchEntry:
    artifacts = {
        unique_id: compiled.artifact_for_range(unique_id, size_range)
        for unique_id in compiled.unique_ids
    }
    return DispatchEntry(size_range, artifacts, function_name(size_range))


def function_name(size_range: SizeRange | None) -> str:
    """``run_9_64``, ``run_16``, or ``run`` when nothing is dynamic."""
    if size_range is None:
        return "run"
    if size_range.is_single_size:
        return f"run_{size_range.start}"
    return f"run_{size_range.start}_{size_range.end}"


def _layout(unique: UniquePieces, names: Sequence[str]) -> CallLayout:
    normalised = unique.split.normalised
    graph = normalised.captured.graph
    written = effects.written_inputs(graph)
    return CallLayout(
        captured=normalised.captured,
        inputs=normalised.inputs,
        example_values=normalised.example_values,
        written=tuple(i for i, node in enumerate(placeholders(graph)) if node in written),
        returned=_inputs_seen_through_outputs(graph),
        output_count=len(unique.split.outputs),
        pieces={piece.name: piece.unique_id for piece in unique.pieces},
        program=write_program(unique, names[-1] if names else "run", reserved=names),
    )


def _inputs_seen_through_outputs(graph: fx.Graph) -> frozenset[int]:
    """Positions of inputs that some output shares memory with."""
    outputs = {effects.storage_of(node) for node in output_node(graph).all_input_nodes} - {None}
    return frozenset(
        i for i, node in enumerate(placeholders(graph)) if effects.storage_of(node) in outputs
    )

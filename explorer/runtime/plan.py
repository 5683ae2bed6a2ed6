"""Step 6: CompiledPieces in, a DispatchPlan out.

The plan says which artifact serves which size, and has the program that runs them.
"""

from __future__ import annotations

from explorer.artifacts import CompiledPieces, DispatchEntry, DispatchPlan
from explorer.runtime.stitch import write_program
from explorer.size_range import SizeRange


def plan_dispatch(compiled: CompiledPieces) -> DispatchPlan:
    """One row per exact size, then one per range.

    Raises:
        PlanError: no stitching function can be written.
    """
    entries = []
    if compiled.dispatch is None:
        entries.append(_entry(compiled, None))
    else:
        entries += [_entry(compiled, SizeRange(size, size)) for size in compiled.exact_sizes]
        entries += [_entry(compiled, size_range) for size_range in compiled.ranges]
    shown = next((e for e in reversed(entries)), None)
    source = ""
    if shown is not None:
        source = write_program(
            compiled.unique, shown.function_name, artifacts=shown.artifacts
        ).source
    return DispatchPlan(compiled, tuple(entries), source)


def _entry(compiled: CompiledPieces, size_range: SizeRange | None) -> DispatchEntry:
    artifacts = {
        piece.unique_id: compiled.artifact_for_range(piece.unique_id, size_range)
        for piece in compiled.unique.unique_pieces
    }
    return DispatchEntry(size_range, artifacts, function_name(size_range))


def function_name(size_range: SizeRange | None) -> str:
    """``run_9_64``, ``run_16``, or ``run`` when nothing is dynamic."""
    if size_range is None:
        return "run"
    if size_range.is_single_size:
        return f"run_{size_range.start}"
    return f"run_{size_range.start}_{size_range.end}"

"""Step 6: CompiledPieces in, a DispatchPlan out.

The plan says which artifact serves which size, and has the program that runs them.
"""

from __future__ import annotations

from explorer.artifacts import Artifact, CompiledPieces, DispatchEntry, DispatchPlan
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
        piece.unique_id: _artifact(compiled, piece.unique_id, size_range)
        for piece in compiled.unique.unique_pieces
    }
    return DispatchEntry(size_range, artifacts, function_name(size_range))


def _artifact(compiled: CompiledPieces, unique_id: str, size_range: SizeRange | None) -> Artifact:
    """The artifact that serves a whole row: not the one of a single size that the row ends with."""
    if size_range is None or size_range.is_single_size:
        return compiled.artifact_for(unique_id, None if size_range is None else size_range.end)
    for artifact in compiled.artifacts:
        served = artifact.size_range
        is_whole = served is None or (size_range.start in served and size_range.end in served)
        if artifact.unique_id == unique_id and is_whole:
            return artifact
    raise KeyError(f"no artifact of piece {unique_id} for sizes {size_range}")


def function_name(size_range: SizeRange | None) -> str:
    """``run_9_64``, ``run_16``, or ``run`` when nothing is dynamic."""
    if size_range is None:
        return "run"
    if size_range.is_single_size:
        return f"run_{size_range.start}"
    return f"run_{size_range.start}_{size_range.end}"

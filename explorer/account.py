"""A Compilation in, its CompileAccount out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.artifacts import ArtifactOrigin
from explorer.artifacts.accounted import CompileAccount

if TYPE_CHECKING:
    from explorer.compilation import Compilation

LOAD, STORE, BACKEND = "load", "store", "backend"
"""Phases of an artifact beside those of Inductor."""

_STEPS = ("capture", "normalise", "split", "dedupe", "plan")


def account(compilation: Compilation) -> CompileAccount:
    """Where the seconds went."""
    timings = compilation.timings
    parts = {name: timings.get(name, 0.0) for name in _STEPS}
    parts[LOAD] = timings.get("load", 0.0) + compilation.look_up_seconds
    parts[STORE] = compilation.save_seconds
    compiling, of_artifacts = timings.get("compile", 0.0), 0.0
    if not compilation.was_loaded_whole:  # else reading them is a part of ``load``
        for artifact in compilation.artifacts:
            for phase, seconds in artifact.phases.items():
                parts[phase] = parts.get(phase, 0.0) + seconds
                of_artifacts += seconds
    saved_by_workers_seconds = max(0.0, of_artifacts - compiling)
    steps = sum(timings.values()) + compilation.look_up_seconds + compilation.save_seconds
    wall = steps if compilation.update_seconds is None else compilation.update_seconds
    earlier = max(0.0, steps - wall)
    shared, saved_by_dedupe_seconds = _saved_by_dedupe(compilation)
    return CompileAccount(
        **parts,
        other=max(0.0, wall + earlier + saved_by_workers_seconds - sum(parts.values())),
        wall_seconds=wall,
        earlier_seconds=earlier,
        shared=shared,
        saved_by_dedupe_seconds=saved_by_dedupe_seconds,
        saved_by_workers_seconds=saved_by_workers_seconds,
    )


def _saved_by_dedupe(compilation: Compilation) -> tuple[int, float]:
    """How many artifacts were not compiled since another stands for them, and their seconds."""
    made = [each for each in compilation.artifacts if each.origin is ArtifactOrigin.COMPILED]
    if not made:
        return 0, 0.0  # the groups of one that was loaded whole need not be read
    occurs = {each.unique_id: len(each.piece_indices) for each in compilation.unique_pieces}
    others = [(occurs[each.unique_id] - 1, each.seconds) for each in made]
    return sum(count for count, _ in others), sum(count * seconds for count, seconds in others)


__all__ = ["BACKEND", "LOAD", "STORE", "account"]

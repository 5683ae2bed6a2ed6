"""What an update would do: the new split, and what it would compile and reuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from explorer.artifacts import Artifact, ArtifactOrigin, SkippedRange, UniquePieces
from explorer.config import CompilationConfig
from explorer.stages.compile_plan import WantedArtifact, plan_compile
from explorer.stages.piece_compiler import PieceCompiler


@dataclass(frozen=True, eq=False)
class PlannedCompilation:
    """What an update would do.

    Attributes:
        config: the configuration that it is for.
        unique: the new split and its groups.
        to_compile: artifacts that a backend would make.
        to_reuse: artifacts that are there already.
        skipped: ranges without a valid size.
        estimated_seconds: wall seconds for ``to_compile``, from the session's own compiles; None
            without any.
    """

    config: CompilationConfig
    unique: UniquePieces
    to_compile: tuple[WantedArtifact, ...]
    to_reuse: tuple[WantedArtifact, ...]
    skipped: tuple[SkippedRange, ...]
    estimated_seconds: float | None

    def summary(self) -> str:
        """One line: pieces, groups, artifacts to reuse and to compile."""
        total = len(self.to_compile) + len(self.to_reuse)
        seconds = (
            "" if self.estimated_seconds is None else f" (about {self.estimated_seconds:.0f} s)"
        )
        return (
            f"{len(self.unique.pieces)} pieces, {len(self.unique.unique_pieces)} unique compiled, "
            f"{total} artifacts: {len(self.to_reuse)} reused, {len(self.to_compile)} to "
            f"compile{seconds}"
        )


def planned_compilation(
    unique: UniquePieces, config: CompilationConfig, memory: Mapping[str, Sequence[Artifact]]
) -> PlannedCompilation:
    """What compiling would make and reuse; the store is looked at, nothing is loaded.

    Args:
        unique: the groups of pieces.
        config: ranges, sizes, backend.
        memory: artifacts that are there, by ``WantedArtifact.key``.
    """
    plan = plan_compile(unique, config)
    compiler = PieceCompiler(unique, config)
    reuse = tuple(
        each
        for each in plan.wanted
        if each.key in memory or each.own_key in memory or compiler.is_stored(each)
    )
    make = tuple(each for each in plan.wanted if each not in reuse)
    estimate = _estimated_seconds(len(make), memory)
    return PlannedCompilation(config, unique, make, reuse, plan.skipped, estimate)


def _estimated_seconds(count: int, memory: Mapping[str, Sequence[Artifact]]) -> float | None:
    seconds = [
        artifact.seconds
        for artifacts in memory.values()
        for artifact in artifacts
        if artifact.origin is ArtifactOrigin.COMPILED
    ]
    return count * sum(seconds) / len(seconds) if seconds else None


__all__ = ["PlannedCompilation", "planned_compilation"]

"""What an update would do: the new split, and what it would compile and reuse."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.artifacts import SkippedRange, UniquePieces
from explorer.config import CompilationConfig
from explorer.stages.compile_plan import WantedArtifact


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


__all__ = ["PlannedCompilation"]

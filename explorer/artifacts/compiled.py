"""Step 5: Artifact and CompiledPieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from explorer.artifacts.common import Size
from explorer.artifacts.guards import GuardRecord
from explorer.artifacts.unique import UniquePieces
from explorer.size_range import SizeRange


class ArtifactOrigin(Enum):
    """Where an artifact came from."""

    COMPILED = "compiled"
    MEMORY = "memory"
    STORE = "store"


@dataclass(frozen=True, eq=False, repr=False)
class Artifact:
    """One unique piece, compiled for one size range.

    Attributes:
        unique_id: the group it serves.
        size_range: dispatch sizes that it is right for; None when the piece does not depend on the
            dispatch size.
        requested_range: the range of the table that it was made for; differs where the compiler
            added guards.
        seconds: wall time of the compile, 0.0 when reused or loaded.
        bytes: size of the serialised form, or None when the backend has none.
        origin: compiled now, reused from memory, or loaded from the store.
        key: digest over everything that it depends on.
        guards: conditions on sizes that the compiler added, as text.
        guard_records: the same with torch's place that made them.
        callable: list of flat inputs -> sequence of outputs.
        backend: name of the backend that made it.
        notes: what a user should know, one sentence each.
        code: generated source, or empty.
        from_torch_cache: whether torch's own cache had it, so that ``seconds`` is no compile time.
        compile_seconds: wall time of the compile, also where another process did it or it was
            reused; None when that is not known.
        phases: name of a phase -> wall seconds that it took this time; a ``CompileAccount`` adds
            them up. Empty when it was reused.
        changed_factors: for one that was compiled, names of the factors in which the nearest entry
            of the store differs; empty without any entry.
    """

    unique_id: str
    size_range: SizeRange | None
    requested_range: SizeRange | None
    seconds: float
    bytes: int | None
    origin: ArtifactOrigin
    key: str
    guards: tuple[str, ...]
    callable: Callable[[list[Any]], Any]
    backend: str
    notes: tuple[str, ...] = ()
    code: str = ""
    from_torch_cache: bool = False
    guard_records: tuple[GuardRecord, ...] = ()
    changed_factors: tuple[str, ...] = ()
    compile_seconds: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)

    def generated_code(self) -> str:
        """What the backend wrote; empty when it does not say."""
        return self.code

    def __repr__(self) -> str:
        return f"<artifact {self.unique_id}·{self.size_range or 'any size'} {self.origin.value}>"


@dataclass(frozen=True)
class RangeDifference:
    """What generated code has for one size range of a piece and not for the next.

    Attributes:
        unique_id: the piece.
        first: dispatch sizes.
        second: those of the artifact that follows.
        diff: unified, of the code without comments and names; empty when there is no difference.
        backend: that made the code.
    """

    unique_id: str
    first: SizeRange
    second: SizeRange
    diff: str
    backend: str

    @property
    def is_same(self) -> bool:
        """Whether the range changed nothing."""
        return not self.diff

    @property
    def changed_lines(self) -> tuple[int, int]:
        """Lines that only the first has, and lines that only the second has."""
        lines = self.diff.splitlines()[2:]
        return sum(each[:1] == "-" for each in lines), sum(each[:1] == "+" for each in lines)

    def __str__(self) -> str:
        text = f"piece {self.unique_id}: the code for {self.first} and {self.second}"
        if self.is_same:
            return f"{text} is the same"
        removed, added = self.changed_lines
        return f"{text} differs, in {removed} lines of the one against {added} of the other"


@dataclass(frozen=True)
class SkippedRange:
    """A range of the table without an artifact, and why."""

    size_range: SizeRange
    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class CompiledPieces:
    """Step 5: one artifact per unique piece and size range.

    Attributes:
        unique: the step before.
        artifacts: in the order they were made.
        skipped: ranges without a valid size.
        dispatch: the size that picks the range, or None when nothing is dynamic.
        ranges: the dispatch sizes that can be served, ascending, exact sizes not included.
        exact_sizes: dispatch sizes with artifacts of their own.
        same_code: groups of artifacts of one piece whose generated code is equal, as (unique id,
            ranges).
        notes: what a user should know.
    """

    unique: UniquePieces
    artifacts: tuple[Artifact, ...]
    skipped: tuple[SkippedRange, ...]
    dispatch: Size | None
    ranges: tuple[SizeRange, ...]
    exact_sizes: tuple[int, ...]
    same_code: tuple[tuple[str, tuple[SizeRange, ...]], ...] = ()
    notes: tuple[str, ...] = ()

    def artifact_for(self, unique_id: str, size: int | None) -> Artifact:
        """The artifact that serves one group at one dispatch size, exact sizes first.

        Raises:
            KeyError: nothing was compiled for that size.
        """
        candidates = self._by_unique_id[unique_id]
        for artifact in candidates:
            found = artifact.size_range
            if found is not None and found.is_single_size and size == found.start:
                return artifact
        for artifact in candidates:
            if artifact.size_range is None or (size is not None and size in artifact.size_range):
                return artifact
        raise KeyError(f"no artifact of piece {unique_id} for size {size}")

    def artifact_for_range(self, unique_id: str, size_range: SizeRange | None) -> Artifact:
        """The artifact that serves all of a range: not the one of a size that the range ends with.

        Args:
            unique_id: the group.
            size_range: dispatch sizes; None when nothing is dynamic.

        Raises:
            KeyError: no artifact serves them all.
        """
        if size_range is None or size_range.is_single_size:
            return self.artifact_for(unique_id, None if size_range is None else size_range.end)
        for artifact in self._by_unique_id[unique_id]:
            served = artifact.size_range
            if served is None or (size_range.start in served and size_range.end in served):
                return artifact
        raise KeyError(f"no artifact of piece {unique_id} for sizes {size_range}")

    @property
    def unique_ids(self) -> tuple[str, ...]:
        """The groups that have artifacts, in the order of their first one."""
        return tuple(self._by_unique_id)

    @cached_property
    def _by_unique_id(self) -> dict[str, list[Artifact]]:
        groups: dict[str, list[Artifact]] = {}
        for artifact in self.artifacts:
            groups.setdefault(artifact.unique_id, []).append(artifact)
        return groups

    def summary(self) -> str:
        """One line."""
        seconds = sum(artifact.seconds for artifact in self.artifacts)
        made, reused, loaded = (
            sum(artifact.origin is origin for artifact in self.artifacts)
            for origin in (ArtifactOrigin.COMPILED, ArtifactOrigin.MEMORY, ArtifactOrigin.STORE)
        )
        return (
            f"{len(self.artifacts)} artifacts, {made} compiled in {seconds:.1f} s, "
            f"{reused} reused, {loaded} loaded"
        )

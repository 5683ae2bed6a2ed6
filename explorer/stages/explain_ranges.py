"""Artifacts of one piece in, what its size ranges changed in the generated code out."""

from __future__ import annotations

import difflib
from itertools import pairwise

from explorer.artifacts import Artifact, CompiledPieces
from explorer.artifacts.compiled import RangeDifference
from explorer.errors import ConfigError
from explorer.stages.compile import code_without_names

_CONTEXT_LINES = 2


def explain_ranges(
    compiled: CompiledPieces, unique_id: str | None = None
) -> tuple[RangeDifference, ...]:
    """Each range of a piece beside the next one; exact sizes are left out, they differ anyway.

    Args:
        compiled: the artifacts.
        unique_id: of the piece; None takes every one.

    Raises:
        ConfigError: there is no such piece.
    """
    known = compiled.unique_ids
    if unique_id is not None and unique_id not in known:
        raise ConfigError(
            f"There is no unique piece {unique_id!r}; the unique pieces are {', '.join(known)}."
        )
    found = []
    for each in known if unique_id is None else (unique_id,):
        found += [_difference(*pair) for pair in pairwise(_of_ranges(compiled, each))]
    return tuple(found)


def _of_ranges(compiled: CompiledPieces, unique_id: str) -> list[Artifact]:
    """The artifacts of a piece that serve more than one size and say their code, ascending."""
    found = []
    for artifact in compiled.artifacts:
        served = artifact.size_range
        is_range = served is not None and not served.is_single_size
        if artifact.unique_id == unique_id and is_range and artifact.code:
            found.append((served, artifact))
    return [artifact for _, artifact in sorted(found, key=lambda pair: pair[0])]


def _difference(first: Artifact, second: Artifact) -> RangeDifference:
    assert first.size_range is not None and second.size_range is not None
    lines = difflib.unified_diff(
        code_without_names(first.code).splitlines(),
        code_without_names(second.code).splitlines(),
        f"{first.unique_id} for {first.size_range}",
        f"{second.unique_id} for {second.size_range}",
        lineterm="",
        n=_CONTEXT_LINES,
    )
    return RangeDifference(
        first.unique_id, first.size_range, second.size_range, "\n".join(lines), first.backend
    )


__all__ = ["explain_ranges"]

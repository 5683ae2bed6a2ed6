"""Step 5: UniquePieces in, CompiledPieces out: one artifact per unique piece and size range."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from explorer.artifacts import (
    Artifact,
    CompiledPieces,
    UniquePieces,
)
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.size_range import SizeRange
from explorer.stages.compile_plan import CompilePlan, plan_compile
from explorer.stages.parallel_compile import compile_ahead
from explorer.stages.piece_compiler import PieceCompiler
from explorer.trace import ArtifactTrace


def compile_pieces(
    unique: UniquePieces,
    config: CompilationConfig,
    *,
    memory: Mapping[str, Sequence[Artifact]] | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> CompiledPieces:
    """Makes, or takes from memory, every artifact that the configuration asks for.

    Args:
        unique: the groups of pieces.
        config: ranges, sizes, backend.
        memory: artifacts by ``WantedArtifact.key``.
        progress: told before each artifact and at the end; with ``compile_workers``, whenever
            others are being made.
        cancel: looked at between artifacts, and while other processes make some of them.

    Raises:
        CompileError: the backend failed; the message names piece, range and source line.
        Cancelled: somebody asked to stop.
    """
    plan = plan_compile(unique, config)
    compiler = PieceCompiler(unique, config)
    artifacts: list[Artifact] = []
    groups = {each.unique_id: each for each in unique.unique_pieces}
    captured = unique.split.normalised.captured
    ahead = compile_ahead(compiler, plan.wanted, memory or {}, progress=progress, cancel=cancel)
    done = len(ahead.results)
    for position, wanted in enumerate(plan.wanted):
        if cancel is not None:
            cancel.raise_if_cancelled()
        now = Progress(done, len(plan.wanted), f"piece {wanted.label}", _origins(artifacts))
        if position not in ahead.results:
            done += 1
            if progress is not None:
                progress(now)
        count = len(groups[wanted.unique_id].piece_indices)
        counters.add(requested=count, shared=count - 1)
        made: list[Artifact] = []
        log = ArtifactTrace(groups[wanted.unique_id], wanted, captured, len(plan.wanted))
        with log.around(made):
            waiting = _while_waiting(now, progress, cancel)
            made += compiler.make(wanted, memory or {}, waiting, ahead.of(position))
        artifacts += made
    if progress is not None:
        total = len(plan.wanted)
        progress(Progress(total, total, "compiled", _origins(artifacts)))
    return CompiledPieces(
        unique=unique,
        artifacts=tuple(artifacts),
        skipped=plan.skipped,
        dispatch=plan.dispatch,
        ranges=_refined_ranges(plan, artifacts),
        exact_sizes=tuple(
            size
            for size in plan.table.exact_sizes
            if SizeRange(size, size) not in [skip.size_range for skip in plan.skipped]
        ),
        same_code=_same_code(artifacts),
        notes=plan.table.notes,
    )


def _origins(artifacts: Sequence[Artifact]) -> dict[str, int]:
    return dict(Counter(artifact.origin.value for artifact in artifacts))


def _while_waiting(
    now: Progress, progress: ProgressCallback | None, cancel: CancelToken | None
) -> Callable[[], None]:
    """What is done again and again while another process makes an artifact; it is told once."""
    is_told = False

    def wait() -> None:
        nonlocal is_told
        if progress is not None and not is_told:
            is_told = True
            what = f"{now.what}, which another process is making"
            progress(dataclasses.replace(now, what=what))
        if cancel is not None:
            cancel.raise_if_cancelled()

    return wait


def _refined_ranges(plan: CompilePlan, artifacts: list[Artifact]) -> tuple[SizeRange, ...]:
    """The served ranges, cut wherever some piece has a sub-range of its own."""
    if plan.dispatch is None:
        return ()
    skipped = {skip.size_range for skip in plan.skipped}
    starts: set[int] = set()
    for artifact in artifacts:
        own, asked = artifact.size_range, artifact.requested_range
        if own is not None and asked is not None and not asked.is_single_size:
            starts |= {own.start, own.end + 1}
    refined: list[SizeRange] = []
    for size_range in plan.table.ranges:
        if size_range in skipped:
            continue
        inner = sorted(start for start in starts if size_range.start < start <= size_range.end)
        edges = [size_range.start, *inner, size_range.end + 1]
        refined += [SizeRange(a, b - 1) for a, b in pairwise(edges)]
    return tuple(refined)


def _same_code(artifacts: list[Artifact]) -> tuple[tuple[str, tuple[SizeRange, ...]], ...]:
    groups: dict[tuple[str, str], list[SizeRange]] = {}
    for artifact in artifacts:
        if artifact.code and artifact.size_range is not None and artifact.backend != "eager":
            group = groups.setdefault((artifact.unique_id, code_without_names(artifact.code)), [])
            group.append(artifact.size_range)
    return tuple((key[0], tuple(found)) for key, found in groups.items() if len(found) > 1)


def code_without_names(code: str) -> str:
    """Generated code without comments, symbol names, kernel hashes and its self-test.

    The self-test holds the hint.
    """
    code = re.split(r"^def (?:get_args|benchmark_compiled_module)\(", code, maxsplit=1, flags=re.M)[
        0
    ]
    lines = [line.partition("#")[0].rstrip() for line in code.splitlines()]
    text = "\n".join(line for line in lines if line)
    text = re.sub(r"\bs\d+\b", "s", text)
    return re.sub(r"\b(?=\w*\d)[a-z0-9]{30,}\b", "hash", text)

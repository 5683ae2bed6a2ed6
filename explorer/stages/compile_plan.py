"""What step 5 is asked for: which artifacts, for which ranges; nothing is compiled here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from explorer.artifacts import (
    CapturedGraph,
    Size,
    SkippedRange,
    UniquePiece,
    UniquePieces,
)
from explorer.config import CompilationConfig, GuardPolicy
from explorer.errors import ConfigError
from explorer.guards.valid import checked_guards, holds, possible_sizes, sizes_of
from explorer.guards.variants import fixed_sizes
from explorer.size_range import RangeTable, SizeRange, build_range_table
from explorer.stages.backends import Backend, identity_at, resolve_backend


@dataclass(frozen=True)
class WantedArtifact:
    """One artifact that a configuration asks for.

    Attributes:
        unique_id: of which piece.
        size_range: dispatch sizes; None for a piece that does not depend on the dispatch size.
        key: digest over all that it depends on; equal keys can share an artifact.
        own_key: the same with the capture's conditions: for an artifact whose compiler relied on
            some of them although the key leaves them out.
    """

    unique_id: str
    size_range: SizeRange | None
    key: str
    own_key: str = ""

    @property
    def label(self) -> str:
        """``B 9-64``."""
        return f"{self.unique_id} {self.size_range or 'any size'}"


@dataclass(frozen=True, eq=False)
class CompilePlan:
    """What step 5 will make.

    Attributes:
        dispatch: the size that picks the range, None when nothing is dynamic.
        table: the ranges and exact sizes of the configuration.
        wanted: in compile order.
        skipped: ranges without a valid size.
    """

    dispatch: Size | None
    table: RangeTable
    wanted: tuple[WantedArtifact, ...]
    skipped: tuple[SkippedRange, ...]


def dispatch_size(captured: CapturedGraph, config: CompilationConfig) -> Size | None:
    """The size that picks the range.

    Where ``dispatch_dim`` is a constant of this graph, it is the first size that is left.

    Raises:
        ConfigError: ``dispatch_dim`` names no size.
    """
    names = [size.name for size in captured.sizes]
    if config.dispatch_dim is None or config.dispatch_dim in fixed_sizes(captured):
        return captured.sizes[0] if captured.sizes else None
    for size in captured.sizes:
        if size.name == config.dispatch_dim:
            return size
    raise ConfigError(
        f"dispatch_dim names {config.dispatch_dim!r}, but the sizes are "
        f"{', '.join(names) or 'none'}."
    )


def plan_compile(unique: UniquePieces, config: CompilationConfig) -> CompilePlan:
    """Lists the artifacts that a configuration asks for; compiles nothing."""
    captured = unique.split.normalised.captured
    dispatch = dispatch_size(captured, config)
    table = build_range_table(config.compile_ranges_endpoints, config.exact_sizes, config.max_size)
    ranges, skipped = _served_ranges(captured, dispatch, table, config)
    backend = resolve_backend(config)
    wanted = []
    for piece in unique.unique_pieces:
        depends = dispatch is not None and dispatch.name in piece.size_names
        for size_range in ranges if depends else (None,):
            wanted.append(_wanted(piece, size_range, captured, backend, config))
    return CompilePlan(dispatch, table, tuple(wanted), skipped)


def _served_ranges(
    captured: CapturedGraph, dispatch: Size | None, table: RangeTable, config: CompilationConfig
) -> tuple[tuple[SizeRange, ...], tuple[SkippedRange, ...]]:
    if dispatch is None:
        return (), ()
    served, skipped = [], []
    dropped = config.guard_policy is GuardPolicy.DROP
    for size_range in table.all():
        if size_range == SizeRange(1, 1) and not (1 in table.exact_sizes or config.max_size == 1):
            continue
        usable = len(possible_sizes(captured, dispatch, size_range)) > 0
        if usable or dropped or size_range == SizeRange(1, 1):
            served.append(size_range)
        else:
            skipped.append(SkippedRange(size_range, _why_not(captured, dispatch, size_range)))
    return tuple(served), tuple(skipped)


def _why_not(captured: CapturedGraph, dispatch: Size, size_range: SizeRange) -> str:
    sizes = sizes_of(size_range)
    others = {size.symbol: size.hint for size in captured.sizes if size is not dispatch}
    for guard in captured.guards:
        if not holds((guard.expression,), dispatch.symbol, sizes, others).any():
            place = f" ({guard.location})" if guard.location else ""
            return f"no size in {size_range} fulfils {guard.text}{place}"
    return f"no size in {size_range} fulfils all conditions of the capture"


def _wanted(
    piece: UniquePiece,
    size_range: SizeRange | None,
    captured: CapturedGraph,
    backend: Backend,
    config: CompilationConfig,
) -> WantedArtifact:
    other_bounds = [
        (size.name, size.low, size.high) for size in captured.sizes if size.name in piece.size_names
    ]
    factors = (
        piece.fingerprint,
        str(size_range),
        identity_at(backend, size_range),
        config.guard_policy is GuardPolicy.DROP,
        knows_conditions(config),
        len(other_bounds),
        torch.__version__,
        str(torch.get_default_dtype()),
    )
    key = hashlib.sha256(repr(factors).encode()).hexdigest()
    conditions = tuple(guard.text for guard in checked_guards(captured))
    own_key = hashlib.sha256(repr((key, conditions)).encode()).hexdigest()
    return WantedArtifact(piece.unique_id, size_range, key, own_key)


def knows_conditions(config: CompilationConfig) -> bool:
    """Whether compiled code may rely on the capture's conditions.

    Variants share artifacts, and each has conditions of its own.
    """
    return config.guard_policy is not GuardPolicy.VARIANTS

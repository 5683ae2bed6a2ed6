"""One piece, one size range: an Artifact.

It is several where the compiler's own conditions cut the range.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy
import torch

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    GuardOrigin,
    GuardRecord,
    Phase,
    Piece,
    Size,
    UniquePieces,
)
from explorer.artifacts.common import Expression
from explorer.config import LARGEST_SIZE, CompilationConfig, GuardPolicy
from explorer.counters import counters
from explorer.errors import CompileError
from explorer.guards.cond_traps import explain_compile_error
from explorer.guards.expression import (
    SCALAR_FUNCTIONS,
    UnknownExpression,
    expression_text,
    python_source,
)
from explorer.guards.valid import (
    holds,
    possible_sizes,
    runs,
    shape_conditions,
    sizes_of,
    valid_sizes,
)
from explorer.piece_store import PieceStore, StoredAnswer
from explorer.size_range import SizeRange
from explorer.stages import effects
from explorer.stages.backends import Backend, EagerBackend, boxed, resolve_backend
from explorer.stages.compile_plan import WantedArtifact, dispatch_size, knows_conditions
from explorer.stages.graphs import example_value, expression_of, placeholders
from explorer.stages.split import size_symbols
from explorer.torch_private import ops
from explorer.torch_private.shapes import AddedGuard, Bounds, FreshInputs, fresh_inputs
from explorer.trace import ArtifactTrace

_DEEPEST_SPLIT = 8


class PieceCompiler:
    """Compiles pieces of one UniquePieces; also used by the runtime for size 1, on first use."""

    def __init__(self, unique: UniquePieces, config: CompilationConfig) -> None:
        self.captured = unique.split.normalised.captured
        self.config = config
        self.backend = resolve_backend(config)
        self.dispatch = dispatch_size(self.captured, config)
        self.pieces = {each.unique_id: each for each in unique.unique_pieces}
        self._stored = PieceStore(config, self.backend)
        self._functions: dict[Callable[[list[Any]], Any], Any] = {}

    def make(
        self, wanted: WantedArtifact, memory: Mapping[str, Sequence[Artifact]]
    ) -> list[Artifact]:
        """The artifacts for one request.

        It is one, or several where the compiler's own guards cut the range.
        """
        known = memory.get(wanted.key) or memory.get(wanted.own_key)
        if known:
            counters.add(reused=len(known))
            return [
                dataclasses.replace(
                    artifact,
                    unique_id=wanted.unique_id,
                    origin=ArtifactOrigin.MEMORY,
                    seconds=0.0,
                )
                for artifact in known
            ]
        return self._stored_or_made(wanted, {}, 0)

    def make_at(
        self, unique_id: str, size_range: SizeRange | None, fixed: Mapping[str, int]
    ) -> Artifact:
        """An artifact with some sizes fixed to constants, for calls with a size of 1."""
        unique, made = self.pieces[unique_id], []
        wanted = WantedArtifact(unique_id, size_range, key=f"fixed {dict(fixed)} {size_range}")
        with ArtifactTrace(unique, wanted, self.captured, 1).around(made):
            made += self._stored_or_made(wanted, fixed, _DEEPEST_SPLIT)
        return made[0]

    def stored(self, wanted: WantedArtifact) -> StoredAnswer:
        """What the store has for a request; nothing is loaded or made."""
        return self._stored.answer(wanted.label, self._factors(wanted, {}))

    def is_stored(self, wanted: WantedArtifact) -> bool:
        """Whether the store has something for a request."""
        return self._stored.matters and self._stored.has(self._factors(wanted, {}))

    def factors_if_stored(self, wanted: WantedArtifact) -> dict[str, str] | None:
        """The factors under which the store has something for a request, or None."""
        factors = self._factors(wanted, {})
        return factors if self._stored.matters and self._stored.has(factors) else None

    def _factors(self, wanted: WantedArtifact, fixed: Mapping[str, int]) -> dict[str, str]:
        unique = self.pieces[wanted.unique_id]
        bounds = self._bounds_text(unique.representative, wanted.size_range, fixed)
        return self._stored.factors(unique, wanted, bounds)

    def _stored_or_made(
        self, wanted: WantedArtifact, fixed: Mapping[str, int], depth: int
    ) -> list[Artifact]:
        """What the store has for a request, else what the backend makes of it, stored."""
        stored, piece = self._stored, self.pieces[wanted.unique_id].representative
        size_range = wanted.size_range
        if not stored.matters:
            return self._compile_range(piece, wanted, size_range, fixed, depth)
        factors = self._factors(wanted, fixed)
        found = stored.load(wanted, factors)
        if found is not None:
            return found
        stored.refuse_miss(wanted.label, factors)
        with stored.single_flight(factors):
            found = stored.load(wanted, factors)  # another process may have made it by now
            if found is None:
                names = tuple(each.name for each in stored.answer(wanted.label, factors).changed)
                made = self._compile_range(piece, wanted, size_range, fixed, depth)
                found = [dataclasses.replace(each, changed_factors=names) for each in made]
                stored.save(found, self._functions, factors, wanted.label)
        return found

    def _compile_range(
        self,
        piece: Piece,
        wanted: WantedArtifact,
        size_range: SizeRange | None,
        fixed: Mapping[str, int],
        depth: int,
    ) -> list[Artifact]:
        artifact, added = self._compile_once(piece, wanted, size_range, fixed)
        if added and not knows_conditions(self.config):
            # It is right for this capture's sizes, not for those of every capture with the key.
            artifact = dataclasses.replace(artifact, key=wanted.own_key)
        of_dispatch, of_others = self._by_size(added, size_range)
        if of_others:
            artifact = self._guarded(piece, artifact, of_others)
        if not of_dispatch or size_range is None:
            return [artifact]
        served = self._where_right(of_dispatch, size_range)
        if served == size_range:
            return [artifact]
        if served is None or depth >= _DEEPEST_SPLIT:
            return [self._guarded(piece, artifact, of_dispatch)]
        found = [dataclasses.replace(artifact, size_range=served)]
        for start, end in (
            (size_range.start, served.start - 1),
            (served.end + 1, size_range.end),
        ):
            if start <= end:
                rest = SizeRange(start, end)
                found += self._compile_range(piece, wanted, rest, fixed, depth + 1)
        return sorted(found, key=lambda each: each.size_range or SizeRange(0, 0))

    def _by_size(
        self, added: tuple[Expression, ...], size_range: SizeRange | None
    ) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        """Conditions that the compiler added: those on the dispatch size alone, and the others."""
        dispatch = set(self.dispatch.torch_symbols) if self.dispatch and size_range else set()
        alone = tuple(each for each in added if each.free_symbols <= dispatch)
        return alone, tuple(each for each in added if each not in alone)

    def _where_right(
        self, conditions: tuple[Expression, ...], size_range: SizeRange
    ) -> SizeRange | None:
        """The part of the range around its hint for which conditions on the dispatch size hold."""
        assert self.dispatch is not None
        primary = dict.fromkeys(self.dispatch.torch_symbols, self.dispatch.symbol)
        sizes = sizes_of(size_range)
        right = holds(
            [condition.xreplace(primary) for condition in conditions],
            self.dispatch.symbol,
            sizes,
            {},
        )
        # Sizes 0 and 1 have artifacts of their own, and invalid sizes are refused before dispatch.
        ignored = ~np.isin(sizes, possible_sizes(self.captured, self.dispatch, size_range))
        hint = self._hint(self.dispatch, size_range)
        return next((run for run in runs(sizes[right | ignored]) if hint in run), None)

    def _compile_once(
        self,
        piece: Piece,
        wanted: WantedArtifact,
        size_range: SizeRange | None,
        fixed: Mapping[str, int],
    ) -> tuple[Artifact, tuple[Expression, ...]]:
        concrete = bool(fixed) or (size_range is not None and size_range.is_single_size)
        backend, reason = self._backend_for(piece, concrete=concrete)
        fresh = self._fresh_inputs(piece, size_range, fixed)
        started = time.perf_counter()
        bounds = self._bounds_text(piece, size_range, fixed)
        options = {
            "fake_mode": fresh.fake_mode,
            "cache_tag": f"piecewise range {size_range} fixed {sorted(fixed.items())} {bounds}",
            "settings": dict(self.config.inductor_config),
        }
        try:
            function = backend.compile(
                piece.graph_module(), fresh.values, size_range=size_range, options=options
            )
        except Exception as error:
            raise CompileError(self._failure_text(piece, wanted, size_range, error)) from error
        seconds = time.perf_counter() - started
        counters.add(compiled=1)
        if backend.name in ("inductor", "eager"):
            counters.add(**{f"compiled_by_{backend.name}": 1})
        records = self._guard_records(fresh.added_guards(), f"{wanted.unique_id} {size_range}")
        added = tuple(record.expression for record in records)
        call = boxed(function)
        self._functions[call] = function
        artifact = Artifact(
            unique_id=wanted.unique_id,
            size_range=size_range,
            requested_range=wanted.size_range,
            seconds=seconds,
            bytes=_bytes_of(backend, function),
            origin=ArtifactOrigin.COMPILED,
            key=wanted.key,
            guards=tuple(record.text for record in records),
            callable=call,
            backend=backend.name,
            notes=(reason,) if reason else (),
            code=_code_of(backend, function),
            from_torch_cache=getattr(function, "from_torch_cache", False),
            guard_records=records,
        )
        return artifact, added

    def _guard_records(self, guards: tuple[AddedGuard, ...], piece: str) -> tuple[GuardRecord, ...]:
        names = {s: size.name for size in self.captured.sizes for s in size.torch_symbols}
        labels = {s: size.label for size in self.captured.sizes for s in size.torch_symbols}
        return tuple(
            GuardRecord(
                guard.expression,
                expression_text(guard.expression, names),
                GuardOrigin.INDUCTOR,
                sources=tuple(sorted(labels.get(s, str(s)) for s in guard.expression.free_symbols)),
                framework=guard.framework or None,
                phase=Phase.INDUCTOR,
                piece=piece,
            )
            for guard in guards
        )

    def _backend_for(self, piece: Piece, *, concrete: bool) -> tuple[Backend, str]:
        """The configured backend, or eager where that one is known to answer wrongly."""
        if self.backend.name == "eager":
            return self.backend, ""
        if not piece.outputs and not _writes(piece):
            return EagerBackend(), "runs eagerly: it has no output"
        if concrete and self.backend.name == "inductor" and _has_branches(piece):
            # torch 2.13: its FakeTensorUpdater refuses a torch.cond whose test became a constant.
            return EagerBackend(), "runs eagerly: Inductor cannot lower torch.cond at one size"
        if aliased := _aliased_and_written(piece):
            return EagerBackend(), (
                f"runs eagerly: it writes to memory that its inputs {' and '.join(aliased)} share, "
                f"which {self.backend.name} compiles wrongly"
            )
        return self.backend, ""

    def _guarded(
        self, piece: Piece, artifact: Artifact, conditions: tuple[Expression, ...]
    ) -> Artifact:
        """The artifact where the compiler's own conditions hold, the FX graph where they do not.

        The conditions are on sizes that pick no range, so no row of the dispatch table can tell
        them apart.
        """
        eager = boxed(piece.graph_module().forward)
        holds_for = write_condition(piece, conditions)
        compiled = artifact.callable

        def call(arguments: list[Any]) -> Any:
            return compiled(arguments) if holds_for(arguments) else eager(arguments)

        names = {s: size.name for size in self.captured.sizes for s in size.torch_symbols}
        texts = " and ".join(expression_text(condition, names) for condition in conditions)
        note = (
            f"{artifact.backend} made code that is right only where {texts}; elsewhere the piece "
            "runs eagerly"
        )
        return dataclasses.replace(artifact, callable=call, notes=(*artifact.notes, note))

    def _fresh_inputs(
        self, piece: Piece, size_range: SizeRange | None, fixed: Mapping[str, int]
    ) -> FreshInputs:
        examples = [example_value(node) for node in placeholders(piece.graph)]
        bounds = self._bounds(piece, size_range, fixed)
        constant = {symbol for symbol, bound in bounds.items() if bound.is_single_size}
        values = {symbol: bound.hint for symbol, bound in bounds.items()}
        conditions = shape_conditions(self.captured) if knows_conditions(self.config) else ()
        replayed = [
            condition
            for condition in conditions
            if condition.free_symbols <= set(bounds) - constant and _holds_at(condition, values)
        ]
        alias = {
            symbol: size.symbol for size in self.captured.sizes for symbol in size.torch_symbols
        }
        return fresh_inputs(examples, bounds, replayed, alias)

    def _bounds(
        self, piece: Piece, size_range: SizeRange | None, fixed: Mapping[str, int]
    ) -> dict[Expression, Bounds]:
        """What may be assumed of every size in the piece's inputs, by primary symbol."""
        found: dict[Expression, Bounds] = {}
        size_of = {symbol: size for size in self.captured.sizes for symbol in size.torch_symbols}
        for node in placeholders(piece.graph):
            for symbol in size_symbols(example_value(node)):
                size = size_of.get(symbol)
                if size is None:
                    found[symbol] = Bounds(
                        0, LARGEST_SIZE, 8
                    )  # made in the graph: it may be anything
                elif size.name in fixed:
                    value = fixed[size.name]
                    found[size.symbol] = Bounds(value, value, value)
                else:
                    found[size.symbol] = self._bounds_of(size, size_range)
        return found

    def _bounds_of(self, size: Size, size_range: SizeRange | None) -> Bounds:
        is_dispatch = self.dispatch is not None and size.name == self.dispatch.name
        if is_dispatch and size_range is not None:
            if size_range.is_single_size:
                return Bounds(size_range.start, size_range.start, size_range.start)
            hint = self._hint(size, size_range)
            valid = possible_sizes(self.captured, size, size_range)
            is_dropped = self.config.guard_policy is GuardPolicy.DROP
            if len(valid) == 0 or is_dropped or not knows_conditions(self.config):
                return Bounds(min(max(2, size_range.start), hint), max(size_range.end, hint), hint)
            return Bounds(int(valid[0]), int(valid[-1]), hint)
        if not knows_conditions(self.config):
            return Bounds(2, LARGEST_SIZE, size.hint)
        high = size.high if size.high is not None else LARGEST_SIZE
        return Bounds(max(2, size.low), high, size.hint)

    def _hint(self, size: Size, size_range: SizeRange) -> int:
        """A valid size of the range: the middle one."""
        for find in (valid_sizes, possible_sizes):
            valid = find(self.captured, size, size_range)
            if len(valid):
                return int(valid[len(valid) // 2])
        return max(2, (size_range.start + size_range.end) // 2)

    def _bounds_text(
        self, piece: Piece, size_range: SizeRange | None, fixed: Mapping[str, int]
    ) -> str:
        bounds = self._bounds(piece, size_range, fixed)
        return str([(bound.low, bound.high, bound.hint) for bound in bounds.values()])

    def _failure_text(
        self, piece: Piece, wanted: WantedArtifact, size_range: SizeRange | None, error: Exception
    ) -> str:
        first, last = (piece.source_lines or (None,))[0], (piece.source_lines or (None,))[-1]
        lines = f" ({first} to {last})" if first else ""
        text = str(error).strip().splitlines()
        reason = f"{text[0] if text else type(error).__name__}."
        if self.backend.name == "inductor":
            reason = explain_compile_error(piece.graph) or reason
        return (
            f"The backend {self.backend.name!r} failed on {piece.name} (unique {wanted.unique_id}) "
            f"for sizes {size_range or 'of any value'}{lines}: {reason} backend='eager' runs the "
            "piece without compiling it."
        )


def write_condition(
    piece: Piece, conditions: tuple[Expression, ...]
) -> Callable[[list[Any]], bool]:
    """A function of a piece's inputs that tests conditions on sizes.

    It is false when one cannot be evaluated.
    """
    readers: dict[Expression, str] = {}
    for position, node in enumerate(placeholders(piece.graph)):
        value = example_value(node)
        dims = list(enumerate(value.shape)) if isinstance(value, torch.Tensor) else [(None, value)]
        for dim, size in dims:
            symbol = expression_of(size)
            if isinstance(symbol, sympy.Symbol):
                text = f"inputs[{position}]" if dim is None else f"inputs[{position}].shape[{dim}]"
                readers.setdefault(symbol, text)
    try:
        tests = [python_source(condition, readers) for condition in conditions]
    except UnknownExpression:
        return lambda inputs: False
    scope: dict[str, Any] = dict(SCALAR_FUNCTIONS)
    # The text holds numbers, operators and positions: python_source writes nothing else.
    exec(f"def holds(inputs):\n    return {' and '.join(tests)}\n", scope)
    return scope["holds"]


def _holds_at(condition: Expression, values: Mapping[Expression, int]) -> bool:
    return bool(condition.xreplace({s: sympy.Integer(v) for s, v in values.items()}) == sympy.true)


def _writes(piece: Piece) -> bool:
    return bool(effects.written_storages(piece.graph.nodes))


def _has_branches(piece: Piece) -> bool:
    return any(ops.is_higher_order(node.target) for node in piece.graph.nodes)


def _aliased_and_written(piece: Piece) -> tuple[str, ...]:
    """Names of inputs that share memory which the piece writes to; empty when there are none."""
    written = effects.written_storages(piece.graph.nodes)
    sharing: dict[int, list[str]] = {}
    for node in placeholders(piece.graph):
        storage = effects.storage_of(node)
        if storage is not None:
            sharing.setdefault(storage, []).append(node.name)
    for storage, names in sharing.items():
        if storage in written and len(names) > 1:
            return tuple(names)
    return ()


def _bytes_of(backend: Backend, function: Any) -> int | None:
    measure = getattr(backend, "serialized_bytes", None)
    if measure is not None:
        return measure(function)
    serialize = getattr(backend, "serialize", None)
    try:
        return len(serialize(function)) if serialize is not None else None
    except Exception:  # one that cannot be saved still runs
        return None


def _code_of(backend: Backend, function: Any) -> str:
    write = getattr(backend, "generated_code", None)
    return write(function) if write is not None else ""

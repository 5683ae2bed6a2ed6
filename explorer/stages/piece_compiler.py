"""One piece, one size range: an Artifact.

It is several where the compiler's own conditions cut the range.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import sympy

from explorer.account import BACKEND, LOAD, STORE
from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    Piece,
    Size,
    UniquePiece,
    UniquePieces,
)
from explorer.artifacts.common import Expression
from explorer.config import LARGEST_SIZE, CompilationConfig, GuardPolicy
from explorer.counters import counters
from explorer.errors import CompileError
from explorer.guards.cond_traps import explain_compile_error
from explorer.guards.valid import (
    holds,
    possible_sizes,
    runs,
    shape_conditions,
    sizes_of,
    valid_sizes,
)
from explorer.piece_store import PieceStore, StoreRequest
from explorer.size_range import SizeRange
from explorer.stages.backends import Backend, boxed, resolve_backend
from explorer.stages.compile_plan import WantedArtifact, dispatch_size, knows_conditions
from explorer.stages.dedupe import record_of
from explorer.stages.eager_pieces import backend_for
from explorer.stages.graphs import example_value, placeholders
from explorer.stages.made_code import (
    NOTHING_AHEAD,
    CodeUser,
    MadeAhead,
    MadeCode,
    artifacts_of,
    size_places,
)
from explorer.stages.split import size_symbols
from explorer.stored_answer import StoredAnswer
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
        self.store = PieceStore(config, self.backend)

    def make(
        self,
        wanted: WantedArtifact,
        memory: Mapping[str, Sequence[Artifact]],
        while_waiting: Callable[[], None] | None = None,
        ahead: MadeAhead = NOTHING_AHEAD,
    ) -> list[Artifact]:
        """The artifacts for one request.

        It is one, or several where the compiler's own guards cut the range.

        Args:
            wanted: the request.
            memory: artifacts by ``WantedArtifact.key``.
            while_waiting: called several times a second while another process makes the same; what
                it raises ends the wait.
            ahead: what was made for this request already, by ``compile`` in another process.

        Raises:
            CompileError: the backend failed.
            StoreMiss: nothing may be compiled, and it is not stored.
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
                    phases={},
                )
                for artifact in known
            ]
        return self._stored_or_made(wanted, {}, 0, while_waiting, ahead)

    def make_at(
        self, unique_id: str, size_range: SizeRange | None, fixed: Mapping[str, int]
    ) -> Artifact:
        """An artifact with some sizes fixed to constants, for calls with a size of 1."""
        unique, made = self.pieces[unique_id], []
        wanted = WantedArtifact(unique_id, size_range, key=f"fixed {dict(fixed)} {size_range}")
        with ArtifactTrace(unique, wanted, self.captured, 1).around(made):
            made += self._stored_or_made(wanted, fixed, _DEEPEST_SPLIT)
        return made[0]

    def compile(self, wanted: WantedArtifact) -> list[MadeCode]:
        """What the backend makes of a request, whatever is stored; nothing is kept.

        Raises:
            CompileError: the backend failed.
        """
        piece = self.pieces[wanted.unique_id].representative
        return self._compile_range(piece, wanted, wanted.size_range, {}, 0)

    def request(self, wanted: WantedArtifact) -> StoreRequest | None:
        """What the store is asked for; None when it does not matter."""
        return self._request(wanted, {}) if self.store.matters else None

    def stored(self, wanted: WantedArtifact) -> StoredAnswer:
        """What the store has for a request; nothing is loaded or made."""
        return self.store.answer(self._request(wanted, {}))

    def is_stored(self, wanted: WantedArtifact) -> bool:
        """Whether the store has something for a request."""
        return self.store.matters and self.store.has(self._request(wanted, {}))

    def stored_request(self, wanted: WantedArtifact) -> StoreRequest | None:
        """A request by the very factors under which the store has something; None without."""
        return self.store.narrowed(self._request(wanted, {})) if self.store.matters else None

    def _request(self, wanted: WantedArtifact, fixed: Mapping[str, int]) -> StoreRequest:
        unique = self.pieces[wanted.unique_id]
        bounds = self._bounds_text(unique.representative, wanted.size_range, fixed)
        known = None if knows_conditions(self.config) else self._conditions_of(unique)
        places = size_places(unique.representative, self.captured)
        symbols = {place.name: symbol for symbol, place in places.items()}
        return self.store.request(unique, wanted, bounds, known, symbols)

    def _conditions_of(self, unique: UniquePiece) -> str:
        """What the capture knows of a piece's sizes, as a digest that names no symbol."""
        dispatch = None if self.dispatch is None else self.dispatch.name
        return record_of(unique.representative, self.captured, dispatch).fingerprint

    def _stored_or_made(
        self,
        wanted: WantedArtifact,
        fixed: Mapping[str, int],
        depth: int,
        while_waiting: Callable[[], None] | None = None,
        ahead: MadeAhead = NOTHING_AHEAD,
    ) -> list[Artifact]:
        """What the store has for a request, else what the backend makes of it, stored."""
        stored, piece = self.store, self.pieces[wanted.unique_id].representative
        size_range = wanted.size_range
        started = time.perf_counter()
        request = self._request(wanted, fixed) if stored.matters else None
        if ahead.made is not None:
            return self._new(wanted, ahead.made, self._changes(request, ahead.later))
        if request is None:
            return self._new(wanted, self._compile_range(piece, wanted, size_range, fixed, depth))
        found = stored.load(request)
        load_seconds = time.perf_counter() - started
        if found is None:
            stored.refuse_miss(request)
            with stored.single_flight(request, while_waiting):
                found = stored.load(request)  # another process may have made it by now
                if found is None:
                    names = self._changes(request, ahead.later)
                    made = self._compile_range(piece, wanted, size_range, fixed, depth)
                    started = time.perf_counter()
                    stored.save(request, made)
                    phases = {LOAD: load_seconds, STORE: time.perf_counter() - started}
                    return self._new(wanted, _with_phases(made, phases), names)
        counters.add(loaded=len(found))
        found = _with_phases(found, {LOAD: load_seconds})
        return self._artifacts(wanted, found, ArtifactOrigin.STORE)

    def _changes(self, request: StoreRequest | None, later: Collection[str]) -> tuple[str, ...]:
        """Names of the factors in which the nearest entry differs."""
        if request is None:
            return ()
        return tuple(each.name for each in self.store.answer(request, without=later).changed)

    def _new(
        self, wanted: WantedArtifact, made: Sequence[MadeCode], changed: tuple[str, ...] = ()
    ) -> list[Artifact]:
        found = self._artifacts(wanted, made, ArtifactOrigin.COMPILED)
        return [dataclasses.replace(each, changed_factors=changed) for each in found]

    def _artifacts(
        self, wanted: WantedArtifact, made: Sequence[MadeCode], origin: ArtifactOrigin
    ) -> list[Artifact]:
        piece = self.pieces[wanted.unique_id].representative
        user = CodeUser(
            sizes=self.captured.sizes,
            places=size_places(piece, self.captured),
            eager=boxed(piece.graph_module().forward),
            shares_variants=not knows_conditions(self.config),
        )
        return artifacts_of(made, wanted, user, origin)

    def _compile_range(
        self,
        piece: Piece,
        wanted: WantedArtifact,
        size_range: SizeRange | None,
        fixed: Mapping[str, int],
        depth: int,
    ) -> list[MadeCode]:
        """One, or several where the compiler's own conditions cut the range."""
        made = self._compile_once(piece, wanted, size_range, fixed)
        of_dispatch, of_others = self._by_size(made.conditions, size_range)
        if of_others:
            made = dataclasses.replace(made, tested=(of_others,))
        if not of_dispatch or size_range is None:
            return [made]
        served = self._where_right([made.conditions[at] for at in of_dispatch], size_range)
        if served == size_range:
            return [made]
        if served is None or depth >= _DEEPEST_SPLIT:
            return [dataclasses.replace(made, tested=(*made.tested, of_dispatch))]
        found = [dataclasses.replace(made, size_range=served)]
        for start, end in (
            (size_range.start, served.start - 1),
            (served.end + 1, size_range.end),
        ):
            if start <= end:
                rest = SizeRange(start, end)
                found += self._compile_range(piece, wanted, rest, fixed, depth + 1)
        return sorted(found, key=lambda each: each.size_range or SizeRange(0, 0))

    def _by_size(
        self, added: tuple[AddedGuard, ...], size_range: SizeRange | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions of the conditions on the dispatch size alone, and of the others."""
        dispatch = set(self.dispatch.torch_symbols) if self.dispatch and size_range else set()
        alone = [each.expression.free_symbols <= dispatch for each in added]
        positions = range(len(added))
        return tuple(at for at in positions if alone[at]), tuple(
            at for at in positions if not alone[at]
        )

    def _where_right(
        self, conditions: Sequence[AddedGuard], size_range: SizeRange
    ) -> SizeRange | None:
        """The part of the range around its hint for which conditions on the dispatch size hold."""
        assert self.dispatch is not None
        primary = dict.fromkeys(self.dispatch.torch_symbols, self.dispatch.symbol)
        sizes = sizes_of(size_range)
        right = holds(
            [each.expression.xreplace(primary) for each in conditions],
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
    ) -> MadeCode:
        concrete = bool(fixed) or (size_range is not None and size_range.is_single_size)
        backend, reason = backend_for(piece, self.backend, concrete=concrete)
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
        phases = dict(getattr(function, "phases", {}))
        phases[BACKEND] = seconds - sum(phases.values())
        was_cached = getattr(function, "from_torch_cache", False)
        counters.add(compiled=1)
        started = time.perf_counter()
        size, code = _bytes_of(backend, function), _code_of(backend, function)
        phases[STORE] = time.perf_counter() - started
        if backend.name in ("inductor", "eager"):
            counters.add(**{f"compiled_by_{backend.name}": 1})
        return MadeCode(
            function=function,
            backend=backend.name,
            compiled_range=size_range,
            size_range=size_range,
            conditions=fresh.added_guards(),
            bytes=size,
            code=code,
            seconds=seconds,
            from_torch_cache=was_cached,
            compile_seconds=None if was_cached else seconds,
            note=reason,
            phases=phases,
        )

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


def _holds_at(condition: Expression, values: Mapping[Expression, int]) -> bool:
    return bool(condition.xreplace({s: sympy.Integer(v) for s, v in values.items()}) == sympy.true)


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


def _with_phases(made: Sequence[MadeCode], phases: Mapping[str, float]) -> list[MadeCode]:
    """The same with the seconds of what was done once for all of them, in the first one's."""
    first, *others = made
    added = {name: first.phases.get(name, 0.0) + seconds for name, seconds in phases.items()}
    return [dataclasses.replace(first, phases={**first.phases, **added}), *others]

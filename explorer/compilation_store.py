"""Whole compilations on disk: the next process traces nothing, lowers nothing and compiles nothing.

An entry holds what a call needs at once, and what people look at later: the graph, from which the
steps in between are made again when somebody asks for them, and what the trace was asked about
sizes. Which artifacts belong to it is written down; they are entries of their own.

A candidate is used only when every function that its trace went through, found again in this
process, is what it was, and every value that the trace tested is what it was.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    CallLayout,
    CapturedGraph,
    CompiledPieces,
    DispatchPlan,
    InputKind,
    Size,
    StitchedProgram,
    TracedFunction,
    UniquePieces,
)
from explorer.artifacts.common import Expression
from explorer.compilation import Compilation
from explorer.compilation_key import ROOT, compilation_factors
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.deferred import Once, deferred, without_collections
from explorer.environment import NO_COMPILER
from explorer.errors import ExplorerError
from explorer.guards.variants import region_mask, sizes_of_call
from explorer.piece_store import PieceStore, StoreRequest
from explorer.pipeline import cut
from explorer.runtime.plan import rows_of
from explorer.runtime.state_check import NotWatched, Places
from explorer.size_range import SizeRange
from explorer.stages.backends import KeepingBackend, boxed, resolve_backend
from explorer.stages.capture import CaptureRequest, checked_model
from explorer.stages.compile_plan import WantedArtifact, knows_conditions, plan_compile
from explorer.stages.inputs import bind_arguments, tensor_leaves, user_arguments
from explorer.stages.made_code import CodeUser, SizePlace, artifacts_of
from explorer.stages.piece_compiler import PieceCompiler
from explorer.store.artifact_store import open_store
from explorer.store.code_text import sha256
from explorer.store.entry import Entry
from explorer.store.functions import content
from explorer.store.manifest import Manifest
from explorer.store.places import Live, NotFound, arguments_of
from explorer.store.source_changes import changed
from explorer.store.source_digest import names_alone
from explorer.stored_answer import StoredAnswer, for_people
from explorer.torch_private import graph_codec
from explorer.torch_private.capture import start_of
from explorer.torch_private.graph_codec import NotWritableError
from explorer.torch_private.guard_checks import StoredGuards
from explorer.torch_private.guard_writing import written_guards
from explorer.torch_private.hooks import ModuleWatch
from explorer.torch_private.op_functions import op_functions
from explorer.torch_private.stored_call import StoredCall, written_call
from explorer.torch_private.stored_guards import NotStorable

logger = logging.getLogger("explorer")

_T = TypeVar("_T")

KIND = "compilation"
VARIANT = "variant"
LABEL = "the whole compilation"
CANDIDATE = "code and values"
"""The factor in which compilations differ that are found by the same ones."""

_MOST_CANDIDATES = 8
_OF_THIS_PROCESS = ("graph", "raw", "model", "example_values", "request")
_LOOKED_AT_LATER = ("value_guards", "branch_sites", "specializations", "evaluations")
_OF_COMPILED = ("skipped", "dispatch", "ranges", "exact_sizes", "same_code", "notes")
_CANNOT = (NotStorable, NotWritableError, NotFound)


@dataclass(frozen=True)
class Found:
    """A stored compilation that fits.

    Attributes:
        captured: its first step; the graph in it is read when somebody looks at it.
        plan: what runs it.
    """

    captured: CapturedGraph
    plan: DispatchPlan


class CompilationStore:
    """The stored compilations of one model under one configuration.

    Args:
        request: the model and a call of it.
        config: how it is compiled.
        is_variant: whether it is about one more graph of the model, found by what a call needs
            instead of by the example that was captured.

    Attributes:
        reasons: why the candidates that there were are not used, or the compilation is not stored.
    """

    def __init__(
        self, request: CaptureRequest, config: CompilationConfig, *, is_variant: bool = False
    ) -> None:
        self.is_variant = is_variant
        self._kind = VARIANT if is_variant else KIND
        self.request = request
        self.config = config
        self.reasons: list[str] = []
        backend = resolve_backend(config)
        self._keeps = config.store.enabled and isinstance(backend, KeepingBackend)
        self._store = open_store(config.store.root) if self._keeps else None
        self._backend = backend

    @functools.cached_property
    def _live(self) -> _LiveModel:
        return _LiveModel(self.request)

    @functools.cached_property
    def _factors(self) -> dict[str, str]:
        live = self._live
        return compilation_factors(
            self.request,
            self.config,
            self._backend,
            live.function,
            live.receiver,
            is_exact=not self.is_variant,
        )

    # ------------------------------------------------------------------------------------- look up

    def find(self) -> Found | None:
        """The newest stored compilation that fits, or None; ``reasons`` then says what changed."""
        if self._store is None:
            return None
        factors = self._factors
        open_ones = {ROOT, *(["compiler"] if factors["compiler"] == NO_COMPILER else [])}
        others = {name: text for name, text in factors.items() if name not in open_ones}
        near = self._store.find(self._kind, others)
        here = [each for each in near if each.factors[ROOT] == factors[ROOT]]
        for manifest in here[:_MOST_CANDIDATES]:
            found = self._try(manifest, _Reading.found)
            if found is not None:
                counters.add(compilations_loaded=1)
                return found
        if not here and near:
            self.reasons.append(f"the code of {factors[ROOT].partition(' ')[0]} changed")
        return None

    def answer(self) -> StoredAnswer:
        """Whether ``find`` would find something, and else why not; no artifact is loaded."""
        if self._store is None:
            reason = f"the backend {self._backend.name!r} keeps nothing, or the store is off"
            return StoredAnswer(LABEL, False, None, (), reason)
        factors = self._factors
        for manifest in self._store.find(KIND, factors)[:_MOST_CANDIDATES]:
            if self._try(manifest, _Reading.fits):
                return StoredAnswer(LABEL, True, manifest.label, (), "")
        nearest = self._store.nearest(KIND, factors)
        if self.reasons or nearest is None:
            reason = "; ".join(dict.fromkeys(self.reasons)) or "no compilation is stored"
            return StoredAnswer(LABEL, False, nearest and nearest.manifest.label, (), reason)
        changes = tuple(for_people(each) for each in nearest.changed if each.name != CANDIDATE)
        reason = f"{', '.join(each.name for each in changes)} changed"
        return StoredAnswer(LABEL, False, nearest.manifest.label, changes, reason)

    def _try(self, manifest: Manifest, read: Callable[[_Reading], _T]) -> _T | None:
        """What reading an entry gives; None where it does not fit, and ``reasons`` says why."""
        assert self._store is not None
        entry = self._store.get(manifest.kind, manifest.factors)
        if entry is None:
            return None
        try:
            with without_collections():
                return read(_Reading(self, entry, self._live))
        except _CANNOT as misfit:
            self.reasons.append(str(misfit))
        except Exception as error:  # bytes that an older torch wrote, say
            self._store.reject(entry, f"it cannot be read ({type(error).__name__}: {error})")
        return None

    def pieces(self) -> PieceStore:
        """The store of the pieces."""
        return PieceStore(self.config, self._backend)

    # ---------------------------------------------------------------------------------------- save

    def save(self, compilation: Compilation) -> bool:
        """Stores a compilation, if another process could find out whether it fits.

        Args:
            compilation: made of this request under this configuration.

        Returns:
            Whether it is stored; ``reasons`` says why not.
        """
        if self._store is None:
            return False
        try:
            blobs, candidate = _blobs(compilation, self._live)
        except _CANNOT as misfit:
            self.reasons.append(str(misfit))
            logger.debug("%s is not stored as a whole: %s", compilation.name, misfit)
            return False
        factors = {**self._factors, CANDIDATE: candidate}
        is_stored = (
            self._store.put(self._kind, factors, blobs, label=_label(compilation)) is not None
        )
        counters.add(compilations_saved=int(is_stored))
        return is_stored


def _label(compilation: Compilation) -> str:
    count = len(compilation.artifacts)
    return f"{compilation.name}, {count} {'artifact' if count == 1 else 'artifacts'}"


class _LiveModel:
    """The objects of this process that a capture of a request would begin with."""

    def __init__(self, request: CaptureRequest) -> None:
        self.request = request
        self.model = checked_model(request.model)
        function, receiver = start_of(self.model, request.invariants)
        self.function: FunctionType = function
        self.receiver = receiver
        args, kwargs = request.args, request.kwargs
        shown = bind_arguments(function, receiver, args, kwargs)
        self.leaves = tensor_leaves(user_arguments(shown, receiver))
        self.arguments = arguments_of(function, receiver, args, kwargs)
        # A decorated function may show another signature than its code has.
        first = () if receiver is None else (receiver,)
        bound = inspect.signature(function, follow_wrapped=False).bind(*first, *args, **kwargs)
        bound.apply_defaults()
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.scope = {**bound.arguments, **{name: content(cell) for name, cell in cells}}

    def has_hooks(self) -> bool:
        """Whether modules have hooks, which would have to be compared as well."""
        return ModuleWatch(self.model, self.function).has_hooks

    def value(self, source: str) -> Any:
        """What is at a source of Dynamo's.

        Raises:
            NotFound: nothing is.
        """
        try:
            return self._places.value(source)
        except NotWatched:
            return self._places_of_scope.at(source)

    @functools.cached_property
    def _places(self) -> Places:
        names = self.function.__code__.co_varnames
        return Places(f"L['{names[0]}']" if names else "", self.receiver)

    @functools.cached_property
    def _places_of_scope(self) -> Live:
        return Live(self.function, None, self.scope)


# ---------------------------------------------------------------------------------------- writing


def _blobs(compilation: Compilation, live: _LiveModel) -> tuple[dict[str, bytes], str]:
    """Everything that another process needs, and a digest of what it has to find again.

    Raises:
        NotStorable: something about it has no form that could be checked there.
        NotWritableError: something in it has no bytes.
    """
    captured, plan = compilation.captured, compilation.plan
    if isinstance(captured.raw, StoredCall):
        raise NotStorable("it comes from the store")
    if live.has_hooks():
        raise NotStorable("its modules have hooks")
    for each in captured.functions:
        if each.unknown:
            raise NotStorable(f"nothing is known of {', '.join(each.unknown)} in {each}")
    wanted = _wanted(compilation)
    guards, texts = written_guards(
        captured.raw.state, live.function, live.scope, _traced(captured.functions)
    )
    fields = _fields_of(captured)
    program = plan.call.program
    at_once = {
        "captured": {k: v for k, v in fields.items() if k not in _LOOKED_AT_LATER},
        "call": written_call(captured.raw),
        "compiled": {name: getattr(plan.compiled, name) for name in _OF_COMPILED},
        "fixed_dims": dict(captured.request.fixed_dims),
        "inputs": plan.call.inputs,
        "given": _given(plan.call),
        "written": plan.call.written,
        "returned": plan.call.returned,
        "output_count": plan.call.output_count,
        "pieces": dict(plan.call.pieces),
        "program": (
            program.source,
            program.name,
            dict(program.scope),
            dict(program.bound_names),
            program.called,
        ),
        "fingerprints": [each.fingerprint for each in compilation.unique_pieces],
    }
    later = {name: fields[name] for name in _LOOKED_AT_LATER}
    functions = json.dumps([each.as_plain() for each in captured.functions])
    blobs = {
        "functions.json": functions.encode(),
        "wanted.json": json.dumps(wanted).encode(),
        "guards": graph_codec.dump(guards),
        "texts": graph_codec.dump(texts),
        "at_once": graph_codec.dump(at_once),
        "later": graph_codec.dump(later),
        "graph": graph_codec.dump(captured.graph),
    }
    return blobs, sha256(functions + repr(guards))


def _fields_of(captured: CapturedGraph) -> dict[str, Any]:
    names = [each.name for each in dataclasses.fields(captured)]
    return {name: getattr(captured, name) for name in names if name not in _OF_THIS_PROCESS}


def _traced(functions: Sequence[TracedFunction]) -> frozenset[tuple[str, str]]:
    return names_alone((each.module, each.qualname) for each in functions)


def _given(call: CallLayout) -> dict[int, Any]:
    """Values of inputs that are not found in this process again: constants, and sizes."""
    return {
        position: value
        for position, (each, value) in enumerate(zip(call.inputs, call.example_values, strict=True))
        if each.kind in (InputKind.CONSTANT, InputKind.SIZE)
    }


def _wanted(compilation: Compilation) -> list[dict[str, Any]]:
    """The requests for artifacts, each with the factors under which it is stored.

    Raises:
        NotStorable: one of them is not, or relies on a size that is not one of a call.
    """
    names = {size.symbol: size.name for size in compilation.captured.sizes}
    for artifact in compilation.artifacts:
        for record in artifact.guard_records:
            if record.expression is None or not record.expression.free_symbols <= names.keys():
                raise NotStorable(f"piece {record.piece} is right only where {record.text}")
    compiler = PieceCompiler(compilation.unique, compilation.config)
    listed = []
    for each in plan_compile(compilation.unique, compilation.config).wanted:
        request = compiler.stored_request(each)
        if request is None:
            raise NotStorable(f"piece {each.label} is not stored")
        limits = None if each.size_range is None else [each.size_range.start, each.size_range.end]
        listed.append(
            {
                "unique_id": each.unique_id,
                "size_range": limits,
                "key": each.key,
                "own_key": each.own_key,
                "factors": request.factors,
                "sizes": {
                    place: names[symbol]
                    for place, symbol in request.symbols.items()
                    if symbol in names
                },
            }
        )
    return listed


# ---------------------------------------------------------------------------------------- reading


def _eagerly(unique_id: str, unique: Callable[[], UniquePieces]) -> Callable[[list[Any]], Any]:
    """Runs the FX graph of a piece, which is read when a call comes for which no code is right."""

    def forward() -> Callable[[list[Any]], Any]:
        (piece,) = (each for each in unique().unique_pieces if each.unique_id == unique_id)
        return boxed(piece.representative.graph_module().forward)

    made = Once(forward)
    return lambda arguments: made()(arguments)


class _Reading:
    """One entry, on its way to a compilation of this process's model."""

    def __init__(self, store: CompilationStore, entry: Entry, live: _LiveModel) -> None:
        self._store = store
        self._entry = entry
        self._live = live

    def found(self) -> Found:
        """The compilation.

        Raises:
            NotStorable: it does not fit; the message says why.
        """
        guards = self._guards()
        at_once = self._load("at_once")
        raw = StoredCall(at_once["call"], self._live.function, self._live.receiver, guards)
        values = self._values(at_once)
        captured = self._captured(at_once, raw, values)
        if self._store.is_variant and not _is_right_for(captured, self._live.request):
            raise NotStorable("it is of other sizes")
        unique = Once(lambda: self._unique(captured, at_once["fingerprints"]))
        artifacts = self._artifacts(captured.sizes, unique)
        compiled = deferred(
            CompiledPieces, {"artifacts": artifacts, **at_once["compiled"]}, {"unique": unique}
        )
        source, name, scope, bound_names, called = at_once["program"]
        call = CallLayout(
            captured=captured,
            inputs=at_once["inputs"],
            example_values=values,
            written=at_once["written"],
            returned=at_once["returned"],
            output_count=at_once["output_count"],
            pieces=at_once["pieces"],
            program=StitchedProgram(source, name, scope, bound_names, called),
        )
        return Found(captured, DispatchPlan(compiled, rows_of(compiled), call))

    def fits(self) -> bool:
        """Whether ``found`` would give something; raises the same."""
        self._guards()
        pieces = self._store.pieces()
        for request in self._requests({}):
            if not pieces.has(request):
                raise NotStorable(f"piece {request.wanted.label} is no longer stored")
        return True

    def _guards(self) -> StoredGuards:
        functions = tuple(
            TracedFunction.of_plain(each) for each in json.loads(self._entry.read("functions.json"))
        )
        self._refuse_other_code(functions)
        if self._live.has_hooks():
            raise NotStorable("its modules have hooks now")
        return StoredGuards(
            self._load("guards"),
            self._live.function,
            self._live.scope,
            _traced(functions),
            lambda: self._load("texts"),
        )

    def _load(self, name: str) -> Any:
        return graph_codec.load(self._entry.read(name))

    def _refuse_other_code(self, functions: tuple[TracedFunction, ...]) -> None:
        live = self._live
        changes = changed(
            functions,
            live.function,
            receiver=live.receiver,
            arguments=live.arguments,
            op=op_functions,
        )
        if changes:
            raise NotStorable("; ".join(map(str, changes[:3])))

    def _values(self, at_once: Mapping[str, Any]) -> tuple[Any, ...]:
        """The value of each input of the stitching function, in this process."""
        given = at_once["given"]
        tensors = {leaf.path: leaf.tensor for leaf in self._live.leaves}
        values = []
        for position, each in enumerate(at_once["inputs"]):
            if position in given:
                values.append(given[position])
            elif each.kind is InputKind.USER:
                values.append(tensors[each.path])
            else:
                values.append(self._live.value(each.source))
        return tuple(values)

    def _captured(
        self, at_once: Mapping[str, Any], raw: StoredCall, values: tuple[Any, ...]
    ) -> CapturedGraph:
        fields, fixed = at_once["captured"], at_once["fixed_dims"]
        later = Once(lambda: self._load("later"))
        known = {
            **fields,
            "raw": raw,
            "model": self._live.model,
            "request": dataclasses.replace(self._live.request, fixed_dims=fixed),
            "example_values": values[: len(fields["inputs"])],
        }
        deferred_fields: dict[str, Callable[[], Any]] = {
            name: lambda name=name: later()[name] for name in _LOOKED_AT_LATER
        }
        deferred_fields["graph"] = Once(lambda: self._load("graph"))
        return deferred(CapturedGraph, known, deferred_fields)

    def _artifacts(
        self, sizes: tuple[Size, ...], unique: Callable[[], UniquePieces]
    ) -> tuple[Artifact, ...]:
        pieces = self._store.pieces()
        symbols = {size.name: size.symbol for size in sizes}
        found: list[Artifact] = []
        for request in self._requests(symbols):
            made = pieces.load(request)
            if made is None:
                raise NotStorable(f"piece {request.wanted.label} is no longer stored")
            user = CodeUser(
                sizes=sizes,
                places={
                    symbol: SizePlace.named(place) for place, symbol in request.symbols.items()
                },
                eager=_eagerly(request.wanted.unique_id, unique),
                shares_variants=not knows_conditions(self._store.config),
            )
            found += artifacts_of(made, request.wanted, user, ArtifactOrigin.STORE)
        return tuple(found)

    def _requests(self, symbols: Mapping[str, Expression]) -> Iterator[StoreRequest]:
        """The requests for artifacts, each with the factors under which it is stored.

        Args:
            symbols: name of a size -> symbol; without them nothing can be loaded.
        """
        for each in json.loads(self._entry.read("wanted.json")):
            limits = each["size_range"]
            size_range = None if limits is None else SizeRange(*limits)
            yield StoreRequest(
                wanted=WantedArtifact(each["unique_id"], size_range, each["key"], each["own_key"]),
                factors=each["factors"],
                own_factors=None,
                symbols={
                    place: symbols[name] for place, name in each["sizes"].items() if name in symbols
                },
            )

    def _unique(self, captured: CapturedGraph, fingerprints: list[str]) -> UniquePieces:
        """Steps 2 to 4 on the graph that was read."""
        unique = cut(
            self._live.request,
            self._store.config,
            lambda name, reads, step: step(),
            captured=captured,
        )
        if [each.fingerprint for each in unique.unique_pieces] != fingerprints:
            raise ExplorerError(
                "The stored graph is cut into other pieces than those that were stored. Run "
                "`explorer cache clear` and compile again."
            )
        return unique


def _is_right_for(captured: CapturedGraph, request: CaptureRequest) -> bool:
    """Whether a graph is right at the sizes of a call."""
    sizes = sizes_of_call(request)
    if 0 in sizes.values():
        return False
    return bool(region_mask(captured, {k: np.array([v]) for k, v in sizes.items()}, 1)[0])


__all__ = ["KIND", "CompilationStore", "Found"]

"""What an entry of a whole compilation holds: written from one, and read for this process's model.

There are two parts. One is for people: the graph, from which the steps in between are made again
when somebody asks for them, and what the trace was asked about sizes. The other is for calls: the
code that was traced, the values that were tested, the bytecode of a call, and which artifacts
belong to it; these are entries of their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    CallLayout,
    CapturedGraph,
    CompiledPieces,
    DispatchPlan,
    GraphInput,
    InputKind,
    Size,
    StitchedProgram,
    TracedFunction,
    UniquePieces,
)
from explorer.artifacts.common import Expression
from explorer.compilation import Compilation
from explorer.config import CompilationConfig
from explorer.deferred import Once, deferred
from explorer.errors import StoreError
from explorer.guards.variants import region_mask, sizes_of_call
from explorer.live_model import LiveModel
from explorer.piece_store import PieceStore, StoreRequest
from explorer.pipeline import cut
from explorer.runtime.plan import rows_of
from explorer.size_range import SizeRange
from explorer.stages.backends import boxed
from explorer.stages.capture import CaptureRequest
from explorer.stages.compile_plan import WantedArtifact, knows_conditions, plan_compile
from explorer.stages.made_code import CodeUser, SizePlace, artifacts_of
from explorer.stages.piece_compiler import PieceCompiler
from explorer.store.code_text import sha256
from explorer.store.places import NotFound
from explorer.store.source_changes import changed
from explorer.store.source_digest import names_alone
from explorer.torch_private import graph_codec
from explorer.torch_private.guard_checks import StoredGuards
from explorer.torch_private.guard_writing import written_guards
from explorer.torch_private.op_functions import op_functions
from explorer.torch_private.stored_call import StoredCall, written_call
from explorer.torch_private.stored_guards import NotStorable

_OF_THIS_PROCESS = ("graph", "raw", "model", "example_values", "request")
_LOOKED_AT_LATER = ("value_guards", "branch_sites", "specializations", "evaluations")
_OF_COMPILED = ("skipped", "dispatch", "ranges", "exact_sizes", "same_code", "notes")
_OF_CALL = ("inputs", "written", "returned", "output_count", "pieces")
_OF_PROGRAM = ("source", "name", "bound_names", "called")


@dataclass(frozen=True)
class Found:
    """A stored compilation that fits.

    Attributes:
        captured: its first step; the graph in it is read when somebody looks at it.
        plan: what runs it.
    """

    captured: CapturedGraph
    plan: DispatchPlan


def view_blobs(compilation: Compilation) -> dict[str, bytes]:
    """What can be looked at without the model.

    Raises:
        NotWritableError: something in it has no bytes.
    """
    captured, call = compilation.captured, compilation.plan.call
    fields = _fields_of(captured)
    view = {
        "captured": {k: v for k, v in fields.items() if k not in _LOOKED_AT_LATER},
        "compiled": {name: getattr(compilation.compiled, name) for name in _OF_COMPILED},
        "fixed_dims": dict(captured.request.fixed_dims) if captured.request else {},
        **{name: getattr(call, name) for name in _OF_CALL},
        "program": {name: getattr(call.program, name) for name in _OF_PROGRAM},
        "fingerprints": [each.fingerprint for each in compilation.unique_pieces],
    }
    return {
        "view": graph_codec.dump(view),
        "later": graph_codec.dump({name: fields[name] for name in _LOOKED_AT_LATER}),
        "graph": graph_codec.dump(captured.graph),
    }


def run_blobs(compilation: Compilation, live: LiveModel) -> tuple[dict[str, bytes], str]:
    """What is needed besides to run it, and a digest of all that has to be found again for that.

    Raises:
        NotStorable: something about it has no form that could be checked in another process.
        NotWritableError: something in it has no bytes.
    """
    captured, call = compilation.captured, compilation.plan.call
    if live.has_hooks():
        raise NotStorable("its modules have hooks")
    for each in captured.functions:
        if each.unknown:
            raise NotStorable(f"nothing is known of {', '.join(each.unknown)} in {each}")
    _refuse_lost_inputs(captured, live)
    wanted = _wanted(compilation)
    raw = captured.raw
    if isinstance(raw, StoredCall):
        guards, texts, call_written = raw.state.root, raw.state.texts(), raw.written
    else:
        traced = _traced(captured.functions)
        guards, texts = written_guards(raw.state, live.function, live.scope, traced)
        call_written = written_call(raw)
    run = {
        "call": call_written,
        "given": _given(call),
        "scope": dict(call.program.scope),
    }
    functions = json.dumps([each.as_plain() for each in captured.functions])
    blobs = {
        "functions.json": functions.encode(),
        "wanted.json": json.dumps(wanted).encode(),
        "guards": graph_codec.dump_plain(guards),
        "texts": graph_codec.dump_plain(texts),
        "run": graph_codec.dump(run),
    }
    return blobs, sha256(functions + repr(guards))


def _refuse_lost_inputs(captured: CapturedGraph, live: LiveModel) -> None:
    """Refuses a graph with an input that is not found again at its source."""
    for each, value in zip(captured.inputs, captured.example_values, strict=True):
        is_found = each.kind in (InputKind.USER, InputKind.SIZE)
        with contextlib.suppress(NotFound):
            is_found = is_found or live.value(each.source) is value
        if not is_found:
            raise NotStorable(f"the graph takes {each.path}, which is not found again")


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
        NotStorable: one of them is not, or relies on a size that is none of the call's.
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


class Reading:
    """One entry, on its way to a compilation of this process's model."""

    def __init__(
        self,
        read: Callable[[str], bytes],
        live: LiveModel,
        config: CompilationConfig,
        pieces: PieceStore,
        *,
        is_variant: bool,
    ) -> None:
        """Reads for one model.

        Args:
            read: name of a blob -> its bytes, which must be trusted.
            live: the model.
            config: that the compilation was made under.
            pieces: where the artifacts are.
            is_variant: whether the sizes of the call have to be among those it is right for.
        """
        self._read = read
        self._live = live
        self._config = config
        self._pieces = pieces
        self._is_variant = is_variant

    def found(self) -> Found:
        """The compilation, ready to run.

        Raises:
            NotStorable: it does not fit; the message says why.
        """
        guards = self._guards()
        view, run = self._load("view"), self._load("run")
        raw = StoredCall(run["call"], self._live.function, self._live.receiver, guards)
        values = self._values(view["inputs"], run["given"])
        known = {
            "raw": raw,
            "model": self._live.model,
            "request": dataclasses.replace(self._live.request, fixed_dims=view["fixed_dims"]),
            "example_values": values[: len(view["captured"]["inputs"])],
        }
        captured = captured_of(view, known, self._load)
        if self._is_variant and not _is_right_for(captured, self._live.request):
            raise NotStorable("it is of other sizes")
        artifacts = self._artifacts(captured.sizes, lambda: plan.compiled.unique)
        plan = plan_of(view, captured, artifacts, values, run["scope"], self._config)
        return Found(captured, plan)

    def fits(self) -> bool:
        """Whether ``found`` would give something; raises the same."""
        self._guards()
        for request in self._requests({}):
            if not self._pieces.has(request):
                raise NotStorable(f"piece {request.wanted.label} is no longer stored")
        return True

    def _guards(self) -> StoredGuards:
        functions = tuple(
            TracedFunction.of_plain(each) for each in json.loads(self._read("functions.json"))
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
        return graph_codec.load(self._read(name))

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
            misfit = NotStorable("; ".join(map(str, changes[:3])))
            misfit.differences = len(changes)
            raise misfit

    def _values(self, inputs: Sequence[GraphInput], given: Mapping[int, Any]) -> tuple[Any, ...]:
        """The value of each input of the stitching function, in this process."""
        tensors = {leaf.path: leaf.tensor for leaf in self._live.leaves}
        values = []
        for position, each in enumerate(inputs):
            if position in given:
                values.append(given[position])
            elif each.kind is InputKind.USER:
                values.append(tensors[each.path])
            else:
                values.append(self._live.value(each.source))
        return tuple(values)

    def _artifacts(
        self, sizes: tuple[Size, ...], unique: Callable[[], UniquePieces]
    ) -> tuple[Artifact, ...]:
        found: list[Artifact] = []
        for request in self._requests({size.name: size.symbol for size in sizes}):
            made = self._pieces.load(request)
            if made is None:
                raise NotStorable(f"piece {request.wanted.label} is no longer stored")
            user = CodeUser(
                sizes=sizes,
                places={
                    symbol: SizePlace.named(place) for place, symbol in request.symbols.items()
                },
                eager=_eagerly(request.wanted.unique_id, unique),
                shares_variants=not knows_conditions(self._config),
            )
            found += artifacts_of(made, request.wanted, user, ArtifactOrigin.STORE)
        return tuple(found)

    def _requests(self, symbols: Mapping[str, Expression]) -> Iterator[StoreRequest]:
        """The requests for artifacts, each with the factors under which it is stored.

        Args:
            symbols: name of a size -> symbol; without them what they find can only be asked for.
        """
        for each in json.loads(self._read("wanted.json")):
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


def _eagerly(unique_id: str, unique: Callable[[], UniquePieces]) -> Callable[[list[Any]], Any]:
    """Runs the FX graph of a piece, which is read when a call comes for which no code is right."""

    def forward() -> Callable[[list[Any]], Any]:
        (piece,) = (each for each in unique().unique_pieces if each.unique_id == unique_id)
        return boxed(piece.representative.graph_module().forward)

    made = Once(forward)
    return lambda arguments: made()(arguments)


def captured_of(
    view: Mapping[str, Any], known: Mapping[str, Any], load: Callable[[str], Any]
) -> CapturedGraph:
    """Step 1 as it was stored; what is large is read when somebody looks at it.

    Args:
        view: what ``view_blobs`` wrote.
        known: the fields that belong to a process, each a value or a ``Once`` that makes it.
        load: name of a blob -> what is in it.
    """
    later = Once(lambda: load("later"))
    makers: dict[str, Callable[[], Any]] = {
        name: lambda name=name: later()[name] for name in _LOOKED_AT_LATER
    }
    makers["graph"] = Once(lambda: load("graph"))
    makers |= {name: make for name, make in known.items() if isinstance(make, Once)}
    given = {name: value for name, value in known.items() if not isinstance(value, Once)}
    return deferred(CapturedGraph, {**view["captured"], **given}, makers)


def plan_of(
    view: Mapping[str, Any],
    captured: CapturedGraph,
    artifacts: tuple[Artifact, ...],
    values: Any,
    scope: Mapping[str, Any],
    config: CompilationConfig,
) -> DispatchPlan:
    """Step 6 as it was stored; steps 2 to 4 are made again when somebody looks at them.

    Args:
        view: what ``view_blobs`` wrote.
        captured: step 1.
        artifacts: in their order.
        values: the value of each input of the stitching function, or a ``Once`` that makes them.
        scope: what the stitching function refers to.
        config: how the graph is cut.
    """
    compiled = deferred(
        CompiledPieces,
        {"artifacts": artifacts, **view["compiled"]},
        {"unique": Once(lambda: _unique(captured, config, view["fingerprints"]))},
    )
    known = {
        "captured": captured,
        "program": StitchedProgram(**view["program"], scope=scope),
        **{name: view[name] for name in _OF_CALL},
    }
    later = {"example_values": values} if isinstance(values, Once) else {}
    given = {} if later else {"example_values": values}
    call = deferred(CallLayout, {**known, **given}, later)
    return DispatchPlan(compiled, rows_of(compiled), call)


def _unique(
    captured: CapturedGraph, config: CompilationConfig, fingerprints: list[str]
) -> UniquePieces:
    """Steps 2 to 4 on the graph that was read."""
    unique = cut(captured.request, config, lambda name, reads, step: step(), captured=captured)
    if [each.fingerprint for each in unique.unique_pieces] != fingerprints:
        raise StoreError(
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


__all__ = [
    "Found",
    "Reading",
    "captured_of",
    "plan_of",
    "run_blobs",
    "view_blobs",
]

"""Artifacts of pieces on disk: what was compiled once is loaded the next time, in any process.

An entry is found by everything that the artifact depends on, each factor by name. It holds what a
backend's ``serialize`` made, so that nothing is compiled when it is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import fx

from explorer.artifacts import Artifact, UniquePiece
from explorer.artifacts.common import Expression
from explorer.code_identity import NoIdentityError, identity_of
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.environment import NO_COMPILER, environment_factors
from explorer.errors import StoreMiss
from explorer.guards.expression import UnknownExpression
from explorer.guards.portable_text import expression_of_text, portable_text
from explorer.size_range import SizeRange
from explorer.stages.backends import Backend, EagerBackend, KeepingBackend, told_sizes
from explorer.stages.compile_plan import WantedArtifact
from explorer.stages.made_code import MadeCode
from explorer.store.artifact_store import open_store
from explorer.store.entry import Entry
from explorer.store.key import NOT_OF_A_PIECE, config_factors
from explorer.store.manifest import entry_key
from explorer.stored_answer import (
    SIZE_BOUNDS,
    SIZE_RANGE,
    TOLD_SIZES,
    StoredAnswer,
    serves,
    stored_answer,
)
from explorer.torch_private import ops
from explorer.torch_private.op_functions import op_functions
from explorer.torch_private.shapes import AddedGuard

logger = logging.getLogger("explorer")

KIND = "piece"
FORMAT = "2"
"""Goes up when what an entry holds changes."""
KNOWN_OF_SIZES = "known of the sizes"


@dataclass(frozen=True, eq=False)
class StoreRequest:
    """What is looked for in the store, or kept there.

    A compiler may add conditions of its own: its code is right where they hold. They are kept as
    texts over the places of the sizes among the piece's inputs, and hold for every capture that
    finds the entry:

    - The fingerprint of the piece is equal, so the sizes are at the same places, and a condition
      says the same of the same inputs. A call is tested for it wherever that is needed.
    - The range was cut where the conditions fail, but sizes that the capture refuses were passed
      over. Which these are follows from the bounds of the sizes and the conditions on them. Where
      compiled code may rely on them, they are in the fingerprint: equal keys refuse the same sizes.
    - Under VARIANTS they are not in the fingerprint, so that variants share what is right for all.
      A variant that refuses other sizes could be served code that is wrong for it: what has
      conditions is kept under factors with all that is known of the sizes.
    - At which size a part of the range was tried, and so where exactly it was cut, may depend on
      other sizes of the capture. Each part is right wherever it is, and together they are the
      whole range.

    Attributes:
        wanted: the request itself.
        factors: everything that the code depends on, by name.
        own_factors: these, and what the capture knows of the sizes; None where ``factors`` have it.
        symbols: name of a size by its place -> symbol of the capture.
    """

    wanted: WantedArtifact
    factors: Mapping[str, str]
    own_factors: Mapping[str, str] | None
    symbols: Mapping[str, Expression]

    @property
    def keys(self) -> frozenset[str]:
        """Of the entries that there may be."""
        return frozenset(entry_key(KIND, factors) for factors in self.factor_sets)

    @property
    def factor_sets(self) -> tuple[Mapping[str, str], ...]:
        """The factors under which there may be an entry that serves."""
        return (self.factors,) if self.own_factors is None else (self.factors, self.own_factors)


class PieceStore:
    """The stored artifacts of pieces.

    Args:
        config: decides how they are compiled, and where they are kept.
        backend: makes them; one without ``serialize`` and ``deserialize`` keeps nothing.
    """

    def __init__(self, config: CompilationConfig, backend: Backend) -> None:
        self.config = config
        self.backend = backend
        self._keeping = backend if isinstance(backend, KeepingBackend) else None
        is_wanted = config.store.enabled and self._keeping is not None
        self._store = open_store(config.store.root) if is_wanted else None
        if config.store.enabled and self._keeping is None:
            _say_that_nothing_is_kept(backend.name)

    @property
    def matters(self) -> bool:
        """Whether a request has to go by the store at all."""
        return self._store is not None or self.config.store.require_hit

    @functools.cached_property
    def _shared_factors(self) -> dict[str, str]:
        return {
            "format": FORMAT,
            **environment_factors(),
            **config_factors(self.config, NOT_OF_A_PIECE),
        }

    def request(
        self,
        unique: UniquePiece,
        wanted: WantedArtifact,
        bounds: str,
        known: str | None,
        symbols: Mapping[str, Expression],
    ) -> StoreRequest:
        """A request with everything that the artifact depends on, by name.

        Args:
            unique: the piece.
            wanted: the request.
            bounds: what may be assumed of its sizes, as a text.
            known: a digest of what the capture knows of the piece's sizes, where the compiler may
                not rely on it; None where the piece's fingerprint has it already.
            symbols: name of a size by its place -> symbol of the capture.
        """
        factors = {
            **self._shared_factors,
            "piece": unique.fingerprint,
            SIZE_RANGE: str(wanted.size_range),
            SIZE_BOUNDS: bounds,
            TOLD_SIZES: told_sizes(self.backend, wanted.size_range),
            "backend": self.backend.identity(),
            "custom ops": _custom_ops(unique.representative.graph),
        }
        return StoreRequest(
            wanted=wanted,
            factors=factors,
            own_factors=None if known is None else {**factors, KNOWN_OF_SIZES: known},
            symbols=symbols,
        )

    def load(self, request: StoreRequest) -> list[MadeCode] | None:
        """What is stored for a request; None where there is nothing.

        Who uses it counts it: of a whole compilation only all of it is of use.
        """
        if self._store is None:
            return None
        for factors in request.factor_sets:
            entry = self._entry(factors)
            if entry is None:
                continue
            try:
                found = [self._made(each, entry, request.symbols) for each in _listed(entry)]
            except Exception as error:  # whatever a backend raises for bytes that do not fit
                self._store.reject(entry, f"it cannot be loaded ({error})")
                continue
            return found
        return None

    def has(self, request: StoreRequest) -> bool:
        """Whether there is something for a request; quicker than ``answer``."""
        return self.narrowed(request) is not None

    def narrowed(self, request: StoreRequest) -> StoreRequest | None:
        """The request by the very factors under which there is something for it; else None."""
        for factors in request.factor_sets if self._store is not None else ():
            if self._entry(factors) is not None:
                return dataclasses.replace(request, factors=factors, own_factors=None)
        return None

    def _entry(self, factors: Mapping[str, str]) -> Entry | None:
        assert self._store is not None
        entry = self._store.get(KIND, factors)
        if entry is None and factors["compiler"] == NO_COMPILER:
            nearest = self._store.nearest(KIND, factors)
            if nearest is not None and serves(nearest.changed, factors):
                entry = self._store.get(KIND, nearest.manifest.factors)
        return entry

    def _made(
        self, facts: Mapping[str, Any], entry: Entry, symbols: Mapping[str, Expression]
    ) -> MadeCode:
        assert self._keeping is not None
        conditions = tuple(
            AddedGuard(expression_of_text(text, symbols), framework)
            for text, framework in facts["conditions"]
        )
        return MadeCode(
            function=self._keeping.deserialize(entry.read(facts["blob"])),
            backend=facts["backend"],
            compiled_range=_range_of(facts["compiled_range"]),
            size_range=_range_of(facts["size_range"]),
            conditions=conditions,
            tested=tuple(tuple(each) for each in facts["tested"]),
            bytes=facts["bytes"],
            code=facts["code"],
            compile_seconds=facts.get("compile_seconds"),  # an earlier version kept none
        )

    def save(self, request: StoreRequest, made: Sequence[MadeCode]) -> None:
        """Stores what was made for a request, if it can be kept with all that it depends on.

        Left out is what another backend made, and what is right under conditions that no text
        says in another capture's symbols.

        Args:
            request: it.
            made: all that was made for it.
        """
        if self._store is None or self._keeping is None or any(each.note for each in made):
            return
        label = request.wanted.label
        names = {symbol: name for name, symbol in request.symbols.items()}
        blobs: dict[str, bytes] = {}
        listed = []
        for number, each in enumerate(made):
            name = f"artifact_{number}"
            try:
                listed.append(_facts(each, name, names))
                blobs[name] = self._content(each)
            except UnknownExpression as error:
                logger.info("piece %s is not stored: its condition has %s", label, error)
                return
            except Exception as error:  # it runs, it only cannot be kept
                logger.warning("piece %s is not stored: %s", label, error)
                return
        blobs[_LIST] = json.dumps(listed).encode()
        is_own = any(each.conditions for each in made) and request.own_factors is not None
        factors = request.own_factors if is_own else request.factors
        assert factors is not None
        if self._store.put(KIND, factors, blobs, label=label) is not None:
            counters.add(saved=len(made))

    def _content(self, made: MadeCode) -> bytes:
        assert self._keeping is not None
        return made.content if made.content is not None else self._keeping.serialize(made.function)

    def single_flight(
        self, request: StoreRequest, while_waiting: Callable[[], None] | None = None
    ) -> AbstractContextManager[Any]:
        """Inside, no other process that asks for the same makes it.

        Args:
            request: it.
            while_waiting: called several times a second while another process makes it; what it
                raises ends the wait.
        """
        if self._store is None:
            return contextlib.nullcontext()
        return self._store.single_flight(
            entry_key(KIND, request.factors), while_waiting=while_waiting
        )

    def refuse_miss(self, request: StoreRequest) -> None:
        """With ``require_hit``: says what is missing and why.

        Args:
            request: it.

        Raises:
            StoreMiss: nothing may be compiled.
        """
        if not self.config.store.require_hit:
            return
        raise StoreMiss(
            f"There is no stored artifact for piece {request.wanted.label}, and store.require_hit "
            f"forbids to compile it: {self.answer(request).reason}."
        )

    def answer(self, request: StoreRequest, *, without: Collection[str] = ()) -> StoredAnswer:
        """Whether there is something for a request, and else what is missing.

        Nothing is loaded.

        Args:
            request: it.
            without: keys of entries that are passed over.
        """
        if self._store is None:
            reason = f"the backend {self.backend.name!r} keeps nothing, or the store is off"
            return StoredAnswer(request.wanted.label, False, None, (), reason)
        return stored_answer(
            self._store, KIND, request.wanted, request.factor_sets, without=without
        )


_LIST = "artifacts.json"


def why_not_kept(artifact: Artifact) -> str:
    """Why an artifact may not be stored, in words; empty when it may, as far as it shows.

    Args:
        artifact: as the compile step made it.
    """
    is_replaced = artifact.backend == EagerBackend.name and artifact.notes
    return artifact.notes[0] if is_replaced else ""


def _listed(entry: Entry) -> list[dict[str, Any]]:
    return json.loads(entry.read(_LIST))


def _facts(made: MadeCode, blob: str, names: Mapping[Expression, str]) -> dict[str, Any]:
    """What is kept beside the bytes of the function.

    Raises:
        UnknownExpression: a condition has no text.
    """
    return {
        "blob": blob,
        "backend": made.backend,
        "compiled_range": _limits(made.compiled_range),
        "size_range": _limits(made.size_range),
        "conditions": [
            (portable_text(each.expression, names), each.framework) for each in made.conditions
        ],
        "tested": made.tested,
        "bytes": made.bytes,
        "code": made.code,
        "compile_seconds": made.compile_seconds,
    }


def _limits(size_range: SizeRange | None) -> tuple[int, int] | None:
    return None if size_range is None else (size_range.start, size_range.end)


def _range_of(limits: Sequence[int] | None) -> SizeRange | None:
    return None if limits is None else SizeRange(*limits)


def _custom_ops(graph: fx.Graph) -> str:
    """Schema and code of the ops in a piece that are not torch's own."""
    texts = ((name, _op_text(name)) for name in sorted(_op_names(graph)))
    return str([(name, text) for name, text in texts if text])


def _op_names(graph: fx.Graph) -> set[str]:
    """Names of the ops, those in branches of ``torch.cond`` too."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.op == "call_function" and ops.is_operator(node.target):
            found.add(ops.operator_names(node.target)[0])
        elif isinstance(node.meta.get("attribute"), fx.GraphModule):
            found |= _op_names(node.meta["attribute"].graph)
    return found


def _op_text(name: str) -> str:
    """What of an op a compiler may have looked into; empty for one of torch or in C++."""
    parts = op_functions(name)
    texts = [parts.pop("schema")] if parts else []
    for what, function in sorted(parts.items()):
        try:
            texts.append(f"{what}: {identity_of(function)}" if function else f"{what}: {_UNIQUE}")
        except NoIdentityError as error:
            texts.append(f"{what}: {error} {_UNIQUE}")
    return "; ".join(texts)


_UNIQUE = f"known to process {os.getpid()} only, begun {time.time_ns()}"


@functools.cache
def _say_that_nothing_is_kept(backend: str) -> None:
    logger.info("the backend %r stores nothing: its pieces are made again in each process", backend)

"""Artifacts of pieces on disk: what was compiled once is loaded the next time, in any process.

An entry is found by everything that the artifact depends on, each factor by name. It holds what a
backend's ``serialize`` made, so that nothing is compiled when it is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import fx

from explorer.artifacts import Artifact, ArtifactOrigin, UniquePiece
from explorer.code_identity import NoIdentityError, identity_of
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.environment import NO_COMPILER, environment_factors
from explorer.errors import StoreMiss
from explorer.size_range import SizeRange
from explorer.stages.backends import Backend, KeepingBackend, boxed, identity_at
from explorer.stages.compile_plan import WantedArtifact
from explorer.store.artifact_store import open_store
from explorer.store.entry import Entry
from explorer.store.key import NOT_OF_A_PIECE, config_factors
from explorer.store.manifest import entry_key
from explorer.store.nearest import ChangedFactor
from explorer.torch_private import ops
from explorer.torch_private.op_functions import op_functions

logger = logging.getLogger("explorer")

FunctionOf: TypeAlias = Mapping[Callable[[list[Any]], Any], Any]
KIND = "piece"
FORMAT = "1"
"""Goes up when what an entry holds changes."""


@dataclass(frozen=True)
class StoredAnswer:
    """What the store has for one request.

    Attributes:
        label: the piece and the sizes, ``B 9–64``.
        is_hit: whether it is there.
        nearest: label of the entry with the fewest other factors; None without any.
        changed: those factors.
        reason: why there is nothing, in words; empty for a hit.
    """

    label: str
    is_hit: bool
    nearest: str | None
    changed: tuple[ChangedFactor, ...]
    reason: str


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

    def factors(self, unique: UniquePiece, wanted: WantedArtifact, bounds: str) -> dict[str, str]:
        """Everything that the artifact depends on, by name.

        Args:
            unique: the piece.
            wanted: the request.
            bounds: what may be assumed of its sizes, as a text.
        """
        return {
            **self._shared_factors,
            "piece": unique.fingerprint,
            "size range": str(wanted.size_range),
            "size bounds": bounds,
            "backend": identity_at(self.backend, wanted.size_range),
            "custom ops": _custom_ops(unique.representative.graph),
        }

    def load(self, wanted: WantedArtifact, factors: Mapping[str, str]) -> list[Artifact] | None:
        """The stored artifacts for a request; None where there are none.

        Args:
            wanted: the request.
            factors: of the request.
        """
        if self._store is None:
            return None
        entry = self._entry(factors)
        if entry is None:
            return None
        try:
            found = [self._artifact(each, entry, wanted) for each in _listed(entry)]
        except Exception as error:  # whatever a backend raises for bytes that do not fit
            self._store.reject(entry, f"it cannot be loaded ({error})")
            return None
        counters.add(loaded=len(found))
        return found

    def has(self, factors: Mapping[str, str]) -> bool:
        """Whether there is something for a request; quicker than ``answer``."""
        return self._store is not None and self._entry(factors) is not None

    def _entry(self, factors: Mapping[str, str]) -> Entry | None:
        assert self._store is not None
        entry = self._store.get(KIND, factors)
        if entry is None and factors["compiler"] == NO_COMPILER:
            nearest = self._store.nearest(KIND, factors)
            if nearest is not None and _serves(nearest.changed, factors):
                entry = self._store.get(KIND, nearest.manifest.factors)
        return entry

    def _artifact(self, facts: Mapping[str, Any], entry: Entry, wanted: WantedArtifact) -> Artifact:
        assert self._keeping is not None
        function = self._keeping.deserialize(entry.read(facts["blob"]))
        limits = facts["size_range"]
        return Artifact(
            unique_id=wanted.unique_id,
            size_range=None if limits is None else SizeRange(*limits),
            requested_range=wanted.size_range,
            seconds=0.0,
            bytes=facts["bytes"],
            origin=ArtifactOrigin.STORE,
            key=wanted.key,
            guards=(),
            callable=boxed(function),
            backend=facts["backend"],
            notes=tuple(facts["notes"]),
            code=facts["code"],
        )

    def save(
        self,
        made: Sequence[Artifact],
        functions: FunctionOf,
        factors: Mapping[str, str],
        label: str,
    ) -> None:
        """Stores what was made for a request, if it can be found again for sure.

        Artifacts that are right under conditions of their compiler's are left out: the conditions
        are on this capture's symbols.

        Args:
            made: all artifacts of the request.
            functions: an artifact's callable -> what the backend returned.
            factors: of the request.
            label: of the piece and the sizes, for people.
        """
        if self._store is None or self._keeping is None:
            return
        if not all(_is_whole(each, functions) for each in made):
            return
        blobs: dict[str, bytes] = {}
        listed = []
        for number, each in enumerate(made):
            name = f"artifact_{number}"
            try:
                blobs[name] = self._keeping.serialize(functions[each.callable])
            except Exception as error:  # it runs, it only cannot be kept
                logger.warning("piece %s is not stored: %s", label, error)
                return
            listed.append(_facts(each, name))
        blobs[_LIST] = json.dumps(listed).encode()
        if self._store.put(KIND, factors, blobs, label=label) is not None:
            counters.add(saved=len(made))

    def single_flight(self, factors: Mapping[str, str]) -> AbstractContextManager[Any]:
        """Inside, no other process that asks for the same makes it."""
        if self._store is None:
            return contextlib.nullcontext()
        return self._store.single_flight(entry_key(KIND, factors))

    def refuse_miss(self, label: str, factors: Mapping[str, str]) -> None:
        """With ``require_hit``: says what is missing and why.

        Raises:
            StoreMiss: nothing may be compiled.
        """
        if not self.config.store.require_hit:
            return
        raise StoreMiss(
            f"There is no stored artifact for piece {label}, and store.require_hit forbids to "
            f"compile it: {self.answer(label, factors).reason}."
        )

    def answer(self, label: str, factors: Mapping[str, str]) -> StoredAnswer:
        """Whether there is something for a request, and else what the nearest entry differs in.

        Nothing is loaded.

        Args:
            label: of the request.
            factors: of the request.
        """
        if self._store is None:
            reason = f"the backend {self.backend.name!r} keeps nothing, or the store is off"
            return StoredAnswer(label, False, None, (), reason)
        nearest = self._store.nearest(KIND, factors)
        if nearest is None:
            reason = f"the store at {self._store.root.path} has no pieces"
            return StoredAnswer(label, False, None, (), reason)
        if _serves(nearest.changed, factors):
            return StoredAnswer(label, True, nearest.manifest.label, (), "")
        name, found = nearest.manifest.label, tuple(map(for_people, nearest.changed))
        reason = f"the nearest entry, {name}, differs in {_listed_changes(found)}"
        return StoredAnswer(label, False, name, found, reason)


_LIST = "artifacts.json"


def why_not_kept(artifact: Artifact) -> str:
    """Why an artifact may not be stored, in words; empty when it may.

    Args:
        artifact: as the compile step made it.
    """
    if artifact.notes:
        return artifact.notes[0]
    conditions = " and ".join(each.text for each in artifact.guard_records)
    return f"its code is right only where {conditions}" if conditions else ""


def _is_whole(artifact: Artifact, functions: FunctionOf) -> bool:
    """Whether it is what the backend returned, right for all its sizes, and nothing more."""
    return artifact.callable in functions and not why_not_kept(artifact)


def _serves(changed: Sequence[ChangedFactor], factors: Mapping[str, str]) -> bool:
    """Whether an entry that differs in these factors can be used.

    An entry has the machine code in it: where there is no compiler, any compiler's will do.
    """
    names = [each.name for each in changed]
    return not names or (names == ["compiler"] and factors["compiler"] == NO_COMPILER)


def _listed(entry: Entry) -> list[dict[str, Any]]:
    return json.loads(entry.read(_LIST))


def _facts(artifact: Artifact, blob: str) -> dict[str, Any]:
    limits = artifact.size_range
    return {
        "blob": blob,
        "size_range": None if limits is None else [limits.start, limits.end],
        "bytes": artifact.bytes,
        "backend": artifact.backend,
        "code": artifact.code,
        "notes": list(artifact.notes),
    }


_DIGEST = re.compile(r"\b[0-9a-f]{32,}\b")


def for_people(change: ChangedFactor) -> ChangedFactor:
    """A factor with digests cut short: that they differ is all that they say."""
    stored, wanted = (
        None if text is None else _DIGEST.sub(lambda found: f"{found[0][:12]}…", text)
        for text in (change.stored, change.wanted)
    )
    return ChangedFactor(change.name, stored, wanted)


def _listed_changes(found: Sequence[ChangedFactor]) -> str:
    texts = [f"{each.name} (stored {each.stored}, now {each.wanted})" for each in found[:3]]
    return "; ".join(texts) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


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

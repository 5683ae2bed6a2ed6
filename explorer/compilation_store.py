"""Whole compilations on disk: the next process traces nothing, lowers nothing and compiles nothing.

A candidate is used only when every function that its trace went through, found again in this
process, is what it was, and every value that the trace tested is what it was.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TypeVar

from explorer.compilation import Compilation
from explorer.compilation_entry import Found, Reading, run_blobs, view_blobs
from explorer.compilation_key import ROOT, compilation_factors
from explorer.config import CompilationConfig
from explorer.counters import counters
from explorer.deferred import without_collections
from explorer.environment import NO_COMPILER
from explorer.errors import ExplorerError
from explorer.live_model import LiveModel
from explorer.piece_store import PieceStore
from explorer.stages.backends import KeepingBackend, resolve_backend
from explorer.stages.capture import CaptureRequest
from explorer.store.artifact_store import open_store
from explorer.store.entry import Entry
from explorer.store.manifest import Manifest
from explorer.store.places import NotFound
from explorer.stored_answer import StoredAnswer, for_people
from explorer.torch_private.graph_codec import NotWritableError
from explorer.torch_private.stored_guards import NotStorable

logger = logging.getLogger("explorer")

_T = TypeVar("_T")

KIND = "compilation"
VARIANT = "variant"
REFUSAL = "not-stored"
"""What an entry without content says in its label: why a compilation was not stored whole."""
LABEL = "the whole compilation"
CANDIDATE = "code and values"
"""The factor in which compilations differ that are found by the same ones."""

_MOST_CANDIDATES = 8
_CANNOT = (NotStorable, NotWritableError, NotFound)


class CompilationStore:
    """The stored compilations of one model under one configuration.

    Args:
        request: the model and a call of it.
        config: how it is compiled.
        is_variant: whether it is about one more graph of the model, found by what a call needs
            instead of by the example that was captured.

    """

    def __init__(
        self, request: CaptureRequest, config: CompilationConfig, *, is_variant: bool = False
    ) -> None:
        self.is_variant = is_variant
        self._kind = VARIANT if is_variant else KIND
        self.request = request
        self.config = config
        self._misfits: list[tuple[int, str]] = []
        backend = resolve_backend(config)
        self._keeps = config.store.enabled and isinstance(backend, KeepingBackend)
        self._store = open_store(config.store.root) if self._keeps else None
        self._backend = backend

    @property
    def reasons(self) -> list[str]:
        """Why no candidate is used, or the compilation is not stored, the nearest one's first."""
        return [text for _, text in sorted(self._misfits, key=lambda each: each[0])]

    @functools.cached_property
    def _live(self) -> LiveModel:
        return LiveModel(self.request)

    @functools.cached_property
    def _factors(self) -> dict[str, str]:
        live = self._live
        return compilation_factors(
            self.request,
            self.config,
            self._backend,
            live.function,
            live.receiver,
            live.arguments,
            is_exact=not self.is_variant,
        )

    @functools.cached_property
    def _can_be_told(self) -> bool:
        """Whether the model and its example have factors; objects of a user can do anything."""
        try:
            _ = self._factors
        except ExplorerError:
            raise
        except Exception as error:
            self._misfits.append((1, f"what it is cannot be told ({error!r})"))
            return False
        return True

    # ------------------------------------------------------------------------------------- look up

    def find(self) -> Found | None:
        """The newest stored compilation that fits, or None; ``reasons`` then says what changed."""
        if self._store is None or not self._can_be_told:
            return None
        for manifest in self._candidates():
            found = self._try(manifest, Reading.found)
            if found is not None:
                counters.add(compilations_loaded=1, loaded=len(found.plan.compiled.artifacts))
                return found
        return None

    def _candidates(self) -> tuple[Manifest, ...]:
        """What may fit, the newest first; where only the traced function differs, a reason."""
        assert self._store is not None
        factors = self._factors
        open_ones = {ROOT, *(["compiler"] if factors["compiler"] == NO_COMPILER else [])}
        others = {name: text for name, text in factors.items() if name not in open_ones}
        near = self._store.find(self._kind, others)
        here = tuple(each for each in near if each.factors[ROOT] == factors[ROOT])
        name = factors[ROOT].partition(" ")[0]
        is_same_function = any(each.factors[ROOT].startswith(f"{name} ") for each in near)
        if not here and is_same_function and "<lambda>" not in name:
            self._misfits.append((1, f"the code of {name} changed"))
        return here[:_MOST_CANDIDATES]

    def answer(self) -> StoredAnswer:
        """Whether ``find`` would find something, and else why not; no artifact is loaded."""
        if self._store is None:
            reason = f"the backend {self._backend.name!r} keeps nothing, or the store is off"
            return StoredAnswer(LABEL, False, None, (), reason)
        if not self._can_be_told:
            return StoredAnswer(LABEL, False, None, (), self.reasons[0])
        for manifest in self._candidates():
            if self._try(manifest, Reading.fits):
                return StoredAnswer(LABEL, True, manifest.label, (), "")
        if not self.reasons and self._live.has_hooks():
            self._misfits.append((0, "its modules have hooks"))
        refusal = self._store.get(REFUSAL, self._factors)
        if not self.reasons and refusal is not None:
            self._misfits.append((0, f"it was compiled but not stored: {refusal.manifest.label}"))
        nearest = self._store.nearest(self._kind, self._factors)
        if self.reasons or nearest is None:
            reason = "; ".join(dict.fromkeys(self.reasons)) or "no compilation is stored"
            return StoredAnswer(LABEL, False, nearest and nearest.manifest.label, (), reason)
        changes = tuple(for_people(each) for each in nearest.changed if each.name != CANDIDATE)
        reason = f"{', '.join(each.name for each in changes)} changed"
        return StoredAnswer(LABEL, False, nearest.manifest.label, changes, reason)

    def _try(self, manifest: Manifest, read: Callable[[Reading], _T]) -> _T | None:
        """What reading an entry gives; None where it does not fit, and ``reasons`` says why."""
        assert self._store is not None
        entry = self._store.get(manifest.kind, manifest.factors)
        if entry is None:
            return None
        try:
            reading = Reading(
                entry.read,
                self._live,
                self.config,
                PieceStore(self.config, self._backend),
                is_variant=self.is_variant,
            )
            with without_collections():
                return read(reading)
        except _CANNOT as misfit:
            self._misfits.append((getattr(misfit, "differences", 1), str(misfit)))
        except Exception as error:  # bytes that an older torch wrote, say
            self._store.reject(entry, f"it cannot be read ({type(error).__name__}: {error})")
        return None

    def entry(self) -> Entry | None:
        """The entry that ``find`` would read."""
        if self._store is None or not self._can_be_told:
            return None
        for manifest in self._candidates():
            if self._try(manifest, Reading.fits):
                return self._store.get(manifest.kind, manifest.factors)
        return None

    # ---------------------------------------------------------------------------------------- save

    def save(self, compilation: Compilation) -> bool:
        """Stores a compilation, if another process could find out whether it fits.

        Args:
            compilation: made of this request under this configuration.

        Returns:
            Whether it is stored; ``reasons`` says why not.
        """
        if self._store is None or not self._can_be_told:
            return False
        try:
            blobs, candidate = run_blobs(compilation, self._live)
            blobs |= view_blobs(compilation)
        except _CANNOT as misfit:
            self._refuse(str(misfit))
            logger.debug("%s is not stored as a whole: %s", compilation.name, misfit)
            return False
        except Exception as error:  # it runs, it only cannot be kept
            self._refuse(f"{type(error).__name__}: {error}")
            logger.warning("%s is not stored as a whole: %r", compilation.name, error)
            return False
        factors = {**self._factors, CANDIDATE: candidate}
        is_stored = (
            self._store.put(self._kind, factors, blobs, label=_label(compilation)) is not None
        )
        counters.add(compilations_saved=int(is_stored))
        return is_stored

    def _refuse(self, why: str) -> None:
        """Keeps why nothing is stored for those who ask later, in any process."""
        assert self._store is not None
        self._misfits.append((1, why))
        if self._store.get(REFUSAL, self._factors) is None:
            self._store.put(REFUSAL, self._factors, {}, label=why)


def _label(compilation: Compilation) -> str:
    count = len(compilation.artifacts)
    return f"{compilation.name}, {count} {'artifact' if count == 1 else 'artifacts'}"


__all__ = ["KIND", "REFUSAL", "VARIANT", "CompilationStore"]

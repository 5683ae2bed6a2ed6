"""What the store has for one request, and why it has nothing, in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from explorer.environment import NO_COMPILER
from explorer.stages.compile_plan import WantedArtifact
from explorer.store.artifact_store import ArtifactStore
from explorer.store.manifest import Manifest
from explorer.store.nearest import ChangedFactor, nearest_of

SIZE_RANGE = "size range"
SIZE_BOUNDS = "size bounds"
TOLD_SIZES = "sizes told to graph passes"
_OF_SIZES = (SIZE_RANGE, SIZE_BOUNDS, TOLD_SIZES)
"""The factors that differ from one range of a piece to another."""


@dataclass(frozen=True)
class StoredAnswer:
    """What the store has for one request.

    Attributes:
        label: the piece and the sizes, ``B 9–64``.
        is_hit: whether it is there.
        nearest: label of the entry with the fewest other factors, one for other sizes first; None
            without any.
        changed: those factors.
        reason: why there is nothing, in words; empty for a hit.
        other_sizes: for which the same is stored, ascending, where nothing but the sizes is
            missing: ``1–8``.
    """

    label: str
    is_hit: bool
    nearest: str | None
    changed: tuple[ChangedFactor, ...]
    reason: str
    other_sizes: tuple[str, ...] = ()


def stored_answer(
    store: ArtifactStore,
    kind: str,
    wanted: WantedArtifact,
    factor_sets: Sequence[Mapping[str, str]],
    *,
    without: Collection[str] = (),
) -> StoredAnswer:
    """Whether there is something for a request, and else what is missing; nothing is loaded.

    Args:
        store: where to look.
        kind: of the entries.
        wanted: the request.
        factor_sets: factors under which there may be an entry that serves, one or more.
        without: keys of entries that are passed over.
    """
    found = [(store.nearest(kind, factors, without=without), factors) for factors in factor_sets]
    nearest = [each for each, _ in found if each is not None]
    if not nearest:
        reason = f"the store at {store.root.path} has no pieces"
        return StoredAnswer(wanted.label, False, None, (), reason)
    for each, factors in found:
        if each is not None and serves(each.changed, factors):
            return StoredAnswer(wanted.label, True, each.manifest.label, (), "")
    others = [(_for_other_sizes(store, kind, factors, without), factors) for factors in factor_sets]
    sizes = _listed_sizes([entry for each, _ in others for entry in each])
    if str(wanted.size_range) in sizes:  # then it is what is known of them that differs
        sizes = ()
    if sizes:  # what has all but the sizes says more than what has the sizes and is another piece
        near = [nearest_of(each, factors) for each, factors in others]
        nearest = [each for each in near if each is not None]
    closest = min(nearest, key=lambda each: len(each.changed))
    name, changed = closest.manifest.label, tuple(map(for_people, closest.changed))
    if sizes:
        word = "size" if len(sizes) == 1 and sizes[0].isdecimal() else "sizes"
        reason = (
            f"piece {wanted.unique_id} is stored for the {word} {_joined(sizes)}, "
            f"not for {wanted.size_range}"
        )
    else:
        reason = f"the nearest entry, {name}, differs in {_listed_changes(changed)}"
    return StoredAnswer(wanted.label, False, name, changed, reason, sizes)


def serves(changed: Sequence[ChangedFactor], factors: Mapping[str, str]) -> bool:
    """Whether an entry that differs in these factors can be used.

    An entry has the machine code in it: where there is no compiler, any compiler's will do.

    Args:
        changed: the factors that differ.
        factors: of the request.
    """
    names = [each.name for each in changed]
    return not names or (names == ["compiler"] and factors["compiler"] == NO_COMPILER)


def _for_other_sizes(
    store: ArtifactStore, kind: str, factors: Mapping[str, str], without: Collection[str]
) -> tuple[Manifest, ...]:
    """The entries of the same piece that only its sizes tell apart."""
    same = {name: text for name, text in factors.items() if name not in _OF_SIZES}
    if factors["compiler"] == NO_COMPILER:
        del same["compiler"]
    found = store.find(kind, same, without=without)
    return tuple(each for each in found if each.factors.keys() == factors.keys())


def _listed_sizes(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    found = {each.factors[SIZE_RANGE] for each in manifests}
    return tuple(sorted(found, key=lambda text: [int(each) for each in re.findall(r"\d+", text)]))


def _joined(texts: Sequence[str]) -> str:
    """``1–8, 9–64 and 65–128``."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


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

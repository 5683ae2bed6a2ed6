"""Why a stored entry was not reused: wanted factors and manifests in, the differences out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from explorer.store.manifest import Manifest


@dataclass(frozen=True)
class ChangedFactor:
    """One factor that differs.

    Attributes:
        name: of the factor.
        stored: its value in the stored entry, or None where that has no such factor.
        wanted: its value now, or None where there is no such factor now.
    """

    name: str
    stored: str | None
    wanted: str | None


@dataclass(frozen=True)
class Nearest:
    """The stored entry that is most like a wanted one.

    Attributes:
        manifest: of the stored entry.
        changed: the factors that differ, by name; empty where the entry is the wanted one.
    """

    manifest: Manifest
    changed: tuple[ChangedFactor, ...]


def changed_factors(
    stored: Mapping[str, str], wanted: Mapping[str, str]
) -> tuple[ChangedFactor, ...]:
    """The factors that differ, by name."""
    return tuple(
        ChangedFactor(name, stored.get(name), wanted.get(name))
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    )


def nearest_of(manifests: Iterable[Manifest], wanted: Mapping[str, str]) -> Nearest | None:
    """The one with the fewest changed factors, the newest among equals; None without any."""
    best = min(manifests, key=lambda each: _distance(each, wanted), default=None)
    return None if best is None else Nearest(best, changed_factors(best.factors, wanted))


def _distance(manifest: Manifest, wanted: Mapping[str, str]) -> tuple[int, float, str]:
    changed = len(manifest.factors.keys() ^ wanted.keys()) + sum(
        wanted.get(name, value) != value for name, value in manifest.factors.items()
    )
    return changed, -manifest.created_seconds, manifest.key


def agrees(manifest: Manifest, factors: Mapping[str, str]) -> bool:
    """Whether a manifest has all of these factors, with these values."""
    return factors.items() <= manifest.factors.items()

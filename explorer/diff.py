"""What differs between two compilations of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from explorer.artifacts import PieceKind
from explorer.compilation import Compilation


@dataclass(frozen=True)
class CompilationDiff:
    """Two compilations side by side; each field is empty when nothing differs there.

    Attributes:
        config: setting -> (before, after).
        pieces: what changed in the cut, one sentence each.
        artifacts: label -> (origin before or None, origin after or None), for artifacts that are
            not in both.
        guards: conditions only before, conditions only after.
        timings: step -> (seconds before, seconds after).
        before: the first compilation, for a report; None where only the differences are known.
        after: the second.
    """

    config: Mapping[str, tuple[Any, Any]]
    pieces: tuple[str, ...]
    artifacts: Mapping[str, tuple[str | None, str | None]]
    guards: tuple[tuple[str, ...], tuple[str, ...]]
    timings: Mapping[str, tuple[float, float]]
    before: Compilation | None = field(default=None, compare=False, repr=False)
    after: Compilation | None = field(default=None, compare=False, repr=False)

    def report(self) -> str:
        """All that differs, with both strips and two pieces side by side, as text."""
        from explorer.report.diff_view import diff_text

        return diff_text(self)

    def _repr_html_(self) -> str:
        from explorer.report.diff_view import diff_html

        return diff_html(self)

    def __str__(self) -> str:
        lines = [
            f"{name}: {before!r} -> {after!r}" for name, (before, after) in self.config.items()
        ]
        lines += self.pieces
        lines += [
            f"artifact {label}: {a or 'absent'} -> {b or 'absent'}"
            for label, (a, b) in self.artifacts.items()
        ]
        lines += [f"guard gone: {text}" for text in self.guards[0]]
        lines += [f"guard new: {text}" for text in self.guards[1]]
        return "\n".join(lines) or "no difference"


def compare(before: Compilation, after: Compilation) -> CompilationDiff:
    """The differences from one compilation to another."""
    first = {guard.text for guard in before.captured.guards}
    second = {guard.text for guard in after.captured.guards}
    return CompilationDiff(
        config=before.config.changed_fields(after.config),
        pieces=_piece_changes(before, after),
        artifacts=_artifact_changes(before, after),
        guards=(tuple(sorted(first - second)), tuple(sorted(second - first))),
        timings={
            name: (before.timings.get(name, 0.0), after.timings.get(name, 0.0))
            for name in dict.fromkeys([*before.timings, *after.timings])
        },
        before=before,
        after=after,
    )


def _piece_changes(before: Compilation, after: Compilation) -> tuple[str, ...]:
    changes = []
    counts = [
        (
            len(each.pieces),
            sum(piece.kind is PieceKind.SPLITTING for piece in each.pieces),
            len(each.unique_pieces),
        )
        for each in (before, after)
    ]
    for label, a, b in zip(("pieces", "splitting pieces", "unique pieces"), *counts, strict=True):
        if a != b:
            changes.append(f"{label}: {a} -> {b}")
    first = {unique.fingerprint for unique in before.unique_pieces}
    second = {unique.fingerprint for unique in after.unique_pieces}
    if first != second:
        changes.append(f"unique pieces in both: {len(first & second)}")
    return tuple(changes)


def _artifact_changes(
    before: Compilation, after: Compilation
) -> dict[str, tuple[str | None, str | None]]:
    tables = [{(a.key, a.size_range): a for a in each.artifacts} for each in (before, after)]
    found: dict[str, tuple[str | None, str | None]] = {}
    for key in dict.fromkeys([*tables[0], *tables[1]]):
        a, b = tables[0].get(key), tables[1].get(key)
        if (a is None) == (b is None):
            continue
        shown = b or a
        assert shown is not None
        label = f"{shown.unique_id} {shown.size_range or 'any size'}"
        if label in found:  # the letter means another piece on the other side
            label = f"{label} ({shown.key[:6]})"
        found[label] = (a.origin.value if a else None, b.origin.value if b else None)
    return found

"""What stands beside the strip: conditions that nobody checks, and how many sizes are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.artifacts.audited import AuditStatus, PointState
from explorer.artifacts.diagnosed import Diagnosis
from explorer.artifacts.guards import Enforcement, GuardRecord
from explorer.guards.listing import enforcement_of
from explorer.report.wording import clean, counted, listed, place_text

if TYPE_CHECKING:
    from explorer.compilation import Compilation


def dropped_guards(compilation: Compilation) -> list[GuardRecord]:
    """The conditions that something made and that nothing looks at when the model is called."""
    return [
        guard
        for guard in compilation.captured.guards
        if not guard.is_bound and enforcement_of(guard, compilation.config) is Enforcement.DROPPED
    ]


def piece_marks(compilation: Compilation) -> dict[int, str]:
    """Index of a piece -> the dropped conditions of its lines, in words.

    A condition whose line is in no piece (a test computes no value) marks the first piece.
    """
    found: dict[int, list[str]] = {}
    for guard in dropped_guards(compilation):
        place = place_text(guard.location)
        line = (guard.location.file, guard.location.line) if guard.location else None
        indices = [
            piece.index
            for piece in compilation.pieces
            if any((each.file, each.line) == line for each in piece.source_lines)
        ]
        for index in indices or [0]:
            text = clean(f"{guard.text}{f' at {place}' if place else ''}")
            found.setdefault(index, []).append(text)
    return {index: f"not checked at run time: {listed(texts, 3)}" for index, texts in found.items()}


def guard_warning(compilation: Compilation, diagnosis: Diagnosis | None) -> str:
    """``guards: 1 line, 1 of 8,192 sizes wrong``; empty where there is nothing to warn of."""
    if diagnosis is not None:
        return _audited(diagnosis)
    dropped = len(dropped_guards(compilation))
    return f"guards: {counted(dropped, 'condition')} not checked at run time" if dropped else ""


def _audited(diagnosis: Diagnosis) -> str:
    audit = diagnosis.audit
    if audit.status is AuditStatus.UNKNOWN:
        return "guards: not every condition could be evaluated"
    wrong, points = int(audit.region.where(PointState.WRONG).sum()), audit.region.states.size
    if not wrong:
        return ""
    lines = {
        (each.location.file, each.location.line) if each.location else (id(each), 0)
        for each in diagnosis.findings
    }
    looked_at = " that were looked at" if audit.status is AuditStatus.SAMPLED else ""
    return (
        f"guards: {counted(len(lines), 'line')}, {wrong:,} of {counted(points, 'size')}{looked_at} "
        "wrong"
    )

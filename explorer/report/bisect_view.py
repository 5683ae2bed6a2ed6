"""A Bisection in, text for a terminal or plain data out."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from explorer.bisect import CACHED
from explorer.comparison import Outcome
from explorer.report.wording import clean, counted, place_text

if TYPE_CHECKING:
    from explorer.bisect import Bisection, Rung

_WIDTH = 100
_BLAME = {
    "eager, once more": "The model as it is does not repeat its own result, so nothing can be told "
    "from a comparison: make it deterministic first.",
    "stock torch.compile": "torch.compile alone differs already: what this package adds is not the "
    "cause. If the steps below are equal, it is the backend on the uncut graph.",
    "trace once, eager": "The captured graph differs before anything is cut or compiled: a test in "
    "Python was frozen, or the trace left something out. `explorer check` names the line.",
    "piecewise, eager": "The uncut graph is right and the pieces are not: the cut is the cause. "
    "Please report it.",
}
_LOADED = (
    "The pieces are right compiled afresh and wrong loaded from the artifact store: what is "
    "stored, or how it is loaded, is the cause. `explorer cache clear` removes what is stored; "
    "where it differs again after that, please report it. StoreConfig(enabled=False) goes without "
    "the store."
)
_NOT_LOADED = (
    "The pieces are right compiled afresh, and the artifact store does not hand all of them out. "
    "`explorer cache why` says which are not there and what changed."
)
_BACKEND = (
    "The pieces are right uncompiled and wrong compiled: the backend is the cause. The piece above "
    "is the one to report; backend='eager' runs it without compiling."
)


def as_text(found: Bisection) -> str:
    """A line per step, then what the first one that differs means."""
    lines = [f"{clean(found.name)}: each step compared with eager", ""]
    width = max(len(rung.name) for rung in found.rungs)
    for rung in found.rungs:
        lines += _rung_lines(rung, width)
    first = found.first
    if first is None:
        compared = " that was compared" if any(each.skipped for each in found.rungs) else ""
        return "\n".join([*lines, "", f"Every step{compared} gives eager's result."])
    lines += ["", f"First step that differs: {first.name}."]
    return "\n".join([*lines, *textwrap.wrap(_blame(first), _WIDTH)])


def _blame(first: Rung) -> str:
    if first.name != CACHED:
        return _BLAME.get(first.name, _BACKEND)
    is_wrong = any(check.outcome is Outcome.DIFFERENT for check in first.checks)
    return _LOADED if is_wrong else _NOT_LOADED


def _rung_lines(rung: Rung, width: int) -> list[str]:
    mark = "-- " if rung.skipped else "ok " if rung.is_good else "NOT"
    head = f"  {mark}  {rung.name:<{width}}  {_outcome(rung)}"
    indent = " " * (width + 9)
    lines = textwrap.wrap(head, _WIDTH, subsequent_indent=indent)
    for text in (_piece_text(rung), clean(rung.note)):
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,  # a path is copied
            break_long_words=False,
        )
    return lines


def _outcome(rung: Rung) -> str:
    if rung.failure:
        return f"cannot be made: {clean(rung.failure)}"
    if rung.skipped:
        return f"nothing is stored: {clean(rung.skipped)}"
    bad = rung.first_bad
    if bad is None:
        largest = max((check.largest or 0.0 for check in rung.checks), default=0.0)
        return (
            f"equal at {counted(len(rung.checks), 'size')}, largest difference "
            f"{_number(largest) if math.isfinite(largest) else largest}"
        )
    count = sum(not check.is_good for check in rung.checks)
    others = f", and at {count - 1} more" if count > 1 else ""
    return f"{bad.outcome.value} at {bad.sizes_text}{others}: {clean(bad.problem)}"


def _piece_text(rung: Rung) -> str:
    if rung.piece is None:
        return ""
    piece = rung.piece.piece
    unique = f", unique {piece.unique_id}" if piece.unique_id else ""
    place = f", {place_text(piece.source_lines[0])}" if piece.source_lines else ""
    return f"first in {piece.name} ({piece.kind.value}{unique}{place}): {clean(rung.piece.problem)}"


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}"


def as_json(found: Bisection) -> dict[str, Any]:
    """Plain data: ``name equal first rungs``.

    A difference that is not finite is null, and so is ``equal`` of a step that was skipped.
    """
    return {
        "name": clean(found.name),
        "equal": found.first is None,
        "first": None if found.first is None else found.first.name,
        "rungs": [_rung_json(rung) for rung in found.rungs],
    }


def _rung_json(rung: Rung) -> dict[str, Any]:
    piece = rung.piece
    return {
        "name": rung.name,
        "equal": None if rung.skipped else rung.is_good,
        "failure": clean(rung.failure) or None,
        "skipped": clean(rung.skipped) or None,
        "note": clean(rung.note) or None,
        "checks": [
            {
                "sizes": dict(check.sizes),
                "outcome": check.outcome.value,
                "largest_difference": _finite(check.largest),
                "problem": clean(check.problem) or None,
            }
            for check in rung.checks
        ],
        "piece": None
        if piece is None
        else {
            "name": piece.piece.name,
            "unique_id": piece.piece.unique_id,
            "kind": piece.piece.kind.value,
            "lines": [clean(place_text(each)) for each in piece.piece.source_lines],
            "problem": clean(piece.problem),
        },
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

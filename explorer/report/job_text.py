"""What a compile would do and how far it is, in one line each."""

from __future__ import annotations

from collections.abc import Mapping

from explorer.planned_compilation import PlannedCompilation
from explorer.progress import Progress
from explorer.report.wording import counted, label_of

_WHAT_WIDTH = 120

ORIGINS = {"compiled": "compiled", "memory": "from memory", "store": "store"}
"""Where an artifact came from -> the word for it, in the order in which they are said."""


def plan_text(planned: PlannedCompilation) -> str:
    """``25 pieces · 3 unique compiled · 15 artifacts: 9 reused, 6 to compile (about 14 s)``."""
    reused, made = len(planned.to_reuse), len(planned.to_compile)
    seconds = planned.estimated_seconds
    about = "" if seconds is None or not made else f" ({_about(seconds)})"
    artifacts = f"{reused} reused, {made} to compile{about}"
    if not made and reused:
        artifacts = "all reused, nothing to compile"
    return " · ".join(
        (
            counted(len(planned.unique.pieces), "piece"),
            f"{len(planned.unique.unique_pieces)} unique compiled",
            f"{counted(reused + made, 'artifact')}: {artifacts}",
        )
    )


def _about(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"


def progress_text(progress: Progress, origins: Mapping[str, int] | None = None) -> str:
    """``4/6 piece C 9–64 · compiled 3, from memory 1, store 0``.

    Args:
        progress: how far it is.
        origins: where the finished artifacts came from -> how many; keys as in ``ORIGINS``.
    """
    text = f"{progress.done}/{progress.total} {label_of(progress.what, _WHAT_WIDTH)}"
    if origins is None:
        return text
    counts = ", ".join(f"{word} {origins.get(each, 0)}" for each, word in ORIGINS.items())
    return f"{text} · {counts}"

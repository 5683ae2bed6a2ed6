"""A recorded call in, one line out: which range and artifacts served it, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.artifacts import Artifact, RunRecord
from explorer.report.wording import duration_text, listed, range_text

NOTHING_YET = "no call was recorded yet"


def call_text(record: RunRecord | None) -> str:
    """``last call n = 17: range 9–64, artifacts A 9–64 (store), B 9–64 (compiled), 412 µs``."""
    if record is None or not record.calls:
        return NOTHING_YET
    sizes = ", ".join(f"{name} = {size}" for name, size in record.sizes.items())
    text = f"last call{f' {sizes}' if sizes else ''}: {_served_by(record)}"
    return f"{text}, {duration_text(record.microseconds)}"


def _served_by(record: RunRecord) -> str:
    if record.variant is None:
        return "the model as it is"
    variant = f"variant {record.variant}, " if record.variant else ""
    where = "any size" if record.size_range is None else f"range {range_text(record.size_range)}"
    return f"{variant}{where}{_artifacts_text(record.artifacts)}"


def _artifacts_text(artifacts: Sequence[Artifact]) -> str:
    texts = [
        f"{each.unique_id} {range_text(each.size_range)} ({each.origin.value})"
        for each in artifacts
    ]
    shown = list(dict.fromkeys(texts))
    if not shown:
        return ""
    return f", {'artifact' if len(shown) == 1 else 'artifacts'} {listed(shown, 4)}"

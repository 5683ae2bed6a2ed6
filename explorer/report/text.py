"""A Compilation in, plain text out: a summary that fits a screen, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from explorer.artifacts import ArtifactOrigin
from explorer.report import views
from explorer.report.folding import SPLITTING_MARK
from explorer.report.wording import (
    bytes_text,
    counted,
    label_of,
    listed,
    place_text,
    range_text,
    seconds_text,
)

if TYPE_CHECKING:
    from explorer.artifacts import Artifact
    from explorer.compilation import Compilation

WIDTH = 110
"""Columns of a summary."""

HEIGHT = 24
"""Lines of a summary, at most."""

_LABEL_WIDTH = 11
_MOST_GROUPS = 5
_MOST_RANGES = 6
_MOST_GUARDS = 3
_MOST_NOTES = 3
_LONGEST_CELL = 400
"""Characters: a column is as wide as its longest cell."""


def summary(compilation: Compilation) -> str:
    """The whole compilation in at most ``HEIGHT`` lines of at most ``WIDTH`` columns."""
    lines = [_title(compilation)]
    lines += _labelled("pieces", _strip_lines(compilation))
    lines += _labelled("splits at", _splits(compilation))
    lines += _labelled("unique", _group_lines(compilation))
    lines += _labelled("sizes", [views.sizes_text(compilation)])
    lines += _labelled("ranges", [views.ranges_text(compilation)])
    lines += _labelled("artifacts", _artifact_lines(compilation))
    lines += _labelled("guards", _guard_lines(compilation))
    lines += _labelled("notes", _limited(views.note_list(compilation), _MOST_NOTES, "note"))
    lines += _labelled("time", _timing_lines(compilation))
    fitting = [label_of(line, WIDTH).rstrip() for line in lines]
    return "\n".join(fitting[:HEIGHT])


def _title(compilation: Compilation) -> str:
    facts = views.facts(compilation)
    name = label_of(compilation.name, 40)
    where = f"torch {facts['torch']} · {facts['device']}"
    return f"{name}: {facts['pieces']} · backend {facts['backend']} · {where}"


def _labelled(label: str, texts: Sequence[str]) -> list[str]:
    labels = [label, *[""] * len(texts)]
    return [
        f"{name:<{_LABEL_WIDTH}}{text}" for name, text in zip(labels, texts, strict=False) if text
    ]


def _limited(texts: Sequence[str], limit: int, noun: str) -> list[str]:
    if len(texts) <= limit:
        return list(texts)
    return [*texts[: limit - 1], f"and {counted(len(texts) - limit + 1, f'more {noun}')}"]


def _strip_lines(compilation: Compilation) -> list[str]:
    """The folded strip on at most two lines; what does not fit is counted."""
    room = WIDTH - _LABEL_WIDTH
    lines, rest = [""], list(views.strip_runs(compilation))
    while rest:
        text = str(rest[0])
        if len(lines[-1]) + 1 + len(text) <= room - (18 if len(lines) == 2 else 0):
            lines[-1] += f"{' ' if lines[-1] else ''}{text}"
            rest.pop(0)
        elif len(lines) == 1:
            lines.append("")
        else:
            lines[-1] += f" … {sum(run.length for run in rest)} more"
            break
    return lines


def _splits(compilation: Compilation) -> list[str]:
    names = views.splitting_names(compilation)
    return [f"{SPLITTING_MARK} {listed(names, 3)}"] if names else []


def _fitting(texts: Sequence[str], separator: str) -> str:
    """As many of the texts as fit a line, and how many more there are."""
    room = WIDTH - _LABEL_WIDTH
    if len(separator.join(texts)) <= room:
        return separator.join(texts)
    room -= len(separator) + len("and 1,000 more")
    count = 0
    while count < len(texts) and len(separator.join(texts[: count + 1])) <= room:
        count += 1
    shown = [*texts[:count]]
    if count < len(texts):
        shown.append(f"and {len(texts) - count:,} more")
    return separator.join(shown)


def _group_lines(compilation: Compilation) -> list[str]:
    rows = views.group_rows(compilation)
    texts = [
        f"{row['unique_id']} {row['count']}× of {counted(row['nodes'], 'node')}" for row in rows
    ]
    return [_fitting(texts, " · ")]


def _artifact_lines(compilation: Compilation) -> list[str]:
    """A small table: a unique piece a line, a range a column, compile time or origin in it."""
    cells: dict[str, dict[str, str]] = {
        unique.unique_id: {"": unique.unique_id} for unique in compilation.unique_pieces
    }
    columns = list(dict.fromkeys(range_text(each.size_range) for each in compilation.artifacts))
    shown = columns[:_MOST_RANGES]
    for artifact in compilation.artifacts:
        column = range_text(artifact.size_range)
        if column in shown:
            cells[artifact.unique_id][column] = _cell(artifact)
    rows = [
        {"": row[""]} | {column: row.get(column, "") for column in shown} for row in cells.values()
    ]
    lines = table(rows).splitlines() if shown else []
    head = _artifacts_head(compilation, len(columns) - len(shown))
    return [head, *_limited(lines, _MOST_GROUPS + 1, "unique piece")]


def _artifacts_head(compilation: Compilation, hidden_columns: int) -> str:
    total = sum(artifact.seconds for artifact in compilation.artifacts)
    origins = [artifact.origin for artifact in compilation.artifacts]
    head = f"{counted(len(compilation.artifacts), 'artifact')}, {seconds_text(total)} to compile"
    reused, loaded = origins.count(ArtifactOrigin.MEMORY), origins.count(ArtifactOrigin.STORE)
    head += f", {reused} reused from memory" if reused else ""
    head += f", {loaded} loaded from the store" if loaded else ""
    cached = sum(a.from_torch_cache for a in compilation.artifacts)
    head += f", {cached} of them from torch's own cache" if cached else ""
    return head + (f"; {counted(hidden_columns, 'more range')} not shown" if hidden_columns else "")


def _cell(artifact: Artifact) -> str:
    if artifact.origin is not ArtifactOrigin.COMPILED:
        return artifact.origin.value
    size = f" {bytes_text(artifact.bytes)}" if artifact.bytes is not None else ""
    return seconds_text(artifact.seconds) + size


def _guard_lines(compilation: Compilation) -> list[str]:
    guards = sorted(compilation.captured.guards, key=lambda each: each.is_bound)
    texts = []
    for guard in guards:
        place = place_text(guard.location)
        texts.append(f"{guard.text}{' at ' if place else ''}{place}")
    bounds = [g.text for g in guards if g.is_bound]
    branches = texts[: len(texts) - len(bounds)]
    bounds = [
        text for text in bounds if not any(each.startswith(f"{text} at") for each in branches)
    ]
    lines = _limited(branches, _MOST_GUARDS, "condition")
    if bounds:
        lines.append(f"{', '.join(bounds)} from the capture; size 1 is settled at its first call")
    return lines or ["none"]


def _timing_lines(compilation: Compilation) -> list[str]:
    rows = views.timing_rows(compilation)
    total = sum(row["seconds"] for row in rows)
    texts = [f"{row['step']} {seconds_text(row['seconds'])}" for row in rows if row["seconds"]]
    lines = [f"{seconds_text(total)}: {', '.join(texts)}" if texts else "nothing was run again"]
    return lines + _account_lines(compilation)


def _account_lines(compilation: Compilation) -> list[str]:
    """The phases of the compile step, and what dedupe saved; nothing where nothing was compiled."""
    account = compilation.account
    phases = {
        "lowering": account.lowering,
        "code": account.codegen,
        "kernels": account.kernels,
        "rest": account.backend,
    }
    if not (account.lowering or account.codegen or account.kernels):
        return []
    texts = [f"{name} {seconds_text(seconds)}" for name, seconds in phases.items() if seconds]
    saved = f"; dedupe saved ~{seconds_text(account.saved_by_dedupe_seconds)}"
    return [f"compile: {', '.join(texts)}{saved if account.shared else ''}"]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned text with a head; numbers to the right, None as a dash."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_text(row.get(name)) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    numeric = [
        all(isinstance(row.get(name), int | float | None) for row in rows) for name in columns
    ]

    def line(texts: Sequence[str]) -> str:
        parts = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), *map(line, cells)])


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else label_of(value, _LONGEST_CELL)

"""An audit in, its findings in words out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from explorer.artifacts.audited import (
    AuditStatus,
    EagerOutcome,
    GuardAudit,
    Intervals,
    SignatureGroup,
    Violation,
)

_MOST_INTERVALS = 6


def report(audit: GuardAudit) -> str:
    """What the graph is right for, what violates which condition, and what is not known."""
    lines = [_domain_line(audit), *_valid_lines(audit)]
    lines += [_violation_line(each) for each in audit.violations]
    if audit.eager_fails:
        lines.append(f"eager fails too at {intervals_text(audit.eager_fails)}")
    lines += [_group_line(audit, each) for each in audit.groups]
    if audit.not_known:
        lines.append(f"not known at {intervals_text(audit.not_known)}")
    lines += [f"not known: {reason}" for reason in audit.unknown]
    lines += [f"note: {note}" for note in audit.notes]
    if audit.replay is not None and not audit.replay.agrees:
        lines.append(
            "replay: the questions of the trace are answered otherwise at "
            f"{audit.replay.stricter_points:,} valid points, and alike at "
            f"{audit.replay.laxer_points:,} points that a condition rejects"
        )
    return "\n".join(lines)


def intervals_text(intervals: Intervals) -> str:
    """``2-3, 5-8192``; the first ones when there are many."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in intervals]
    if len(texts) <= _MOST_INTERVALS:
        return ", ".join(texts) or "none"
    count = sum(last - first + 1 for first, last in intervals)
    steps = {after[0] - before[0] for before, after in itertools.pairwise(intervals)}
    if all(first == last for first, last in intervals) and len(steps) == 1:
        return f"{texts[0]}..{texts[-1]} step {steps.pop()} ({count:,} sizes)"
    return f"{', '.join(texts[:_MOST_INTERVALS])}, ... ({count:,} sizes)"


def _domain_line(audit: GuardAudit) -> str:
    parts = [f"{name} = {first}-{last}" for name, (first, last) in audit.domain.items()]
    return f"audit of {', '.join(parts) or 'no dimension'}: {audit.status.value}, {audit.coverage}"


def _valid_lines(audit: GuardAudit) -> list[str]:
    if audit.status is AuditStatus.UNKNOWN:
        return ["no size is known to be valid"]
    lines = []
    if audit.valid is not None:
        lines.append(f"right for {audit.dimensions[0]} = {intervals_text(audit.valid)}")
    for each in audit.settled:
        said = "the same graph" if each.difference is None else f"another graph: {each.difference}"
        sizes = dict.fromkeys(each.names, 1) | dict(each.others)
        lines.append(f"a capture at {_point(sizes)} gives {said}")
    return lines


def _violation_line(violation: Violation) -> str:
    place = f"{violation.site}: {violation.site.text}: " if violation.site else ""
    where = f"{violation.points:,} points, such as {_point(violation.example)}"
    if violation.dimension is not None:
        where = f"{violation.dimension} = {intervals_text(violation.intervals)}"
    return f"{place}{violation.guard.text} does not hold at {where}"


def _group_line(audit: GuardAudit, group: SignatureGroup) -> str:
    texts = " and ".join(audit.guards[index].text for index in group.signature)
    where = intervals_text(group.intervals) if group.intervals else f"{group.points:,} points"
    ran = ", ".join(_point(probe.sizes) for probe in group.probes[:4])
    presumed = ", the rest presumed" if group.is_presumed else ""
    if group.eager is EagerOutcome.NOT_KNOWN:
        return f"not {texts}: {where}; eager is not known: {group.probes[0].problem}"
    return f"not {texts}: {where}; eager {group.eager.value} (run at {ran}{presumed})"


def _point(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sizes.items())

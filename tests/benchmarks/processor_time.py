"""Processor seconds; without torch, so that importing torch can be counted."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """User and system time of this process and of the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)

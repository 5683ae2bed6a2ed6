"""What is recorded of a trace, and how it is said of a call that was written again."""

from __future__ import annotations

import dataclasses
from types import CodeType, SimpleNamespace
from typing import Any

from explorer.torch_private.recorder import AskedBy, RawEvaluation, Recording
from explorer.torch_private.repeats.calls import Another, Log
from explorer.torch_private.traced_code import TracedCalls


def logs_of(calls: TracedCalls, recording: Recording) -> tuple[Log, ...]:
    """The lists that a trace fills.

    Conditions on sizes are not among them: those of another call are known already, as are the
    results of functions that became constants and the environment variables that were read.

    Args:
        calls: the functions that the trace looked into.
        recording: the questions about sizes.
    """
    return (
        Log(calls.calls, lambda entry: True, _call),
        Log(recording.evaluations, _is_asked_again, _evaluation),
    )


def _is_asked_again(entry: RawEvaluation) -> bool:
    """Torch remembers what the operators of one call made, and does not ask for the next."""
    return entry.asker.kind is not AskedBy.OPERATOR


def _call(
    entry: tuple[CodeType, Any, Any], another: Another
) -> tuple[CodeType, Any, Any] | None:
    """The function of another call; None where it is the very same, which is recorded once."""
    code, variable, source = entry
    if source is None or another.sources.renamed(source) is source:
        return None
    function = another.sources.value(source)
    if function is getattr(variable, "fn", None) or getattr(function, "__code__", None) is not code:
        return None
    return code, SimpleNamespace(fn=function), another.sources.renamed(source)


def _evaluation(entry: RawEvaluation, another: Another) -> RawEvaluation:
    return dataclasses.replace(
        entry,
        guards_before=entry.guards_after,
        seen_before=True,
        user_stack=another.user_stack(entry.user_stack),
    )


__all__ = ["logs_of"]

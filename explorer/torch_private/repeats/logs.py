"""What is recorded of a trace, and how it is said of a call that was written again."""

from __future__ import annotations

import dataclasses
from types import CodeType, FunctionType, SimpleNamespace
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


def _call(entry: tuple[CodeType, Any, Any], another: Another) -> tuple[CodeType, Any, Any] | None:
    """The function of another call; None where it is found at the same place."""
    code, variable, source = entry
    if source is None:
        return None
    place = another.sources.renamed(source)
    if place is source:
        return None
    function = another.sources.value(source)
    if isinstance(function, FunctionType) and function.__code__ is code:
        variable = SimpleNamespace(fn=function)  # of its own, with another closure
    return code, variable, place


def _evaluation(entry: RawEvaluation, another: Another) -> RawEvaluation:
    return dataclasses.replace(
        entry,
        guards_before=entry.guards_after,
        seen_before=True,
        user_stack=another.user_stack(entry.user_stack),
    )


__all__ = ["logs_of"]

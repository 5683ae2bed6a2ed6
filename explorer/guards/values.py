"""Conditions on Python values: arguments, attributes, globals, dtypes, settings of the thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy

from explorer.artifacts import GuardOrigin, GuardRecord, UserTensor
from explorer.artifacts.common import Expression
from explorer.guards.places import user_frames
from explorer.guards.user_words import in_user_words, is_argument
from explorer.torch_private.value_guards import RawValueGuard


def value_records(
    guards: Iterable[RawValueGuard],
    user_inputs: Iterable[UserTensor],
    thread_state: Iterable[tuple[str, Any]],
) -> tuple[GuardRecord, ...]:
    """One record per condition on a Python value, those of the call's arguments first.

    Args:
        guards: Dynamo's.
        user_inputs: the tensors of the call, for their dtypes and devices.
        thread_state: settings of the thread, as (name, value).
    """
    found = [record for guard in guards for record in _records(guard)]
    found.sort(key=lambda record: record.expression is None)
    for tensor in user_inputs:
        for kind, value in (("dtype", tensor.dtype), ("device", tensor.device)):
            source = f"{tensor.path}.{kind}"
            found.append(_plain_record(source, f"{source} == {value}", value))
    for name, value in thread_state:
        is_off = isinstance(value, tuple) and all(each is None for each in value)
        found.append(
            _plain_record(name, f"{name} is off" if is_off else f"{name} == {value}", value)
        )
    return tuple(found)


def _plain_record(source: str, text: str, value: object) -> GuardRecord:
    return GuardRecord(None, text, GuardOrigin.VALUE, sources=(source,), value=value)


def _records(guard: RawValueGuard) -> list[GuardRecord]:
    if guard.kind == "GRAD_MODE":
        return [_plain_record("grad mode", "gradients are not computed", False)]
    if guard.kind in ("DICT_CONTAINS", "DICT_NOT_CONTAINS") and not guard.code:
        return []  # that an object has the attributes of its class
    stack = user_frames(guard.user_stack)
    source = in_user_words(guard.name)
    return [
        GuardRecord(
            _int_condition(guard, source),
            code,
            GuardOrigin.VALUE,
            location=stack[-1] if stack else None,
            sources=(source,),
            user_stack=stack,
            value=guard.value,
        )
        for code in map(in_user_words, guard.code or (f"{guard.kind} of {guard.name}",))
        if "___" not in code and "_dynamo_" not in code  # torch's own helpers and marks
    ]


def _int_condition(guard: RawValueGuard, source: str) -> Expression | None:
    """``k == 5`` over an integer symbol of the argument's name, for an int argument."""
    if not is_argument(guard.name) or type(guard.value) is not int:
        return None
    if guard.kind not in ("CONSTANT_MATCH", "EQUALS_MATCH"):
        return None
    return sympy.Eq(int_symbol(source), guard.value)


def int_symbol(name: str) -> Expression:
    """The symbol that stands for an int argument in conditions."""
    return sympy.Symbol(name, integer=True)

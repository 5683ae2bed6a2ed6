"""Dynamo's guards on Python values, as plain records that hold no live object.

Private names used (torch 2.13.0): the fields of ``GuardFilterEntry`` (``name``, ``guard_type``,
``value``, ``orig_guard.code_list``, ``orig_guard.user_stack``).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

_TELLING = frozenset(
    {
        "CONSTANT_MATCH",
        "EQUALS_MATCH",
        "HASATTR",
        "SEQUENCE_LENGTH",
        "DICT_KEYS_MATCH",
        "DICT_CONTAINS",
        "DICT_NOT_CONTAINS",
        "BOOL_MATCH",
        "NONE_MATCH",
        "GRAD_MODE",
    }
)
"""Kinds that say something of the user's values; the others are about torch's own objects."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


@dataclass(frozen=True, eq=False)
class RawValueGuard:
    """One condition on a Python value.

    Attributes:
        name: where the value is found, over ``L`` (the call's arguments) and ``G`` (globals);
            empty for a mode of torch.
        kind: Dynamo's name of the test.
        code: the tests as Dynamo writes them: ``("L['k'] == 5",)``.
        value: the value at capture where it is a number, a text, None, a dtype or a device, else
            its type.
        user_stack: the user's frames, outermost first, where known.
    """

    name: str
    kind: str
    code: tuple[str, ...]
    value: Any
    user_stack: traceback.StackSummary | None


def plain_records(entries: Iterable[Any]) -> tuple[RawValueGuard, ...]:
    """The telling ones of Dynamo's entries, without repeats.

    Args:
        entries: what a ``guard_filter_fn`` is given.
    """
    found: dict[tuple[Any, ...], RawValueGuard] = {}
    for entry in entries:
        if entry.guard_type not in _TELLING or entry.name.startswith("G['torch']"):
            continue
        guard = entry.orig_guard
        code = tuple(guard.code_list or ())
        # An attribute of a module arrives as EQUALS_MATCH and again as CONSTANT_MATCH.
        key = (guard.name, code or entry.guard_type)
        if key not in found:
            value = entry.value if isinstance(entry.value, _PLAIN) else type(entry.value)
            found[key] = RawValueGuard(guard.name, entry.guard_type, code, value, guard.user_stack)
    return tuple(found.values())


__all__ = ["RawValueGuard", "plain_records"]

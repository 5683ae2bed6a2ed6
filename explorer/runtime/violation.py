"""A guard of Dynamo's that failed: what it says in the user's words, and what the call has there.

``L['self'].scale == 2  # return x * self.scale  # model.py:7 in forward`` becomes the condition
``self.scale == 2``, the line, and the value that ``self.scale`` has now.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from explorer.artifacts.common import SourceLocation
from explorer.errors import GuardViolation
from explorer.guards.user_words import in_user_words
from explorer.intermediate_tensors import STEP_INSIDE, IntermediateTensors

_TYPE = re.compile(r"___check_type_id\((.*), \d+\), type=<class '(.*)'>")
_OBJECT = re.compile(r"___check_obj_id\((.*?), \d+\)(?:, type=.*)?")
_COMPARED = re.compile(r"(.*?) (?:==|is not|is|!=) (.*)")
_CONTAINS = re.compile(r"(not )?___dict_contains\('(.*)', (.*)\)")
_LENGTH = re.compile(r"(len\(.*\)) != (\d+)")
_ITEM_OF_LIST = re.compile(r"(list\(.*\))\[\d+\] == .*")
_PLACE = re.compile(r"(.*)# (\S.*?):(\d+) in (.*)")
_SENTENCES = {
    "Duplicate tensor found": "no two of its tensors are one object",
    "___check_torch_function_mode_stack": (
        "no mode such as a default device is active that was not active in the capture"
    ),
}
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class FailedGuard:
    """One condition on a Python value that does not hold.

    Attributes:
        condition: in the user's words.
        source: Dynamo's name of what it is about; empty when that is not known.
        accepted: the values for which the graph is right, in words.
        location: ``file:line`` that read the value, or None.
        text: that line.
    """

    condition: str
    source: str
    accepted: str
    location: str | None
    text: str


def parse_failed_guard(reason: str) -> FailedGuard:
    """The parts of a failed guard, as Dynamo words it."""
    test, _, rest = reason.partition("  # ")
    test = " ".join(test.split())
    place = _PLACE.fullmatch(f"{rest.strip()}")
    location = f"{place[2]}:{place[3]}" if place else None
    text = " ".join(place[1].split()) if place else ""
    condition, source, accepted = _parts(test)
    return FailedGuard(condition, source, accepted, location, text)


def _parts(test: str) -> tuple[str, str, str]:
    """The condition in words, what it is about, what it accepts."""
    for beginning, words in _SENTENCES.items():
        if test.startswith(beginning):
            return words, "", words
    if found := _TYPE.fullmatch(test):
        name = found[2].removeprefix("builtins.").removeprefix(f"{IntermediateTensors.__module__}.")
        kind = f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
        return f"{in_user_words(found[1])} is {kind}", found[1], kind
    if found := _OBJECT.fullmatch(test):
        same = "the object of the capture"
        return f"{in_user_words(found[1])} is {same}", found[1], same
    if STEP_INSIDE in test and (found := _CONTAINS.fullmatch(test)):
        return in_user_words(test), "", in_user_words(test)
    if found := _CONTAINS.fullmatch(test):
        owner = in_user_words(found[3].removesuffix(".__dict__"))
        has = "has no attribute" if found[1] else "has an attribute"
        return f"{owner} {has} {found[2]!r}", "", f"an object that {has} {found[2]!r}"
    if found := _LENGTH.fullmatch(test):  # torch names what it found instead of what it wants
        test = f"{found[1]} == {found[2]}"
    if found := _COMPARED.fullmatch(test):
        source = found[1]
        return in_user_words(test), source, in_user_words(found[2])
    return in_user_words(test), "", in_user_words(test)


def value_now(source: str, scope: Mapping[str, Any], global_scope: Mapping[str, Any]) -> str | None:
    """What is at a source of Dynamo's in this call, as text, or None when it cannot be told.

    Args:
        source: such as ``L['self'].scale`` or ``len(L['names'])``.
        scope: parameter and closure names -> values.
        global_scope: the globals of the traced function.
    """
    if not source:
        return None
    try:
        # Dynamo's own name of a value; it is what its guard evaluates.
        value = eval(source, {"__builtins__": _READERS}, {"L": scope, "G": global_scope})
    except Exception:  # a name with helpers of Dynamo's, or a value that is gone
        return None
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr that raises
        return f"a {type(value).__name__}"
    if len(text) > _LONGEST_VALUE or " at 0x" in text:
        return f"a {type(value).__name__}" if not callable(value) else "another function"
    return text


_READERS = {name: getattr(builtins, name) for name in ("len", "list", "dict", "type", "tuple")}


def state_violation(
    reason: str,
    scope: Mapping[str, Any],
    global_scope: Mapping[str, Any],
    known: Mapping[str, SourceLocation | None],
    *,
    receiver: str = "",
) -> GuardViolation:
    """The error for a condition on model state or Python values that does not hold.

    Args:
        reason: Dynamo's words, or a sentence of ours.
        scope: parameter and closure names -> values of this call.
        global_scope: the globals of the traced function.
        known: condition in the user's words -> the line that made it.
        receiver: name of the parameter that is the model; empty when none is.
    """
    failed = parse_failed_guard(reason)
    given = value_now(failed.source, scope, global_scope)
    if given is not None and given == failed.accepted:
        given = f"another {given}"  # two layer names of one text that stand for two layers
    place = _known_place(failed.condition, known)
    location = str(place) if place else failed.location  # torch shortens the path of the file
    text = place.text if place else failed.text
    read_by = f", read at {location}: {text}" if location else ""
    now = f" Now it is {given}." if given else ""
    policy = "with guard_policy=GuardPolicy.VARIANTS"
    variants = ""
    if given:
        variants = f", or have a graph captured for each value {policy}"
    elif receiver and f"L['{receiver}']" in reason:  # such as an attribute that was not there
        variants = (
            f". If the model changes it in a call, have a graph captured for each state {policy}"
        )
    return GuardViolation(
        "Something that the captured graph relies on has changed: it holds only where "
        f"{failed.condition}{read_by}.{now} Set it back, or compile the model again"
        f"{variants}.",
        guard=failed.condition,
        source_line=location,
        given=given or "another value",
        accepted=failed.accepted,
    )


def _known_place(
    condition: str, known: Mapping[str, SourceLocation | None]
) -> SourceLocation | None:
    """The user's line of a condition; torch tests ``list(d) == [...]`` name by name."""
    item = _ITEM_OF_LIST.fullmatch(condition)
    if item is None or condition in known:
        return known.get(condition)
    return next((known[text] for text in known if text.startswith(f"{item[1]} == ")), None)


__all__ = ["FailedGuard", "parse_failed_guard", "state_violation", "value_now"]

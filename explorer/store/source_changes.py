"""Records of a capture's functions and the live ones in; what changed out, in words."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.store.code_text import Part
from explorer.store.functions import name_of_function
from explorer.store.places import Live, NotFound, resolve
from explorer.store.source_digest import (
    ENVIRONMENT,
    OWN_METHODS,
    SCHEMA_OF,
    VALUE_AT,
    details_of,
    digest_of,
    environment_part,
    method_names,
    names_alone,
    own_methods,
    value_at,
)


@dataclass(frozen=True)
class Change:
    """One function that is not what it was.

    Attributes:
        qualname: dotted name from the code.
        module: where it is defined.
        what: what changed, in a few words.
    """

    qualname: str
    module: str
    what: str

    def __str__(self) -> str:
        return f"{self.qualname} of {self.module}: {self.what}"


def changed(
    records: Sequence[TracedFunction],
    root: types.FunctionType,
    *,
    receiver: Any = None,
    arguments: Mapping[str, Any] | None = None,
    op: Callable[[str], Mapping[str, Any]] | None = None,
) -> tuple[Change, ...]:
    """The functions that are not what they were, or cannot be shown to be; empty when all are.

    Args:
        records: of a capture, its root first.
        root: the function in which a capture would start now.
        receiver: what that is bound to, or None.
        arguments: its other arguments by name.
        op: name of an op -> its Python functions by what they are for, and its ``schema``.
    """
    live = Live(root, receiver, arguments, op=op)
    comparison = _Comparison(records, live)
    found = [(record, comparison.differences(record)) for record in records]
    named = {record.qualname for record, differences in found if differences}
    changes: dict[Change, None] = {}
    for record, differences in found:
        told = [each for each in differences if each.about not in named]
        if told or any(each.about is None for each in differences):
            what = "; ".join(dict.fromkeys(each.what for each in told or differences))
            changes[Change(record.qualname, record.module, what)] = None
    return tuple(changes) or tuple(
        Change(record.qualname, record.module, each.what)
        for record, differences in found
        for each in differences
    )


@dataclass(frozen=True)
class _Difference:
    """One difference, and which function it is about where it only mentions one."""

    what: str
    about: str | None = None


class _Comparison:
    """Compares records with what is there now."""

    def __init__(self, records: Sequence[TracedFunction], live: Live) -> None:
        self._traced = names_alone((record.module, record.qualname) for record in records)
        self._method_names = method_names(record.qualname for record in records)
        self._live = live
        self._root_module = records[0].module if records else ""
        now = name_of_function(live.root)[0]
        if now != self._root_module:  # its file has another name
            moved = {(now, name) for module, name in self._traced if module == self._root_module}
            self._traced |= moved
        self._details: dict[tuple[int, FunctionRole], tuple[tuple[Part, ...], Any]] = {}

    def differences(self, record: TracedFunction) -> list[_Difference]:
        """Between one record and the functions at its places."""
        if record.unknown:
            names = ", ".join(record.unknown)
            return [_Difference(f"not known whether {names} changed")]
        try:
            functions = self._functions(record)
        except NotFound as error:
            return [_Difference(f"missing: {error}")]
        found: dict[_Difference, None] = {}
        for function in functions:
            found |= dict.fromkeys(self._between(record, function))
        return list(found)

    def _functions(self, record: TracedFunction) -> list[types.FunctionType]:
        if record.places:
            functions = [self._live.function_at(place) for place in record.places]
            return list({id(each): each for each in functions}.values())
        is_of_root = record.module == self._root_module
        scope = self._live.root.__globals__ if is_of_root else None
        return [resolve(record.module, record.qualname, scope=scope)]

    def _between(self, record: TracedFunction, function: types.FunctionType) -> list[_Difference]:
        key = (id(function), record.role)
        if key not in self._details:
            self._details[key] = details_of(function, record.role, self._traced)
        details, unknown = self._details[key]
        if unknown:
            return [_Difference(f"not known whether {', '.join(unknown)} changed")]
        parts = (*details, *self._more(record))
        if digest_of(parts) == record.digest:
            return []
        before, now = dict(record.details), dict(parts)
        module, qualname = name_of_function(function)
        if qualname != record.qualname or ("library" in now) != ("library" in before):
            return [_Difference(f"{qualname} of {module} is in its place")]
        return _differences(before, now)

    def _more(self, record: TracedFunction) -> Iterator[Part]:
        """What is to be compared beside the function."""
        for name, _ in record.details:
            if name == OWN_METHODS:
                yield own_methods(self._live.receiver, self._method_names)
            elif name.startswith(VALUE_AT):
                yield value_at(name.removeprefix(VALUE_AT), self._live)
            elif name.startswith(ENVIRONMENT):
                yield environment_part(name.removeprefix(ENVIRONMENT))
            elif name.startswith(SCHEMA_OF):
                op = name.removeprefix(SCHEMA_OF)
                try:
                    yield name, str(self._live.at(f"op({op!r})['schema']"))
                except NotFound:
                    yield name, "not there"


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[_Difference]:
    """In words; where code differs, that it reads other things goes without saying."""
    labels = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    code = [name for name in labels if name.split(" ")[0] == "code"]
    if code:
        inside = [name.removeprefix("code of ") for name in code if name != "code"]
        return [_Difference("code" if "code" in code else f"code of {inside[0]} in it")]
    return [_difference(name, before.get(name), now.get(name)) for name in labels]


def _difference(name: str, before: str | None, now: str | None) -> _Difference:
    what, _, rest = name.partition(" ")
    if what == "constant":
        _, _, inside = rest.partition(" ")
        name = f"a constant {inside}".strip()
    function = _function_that_differs(before or "", now or "")
    if function is not None:
        return _Difference(f"{name}: what {function} does", function)
    return _Difference(f"{name} {before or 'not there'} -> {now or 'not there'}")


_FUNCTION = re.compile(r"function (\S+) ([0-9a-f]{16})")


def _function_that_differs(before: str, now: str) -> str | None:
    """``helper`` where two texts differ by no more than what a function that they name does."""
    if _FUNCTION.sub(r"\1", before) != _FUNCTION.sub(r"\1", now):
        return None
    pairs = zip(_FUNCTION.findall(before), _FUNCTION.findall(now), strict=True)
    return next((was[0] for was, is_now in pairs if was != is_now), None)


__all__ = ["Change", "changed"]

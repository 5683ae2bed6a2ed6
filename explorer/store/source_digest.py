"""Functions in, records that tell what they do out; later, which of them changed.

A record is made of the code in memory and of what it reads, never of a source file
(``code_text``, ``value_text``). Functions of torch and of Python's own library count by name and
version, since both versions are in every key: taking their code apart would cost more than
everything else here. Installed packages count by their code where they were traced, because people
edit them in place, and by name and version where they are only mentioned.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.store.code_text import Part, sha256
from explorer.store.functions import (
    NameOf,
    is_library,
    is_module,
    name_of_function,
    version_text,
)
from explorer.store.places import Live, NotFound
from explorer.store.value_text import Reader, Unread

OWN_METHODS = "methods of single modules"
"""Name of a detail of the root: which modules have a method that is not of their class."""

VALUE_AT = "value at "
"""Begins the name of a detail of the root: a value that counts by what it is, and its place."""

SCHEMA_OF = "schema of "
"""Begins the name of a detail that says how an op is called; the name of the op follows."""


ENVIRONMENT = "environment variable "
"""Begins the name of a detail of the root: a variable that was read; its name follows."""


@dataclass(frozen=True)
class Found:
    """A function that belongs to a capture.

    Attributes:
        function: the function, a ``FunctionType``; a checker would take a field of that type for a
            method.
        role: what it has to do with the graph.
        places: where it was found.
        more: parts that its code does not tell: the schema of its op.
        unknown: what cannot be told about it.
    """

    function: Any
    role: FunctionRole = FunctionRole.TRACED
    places: tuple[str, ...] = ()
    more: tuple[Part, ...] = ()
    unknown: tuple[str, ...] = ()


def recorded(found: Iterable[Found]) -> tuple[TracedFunction, ...]:
    """A record for each function, in order."""
    found = tuple(found)
    traced = names_alone(name_of_function(each.function) for each in found)
    return tuple(_record(each, traced) for each in found)


def names_alone(names: Iterable[NameOf]) -> frozenset[NameOf]:
    """Those that stand for one function: a function made inside another shares its name."""
    return frozenset(name for name in names if "<" not in name[1])


def _record(found: Found, traced: frozenset[NameOf]) -> TracedFunction:
    module, qualname = name_of_function(found.function)
    details, unknown = details_of(found.function, found.role, traced)
    details = (*details, *found.more)
    return TracedFunction(
        module=module,
        qualname=qualname,
        role=found.role,
        digest=digest_of(details),
        details=details,
        places=found.places,
        unknown=tuple(dict.fromkeys((*unknown, *found.unknown))),
    )


def digest_of(details: Sequence[Part]) -> str:
    """64 hex digits for the details of one function."""
    return sha256(repr(tuple(details)))


def method_names(qualnames: Iterable[str]) -> frozenset[str]:
    """``forward`` of ``Model.forward``."""
    return frozenset(name.rpartition(".")[2] for name in qualnames if "." in name)


def own_methods(receiver: Any, names: frozenset[str]) -> Part:
    """Where a module's own attribute hides a method of its class, as one detail of the root.

    Dynamo names such a method by the class, once for all instances.

    Args:
        receiver: what the root is bound to; anything but a module has none.
        names: methods that count.
    """
    modules = receiver.named_modules() if is_module(receiver) else ()
    found = [
        f"{path}.{name}".strip(".")
        for path, module in modules
        for name in sorted(names & vars(module).keys())
        if callable(vars(module)[name]) and hasattr(type(module), name)
    ]
    return OWN_METHODS, ", ".join(found) or "none"


def value_at(place: str, live: Live) -> Part:
    """A member of an Enum, or a class, at a place, as one detail of the root."""
    reader = Reader(name_of_function(live.root)[0], frozenset(), Unread.BY_CLASS)
    try:
        return f"{VALUE_AT}{place}", reader.text(live.at(place), place)
    except NotFound:
        return f"{VALUE_AT}{place}", "not there"


def environment_part(name: str) -> Part:
    """What an environment variable holds, as one detail of the root; as a digest: it may be secret.

    Args:
        name: of the variable.
    """
    value = os.environ.get(name)
    return f"{ENVIRONMENT}{name}", "not there" if value is None else sha256(value)[:12]


def details_of(
    function: types.FunctionType, role: FunctionRole, traced: frozenset[NameOf]
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """What a function does, and what is not known of it.

    Args:
        function: the function.
        role: what it has to do with a graph.
        traced: functions that have a record of their own.
    """
    module, qualname = name_of_function(function)
    if is_library(module):
        return (("library", f"{module}.{qualname} of {version_text(module)}"),), ()
    unread = Unread.NOT_KNOWN if role is FunctionRole.FAKE else Unread.BY_CLASS
    reader = Reader(module, traced, unread)
    try:
        return reader.function_parts(function), tuple(reader.unknown)
    except Exception as error:  # of an object of the user's; a capture does not fail for it
        return (), (f"what {qualname} reads ({type(error).__name__})",)


__all__ = [
    "ENVIRONMENT",
    "OWN_METHODS",
    "SCHEMA_OF",
    "VALUE_AT",
    "Found",
    "details_of",
    "digest_of",
    "environment_part",
    "method_names",
    "names_alone",
    "own_methods",
    "recorded",
    "value_at",
]

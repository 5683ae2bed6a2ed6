"""A value that code reads in; a text out that is equal in every process where the value is.

No text holds an address, a file name or what differs from process to process. Values of torch are
known by the names of their types, so that nothing here imports it.
"""

from __future__ import annotations

import argparse
import functools
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any

from explorer.store.attributes import followed
from explorer.store.code_text import Part, code_parts, constant_text, reads_of, sha256, short
from explorer.store.functions import (
    NOTHING,
    NameOf,
    content,
    function_in,
    is_function,
    is_installed,
    is_library,
    is_module,
    is_of,
    name_of_function,
    version_text,
)

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice)
_TORCH_TEXT = ("dtype", "device", "layout", "memory_format", "Size", "Tag")
_ITEMS = 1000
_DEPTH = 8


class Unread(Enum):
    """What is said of an object whose attributes have no text."""

    BY_CLASS = "by class"
    """Its class: the code was traced, so what it read of the object is a condition of the trace."""
    NOT_KNOWN = "not known"
    """That nothing is known of it."""


class Reader:
    """Reads what one function depends on.

    Attributes:
        unknown: places of values of which nothing is known, in the order in which they were met.
    """

    def __init__(self, home: str, traced: frozenset[NameOf], unread: Unread) -> None:
        """Reads for a function.

        Args:
            home: its module, which texts do not name, so that a module may be renamed.
            traced: functions that have a record of their own and are only named here; each name
                stands for one.
            unread: what is said of an object without a text.
        """
        self._home = home
        self._traced = traced
        self._unread = unread
        self._open: dict[int, int] = {}  # id of what is being read -> its number
        self.unknown: list[str] = []

    def function_parts(self, function: types.FunctionType, place: str = "") -> tuple[Part, ...]:
        """Code, defaults, closure values and globals, each as (what, its text).

        Args:
            function: the function.
            place: before the names of what is not known.
        """
        code = function.__code__
        parts = list(code_parts(code))
        defaults = function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        given = [
            *zip(names, defaults, strict=True),
            *sorted((function.__kwdefaults__ or {}).items()),
        ]
        for name, value in given:
            parts.append((f"default of {name}", self.text(value, f"{place}default of {name}")))
        reads = reads_of(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        closure = {name: content(cell) for name, cell in cells.items()}
        parts += self._read("closure value", closure, reads.of_closure, place)
        known = function.__globals__
        of_globals = [chain for chain in reads.of_globals if not _is_builtin(chain[0], known)]
        return (*parts, *self._read("global", known, of_globals, place))

    def _read(
        self, kind: str, scope: Mapping[str, Any], chains: Any, place: str
    ) -> tuple[Part, ...]:
        found: dict[str, str] = {}
        for chain in chains:
            value = scope.get(chain[0], NOTHING)
            value, chain = followed(value, chain)
            label = f"{kind} {'.'.join(chain)}"
            if label not in found:
                found[label] = self.text(value, place + ".".join(chain))
        return tuple(sorted(found.items()))

    def text(self, value: Any, place: str) -> str:
        """The text of any value.

        Args:
            value: the value.
            place: what to call it if nothing is known of it.
        """
        if value is NOTHING:
            return "not there"
        if type(value) in _PLAIN:
            return short(constant_text(value))
        if isinstance(value, Enum):
            inner = self.text(value.value, place)
            return f"{self._class(type(value))}.{value._name_} = {inner}"
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, type):
            return f"class {self._class(value)}"
        if is_function(value):
            return self._function(function_in(value), place)
        known = _library_text(value)
        if known is not None:
            return known
        if id(value) in self._open:
            return f"again {self._open[id(value)]}"
        if len(self._open) > _DEPTH:
            return self._not_known(value, place)
        self._open[id(value)] = len(self._open)
        try:
            return self._compound(value, place)
        finally:
            del self._open[id(value)]

    def _compound(self, value: Any, place: str) -> str:
        if isinstance(value, functools.partial):
            given = self.text((value.args, value.keywords), place)
            return f"partial of {self.text(value.func, place)} with {given}"
        if isinstance(value, types.MethodType):
            return f"{self.text(value.__func__, place)} of {self.text(value.__self__, place)}"
        if isinstance(value, property):
            return f"property {self.text((value.fget, value.fset), place)}"
        if isinstance(value, tuple | list | set | frozenset | dict):
            return self._container(value, place)
        kernel = (
            getattr(value, "fn", None)
            if str(type(value).__module__).startswith("triton.")
            else None
        )
        if kernel is not None:
            configs = [str(each) for each in getattr(value, "configs", ())]
            return f"kernel {self.text(kernel, place)} {configs}"
        return self._object(value, place)

    def _container(self, value: Any, place: str) -> str:
        if len(value) > _ITEMS:
            return self._not_known(value, place)
        kind = self._class(type(value))
        if isinstance(value, dict):
            pairs = [
                f"{self.text(key, place)}: {self.text(item, f'{place}[{key!r}]')}"
                for key, item in value.items()
            ]
            return short(f"{kind}({', '.join(pairs)})")
        items = [self.text(item, f"{place}[{at}]") for at, item in enumerate(value)]
        if isinstance(value, set | frozenset):
            items.sort()  # their order differs from process to process
        return short(f"{kind}({', '.join(items)})")

    def _object(self, value: Any, place: str) -> str:
        """Class and attributes.

        Of traced code the attributes that are numbers, texts or other objects are left out, since
        they may change from call to call; those that it read are conditions of the capture.
        """
        kind = type(value)
        is_plain = isinstance(value, types.SimpleNamespace | argparse.Namespace)
        attributes = getattr(value, "__dict__", None)
        if is_module(value) or attributes is None or (is_library(kind.__module__) and not is_plain):
            return self._not_known(value, place)
        if self._unread is Unread.BY_CLASS:
            attributes = {
                name: each
                for name, each in attributes.items()
                if isinstance(each, Enum | type) or is_function(each)
            }
        texts = [f"{n}={self.text(v, f'{place}.{n}')}" for n, v in sorted(attributes.items())]
        return short(f"{self._class(kind)}({', '.join(texts)})")

    def _not_known(self, value: Any, place: str) -> str:
        if self._unread is Unread.NOT_KNOWN:
            self.unknown.append(place)
        return f"a {self._class(type(value))}"

    def _function(self, function: types.FunctionType, place: str) -> str:
        module, qualname = name_of_function(function)
        named = f"function {self._name(module, qualname)}"
        if (module, qualname) in self._traced or is_library(module) or is_installed(module):
            return named
        if id(function) in self._open:
            return f"{named} again"
        self._open[id(function)] = len(self._open)
        try:
            if len(self._open) > _DEPTH:
                return self._not_known(function, place)
            parts = self.function_parts(function, f"{place}: ")
        finally:
            del self._open[id(function)]
        return f"{named} {sha256(repr(parts))[:16]}"

    def _class(self, kind: type) -> str:
        return self._name(kind.__module__, kind.__qualname__)

    def _name(self, module: str, qualname: str) -> str:
        if module in (self._home, "builtins"):
            return qualname
        version = f" ({version_text(module)})" if is_installed(module) else ""
        return f"{module}.{qualname}{version}"


def _library_text(value: Any) -> str | None:
    """Values of torch, numpy and C, of which a name or a form says all; None for others."""
    kind = type(value)
    if is_of(value, "torch", "Tensor"):  # data, like a weight: an input of the graph
        return f"tensor {value.dtype} {tuple(value.shape)} {value.device}"
    if kind.__module__ == "torch" and kind.__name__ in _TORCH_TEXT:
        return str(value)
    if kind.__module__ == "torch._ops":
        return f"op {value}"
    if kind.__module__ == "numpy" and hasattr(value, "dtype"):
        return f"numpy {value.dtype} {value.shape if value.shape else repr(value.item())}"
    if isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType):
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, type | types.ModuleType):
            return f"function {getattr(value, '__module__', None)}.{value.__qualname__}"
    return None


def _is_builtin(name: str, known: Mapping[str, Any]) -> bool:
    builtins = known.get("__builtins__", {})
    builtins = builtins if isinstance(builtins, dict) else vars(builtins)
    return name not in known and name in builtins


__all__ = ["Reader", "Unread"]

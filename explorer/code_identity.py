"""A text for a function, object or plain value that changes when what it does changes.

It is made of what runs, the byte code, not of source files: a file that was edited but not loaded
again would say something else, and a class of a notebook cell has no file.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch

from explorer.store.code_text import code_parts, reads_of
from explorer.store.functions import NOTHING, content
from explorer.torch_private import ops

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_BY_TEXT = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_NO_BEHAVIOUR = frozenset(
    (
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__hash__"),
        *("__annotations__", "__parameters__", "__orig_bases__", "__slots__", "__match_args__"),
        *("__abstractmethods__", "_abc_impl", "_is_protocol"),
        *("__dataclass_params__", "__dataclass_fields__"),
        *("__static_attributes__", "__firstlineno__"),
    )
)


class NoIdentityError(Exception):
    """A value without a text that says all; the message says which and where."""


def identity_of(value: Any) -> str:
    """A sha256 digest, 64 hex digits; equal in every process that runs the same code.

    Of a function count its code, its defaults, what it closes over, and the helper functions and
    constants of its own module that it names. Of an object count its class and its attributes.

    Raises:
        NoIdentityError: something in it has no text: an open file, a tensor, an object of C.
    """
    return hashlib.sha256(_Reader().text(value, "it").encode()).hexdigest()


class _Reader:
    """Reads one value; what it meets again, a function that calls itself say, is named only."""

    def __init__(self) -> None:
        self.number_of: dict[int, int] = {}
        self.kept_alive: list[Any] = []  # a number is for one object as long as that lives

    def text(self, value: Any, place: str) -> str:
        """Args: the value, and where it was found, for the error."""
        if isinstance(value, Enum):
            return f"{type(value).__qualname__}.{value.name}"
        if value is NOTHING:  # a cell that is not filled yet
            return "nothing"
        if type(value) in _PLAIN:
            return repr(value)
        if isinstance(value, _BY_TEXT):
            return str(value)
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, tuple | list | set | frozenset | dict):
            return self._container(value, place)
        if id(value) in self.number_of:
            return f"again {self.number_of[id(value)]}"
        self.number_of[id(value)] = len(self.number_of)
        self.kept_alive.append(value)
        if isinstance(value, type):
            return f"class {value.__module__}.{value.__qualname__}"
        return self._object(value, place)

    def _container(self, value: Any, place: str) -> str:
        if isinstance(value, dict):
            pairs = [
                f"{self.text(key, place)}: {self.text(item, f'{place}[{key!r}]')}"
                for key, item in value.items()
            ]
            return f"dict({', '.join(pairs)})"
        items = [self.text(item, place) for item in value]
        if isinstance(value, set | frozenset):
            items.sort()  # their order differs from process to process
        return f"{type(value).__name__}({', '.join(items)})"

    def _object(self, value: Any, place: str) -> str:
        if isinstance(value, types.FunctionType):
            return self._function(value, place)
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return f"partial({self.text(parts, place)})"
        if isinstance(value, types.MethodType):
            return f"method({self.text((value.__func__, value.__self__), place)})"
        if isinstance(value, property):
            return f"property({self.text((value.fget, value.fset), place)})"
        if isinstance(value, staticmethod | classmethod):
            return f"{type(value).__name__}({self.text(value.__func__, place)})"
        if _is_one_of_its_name(value):
            return str(value) if ops.is_operator(value) else value.__qualname__
        if dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
            return self._instance(value, place)
        raise NoIdentityError(f"{place} is a {type(value).__qualname__}")

    def _instance(self, value: Any, place: str) -> str:
        kind = type(value)
        if kind.__module__.partition(".")[0] == "torch" or not hasattr(value, "__dict__"):
            raise NoIdentityError(f"{place} is a {kind.__qualname__}")
        own = {name: self.text(each, f"{place}.{name}") for name, each in vars(value).items()}
        return f"{self._class(kind, place)} with {sorted(own.items())}"

    def _class(self, kind: type, place: str) -> str:
        """What the classes of an object do, down to those of Python and of this package."""
        texts = []
        for base in kind.__mro__:
            if base.__module__.partition(".")[0] in ("builtins", "abc", "typing", "explorer"):
                texts.append(base.__qualname__)
                continue
            for name, value in sorted(vars(base).items()):
                if name not in _NO_BEHAVIOUR:
                    texts.append(f"{name} = {self.text(value, f'{place}.{name}')}")
        return f"object({', '.join(texts)})"

    def _function(self, function: types.FunctionType, place: str) -> str:
        if str(function.__module__).partition(".")[0] == "torch":  # its version is in every key
            return f"{function.__module__}.{function.__qualname__}"
        cells = [content(cell) for cell in function.__closure__ or ()]
        reads = reads_of(function.__code__)
        names = {chain[0] for chain in reads.of_globals} - reads.written
        parts = [
            str(code_parts(function.__code__)),
            self.text((function.__defaults__, function.__kwdefaults__), f"a default of {place}"),
            self.text(cells, f"what {place} closes over"),
        ]
        for name in sorted(names):
            parts.append(f"{name} is {self._global(function, name, place)}")
        return f"function({', '.join(parts)})"

    def _global(self, function: types.FunctionType, name: str, place: str) -> str:
        value = function.__globals__.get(name)
        is_own = getattr(value, "__module__", None) == function.__module__
        if isinstance(value, types.FunctionType) and is_own:
            return self.text(value, f"{name} of {place}")
        if type(value) in _PLAIN:
            return repr(value)
        # A list or an object of the module may change from call to call: its name has to do.
        return type(value).__qualname__


def _is_one_of_its_name(value: Any) -> bool:
    """Whether it is an operator of torch, or a function of C that belongs to no object."""
    if ops.is_operator(value):
        return True
    owner = getattr(value, "__self__", None)
    is_free = owner is None or isinstance(owner, type | types.ModuleType)
    return isinstance(value, types.BuiltinFunctionType) and is_free


def name_of(value: Callable[..., Any] | Any) -> str:
    """What messages call a function or an object."""
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)

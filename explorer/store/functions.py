"""Functions: their names, where they belong, and what is inside of methods and wrappers."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any, Final, cast

NameOf = tuple[str, str]
"""(module whose globals it reads, qualified name from the code) of a function."""

_OF_DATACLASS = "__create_fn__."
"""Begins the name that ``dataclass`` gives the code of what it writes; the function has its own."""

NOTHING: Final = object()
"""In the place of a value that is not there."""


def name_of_function(function: types.FunctionType) -> NameOf:
    """The name from its code: ``functools.wraps`` overwrites the function's own."""
    module = function.__globals__.get("__name__", "")
    name = function.__code__.co_qualname
    return str(module), function.__qualname__ if name.startswith(_OF_DATACLASS) else name


def is_library(module: str) -> bool:
    """Whether its version is in every key: torch, and what comes with Python."""
    top = module.partition(".")[0]
    return top in ("torch", "functorch", "torchgen") or top in sys.stdlib_module_names


def is_installed(module: str) -> bool:
    """Whether it belongs to a package that was installed, or to this one."""
    top = module.partition(".")[0]
    if top == "__main__":  # of a program that was installed, when that runs the user's code
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return top == "explorer" or "site-packages" in file or "dist-packages" in file


def version_text(module: str) -> str:
    """``torch 2.13.0`` for a module of torch; the name alone where it tells no version."""
    top = module.partition(".")[0]
    version = getattr(sys.modules.get(top), "__version__", "")
    return f"{top} {version}".strip()


def class_text(kind: type, home: str) -> str:
    """A class by its name, the names of all classes that it is made of, and of what they define.

    A method that a class gets later hides one that it had from another class, and code that went
    through that one says nothing of it.

    Args:
        kind: the class.
        home: a module that is not named, so that it may be renamed.
    """
    texts = []
    for each in kind.__mro__[:-1]:
        module = each.__module__
        name = each.__qualname__ if module == home else f"{module}.{each.__qualname__}"
        own = () if is_library(module) else sorted(vars(each).keys() - _OF_EVERY_CLASS)
        texts.append(f"{name} {', '.join(own)}")
    return " (".join(texts)


_OF_EVERY_CLASS = frozenset(
    {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"}
    | {"__static_attributes__", "__firstlineno__", "__annotate__", "_abc_impl"}
)
"""What Python puts into a class, or what does nothing."""


def is_of(value: Any, module: str, name: str) -> bool:
    """Whether its class is one of this name, or below it; for classes that are not imported."""
    return any(k.__name__ == name and k.__module__ == module for k in type(value).__mro__)


def content(cell: types.CellType) -> Any:
    """What is in a cell; a marker while nothing is."""
    try:
        return cell.cell_contents
    except ValueError:
        return NOTHING


def is_module(value: Any) -> bool:
    """Whether it is a ``torch.nn.Module``."""
    return is_of(value, "torch.nn.modules.module", "Module")


def is_function(value: Any) -> bool:
    """Whether a Python function does all that it does."""
    return isinstance(value, types.FunctionType | staticmethod | classmethod) or (
        type(value).__qualname__ == "_lru_cache_wrapper"
    )


def function_in(value: Any) -> types.FunctionType:
    """The function of a method, a class method, a partial, a property or a cached function.

    Raises:
        LookupError: there is none in it.
    """
    while not isinstance(value, types.FunctionType):
        inner = None
        if isinstance(value, types.MethodType | staticmethod | classmethod):
            inner = value.__func__
        elif isinstance(value, property):
            inner = value.fget
        elif isinstance(value, functools.partial | functools.cached_property):
            inner = value.func
        elif type(value).__qualname__ == "_lru_cache_wrapper":
            inner = cast(Any, value).__wrapped__
        if inner is None:
            raise LookupError(f"a {type(value).__qualname__} is no function")
        value = inner
    return value


__all__ = [
    "NOTHING",
    "NameOf",
    "class_text",
    "content",
    "function_in",
    "is_function",
    "is_installed",
    "is_library",
    "is_module",
    "is_of",
    "name_of_function",
    "version_text",
]

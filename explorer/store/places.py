"""Where a capture found a value, as text; what is there now.

A place is written as Dynamo writes it: ``L['self']._modules['act'].forward`` or
``G['helper'].__closure__[0].cell_contents``. It is read step by step and never evaluated: names,
attributes, items, and the few calls below.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from explorer.store.functions import content, function_in, name_of_function

_ALIAS = "__import_"
_BUILTINS = "__builtins_dict__"
_CALLS: Mapping[str, Callable[[Any], Any]] = {
    "type": type,
    "dict": dict,
    "list": list,
    "dict.keys": dict.keys,
}
_ITEM_CALLS = ("dict.__getitem__", "list.__getitem__", "tuple.__getitem__")
"""Dynamo writes them where a class of its own may have another ``__getitem__``."""


class NotFound(LookupError):
    """There is nothing at a place, or the place cannot be read."""


class Live:
    """The objects of this process, as the function that is to be traced, or was, sees them."""

    def __init__(
        self,
        root: types.FunctionType,
        receiver: Any = None,
        arguments: Mapping[str, Any] | None = None,
        *,
        op: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> None:
        """Looks from one function.

        Args:
            root: the function that a capture starts in.
            receiver: what it is bound to, or None.
            arguments: its other arguments by name, where places are to lead through them.
            op: name of an op -> the Python functions behind it, by what they are for.
        """
        code = root.__code__
        cells = zip(code.co_freevars, root.__closure__ or (), strict=True)
        local = {name: content(cell) for name, cell in cells} | dict(arguments or {})
        if receiver is not None and code.co_argcount:
            local[code.co_varnames[0]] = receiver
        self.root = root
        self.receiver = receiver
        self._names = {"L": local, "G": _Globals(root.__globals__), "root": root}
        self._op = op
        self._found: dict[str, Any] = {}

    def at(self, place: str) -> Any:
        """What is at a place now.

        Raises:
            NotFound: nothing is.
        """
        if place not in self._found:
            try:
                self._found[place] = self._value(ast.parse(place, mode="eval").body)
            except NotFound:
                raise
            except Exception as error:  # also of code of the user's, behind an attribute
                raise NotFound(f"{place}: {error}") from error
        return self._found[place]

    def function_at(self, place: str) -> types.FunctionType:
        """The function at a place, also of a method, a property or a partial there.

        Raises:
            NotFound: there is none.
        """
        try:
            return function_in(self.at(place))
        except NotFound:
            raise
        except LookupError as error:
            raise NotFound(f"{place}: {error}") from error

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._names[node.id]
            case ast.Attribute():
                return getattr(self._value(node.value), node.attr)
            case ast.Subscript():
                return self._value(node.value)[self._value(node.slice)]
            case ast.Call(args=[owner, key], keywords=[]):
                return _item(ast.unparse(node.func), self._value(owner), self._value(key))
            case ast.Call(args=[argument], keywords=[]):
                return self._call(ast.unparse(node.func), self._value(argument))
        raise NotFound(f"{ast.unparse(node)} is no place")

    def _call(self, name: str, argument: Any) -> Any:
        if name == "op" and self._op is not None:
            return self._op(argument)
        if name == "__import__":
            return sys.modules[argument]
        if name not in _CALLS:
            raise NotFound(f"{name} is not called to find a place")
        return _CALLS[name](argument)


def globals_of(function: types.FunctionType) -> Any:
    """What a place calls ``G``, for the text of ``place_text``."""
    return _Globals(function.__globals__)


def place_text(place: str) -> str | None:
    """A place as Python over ``L`` and ``G``, written anew; None where it has parts of other kinds.

    Args:
        place: as a capture named it.
    """
    try:
        body = ast.parse(place, mode="eval").body
    except SyntaxError:
        return None
    return ast.unparse(body) if _is_plain(body) else None


def _is_plain(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Name():
            return node.id in ("L", "G")
        case ast.Attribute():
            return _is_plain(node.value)
        case ast.Subscript():
            return _is_plain(node.value) and _is_plain(node.slice)
        case ast.Call(args=[argument], keywords=[]):
            return ast.unparse(node.func) in _CALLS and _is_plain(argument)
        case ast.Call(args=[owner, key], keywords=[]):
            is_known = ast.unparse(node.func) in _ITEM_CALLS
            return is_known and _is_plain(owner) and _is_plain(key)
    return False


def _item(name: str, owner: Any, key: Any) -> Any:
    if name not in _ITEM_CALLS:
        raise NotFound(f"{name} is not called to find a place")
    kind = {"dict": dict, "list": list, "tuple": tuple}[name.partition(".")[0]]
    return kind.__getitem__(owner, key)


class _Globals:
    """Globals by name.

    A trace adds modules under ``__import_a_dot_b``, and what is built in under
    ``__builtins_dict__`` with a number.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        if name not in self._scope and name.startswith(_ALIAS):
            return sys.modules[name.removeprefix(_ALIAS).replace("_dot_", ".")]
        if name not in self._scope and name.startswith(_BUILTINS):
            return vars(builtins)
        return self._scope[name]


def arguments_of(
    function: types.FunctionType, receiver: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call that fits, by the names of the parameters in the code, with defaults.

    A decorated function may show another signature than its code has.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    keywords = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    rest = iter(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
    given = args if receiver is None else (receiver, *args)
    defaults = function.__defaults__ or ()
    found: dict[str, Any] = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    found |= function.__kwdefaults__ or {}
    found |= dict(zip(names, given, strict=False))
    found |= {name: value for name, value in kwargs.items() if name in names + keywords}
    if code.co_flags & inspect.CO_VARARGS:
        found[next(rest)] = given[len(names) :]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        left = {name: value for name, value in kwargs.items() if name not in names + keywords}
        found[next(rest)] = left
    return found


def resolve(
    module: str, qualname: str, *, scope: Mapping[str, Any] | None = None
) -> types.FunctionType:
    """The function of a name, found through modules and classes; what a decorator hid, too.

    Args:
        module: name of a loaded module.
        qualname: dotted name from the code.
        scope: the globals to look in instead of the module's.

    Raises:
        NotFound: there is none, or it was made inside a function, so that its name does not lead
            to it.
    """
    if "<" in qualname:
        raise NotFound(f"{qualname} was made inside a function")
    if scope is None:
        if module not in sys.modules:
            raise NotFound(f"module {module} is not loaded")
        scope = vars(sys.modules[module])
    first, *rest = qualname.split(".")
    value = scope.get(first)
    for name in rest:
        value = vars(value).get(name) if isinstance(value, type) else None
    found = _behind(value, qualname)
    if found is None:
        raise NotFound(f"{module} has no function {qualname}")
    return found


def _behind(value: Any, qualname: str) -> types.FunctionType | None:
    """The function whose code has this name: itself, or one that it wraps."""
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, property):
            waiting += [each.fset, each.fdel]
        try:
            function = function_in(each)
        except LookupError:
            continue
        if name_of_function(function)[1] == qualname:
            return function
        waiting += [getattr(function, "__wrapped__", None)]
        waiting += [content(cell) for cell in function.__closure__ or ()]
    return None


__all__ = ["Live", "NotFound", "arguments_of", "globals_of", "place_text", "resolve"]

"""Dynamo's guards as plain data, and the check of such data against the objects of this process.

Dynamo compares with objects by their address. In another process the same object is known by what
can be said of it: a class by its name, a function by its name and what it does, a constant by its
value. Once all of that fits, the objects that are there now are the ones to compare with, by
identity, as Dynamo does. A guard that cannot be said in that way makes a capture one that is not
stored.

Private names used (torch 2.13.0): of a guard manager ``get_source``, ``get_leaf_guards`` and of a
leaf guard ``verbose_code_parts``; ``torch._C._dispatch_keys``,
``torch._C._len_torch_function_stack`` and ``torch.utils._device.CURRENT_DEVICE``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import torch
import torch.utils._device

from explorer.deferred import Once
from explorer.store.code_text import code_parts
from explorer.store.functions import NameOf, is_function, is_module, name_of_function
from explorer.store.places import Live, NotFound, globals_of, place_text
from explorer.store.source_digest import digest_of
from explorer.store.value_text import Reader, Unread
from explorer.torch_private.state_guards import GuardNode, Scope, StateGuards, children_of

_STEP = re.compile(r"(?:\.(\w+)|\['([^'\\]*)'\]|\[(\d+)\])")
_CLASS = re.compile(r"<class '([\w.]+)'>")
_DICT = ".__dict__"
_DIMS = re.compile(r"size=\[(.*?)\], stride=\[(.*?)\]")
_PLAIN = (bool, int, float, str, bytes, type(None))
_MARKS = ("_dynamo_dynamic_indices", "_dynamo_weak_dynamic_indices", "_dynamo_unbacked_indices")


class NotStorable(Exception):
    """Something about a capture has no form that another process could check."""


@dataclass(frozen=True)
class StoredTest:
    """One test of one value.

    Attributes:
        kind: Dynamo's name of it.
        wanted: what the value has to be, or has to have, as plain data.
    """

    kind: str
    wanted: Any = None


@dataclass(frozen=True)
class StoredNode:
    """What is tested of one value.

    Attributes:
        source: Dynamo's name of it.
        tests: in Dynamo's order.
        children: values that are reached through this one.
    """

    source: str
    tests: tuple[StoredTest, ...]
    children: tuple[StoredNode, ...]


GuardTexts = Mapping[tuple[str, int], str]
"""(source, number of the test) -> Dynamo's words for it."""


# --------------------------------------------------------------------------------- writing them down


def written_guards(
    guards: StateGuards, function: FunctionType, scope: Scope, traced: frozenset[NameOf]
) -> tuple[StoredNode, GuardTexts]:
    """The guards of a capture as plain data.

    Args:
        guards: they hold now.
        function: the function that was traced.
        scope: parameter and closure names -> values, as the traced function sees them.
        traced: functions that have a record of their own.

    Raises:
        NotStorable: one of them has no such form.
    """
    writer = _Writer(function, scope, traced)
    return writer.node(guards.root, None, None), writer.texts


class _Writer:
    def __init__(self, function: FunctionType, scope: Scope, traced: frozenset[NameOf]) -> None:
        self.texts: dict[tuple[str, int], str] = {}
        self._words = _Words(function, traced)
        self._find = _Finder(function, scope)

    def node(self, manager: Any, parent: str | None, parent_value: Any) -> StoredNode:
        source = manager.get_source()
        try:
            value = self._find.value(source, parent, parent_value)
        except NotFound as error:
            raise NotStorable(str(error)) from error
        tests = []
        for number, leaf in enumerate(manager.get_leaf_guards()):
            parts = leaf.verbose_code_parts()
            self.texts[source, number] = str(parts[0]) if parts else ""
            tests.append(self._test(type(leaf).__name__, [str(part) for part in parts], value))
        children = tuple(self.node(child, source, value) for child in children_of(manager))
        return StoredNode(source, tuple(tests), children)

    def _test(self, kind: str, parts: list[str], value: Any) -> StoredTest:
        text = parts[0] if parts else ""
        match kind:
            case "ID_MATCH" | "EQUALS_MATCH":
                return StoredTest(kind, self._words.of(value, kind))
            case "TYPE_MATCH":
                return StoredTest(kind, self._words.of(type(value), kind))
            case "NONE_MATCH" | "TRUE_MATCH" | "FALSE_MATCH" | "NOT_NONE":
                return StoredTest(kind)
            case "LENGTH_CHECK" | "DICT_LENGTH":
                return StoredTest(kind, len(value))
            case "DICT_CONTAINS" | "SET_CONTAINS" | "NO_HASATTR":
                return StoredTest(kind, _key_and_side(text))
            case "TENSOR_MATCH":
                return StoredTest(kind, (*_metadata(value), *_dims(text)))
            case "DIMENSION_DYNAMIC_MARKING_GUARD":
                if all(" == False" in part for part in parts):
                    return StoredTest(kind)
            case "NO_TENSOR_ALIASING":
                return StoredTest(kind, _arguments(text))
            case "OBJECT_ALIASING":
                return StoredTest(kind, _sides(text))
            case "TORCH_FUNCTION_MODE_STACK":
                if torch._C._len_torch_function_stack() == 0:
                    return StoredTest(kind)
            case "DEFAULT_DEVICE":
                if torch.utils._device.CURRENT_DEVICE is None:
                    return StoredTest(kind)
            case "LAMBDA_GUARD":
                # Of hooks on what autograd saves; pieces run without autograd.
                if "saved_tensors_hooks" in text:
                    return StoredTest(kind)
        raise NotStorable(f"the condition {' '.join(text.split())[:100] or kind} has no such form")


def _expression(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body  # what torch adds is a comment
    except SyntaxError as error:
        raise NotStorable(f"the condition {text[:100]} cannot be read") from error


@dataclass(frozen=True)
class ClassOfName:
    """A class, in the place of a key."""

    name: str


def _key_and_side(text: str) -> tuple[Any, bool]:
    """``("forward", False)`` of ``not ___dict_contains('forward', ...)``."""
    shown = _CLASS.search(text)
    found = _expression(_CLASS.sub(lambda each: repr(each[1]), text))
    is_wanted = True
    if isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.Not):
        found, is_wanted = found.operand, False
    constants = [each for each in getattr(found, "args", ()) if isinstance(each, ast.Constant)]
    if len(constants) != 1:
        raise NotStorable(f"the condition {text[:100]} has no constant")
    key = constants[0].value
    return ClassOfName(key) if shown and shown[1] == key else key, is_wanted


def _class_of(name: str) -> type:
    """The class of a dotted name in a module that is loaded.

    Raises:
        NotStorable: there is none.
    """
    module, _, rest = name.rpartition(".")
    found = getattr(sys.modules.get(module or "builtins"), rest, None)
    if not isinstance(found, type):
        raise NotStorable(f"there is no class {name}")
    return found


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(ast.unparse(each) for each in getattr(_expression(text), "args", ()))


def _sides(text: str) -> tuple[str, ...]:
    found = _expression(text)
    if not isinstance(found, ast.Compare) or not isinstance(found.ops[0], ast.Is):
        raise NotStorable(f"the condition {text[:100]} is not known")
    return ast.unparse(found.left), ast.unparse(found.comparators[0])


def _metadata(tensor: torch.Tensor) -> tuple[Any, ...]:
    kind = type(tensor)
    keys = str(torch._C._dispatch_keys(tensor))
    name = f"{kind.__module__}.{kind.__qualname__}"
    return name, keys, tensor.dtype, tensor.device, tensor.requires_grad


def _dims(text: str) -> tuple[tuple[int | None, ...], ...]:
    """Sizes and strides that are tested; None stands for one that is not."""
    found = _DIMS.search(text)
    if found is None:
        raise NotStorable(f"the condition {text[:100]} tells no sizes")
    return tuple(
        tuple(None if each.strip() == "None" else int(each) for each in dims.split(",") if each)
        for dims in found.groups()
    )


class _Words:
    """What can be said of a value so that another process knows it again."""

    def __init__(self, function: FunctionType, traced: frozenset[NameOf]) -> None:
        self._home = name_of_function(function)[0]
        self._traced = traced

    def of(self, value: Any, kind: str) -> Any:
        """A constant itself, a text in a tuple of one for anything else.

        Raises:
            NotStorable: nothing that is enough.
        """
        if type(value) in _PLAIN and value == value:
            return value
        if isinstance(value, CodeType):
            return (f"code of {value.co_qualname} {digest_of(code_parts(value))}",)
        reader = Reader(self._home, self._traced, Unread.NOT_KNOWN)
        try:
            text = reader.text(value, "it")
        except Exception as error:  # of an object of the user's
            raise NotStorable(f"a {type(value).__qualname__} cannot be read") from error
        is_same = isinstance(value, type) or is_function(value) or not _is_own_object(value)
        if reader.unknown or (kind == "ID_MATCH" and not is_same):
            raise NotStorable(f"the capture depends on which {type(value).__qualname__} it is")
        return (text,)


def _is_own_object(value: Any) -> bool:
    """Whether there may be two objects of which the same is said."""
    return isinstance(value, torch.Tensor | list | dict | set) or is_module(value)


# -------------------------------------------------------------------------------------- checking them


class StoredGuards:
    """Guards that were written down, for the objects of this process; like ``StateGuards``."""

    def __init__(
        self,
        root: StoredNode,
        function: FunctionType,
        scope: Scope,
        traced: frozenset[NameOf],
        texts: Callable[[], GuardTexts],
    ) -> None:
        """Takes the objects that are there now, where they are what was written down.

        Args:
            root: all guards.
            function: the function that a capture would start in.
            scope: parameter and closure names -> values, as that function sees them.
            traced: functions that have a record of their own.
            texts: Dynamo's words, for messages.

        Raises:
            NotStorable: a guard does not hold; which one is in the message.
        """
        self._root = root
        self._function = function
        self._texts = Once(texts)
        self._pins: dict[tuple[str, int], Any] = {}
        words = _Words(function, traced)
        for node, value in _walked(root, _Finder(function, scope)):
            for number, test in enumerate(node.tests):
                self._pins[node.source, number] = _pinned(test, value, words)
        problem = self._first(scope)
        if problem is not None:
            raise NotStorable(problem)

    def check(self, scope: Scope) -> bool:
        """Whether all hold.

        Args:
            scope: parameter and closure names -> values.
        """
        return self._first(scope) is None

    def explain(self, scope: Scope) -> str:
        """The first test that fails, in torch's words."""
        return self._first(scope) or ""

    def tree(self) -> GuardNode:
        """What is tested, as a tree of values."""
        return _plain_tree(self._root)

    def _first(self, scope: Scope) -> str | None:
        find = _Finder(self._function, scope)
        try:
            for node, value in _walked(self._root, find):
                for number, test in enumerate(node.tests):
                    if not _holds(test, value, self._pins[node.source, number], find):
                        return self._words_for(node.source, number, test, value)
        except NotFound as error:
            return str(error)
        return None

    def _words_for(self, source: str, number: int, test: StoredTest, value: Any) -> str:
        if test.kind == "TENSOR_MATCH":
            return f"tensor '{source}' {_tensor_difference(test.wanted, value)}"
        if test.kind == "NO_TENSOR_ALIASING":
            return "Duplicate tensor found where there was none in the capture"
        return self._texts().get((source, number), source)

    def check_of(self, sources: frozenset[str]) -> Callable[[Scope], bool]:
        """``check`` for the values at some sources, as one generated function."""
        writer = _CheckWriter(self._function, self._pins)
        writer.visit(self._root, sources, None)
        return writer.function()


def _plain_tree(node: StoredNode) -> GuardNode:
    tests = tuple(each.kind for each in node.tests)
    return GuardNode(node.source, tests, tuple(map(_plain_tree, node.children)))


def _walked(node: StoredNode, find: _Finder) -> Iterator[tuple[StoredNode, Any]]:
    """Every node with its value, parents first.

    Raises:
        NotFound: there is no value at a source.
    """
    waiting: list[tuple[StoredNode, str | None, Any]] = [(node, None, None)]
    while waiting:
        each, parent, parent_value = waiting.pop()
        value = find.value(each.source, parent, parent_value)
        yield each, value
        waiting += [(child, each.source, value) for child in each.children]


def _pinned(test: StoredTest, value: Any, words: _Words) -> Any:
    """What the value is compared with from now on."""
    if test.kind in ("ID_MATCH", "EQUALS_MATCH") and isinstance(test.wanted, tuple):
        return value if words.of(value, test.kind) == test.wanted else _NOTHING
    if isinstance(test.wanted, tuple) and isinstance(test.wanted[0], ClassOfName):
        return (_class_of(test.wanted[0].name), *test.wanted[1:])
    if test.kind == "TYPE_MATCH":
        return type(value) if words.of(type(value), test.kind) == test.wanted else _NOTHING
    return test.wanted


_NOTHING = object()


def _holds(test: StoredTest, value: Any, pin: Any, find: _Finder) -> bool:
    match test.kind:
        case "TYPE_MATCH":
            return type(value) is pin
        case "ID_MATCH":
            return value is pin
        case "EQUALS_MATCH":
            return value is pin or _equal(value, pin)
        case "NO_TENSOR_ALIASING":
            tensors = [find.at(source) for source in pin]
            return len(set(map(id, tensors))) == len(tensors)
        case "OBJECT_ALIASING":
            return find.at(pin[0]) is find.at(pin[1])
    return _TESTS[test.kind](value, pin)


def _equal(value: Any, pin: Any) -> bool:
    return type(value) is type(pin) and bool(value == pin)


def _has_marks(tensor: Any) -> bool:
    return any(name in _MARKS for name in getattr(tensor, "__dict__", ()))


def _tensor_fits(value: Any, wanted: tuple[Any, ...]) -> bool:
    return isinstance(value, torch.Tensor) and _tensor_difference(wanted, value) == ""


def _tensor_difference(wanted: tuple[Any, ...], value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"is a {type(value).__name__}"
    *facts, shape, strides = wanted
    names = ("class", "dispatch key set", "dtype", "device", "requires_grad")
    for name, was, now in zip(names, facts, _metadata(value), strict=True):
        if was != now:
            return f"{name} mismatch. expected {was}, actual {now}"
    if value.dim() != len(shape):
        return f"rank mismatch. expected {len(shape)}, actual {value.dim()}"
    for what, dims, now in (("size", shape, value.shape), ("stride", strides, value.stride())):
        for index, (was, given) in enumerate(zip(dims, now, strict=True)):
            if was is not None and was != given:
                return f"{what} mismatch at index {index}. expected {was}, actual {given}"
    return ""


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "NONE_MATCH": lambda value, pin: value is None,
    "TRUE_MATCH": lambda value, pin: value is True,
    "FALSE_MATCH": lambda value, pin: value is False,
    "NOT_NONE": lambda value, pin: value is not None,
    "LENGTH_CHECK": lambda value, pin: len(value) == pin,
    "DICT_LENGTH": lambda value, pin: len(value) == pin,
    "DICT_CONTAINS": lambda value, pin: (pin[0] in value) is pin[1],
    "SET_CONTAINS": lambda value, pin: (pin[0] in value) is pin[1],
    "NO_HASATTR": lambda value, pin: hasattr(value, pin[0]) is pin[1],
    "TENSOR_MATCH": _tensor_fits,
    "DIMENSION_DYNAMIC_MARKING_GUARD": lambda value, pin: not _has_marks(value),
    "TORCH_FUNCTION_MODE_STACK": lambda value, pin: torch._C._len_torch_function_stack() == 0,
    "DEFAULT_DEVICE": lambda value, pin: torch.utils._device.CURRENT_DEVICE is None,
    "LAMBDA_GUARD": lambda value, pin: True,
}


class _Finder:
    """Values at Dynamo's sources, quickly where the source of the parent is its beginning."""

    def __init__(self, function: FunctionType, scope: Scope) -> None:
        self._read = Live(function, None, scope).at

    def at(self, source: str) -> Any:
        """Raises: NotFound."""
        return self._read(source)

    def value(self, source: str, parent: str | None, parent_value: Any) -> Any:
        """Raises: NotFound."""
        step = _step_from(parent, source)
        if step is None:
            return self._read(source)
        kind, name = step
        try:
            if kind == _ATTRIBUTE:
                return getattr(parent_value, name)
            if kind == _ITEM:
                return parent_value[name]
            if kind == _POSITION:
                return parent_value[int(name)]
            return list(dict.keys(parent_value))[int(name)]
        except Exception as error:  # also of code of the user's, behind an attribute
            raise NotFound(f"{source}: {error}") from error


_ATTRIBUTE, _ITEM, _POSITION, _KEY = "attribute", "item", "position", "key"


def _step_from(parent: str | None, source: str) -> tuple[str, str] | None:
    """How a value is reached from the one at ``parent``; None where it is not that simple."""
    if parent is None or parent == "G":
        return None
    if source.startswith(parent):
        found = _STEP.fullmatch(source, len(parent))
        if found is not None:
            kinds = zip((_ATTRIBUTE, _ITEM, _POSITION), found.groups(), strict=True)
            return next((kind, text) for kind, text in kinds if text is not None)
    owner = parent.removesuffix(_DICT)
    if owner != parent and source.startswith(owner):
        found = _STEP.fullmatch(source, len(owner))
        if found is not None and found[1] is not None:
            return _ITEM, found[1]  # an attribute, found in the dict of its object
    beginning = f"list(dict.keys({parent}))["
    number = source[len(beginning) : -1]
    if source.startswith(beginning) and source.endswith("]") and number.isdecimal():
        return _KEY, number
    return None


class _CheckWriter:
    """Writes the tests of some values as one function of the scope."""

    def __init__(self, function: FunctionType, pins: Mapping[tuple[str, int], Any]) -> None:
        self._pins = pins
        self._scope: dict[str, Any] = {
            "G": globals_of(function),
            "equal": _equal,
            "read": lambda scope, place: Live(function, None, scope).at(place),
        }
        self._lines: list[str] = []
        self._count = 0

    def visit(
        self, node: StoredNode, sources: frozenset[str], parent: tuple[str, str] | None
    ) -> None:
        """Adds a node and what is below it; one counts only when its parents do."""
        if node.source not in sources:
            return
        name = f"value_{self._count}"
        self._count += 1
        above, variable = parent or (None, "")
        step = _step_from(above, node.source)
        if step is None or above is None:
            text = _text_of(node.source)
        elif step[0] == _KEY:
            text = f"list(dict.keys({variable}))[{step[1]}]"
        elif not node.source.startswith(above):
            text = f"{variable}[{step[1]!r}]"
        else:
            text = f"{variable}{node.source.removeprefix(above)}"  # a step that _STEP matched
        self._lines.append(f"{name} = {text}")
        for number, test in enumerate(node.tests):
            self._test(test, name, self._pins[node.source, number])
        for child in node.children:
            self.visit(child, sources, (node.source, name))

    def _test(self, test: StoredTest, value: str, pin: Any) -> None:
        named = self._named(pin)
        match test.kind:
            case "TYPE_MATCH":
                text = f"type({value}) is {named}"
            case "ID_MATCH":
                text = f"{value} is {named}"
            case "EQUALS_MATCH":
                text = f"({value} is {named} or equal({value}, {named}))"
            case "NO_TENSOR_ALIASING":
                ids = ", ".join(f"id({_text_of(each)})" for each in pin)
                text = f"len({{{ids}}}) == {len(pin)}"
            case "OBJECT_ALIASING":
                text = f"{_text_of(pin[0])} is {_text_of(pin[1])}"
            case "LAMBDA_GUARD":
                return
            case _:
                text = f"{self._named(_TESTS[test.kind])}({value}, {named})"
        self._lines.append(f"if not ({text}): return False")

    def _named(self, value: Any) -> str:
        name = f"known_{len(self._scope)}"
        self._scope[name] = value
        return name

    def function(self) -> Callable[[Scope], bool]:
        """The function."""
        lines = "".join(f"        {line}\n" for line in self._lines)
        source = (
            "def holds(L):\n    try:\n"
            f"{lines}        return True\n"
            "    except (AttributeError, LookupError, TypeError):\n        return False\n"
        )
        scope = dict(self._scope)
        # The text holds names made here, and places that place_text wrote anew from their parts.
        exec(compile(source, "<stored guards>", "exec"), scope)
        return scope["holds"]


def _text_of(source: str) -> str:
    text = place_text(source)
    return f"read(L, {source!r})" if text is None else text


__all__ = [
    "GuardTexts",
    "NotStorable",
    "StoredGuards",
    "StoredNode",
    "StoredTest",
    "written_guards",
]

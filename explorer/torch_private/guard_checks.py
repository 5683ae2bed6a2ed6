"""Guards that were written down, checked against the objects of this process.

Once all that was said of an object fits the one that is there now, that one is what later checks
compare with, by identity, as Dynamo does.

Private names used (torch 2.13.0): ``torch._C._len_torch_function_stack`` and
``torch.utils._device.CURRENT_DEVICE``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import torch
import torch.utils._device

from explorer.deferred import Once
from explorer.store.functions import NameOf
from explorer.store.places import Live, NotFound, globals_of, place_text
from explorer.torch_private.state_guards import GuardNode, Scope
from explorer.torch_private.stored_guards import (
    KEY,
    ClassOfName,
    Finder,
    GuardTexts,
    NotStorable,
    StoredNode,
    StoredTest,
    Words,
    metadata,
    step_from,
)

_MARKS = ("_dynamo_dynamic_indices", "_dynamo_weak_dynamic_indices", "_dynamo_unbacked_indices")


class StoredGuards:
    """Guards that were written down, for the objects of this process; like ``StateGuards``.

    Attributes:
        root: all of them, as they were written down.
        texts: gives Dynamo's words for them.
    """

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
        self.root = root
        self._function = function
        self.texts: Callable[[], GuardTexts] = Once(texts)
        self._pins: dict[tuple[str, int], Any] = {}
        words = Words(function, traced)
        for node, value in _walked(root, Finder(function, scope)):
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
        return _plain_tree(self.root)

    def _first(self, scope: Scope) -> str | None:
        find = Finder(self._function, scope)
        try:
            for node, value in _walked(self.root, find):
                for number, test in enumerate(node.tests):
                    if not self._passes(node.source, number, test, value, find):
                        return self._words_for(node.source, number, test, value)
        except NotFound as error:
            return str(error)
        return None

    def _passes(self, source: str, number: int, test: StoredTest, value: Any, find: Finder) -> bool:
        try:
            return _holds(test, value, self._pins[source, number], find)
        except NotFound:
            raise
        except Exception:  # of a value of another kind, or of code of the user's
            return False

    def _words_for(self, source: str, number: int, test: StoredTest, value: Any) -> str:
        if test.kind == "TENSOR_MATCH":
            return f"tensor '{source}' {_tensor_difference(test.wanted, value)}"
        if test.kind == "NO_TENSOR_ALIASING":
            return "Duplicate tensor found where there was none in the capture"
        return self.texts().get((source, number), source)

    def check_of(self, sources: frozenset[str]) -> Callable[[Scope], bool]:
        """``check`` for the values at some sources, as one generated function."""
        writer = _CheckWriter(self._function, self._pins)
        writer.visit(self.root, sources, None)
        return writer.function()


def _plain_tree(node: StoredNode) -> GuardNode:
    tests = tuple(each.kind for each in node.tests)
    return GuardNode(node.source, tests, tuple(map(_plain_tree, node.children)))


def _walked(node: StoredNode, find: Finder) -> Iterator[tuple[StoredNode, Any]]:
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


def _pinned(test: StoredTest, value: Any, words: Words) -> Any:
    """What the value is compared with from now on."""
    if test.kind in ("ID_MATCH", "EQUALS_MATCH"):
        is_same = _equal(words.of(value, test.kind), test.wanted)
        return value if is_same else _NOTHING
    if isinstance(test.wanted, tuple) and isinstance(test.wanted[0], ClassOfName):
        return (_class_of(test.wanted[0].name), *test.wanted[1:])
    if test.kind == "TYPE_MATCH":
        return type(value) if words.of(type(value), test.kind) == test.wanted else _NOTHING
    return test.wanted


_NOTHING = object()


def _holds(test: StoredTest, value: Any, pin: Any, find: Finder) -> bool:
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
    for name, was, now in zip(names, facts, metadata(value), strict=True):
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
    "DIMENSION_DYNAMIC_MARKING_GUARD": lambda value, pin: not (pin and _has_marks(value)),
    "TORCH_FUNCTION_MODE_STACK": lambda value, pin: torch._C._len_torch_function_stack() == 0,
    "DEFAULT_DEVICE": lambda value, pin: torch.utils._device.CURRENT_DEVICE is None,
    "LAMBDA_GUARD": lambda value, pin: True,
}


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
        step = step_from(above, node.source)
        if step is None or above is None:
            text = _text_of(node.source)
        elif step[0] == KEY:
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


__all__ = ["StoredGuards"]

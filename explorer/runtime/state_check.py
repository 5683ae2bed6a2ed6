"""Which conditions on a model's state one cheap look can stand for, and the look itself.

Dynamo's guards follow a path to every value that they test. Where each step of the path is an
attribute of a plain object or an item of a plain dict, it is enough to see that none of these
objects and dicts changed since all guards held: then they hold still. ``watch_values`` finds those
conditions; the others stay with Dynamo. When something did change, all guards decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch

from explorer.layer_name import LayerName
from explorer.torch_private.state_guards import GuardNode
from explorer.torch_private.state_watch import Watched, is_listed, watch

_LAST_STEP = re.compile(r"(.*)(?:\.(\w+)|\['([^'\\]*)'\]|\[(\d+)\])")
_KEYS_OF = "list(dict.keys("
_TABLES = ("_modules", "_parameters", "_buffers")
_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, LayerName)
_BY_IDENTITY = frozenset({"ID_MATCH", "NOT_NONE"})
_BY_TYPE = _BY_IDENTITY | {"TYPE_MATCH"}
_OF_TENSORS = _BY_TYPE | {"TENSOR_MATCH", "DIMENSION_DYNAMIC_MARKING_GUARD", "NO_HASATTR"}
# Such a guard compares several values: one of them may be in no place that is watched.
_BETWEEN_VALUES = frozenset(
    {"OBJECT_ALIASING", "NO_TENSOR_ALIASING", "STORAGE_OVERLAPPING", "SYMBOLIC_SHAPE_GUARD"}
)


class NotWatched(Exception):
    """A value is not reached by attributes of plain objects and items of plain dicts alone."""


class Places:
    """Values at Dynamo's source names below one object, and what has to be watched for them."""

    def __init__(self, source: str, receiver: Any, *, trust_tables: bool = False) -> None:
        """Begins at the receiver.

        Args:
            source: its source name, ``L['self']``.
            receiver: the object.
            trust_tables: take it that no module's dict of submodules, parameters or buffers is
                replaced by another dict; what is in them is watched.
        """
        self._root = (source, receiver)
        self._trust_tables = trust_tables
        self._values: dict[str, Any] = {source: receiver}
        self._parents: dict[str, str] = {}
        self._done: set[str] = set()
        self._objects: dict[int, Any] = {}
        self._dicts: dict[int, dict[Any, Any]] = {}
        self._tensors: dict[int, torch.Tensor] = {}

    def value(self, source: str) -> Any:
        """What is there now.

        Raises:
            NotWatched: the way to it cannot be watched.
        """
        if source in self._values:
            return self._values[source]
        if source.startswith(_KEYS_OF):
            return self._key(source)
        step = _LAST_STEP.fullmatch(source)
        if step is None:
            raise NotWatched(source)
        base, name, key, index = step.groups()
        parent = self.value(base)
        if name is not None:
            found = _attribute(parent, name)
        elif index is not None and type(parent) is tuple and int(index) < len(parent):
            found = parent[int(index)]
        elif key is not None and type(parent) is dict and key in parent:
            found = parent[key]
        else:
            raise NotWatched(source)
        self._values[source] = found
        self._parents[source] = base
        return found

    def _key(self, source: str) -> Any:
        """A key of a dict, by its number."""
        base, _, index = source.removeprefix(_KEYS_OF).rpartition("))[")
        parent = self.value(base)
        if type(parent) is not dict:
            raise NotWatched(source)
        self._values[source] = list(parent)[int(index[:-1])]
        self._parents[source] = base
        return self._values[source]

    def watch_way_to(self, source: str) -> None:
        """Adds to what is watched the steps that lead to a value."""
        while source in self._parents and source not in self._done:
            self._done.add(source)
            base = self._parents[source]
            name = source[len(base) + 1 :]
            of_module = isinstance(self._values[base], torch.nn.Module)
            if not (self._trust_tables and of_module and name in _TABLES):
                self.watch(self._values[base])
            source = base

    def watch(self, value: Any) -> None:
        """Adds one value, by what can change about it."""
        if isinstance(value, torch.Tensor):
            self._tensors[id(value)] = value
        elif isinstance(value, dict):
            self._dicts[id(value)] = value
        elif _is_plain_object(value):
            self._objects[id(value)] = value

    def still_hold(self) -> bool:
        """Whether every value that was found is still at its place."""
        again = Places(self._root[0], self._root[1])
        try:
            return all(again.value(source) is value for source, value in self._values.items())
        except NotWatched:
            return False

    def unchanged(self) -> Callable[[], bool]:
        """A function that says whether all that is watched is as it is now."""
        objects = tuple(self._objects.values())
        attributes = {id(vars(value)) for value in objects}
        watched = Watched(
            objects=objects,
            dicts=tuple(v for number, v in self._dicts.items() if number not in attributes),
            tensors=tuple(self._tensors.values()),
        )
        return watch(watched)


def _attribute(value: Any, name: str) -> Any:
    if not _is_plain_object(value):
        raise NotWatched(name)
    attributes = vars(value)
    if name == "__dict__":
        return attributes
    if name not in attributes:
        raise NotWatched(name)  # of the class, or made by a property
    of_class = next((vars(k)[name] for k in type(value).__mro__ if name in vars(k)), None)
    if hasattr(type(of_class), "__set__"):
        raise NotWatched(name)
    return attributes[name]


def _is_plain_object(value: Any) -> bool:
    kind = type(value)
    return (
        kind.__getattribute__ is object.__getattribute__
        and type(getattr(value, "__dict__", None)) is dict
        and is_listed(value)
    )


def _is_constant(value: Any) -> bool:
    if type(value) is tuple:
        return all(_is_constant(item) for item in value)
    return type(value) in _CONSTANTS


def _stands_for(value: Any, tests: Iterable[str]) -> bool:
    """Whether a value that is still the same object, and watched, passes the same tests."""
    tests = set(tests)
    if tests & _BETWEEN_VALUES:
        return False
    if type(value) is dict or _is_constant(value):
        return True
    if isinstance(value, torch.Tensor):
        return tests <= _OF_TENSORS
    return tests <= (_BY_TYPE if _is_plain_object(value) else _BY_IDENTITY)


def watch_values(tree: GuardNode, places: Places) -> frozenset[str]:
    """Sources of the guards that stay with Dynamo; for the others, a look at what is watched does.

    Args:
        tree: all guards.
        places: where values are found; what has to be watched is added.
    """
    left: set[str] = set()
    _visit(tree, places, left)
    return frozenset(left)


def _visit(node: GuardNode, places: Places, left: set[str]) -> bool:
    """Whether a look stands for a node and all below it."""
    covered = [_visit(child, places, left) for child in node.children]
    try:
        value = places.value(node.source)
        stands = _stands_for(value, node.tests)
    except NotWatched:
        stands = False
    else:
        if stands:
            places.watch_way_to(node.source)
            if type(value) is not dict or not _BY_TYPE.issuperset(node.tests):
                places.watch(value)
    if stands and all(covered):
        return True
    left.add(node.source)
    return False

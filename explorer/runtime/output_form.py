"""What a call returns, seen once with marks in place of tensors: the text that builds it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch

from explorer.intermediate_tensors import IntermediateTensors, holding

_CONSTANTS = (bool, str, type(None))


class Unfit(Exception):
    """A call is not of the plain form that a generated function can serve."""


class _Mark:
    """Stands for one value that the graph returns; whatever else is done with it fails."""

    def __init__(self, number: int) -> None:
        self.number = number

    def _refuse(self, *arguments: Any) -> NoReturn:
        raise Unfit("something is computed from what the graph returns")

    __bool__ = __len__ = __iter__ = __repr__ = __str__ = __format__ = _refuse
    __eq__ = _refuse
    __hash__ = object.__hash__


def output_source(
    results: Callable[[tuple[Any, ...]], tuple[Any, Any]],
    arguments: Mapping[str, Any],
    *,
    returned: int,
) -> tuple[str, dict[str, Any]]:
    """An expression over ``result``, the tuple that the graph returns, and what it refers to.

    Args:
        results: what two calls return when the graph returns the given marks.
        arguments: name in the text -> argument of these calls.
        returned: number of values that the graph returns.

    Raises:
        Unfit: the output holds something else than tensors of the graph or of the call, None,
            bools and texts, in tuples, lists, dicts, named tuples and ``IntermediateTensors`` that
            are made anew.
    """
    try:
        first, second = results(tuple(_Mark(number) for number in range(returned)))
    except Exception as error:
        raise Unfit(f"the output cannot be made of marks: {error}") from error
    writer = _Writer(arguments)
    return writer.text(first, second), writer.scope


class _Writer:
    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.scope: dict[str, Any] = {}
        self.tensors: dict[int, str] = {}
        self.ambiguous: set[int] = set()
        self.seen: set[int] = set()
        for name, value in arguments.items():
            for text, tensor in _tensors(value, name):
                if id(tensor) in self.tensors:
                    self.ambiguous.add(id(tensor))
                self.tensors[id(tensor)] = text

    def text(self, first: Any, second: Any) -> str:
        """The text of one value, as two calls gave it."""
        if isinstance(first, _Mark):
            return f"result[{first.number}]"
        if type(first) in _CONSTANTS and type(first) is type(second) and first == second:
            return repr(first)
        if isinstance(first, torch.Tensor):
            if first is not second or id(first) in self.ambiguous or id(first) not in self.tensors:
                raise Unfit("the output holds a tensor of unknown origin")
            return self.tensors[id(first)]
        if not isinstance(first, tuple | list | dict | IntermediateTensors):
            raise Unfit(f"the output holds a {type(first).__name__}")
        if type(first) is not type(second) or len(first) != len(second):
            raise Unfit("two equal calls return different things")
        return self._container(first, second)

    def _container(self, first: Any, second: Any) -> str:
        if id(first) in self.seen or (first is second and first != ()):
            raise Unfit("the output holds a container that is not made anew")
        self.seen.add(id(first))
        if isinstance(first, IntermediateTensors):
            return self._intermediate_tensors(first, second)
        if type(first) is dict:
            if list(first) != list(second) or not all(type(key) in (str, int) for key in first):
                raise Unfit("the output holds a dict with keys that have no text")
            items = [f"{key!r}: {self.text(first[key], second[key])}" for key in first]
            return f"{{{', '.join(items)}}}"
        items = [self.text(one, other) for one, other in zip(first, second, strict=True)]
        if type(first) is list:
            return f"[{', '.join(items)}]"
        made = f"({''.join(f'{item}, ' for item in items)})"
        return made if type(first) is tuple else self._named_tuple(first, made)

    def _intermediate_tensors(self, first: IntermediateTensors, second: Any) -> str:
        attributes = [list(vars(each)) for each in (first, second, holding({}))]
        if type(first) is not IntermediateTensors or any(a != attributes[2] for a in attributes):
            raise Unfit("the output holds an IntermediateTensors with more than tensors")
        self.scope["holding"] = holding
        return f"holding({self.text(first.tensors, second.tensors)})"

    def _named_tuple(self, value: Any, items: str) -> str:
        if not hasattr(value, "_fields") or getattr(value, "__dict__", None):
            raise Unfit(f"the output holds a {type(value).__name__}")
        name = f"make_{len(self.scope)}"
        self.scope[name] = type(value)._make
        return f"{name}({items})"


def _tensors(value: Any, text: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield text, value
    elif type(value) in (dict, IntermediateTensors):
        for key, item in value.items():
            if type(key) in (str, int):
                yield from _tensors(item, f"{text}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{text}[{index}]")

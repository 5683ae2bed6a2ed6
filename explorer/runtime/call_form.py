"""What the stitching function takes and returns at some sizes: shapes, strides and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import fx

from explorer.artifacts import CallLayout, ComputedSize, InputKind, Literal, SplitGraph, UserTensor
from explorer.artifacts.common import Expression
from explorer.runtime.predicate import tensors_of
from explorer.runtime.static_memory import Layout
from explorer.runtime.stitch import PER_CALL
from explorer.stages.graphs import example_value, expression_of, placeholders


class NotKnown(Exception):
    """Something about a call is not told by its sizes; the message says what."""


@dataclass(frozen=True)
class TensorInput:
    """A tensor of the call.

    Attributes:
        name: its input's name in the graph.
        path: in the user's words.
        expected: what the graph relies on.
    """

    name: str
    path: str
    expected: UserTensor


class CallForm:
    """The values of a call, in the order in which the stitching function takes them.

    Args:
        layout: of the call.
        split: has what the graph returns.

    Raises:
        NotKnown: some size or input is not told by the tensors of the call.
    """

    def __init__(self, layout: CallLayout, split: SplitGraph) -> None:
        captured = layout.captured
        self._sizes = captured.sizes
        graph = split.normalised.graph
        nodes = placeholders(captured.graph)
        tensors = {each.position: each.expected for each in tensors_of(captured)}
        self.inputs: list[TensorInput | Any] = []
        for position, each in enumerate(layout.inputs):
            if each.kind is InputKind.USER:
                self.inputs.append(TensorInput(each.name, each.path, tensors[position]))
            elif each.kind in PER_CALL:
                self.inputs.append(_number(nodes[position]))
        self._readers = {size.name: self._reader(size) for size in self._sizes}
        self._by_name = {node.name: node for node in graph.nodes}
        self._outputs = split.outputs

    def _reader(self, size: Any) -> tuple[int, int]:
        paths = {
            each.path: index
            for index, each in enumerate(self.inputs)
            if isinstance(each, TensorInput)
        }
        for path, dim in size.sources:
            if path in paths:
                return paths[path], dim
        raise NotKnown(f"the size {size.name} is not told by a tensor that the graph takes")

    def sizes_of(self, values: Sequence[Any]) -> dict[str, int]:
        """Size name -> value, of a call."""
        return {name: int(values[index].shape[dim]) for name, (index, dim) in self._readers.items()}

    def inputs_at(self, sizes: Mapping[str, int]) -> list[Layout | int]:
        """Per value of the call what it is at other sizes.

        Raises:
            NotKnown: a number that does not follow from the sizes.
        """
        points = self._points(sizes)
        found: list[Layout | int] = []
        for each in self.inputs:
            if isinstance(each, TensorInput):
                expected = each.expected
                shape, stride = (
                    tuple(_at(step, points) for step in steps)
                    for steps in (expected.shape, expected.stride)
                )
                found.append(Layout(shape, stride))
            else:
                found.append(_at(each, points))
        return found

    def outputs_at(self, sizes: Mapping[str, int]) -> list[Any]:
        """Per returned value its ``Layout``, or the plain value.

        Raises:
            NotKnown: something does not follow from the sizes.
        """
        points = self._points(sizes)
        return [self._output_at(value, points) for value in self._outputs]

    def _output_at(self, value: Any, points: Mapping[Expression, int]) -> Any:
        if isinstance(value, Literal):
            return value.value
        if isinstance(value, ComputedSize):
            return _at(value.expression, points)
        known = example_value(self._by_name[value])
        if not isinstance(known, torch.Tensor):
            return _at(_number(self._by_name[value]), points)
        shape, stride = (
            tuple(_at(_expression(step), points) for step in steps)
            for steps in (known.shape, known.stride())
        )
        return Layout(shape, stride)

    def _points(self, sizes: Mapping[str, int]) -> dict[Expression, int]:
        points: dict[Expression, int] = {}
        for size in self._sizes:
            points |= dict.fromkeys((size.symbol, *size.torch_symbols), sizes[size.name])
        return points


def _number(node: fx.Node) -> Expression | int:
    return _expression(example_value(node))


def _expression(value: Any) -> Expression | int:
    found = expression_of(value)
    if found is None:
        raise NotKnown(f"a value of type {type(value).__name__} is not told by the sizes")
    return found


def _at(expression: Expression | int, points: Mapping[Expression, int]) -> int:
    if isinstance(expression, int):
        return expression
    value = expression.xreplace({symbol: sympy.Integer(size) for symbol, size in points.items()})
    if not getattr(value, "is_number", False):
        raise NotKnown(f"{value} is not told by the sizes of the call")
    return int(value)


__all__ = ["CallForm", "NotKnown", "TensorInput"]

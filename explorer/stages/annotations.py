"""A function's annotations in, which of its parameters are tensors out."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from explorer.intermediate_tensors import IntermediateTensors


@dataclass(frozen=True)
class TensorParameters:
    """What the annotations of a function say of its parameters.

    Attributes:
        tensors: annotated as a tensor or as ``IntermediateTensors``, or as one of them or None.
        unresolved: annotated with something that is not there when the program runs.
    """

    tensors: frozenset[str]
    unresolved: frozenset[str]


def tensor_parameters(function: Callable[..., Any]) -> TensorParameters:
    """Which parameters are annotated as tensors.

    Each annotation is resolved by itself: one that names what only the type checker sees says
    nothing of the others.
    """
    function = inspect.unwrap(function)
    tensors, unresolved = set(), set()
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if name == "return":
            continue
        try:
            hint = _resolved(annotation, getattr(function, "__globals__", {}))
        except Exception:  # whatever the text of an annotation raises
            unresolved.add(name)
            continue
        if _is_tensors(hint):
            tensors.add(name)
    return TensorParameters(frozenset(tensors), frozenset(unresolved))


def _resolved(annotation: Any, scope: dict[str, Any]) -> Any:
    """The annotation with every text in it evaluated, and without ``Annotated``."""
    holder = types.SimpleNamespace(__annotations__={"value": annotation})
    return typing.get_type_hints(holder, globalns=scope)["value"]


def _is_tensors(hint: Any) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, torch.Tensor | IntermediateTensors) or _is_legacy_tensor(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_tensors(part) for part in typing.get_args(hint))
    alias = getattr(hint, "__value__", None)  # type X = ..., of Python 3.12
    return alias is not None and _is_tensors(alias)


def _is_legacy_tensor(hint: type) -> bool:
    """Whether it is ``torch.LongTensor`` or the like, which are no subclasses of ``Tensor``."""
    return hint.__module__ in ("torch", "torch.cuda") and hint.__name__.endswith("Tensor")

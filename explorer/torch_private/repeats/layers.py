"""Which layers of a model repeat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

FEWEST = 3
"""Modules of one class side by side that count as a repeated layer."""


@dataclass(eq=False)
class RepeatCounts:
    """What happened to the calls of repeated layers in one trace.

    Attributes:
        traced: how many were traced.
        written: how many were written like an earlier one.
    """

    traced: int = 0
    written: int = 0


class RepeatsFailedError(Exception):
    """Something of torch's is not as it was expected to be: the model has to be traced as ever."""


def repeated_layers(model: Any) -> dict[FunctionType, frozenset[int]]:
    """The ``forward`` of each class of layers that repeat -> ids of these layers.

    Layers repeat where some module has several children of one class; what is inside of them does
    not count. Modules without children are as quickly traced as written again.

    Args:
        model: a module; anything else has no layers.
    """
    found: dict[FunctionType, set[int]] = {}
    if isinstance(model, torch.nn.Module):
        _look_into(model, found, set())
    return {function: frozenset(ids) for function, ids in found.items()}


def _look_into(
    module: torch.nn.Module, found: dict[FunctionType, set[int]], seen: set[int]
) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    children = list({id(each): each for each in module.children()}.values())
    counts = Counter(type(each) for each in children)
    for child in children:
        function = getattr(type(child), "forward", None)
        is_layer = counts[type(child)] >= FEWEST and next(child.children(), None) is not None
        if is_layer and isinstance(function, FunctionType) and _runs_it(child):
            found.setdefault(function, set()).add(id(child))
        else:
            _look_into(child, found, seen)


def _runs_it(module: torch.nn.Module) -> bool:
    """Whether calls of the module run the function of its class."""
    return "forward" not in module.__dict__ and not isinstance(
        module, torch.nn.ModuleList | torch.nn.ModuleDict
    )


__all__ = ["FEWEST", "RepeatCounts", "RepeatsFailedError", "repeated_layers"]

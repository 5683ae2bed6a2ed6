"""The transforms of ``torch.func``, such as vmap and grad: what a graph has of them.

A graph enters and leaves a transform by calls. Between them tensors are wrapped, and torch keeps a
stack of the transforms that are open.

Private names used (torch 2.13.0): ``torch._functorch.predispatch`` and ``eager_transforms`` (as
module names, and of the latter the functions in ``WRITES_NOTHING``); ``torch._C._functorch``:
``is_functorch_wrapped_tensor``, ``get_unwrapped``, ``get_dynamic_layer_stack_depth`` and
``pop_dynamic_layer_stack_and_undo_to_depth``; ``torch._C._autograd``:
``_saved_tensors_hooks_get_disabled_error_message`` and ``_saved_tensors_hooks_enable``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import fx

_functorch: Any = cast(Any, torch._C)._functorch
_autograd: Any = cast(Any, torch._C)._autograd

_PREDISPATCH = "torch._functorch.predispatch"
WRITES_NOTHING = {
    (_PREDISPATCH, "_add_batch_dim"),
    (_PREDISPATCH, "_remove_batch_dim"),
    (_PREDISPATCH, "_make_dual"),
    (_PREDISPATCH, "_unpack_dual"),
    (_PREDISPATCH, "_unwrap_for_grad"),
    ("torch._functorch.eager_transforms", "_set_tensor_requires_grad"),
    ("torch._functorch.eager_transforms", "_autograd_grad"),
}
"""Module and name of the functions of transforms that take tensors and write to none."""


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that transforms have wrapped, over the same memory; a plain one is itself."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor


def only_wraps(target: Any) -> bool:
    """Whether a call target belongs to a transform and writes to no tensor."""
    place = getattr(target, "__module__", None), getattr(target, "__name__", None)
    return place in WRITES_NOTHING


def regions(graph: fx.Graph) -> list[list[fx.Node]]:
    """The nodes of each outermost transform, from the one that enters it to the one that leaves."""
    found: list[list[fx.Node]] = []
    depth = 0
    for node in graph.nodes:
        change = depth_change(node)
        if change > 0 and depth == 0:
            found.append([])
        if depth > 0 or change > 0:
            found[-1].append(node)
        depth = max(depth + change, 0)
    return found


def depth_change(node: fx.Node) -> int:
    """1 where a transform is entered, -1 where one is left, else 0."""
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    if not str(getattr(node.target, "__module__", "")).startswith(
        ("torch._functorch", "torch._C._functorch")
    ):
        return 0
    return name.endswith("_increment_nesting") - name.endswith("_decrement_nesting")


open_transforms: Callable[[], int] = _functorch.get_dynamic_layer_stack_depth
"""How many transforms are open in this thread."""


def leave_transforms(depth: int) -> None:
    """Leaves the transforms that a graph has left open by failing inside.

    Args:
        depth: ``open_transforms()`` as it was before.
    """
    if open_transforms() <= depth:
        return
    _functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)
    refused_by = _autograd._saved_tensors_hooks_get_disabled_error_message()
    if refused_by is not None and refused_by.startswith("torch.func."):
        _autograd._saved_tensors_hooks_enable()


@contextmanager
def transforms_left() -> Iterator[None]:
    """Leaves the transforms that something left open by failing inside."""
    depth = open_transforms()
    try:
        yield
    finally:
        leave_transforms(depth)

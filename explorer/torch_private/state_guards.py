"""Dynamo's guards over model state and Python values: check all, say which fails, keep some.

Private names used (torch 2.13.0): ``torch._dynamo.hooks.Hooks``, of a capture
``graph_capture_output.build_guards`` and ``backend_input``, and of the guard manager it makes
``root``, ``check``, ``check_verbose``, ``clone_manager``, ``get_source``, ``get_leaf_guards``,
``get_child_managers`` and ``get_key_value_managers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch._dynamo.hooks import Hooks

from explorer.errors import CaptureError
from explorer.torch_private.guard_lifetimes import ending_with_the_capture

# Guards that the runtime checks itself, or that do not matter to a graph that runs without
# autograd.
_GLOBAL_GUARDS = frozenset({"SHAPE_ENV", "GLOBAL_STATE", "GRAD_MODE", "DETERMINISTIC_ALGORITHMS"})

Scope = Mapping[str, Any]
"""Parameter and closure names -> values, as the traced function sees them."""


@dataclass(frozen=True)
class GuardNode:
    """What is tested about one value.

    Attributes:
        source: Dynamo's name of the value: ``L['self']._modules['inner'].scale``.
        tests: kinds of the tests, such as ``EQUALS_MATCH``.
        children: the values that are reached through this one.
    """

    source: str
    tests: tuple[str, ...]
    children: tuple[GuardNode, ...]


class StateGuards:
    """The guards of one capture that are not about sizes."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._root = manager.root
        self.check: Callable[[Scope], bool] = manager.check

    @property
    def root(self) -> Any:
        """Torch's own manager of all guards."""
        return self._root

    def explain(self, scope: Scope) -> str:
        """The first test that fails, in torch's words."""
        return _failing(self._manager.check_verbose(scope))

    def tree(self) -> GuardNode:
        """What is tested, as a tree of values."""
        return _node(self._root)

    def check_of(self, sources: frozenset[str]) -> Callable[[Scope], bool]:
        """``check`` for the values at some sources; a value counts only when its parents do."""
        part = self._root.clone_manager(lambda node: node.get_source() in sources)
        check: Callable[[Scope], bool] = part.check
        return check


def _node(manager: Any) -> GuardNode:
    tests = tuple(type(each).__name__ for each in manager.get_leaf_guards())
    return GuardNode(
        manager.get_source(), tests, tuple(_node(child) for child in children_of(manager))
    )


def children_of(manager: Any) -> Iterator[Any]:
    """The managers of values that are reached through the one of this manager."""
    yield from manager.get_child_managers()
    pairs = getattr(manager, "get_key_value_managers", dict)()
    for pair in pairs.values():
        yield from (each for each in pair if each is not None)


def state_guards(
    output: Any,
    checked: set[int],
    function: FunctionType,
    *,
    on_entries: Callable[[Sequence[Any]], None] | None = None,
) -> StateGuards:
    """The guards over model state, Python values, and tensors that only decided a branch.

    Sizes, and the tensors of the call that are inputs of the graph, are checked by the runtime.

    Args:
        output: what torch's trace returned.
        checked: ids of tensors of the call that the runtime checks if they are inputs.
        function: the function that was traced.
        on_entries: called with the list of all guards, each an entry of a ``guard_filter_fn``.
    """
    backend_input = output.backend_input
    given = () if backend_input is None else backend_input.example_inputs
    # A tensor that only decided a branch is no input of the graph, so nothing else would check it.
    checked &= {id(value) for value in given if isinstance(value, torch.Tensor)}

    def keep(entries: Sequence[Any]) -> list[bool]:
        if on_entries is not None:
            on_entries(entries)
        return [_is_state_guard(entry, checked) for entry in entries]

    with ending_with_the_capture():
        try:
            built = output.graph_capture_output.build_guards(
                function.__code__, hooks=Hooks(guard_filter_fn=keep)
            )
        except RuntimeError as error:
            # Guard.set_export_info compares the tensor made of an array with ==, item by item.
            if "Boolean value of Tensor" not in str(error):
                raise
            raise CaptureError(
                "The model reads a numpy array of several items, on which torch cannot write "
                "conditions: pass a tensor made with torch.from_numpy."
            ) from error
    return StateGuards(built.guard_manager)


def _is_state_guard(entry: Any, checked: set[int]) -> bool:
    if entry.guard_type in _GLOBAL_GUARDS:
        return False
    return entry.guard_type != "TENSOR_MATCH" or id(entry.value) not in checked


def _failing(info: Any) -> str:
    parts = info.verbose_code_parts
    return str(parts[0]) if parts else "a guard that torch does not name"


__all__ = ["GuardNode", "Scope", "StateGuards", "children_of", "state_guards"]

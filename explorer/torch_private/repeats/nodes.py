"""Writes the nodes of a traced call again, for another call.

Private names used (torch 2.13.0): ``nn_module_stack`` and ``num_calls`` of a translator,
``graph`` and ``current_tracer`` of its ``output``, with ``_used_names``; the keys
``nn_module_stack``, ``source_fn_stack``, ``stack_trace``, ``creation_timestamp`` and
``example_value`` of a node's ``meta``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from explorer.torch_private.graph_codec import STORAGE
from explorer.torch_private.repeats.arguments import storage_key

_SUFFIX = re.compile(r"_\d+$")
_NUMBERS = itertools.count(1 << 40)


def fresh_storage() -> int:
    """A number that stands for no other memory: numbers of torch's storages are addresses."""
    return -next(_NUMBERS)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a call stands.

    Attributes:
        modules: the modules that it is inside of, its own last, as the nodes of a graph name them.
        frames: the user's frames as text, outermost first.
        module: the module that is called.
    """

    modules: Mapping[str, tuple[str, type]]
    frames: str
    module: torch.nn.Module

    def path(self) -> str:
        """The module's own path."""
        return next(reversed(self.modules.values()))[0]


class Moved:
    """What a node says of its place, said of another call's."""

    def __init__(self, old: Place, new: Place) -> None:
        self._old, self._new = old, new
        self._depth = len(old.modules)
        self._stacks: dict[tuple[str, ...], dict[str, tuple[str, type]]] = {}
        self._texts: dict[str, str] = {}

    def modules(self, stack: Mapping[str, tuple[str, type]]) -> dict[str, tuple[str, type]]:
        """The modules that a node was made in."""
        key = tuple(stack)
        known = self._stacks.get(key)
        if known is None:
            known = dict(self._new.modules)
            for path, kind in itertools.islice(stack.values(), self._depth, None):
                inner = path[len(self._old.path()) :]
                module = self._new.module.get_submodule(inner.lstrip("."))
                known[str(id(module))] = (self._new.path() + inner, kind)
            self._stacks[key] = known
        return known

    def trace(self, text: str) -> str:
        """The user's frames of a node."""
        if self._old.frames == self._new.frames or not text.startswith(self._old.frames):
            return text
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._new.frames + text[len(self._old.frames) :]
        return known

    def say(self, new: fx.Node, old: fx.Node) -> None:
        """Lets a node say of its place what the first call's says, moved."""
        if "nn_module_stack" in old.meta:
            new.meta["nn_module_stack"] = self.modules(old.meta["nn_module_stack"])
        if old.meta.get("stack_trace"):
            new.meta["stack_trace"] = self.trace(old.meta["stack_trace"])


def write_again(
    output: Any, nodes: list[fx.Node], given: Mapping[fx.Node, fx.Node], moved: Moved
) -> dict[fx.Node, fx.Node]:
    """Copies the nodes of a call to the end of the graph.

    Args:
        output: torch's ``OutputGraph``.
        nodes: of the call that was traced, in order.
        given: what they use of before, and what stands in its place; anything else is used as
            it is.
        moved: says where the other call stands.

    Returns:
        Node -> its copy, those given included.
    """
    new_of = dict(given)
    memory: dict[Any, Any] = {storage_key(old): storage_key(new) for old, new in given.items()}
    names = output.current_tracer._used_names
    use: Callable[[fx.Node], fx.Node] = lambda node: new_of.get(node, node)  # noqa: E731
    namespace = output.graph._graph_namespace
    for node in nodes:
        name = output.graph._target_to_str(node.target)
        is_renamed = name != _SUFFIX.sub("", node.name)  # to what the user assigns it to
        name = namespace.create_name(name, None) if is_renamed else ""
        new = output.graph.node_copy(node, use)
        meta = new.meta
        moved.say(new, node)
        if meta.get("source_fn_stack"):
            *outer, (_, function) = meta["source_fn_stack"]
            meta["source_fn_stack"] = [*outer, (name or new.name, function)]
        if "creation_timestamp" in meta:
            meta["creation_timestamp"] = output.timestamp
        if isinstance(meta.get("example_value"), torch.Tensor):
            key = storage_key(node)
            if key not in memory:
                memory[key] = fresh_storage()
            # The example itself is shared with the first call; its memory is not.
            meta[STORAGE] = memory[key]
        names.add(new.name)
        new_of[node] = new
    return new_of


__all__ = ["Moved", "Place", "fresh_storage", "write_again"]

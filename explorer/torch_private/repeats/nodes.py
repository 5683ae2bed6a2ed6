"""Writes the nodes of a traced call again, for another call.

Private names used (torch 2.13.0): ``graph``, ``timestamp`` and ``current_tracer._used_names`` of
torch's ``OutputGraph``; ``_graph_namespace`` and ``_target_to_str`` of a graph; the keys
``source_fn_stack``, ``creation_timestamp`` and ``example_value`` of a node's ``meta``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from explorer.torch_private.graph_codec import STORAGE
from explorer.torch_private.repeats.arguments import storage_key
from explorer.torch_private.repeats.places import Moved

_SUFFIX = re.compile(r"_\d+$")
_NUMBERS = itertools.count(1 << 40)


def write_again(
    output: Any,
    nodes: Mapping[fx.Node, str],
    given: Mapping[fx.Node, fx.Node],
    moved: Moved,
) -> dict[fx.Node, fx.Node]:
    """Copies the nodes of a call to the end of the graph.

    Args:
        output: torch's ``OutputGraph``.
        nodes: of the call that was traced, in order, with what each was called when it ended.
        given: what they use of before, and what stands in its place; anything else is used as
            it is.
        moved: says where the other call stands.

    Returns:
        Node -> its copy, those given included.
    """
    new_of = dict(given)
    memory: dict[Any, Any] = {storage_key(old): storage_key(new) for old, new in given.items()}
    graph, names = output.graph, output.current_tracer._used_names

    def use(node: fx.Node) -> fx.Node:
        return new_of.get(node, node)

    for node, name in nodes.items():
        first_name = _first_name(graph, node, name)
        args, kwargs = fx.map_arg(node.args, use), fx.map_arg(node.kwargs, use)
        new = graph.create_node(node.op, node.target, args, kwargs, name, node.type)
        new.meta = dict(node.meta)
        moved.say(new, node)
        if new.meta.get("source_fn_stack"):
            *outer, (_, function) = new.meta["source_fn_stack"]
            new.meta["source_fn_stack"] = [*outer, (first_name or new.name, function)]
        if "creation_timestamp" in new.meta:
            new.meta["creation_timestamp"] = output.timestamp
        if isinstance(new.meta.get("example_value"), torch.Tensor):
            key = storage_key(node)
            if key not in memory:
                memory[key] = _fresh_storage()
            # The example itself is the first call's; what it says of memory is not.
            new.meta[STORAGE] = memory[key]
        names.add(new.name)
        new_of[node] = new
    return new_of


def _fresh_storage() -> int:
    """A number that stands for no other memory: the numbers of torch's storages are addresses."""
    return -next(_NUMBERS)


def _first_name(graph: fx.Graph, node: fx.Node, name: str) -> str:
    """Takes the name that a trace gives a node before its variable's, so that numbers go on alike.

    Empty for a node that keeps its name.
    """
    first_name = graph._target_to_str(node.target)
    if first_name == _SUFFIX.sub("", name):
        return ""
    return graph._graph_namespace.create_name(first_name, None)


__all__ = ["write_again"]

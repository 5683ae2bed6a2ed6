"""What a call returns, and the same of a call that was written again.

Private names used (torch 2.13.0): the classes of ``torch._dynamo.variables`` for tensors, sizes,
constants, tuples and lists, with ``as_proxy``, ``items`` and ``clone``; the mutation type
``ValueMutationNew``; ``fake_mode`` of a translator, ``current_tracer.proxy`` of its output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch._dynamo.variables.base import ValueMutationNew
from torch._dynamo.variables.constant import ConstantVariable
from torch._dynamo.variables.lists import ListVariable, TupleVariable
from torch._dynamo.variables.tensor import SymNodeVariable, TensorVariable

from explorer.torch_private.repeats.arguments import Arguments, NotComparableError, storage_key


def template(result: Any, inside: set[fx.Node], given: Arguments) -> Any:
    """What a call returned, for ``result_of``.

    Args:
        result: Dynamo's own object.
        inside: the nodes of the call.
        given: its arguments.

    Raises:
        NotComparableError: it cannot be made again.
    """
    kind = type(result)
    if kind is ConstantVariable:
        return result
    if kind in (TensorVariable, SymNodeVariable):
        node = result.as_proxy().node
        if node in given.nodes:
            return ("argument", given.nodes.index(node))
        if node not in inside:
            raise NotComparableError("it returns what it was not given")
        if kind is TensorVariable and _shares_memory(node, inside, given):
            raise NotComparableError("it returns a view")
        return ("made", node, result.clone())  # it is about to be called as a variable is
    if kind in (TupleVariable, ListVariable) and id(result) not in given.containers:
        return (kind, *(template(item, inside, given) for item in result.items))
    raise NotComparableError(f"it returns a {kind.__name__}")


def _shares_memory(node: fx.Node, inside: set[fx.Node], given: Arguments) -> bool:
    """Whether a result shares memory with what was there before, or is a part of something."""
    before = {each for other in inside for each in other.all_input_nodes} - inside
    keys = {storage_key(each) for each in (*before, *given.nodes)}
    return storage_key(node) in keys or node.meta["example_value"].storage_offset() != 0


def result_of(
    translator: Any, made: Any, new_of: Mapping[fx.Node, fx.Node], given: Arguments
) -> Any:
    """What the other call returns, as Dynamo's own object.

    Args:
        translator: of the code that calls.
        made: a ``template``.
        new_of: node of the first call -> its copy.
        given: the other call's arguments.
    """
    if not isinstance(made, tuple):
        return made
    kind, *parts = made
    if kind == "argument":
        return given.holders[parts[0]]
    if kind == "made":
        node, first = new_of[parts[0]], parts[1]
        _give_example(translator, node)
        return first.clone(proxy=translator.output.current_tracer.proxy(node))
    items = [result_of(translator, part, new_of, given) for part in parts]
    if kind is ListVariable:
        return ListVariable(items, mutation_type=ValueMutationNew())
    return TupleVariable(items)


def _give_example(translator: Any, node: fx.Node) -> None:
    """An example of its own: torch may look at which memory it has."""
    example = node.meta["example_value"]
    if not isinstance(example, torch.Tensor):
        return
    with translator.fake_mode:
        node.meta["example_value"] = torch.empty_strided(
            example.shape,
            example.stride(),
            dtype=example.dtype,
            device=example.device,
            requires_grad=example.requires_grad,
        )


__all__ = ["result_of", "template"]

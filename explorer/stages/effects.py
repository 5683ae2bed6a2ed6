"""Which nodes write, and which only allocate: told from the graph alone, on the safe side."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from explorer.stages.graphs import example_value
from explorer.torch_private import graph_codec, ops, transforms

_IN_PLACE_OPERATORS = frozenset(
    {
        operator.iadd,
        operator.iand,
        operator.ifloordiv,
        operator.ilshift,
        operator.imatmul,
        operator.imod,
        operator.imul,
        operator.ior,
        operator.ipow,
        operator.irshift,
        operator.isub,
        operator.itruediv,
        operator.ixor,
        operator.setitem,
    }
)
_ALLOCATING_FUNCTIONS = frozenset({torch.empty, torch.empty_like, torch.empty_strided})
_ALLOCATING_METHODS = frozenset({"new_empty", "new_empty_strided"})
_EMBEDDINGS = (torch.nn.functional.embedding, torch.nn.functional.embedding_bag)
# They update running statistics, or renormalise a table, without a trailing underscore.
_WRITE_UNDER_OPTIONS = ("batch_norm", "instance_norm", "embedding", "embedding_bag")


def is_allocation(node: fx.Node) -> bool:
    """Whether a node only makes memory without a defined content."""
    if node.op == "call_method":
        return node.target in _ALLOCATING_METHODS
    if node.op != "call_function" or "out" in node.kwargs:
        return False
    if ops.is_operator(node.target):
        return ops.operator_names(node.target)[0].startswith(("aten::empty", "aten::new_empty"))
    return node.target in _ALLOCATING_FUNCTIONS


def written_nodes(node: fx.Node) -> tuple[fx.Node, ...]:
    """The argument nodes whose memory a node may write to.

    A function that is not known counts as writing to all its tensors.
    """
    if node.op == "call_method":
        return _written_by_method(node)
    if node.op != "call_function":
        return ()
    target: Any = node.target
    if ops.is_operator(target):
        return _written_by_operator(node)
    if target in _IN_PLACE_OPERATORS:
        return _tensors(node.args[:1])
    written = _tensors([node.kwargs.get("out")])
    name = getattr(target, "__name__", "")
    if node.kwargs.get("inplace") or (name.endswith("_") and not name.endswith("__")):
        return written + _tensors(node.args[:1])
    if target in _EMBEDDINGS and _max_norm(node) is None:
        return written  # else it renormalises the table in place
    if name.endswith(_WRITE_UNDER_OPTIONS):
        first = node.args[0] if node.args else node.kwargs.get("input")  # what comes in stays
        return written + tuple(each for each in node_tensors(node) if each is not first)
    if ops.is_higher_order(target):
        return written + node_tensors(node)
    if _has_inplace_flag(target, node):
        return written + _tensors(node.args[:1])
    known = id(target) in ops.public_paths() or ops.is_torch_builtin(target)
    known = known or transforms.only_wraps(target)
    return written if known else node_tensors(node)


def _max_norm(node: fx.Node) -> Any:
    return node.args[3] if len(node.args) > 3 else node.kwargs.get("max_norm")


def _written_by_method(node: fx.Node) -> tuple[fx.Node, ...]:
    name = str(node.target)
    if (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "set_data"):
        return _tensors(node.args[:1])
    return ()


def _written_by_operator(node: fx.Node) -> tuple[fx.Node, ...]:
    found = []
    for position, name in ops.written_arguments(node.target) or ():
        if name in node.kwargs:
            found.append(node.kwargs[name])
        elif position < len(node.args):
            found.append(node.args[position])
    return _tensors(found)


def _has_inplace_flag(target: Any, node: fx.Node) -> bool:
    code = getattr(target, "__code__", None)
    if code is None or "inplace" not in code.co_varnames[: code.co_argcount]:
        return False
    position = code.co_varnames.index("inplace")
    return position < len(node.args) and node.args[position] is True


def node_tensors(node: fx.Node) -> tuple[fx.Node, ...]:
    """The argument nodes of a node that are tensors."""
    return _tensors(node.all_input_nodes)


def _tensors(values: Iterable[Any]) -> tuple[fx.Node, ...]:
    found: list[fx.Node] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _tensors(value)
        elif isinstance(value, fx.Node) and isinstance(example_value(value), torch.Tensor):
            found.append(value)
    return tuple(found)


def storage_of(node: fx.Node) -> int | None:
    """Equal for nodes whose tensors share memory; None for what is no tensor."""
    value = example_value(node)
    if not isinstance(value, torch.Tensor):
        return None
    known = node.meta.get(graph_codec.STORAGE)  # of a graph that was read from the store
    return known if known is not None else ops.storage_id(value)


def written_storages(nodes: Iterable[fx.Node]) -> frozenset[int]:
    """Memory that some nodes may write to."""
    found = {storage_of(written) for node in nodes for written in written_nodes(node)}
    return frozenset(storage for storage in found if storage is not None)


def written_inputs(graph: fx.Graph) -> frozenset[fx.Node]:
    """The placeholders whose memory the graph may write to, directly or through a view."""
    written = written_storages(graph.nodes)
    return frozenset(
        node for node in graph.nodes if node.op == "placeholder" and storage_of(node) in written
    )

"""What a user may call an op: one canonical name per node, and aliases.

User text is looked up, never evaluated.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from explorer.torch_private import ops

# Dynamo writes ``a + b`` as operator.add; the dispatcher knows it as aten::add.
_ATEN_OF_OPERATOR = {
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "getitem": "",
    "setitem": "",
}
_IN_PLACE = (*_ATEN_OF_OPERATOR, "add", "sub", "mul", "matmul", "pow")


def canonical_name(node: fx.Node) -> str:
    """The name shown for a node.

    It is ``ns::op.overload``, a public torch path, ``Tensor.view`` or ``operator.add``.
    """
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    if node.op != "call_function":
        return f"{node.op}:{node.target}"
    if node.target is getattr and len(node.args) == 2 and isinstance(node.args[1], str):
        return f"Tensor.{node.args[1]}"
    return function_name(node.target)


def function_name(target: Any) -> str:
    """The canonical name of a call target."""
    if ops.is_operator(target):
        names = ops.operator_names(target)
        return names[0] if names[-1].endswith(".default") else names[-1]
    if ops.is_higher_order(target):
        name = ops.higher_order_name(target)
        return f"torch.{name}" if hasattr(torch, name) else f"higher_order::{name}"
    public = ops.paths_of(target)
    if public:
        return public[0]
    module = getattr(target, "__module__", None) or ""
    name = getattr(target, "__name__", None) or str(target)
    if module == "_operator":
        return f"operator.{name}"
    return f"{module}.{name}" if module else name


def names_of(node: fx.Node) -> tuple[str, ...]:
    """Every name under which a node can be asked for, canonical first."""
    canonical = canonical_name(node)
    names = [canonical]
    target: Any = node.target
    if canonical.startswith("Tensor."):
        name = canonical.removeprefix("Tensor.")
        names += [f"torch.Tensor.{name}", f"aten::{name}"]
        names += [f"torch.{name}"] if callable(getattr(torch, name, None)) else []
    elif ops.is_operator(target):
        names += ops.operator_names(target)
    elif ops.is_higher_order(target):
        names.append(f"higher_order::{ops.higher_order_name(target)}")
    else:
        names += _function_aliases(canonical, ops.paths_of(target))
    return tuple(dict.fromkeys(names))


def _function_aliases(canonical: str, paths: tuple[str, ...]) -> list[str]:
    aliases = list(paths)
    for path in paths:
        head, _, name = path.rpartition(".")
        family = head.rpartition(".")[2]
        aliases.append(
            f"aten::{name}" if family in ("torch", "functional") else f"aten::{family}_{name}"
        )
        if head == "torch.nn.functional":
            aliases.append(f"F.{name}")
            aliases += [f"torch.{name}"] if callable(getattr(torch, name, None)) else []
    head, _, name = canonical.rpartition(".")
    if head == "operator":
        aten = _aten_of_operator(name)
        aliases += [f"aten::{aten}", f"torch.{aten}", f"Tensor.{aten}"] if aten else []
    return aliases


def _aten_of_operator(name: str) -> str:
    """``div`` of ``truediv``, ``div_`` of ``itruediv``; empty where there is no one op."""
    if name.startswith("i") and name[1:] in _IN_PLACE:
        return _ATEN_OF_OPERATOR.get(name[1:], name[1:]) + "_"
    return _ATEN_OF_OPERATOR.get(name, name)


def plain_name(text: str) -> str:
    """``ns::op`` of ``torch.ops.ns.op``, any other text as it is."""
    path = text.removeprefix("torch.ops.")
    if path == text:
        return text
    namespace = "higher_order" if path.startswith("higher_order.") else path.partition(".")[0]
    return f"{namespace}::{path.removeprefix(f'{namespace}.')}"


def name_table(nodes: Iterable[fx.Node]) -> dict[str, tuple[fx.Node, ...]]:
    """Name or alias -> the nodes that it means."""
    table: dict[str, list[fx.Node]] = {}
    for node in nodes:
        if node.op in ("call_function", "call_method"):
            for name in names_of(node):
                table.setdefault(name, []).append(node)
    return {name: tuple(found) for name, found in table.items()}


def known_names() -> frozenset[str]:
    """Names that exist though they may not occur.

    They are registered operators, public functions and tensor methods.
    """
    functions = frozenset(path for paths in ops.public_paths().values() for path in paths)
    short = {f"F.{name.rpartition('.')[2]}" for name in functions if name.startswith("torch.nn.f")}
    methods = {name for name in dir(torch.Tensor) if not name.startswith("_")}
    tensor = {f"{head}.{name}" for name in methods for head in ("Tensor", "torch.Tensor")}
    operators = {f"operator.{name}" for name in dir(operator) if not name.startswith("_")}
    return functions | ops.registered_names() | short | tensor | operators


def nearest(text: str, names: Iterable[str]) -> list[str]:
    """The three names most like a text; those that end alike first."""
    candidates = [name for name in dict.fromkeys(names) if not name.endswith(".default")]
    last = text.removesuffix(".default").replace("::", ".").rpartition(".")[2]
    same_tail = [name for name in candidates if name.replace("::", ".").rpartition(".")[2] == last]
    close = difflib.get_close_matches(text, candidates, n=3, cutoff=0.0)
    return list(dict.fromkeys([*sorted(same_tail, key=len)[:2], *close]))[:3]


def occurring(table: Mapping[str, tuple[fx.Node, ...]]) -> dict[str, int]:
    """Canonical name -> how often it occurs, in graph order."""
    counts: dict[str, int] = {}
    for name, nodes in table.items():
        own = [node for node in nodes if canonical_name(node) == name]
        if own:
            counts[name] = len(own)
    return counts

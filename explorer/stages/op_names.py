"""What a user may call an op: one canonical name per node, and aliases. User text is looked up, never evaluated."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from explorer.torch_private import ops

# Dynamo writes ``a + b`` as operator.add; the dispatcher knows it as aten::add.
_ATEN_OF_OPERATOR = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "getitem": ""}


def canonical_name(node: fx.Node) -> str:
    """The name shown for a node: ``ns::op.overload``, a public torch path, ``Tensor.view`` or ``operator.add``."""
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    if node.op == "call_function":
        return function_name(node.target)
    return f"{node.op}:{node.target}"


def function_name(target: Any) -> str:
    """The canonical name of a call target."""
    if ops.is_operator(target):
        names = ops.operator_names(target)
        return names[0] if names[-1].endswith(".default") else names[-1]
    public = ops.public_functions().get(id(target))
    if public is not None:
        return public
    module = getattr(target, "__module__", None) or ""
    name = getattr(target, "__name__", None) or str(target)
    if module == "_operator":
        return f"operator.{name}"
    return f"{module}.{name}" if module else name


def names_of(node: fx.Node) -> tuple[str, ...]:
    """Every name under which a node can be asked for, canonical first."""
    canonical = canonical_name(node)
    names = [canonical]
    if node.op == "call_method":
        name = str(node.target)
        names += [f"torch.Tensor.{name}", f"aten::{name}"]
        if hasattr(torch, name):
            names.append(f"torch.{name}")
    elif node.op == "call_function" and ops.is_operator(node.target):
        for name in ops.operator_names(node.target):
            names += [name, f"torch.ops.{name.replace('::', '.')}"]
    elif node.op == "call_function":
        names += _function_aliases(canonical)
    return tuple(dict.fromkeys(names))


def _function_aliases(canonical: str) -> list[str]:
    head, _, name = canonical.rpartition(".")
    aliases = [f"aten::{name}", f"torch.{name}"] if head.startswith("torch") else []
    if head == "torch.nn.functional":
        aliases.append(f"F.{name}")
    if head == "operator":
        base = name
        if name.startswith("i") and name[1:] in ("add", "sub", "mul", "truediv", "floordiv", "mod"):
            base = name[1:]
            aten = _ATEN_OF_OPERATOR.get(base, base) + "_"
        else:
            aten = _ATEN_OF_OPERATOR.get(base, base)
        if aten:
            aliases += [f"aten::{aten}", f"torch.{aten}", f"Tensor.{aten}"]
    return aliases


def name_table(nodes: Iterable[fx.Node]) -> dict[str, tuple[fx.Node, ...]]:
    """Name or alias -> the nodes that it means."""
    table: dict[str, list[fx.Node]] = {}
    for node in nodes:
        if node.op in ("call_function", "call_method"):
            for name in names_of(node):
                table.setdefault(name, []).append(node)
    return {name: tuple(found) for name, found in table.items()}


def known_names() -> frozenset[str]:
    """Names that exist though they may not occur: registered operators, public functions, tensor methods."""
    functions = ops.public_functions().values()
    short = {f"F.{name.rpartition('.')[2]}" for name in functions if name.startswith("torch.nn.f")}
    methods = {f"Tensor.{name}" for name in dir(torch.Tensor) if not name.startswith("_")}
    return frozenset(functions) | ops.registered_names() | short | methods


def nearest(text: str, names: Iterable[str]) -> list[str]:
    """The three names most like a text."""
    candidates = list(names)
    last = text.replace("::", ".").rpartition(".")[2]
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

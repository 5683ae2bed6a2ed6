"""Traced dims in, independent sizes out: which dims are one size, and which are no size at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy

from explorer.artifacts import Size
from explorer.artifacts.common import Expression
from explorer.errors import CaptureError
from explorer.stages.capture_errors import frozen_dim, unified_text
from explorer.stages.graphs import dotted_path, example_value, expression_of, placeholders
from explorer.stages.inputs import DynamicDim, TensorLeaf
from explorer.torch_private import capture as dynamo


def independent_sizes(
    raw: dynamo.RawCapture,
    dims: tuple[DynamicDim, ...],
    names_of_dim: Mapping[tuple[str, int], str],
    value_of: Mapping[str, Any],
    leaves: list[TensorLeaf],
) -> tuple[tuple[Size, ...], tuple[str, ...]]:
    """The independent sizes, and what to say about dims that the model unified or does not read.

    Args:
        raw: the trace's own record.
        dims: the dims that were marked.
        names_of_dim: (path, dim) -> the name of its size.
        value_of: path of a tensor that is an input of the graph -> its fake value.
        leaves: every tensor of the call.

    Raises:
        SpecializedDim: a marked dim became a constant.
        CaptureError: a marked dim is tied to another size.
    """
    tensors = {leaf.path: leaf.tensor for leaf in leaves}
    groups: list[dict[str, Any]] = []
    notes: list[str] = []
    inside = [each for each in dims if each.path in value_of]
    for each in [*inside, *(each for each in dims if each not in inside)]:
        name = names_of_dim[each.path, each.dim]
        if each in inside:
            expression = expression_of(value_of[each.path].shape[each.dim])
        else:
            expression = _symbol_outside(raw, each)
        if expression is None and each not in inside:
            notes.append(
                f"{each.path}.size({each.dim}) is not in the graph: the model does not read it"
            )
            continue
        if expression is None or isinstance(expression, int):
            raise frozen_dim(raw, each, expression)
        group = next((g for g in groups if g["name"] == name or expression in g["symbols"]), None)
        if group is None:
            groups.append(
                {"name": name, "given": each.name, "symbols": [expression], "sources": []}
            )
            group = groups[-1]
        elif group["name"] != name:
            notes.append(unified_text(raw, group, each, name))
        if group["given"] is None and each.name is not None:
            group["name"], group["given"] = name, each.name
        if expression not in group["symbols"]:
            group["symbols"].append(expression)
        group["sources"].append((each.path, each.dim))
        group.setdefault("hint", tensors[each.path].shape[each.dim])
    return tuple(_size(raw, group) for group in groups), tuple(notes)


def _symbol_outside(raw: dynamo.RawCapture, dim: DynamicDim) -> Expression | int | None:
    """The size of a tensor that is no input of the graph, where something reads it; else None."""
    assert raw.shape_env is not None
    taken = _symbol_taken(raw, dim)
    if taken is not None:
        return taken
    tested = {symbol for guard in raw.shape_guards for symbol in guard.expression.free_symbols}
    for source, symbol in dynamo.symbol_sources(raw.shape_env).items():
        if _is_size_of(source, dim):
            known = dynamo.replace_symbols(symbol, raw.shape_env)
            if known.is_number:
                return int(known)
            return known if known.free_symbols & tested else None
    return None


def _symbol_taken(raw: dynamo.RawCapture, dim: DynamicDim) -> Expression | int | None:
    """The size where the graph takes it as a number of its own; else None."""
    if raw.graph_module is None:
        return None
    for node, source in zip(placeholders(raw.graph_module.graph), raw.sources, strict=True):
        if _is_size_of(source, dim):
            return expression_of(example_value(node))
    return None


def _is_size_of(source: str, dim: DynamicDim) -> bool:
    """Whether Dynamo's name of a value is that of a size of a tensor of the call."""
    tensor_source, _, index = source.rpartition(".size()")
    return index == f"[{dim.dim}]" and dotted_path(tensor_source) == dim.path


def _size(raw: dynamo.RawCapture, group: Mapping[str, Any]) -> Size:
    symbol = group["symbols"][0]
    if not isinstance(symbol, sympy.Symbol):
        path, dim = group["sources"][0]
        raise CaptureError(
            f"{path}.size({dim}) was asked to be dynamic, but the model ties it to another size: "
            f"it is always {symbol}. Mark only the independent size."
        )
    assert raw.shape_env is not None
    low, high = 0, None
    for each in group["symbols"]:
        bounds = raw.shape_env.var_to_range.get(each)
        if bounds is not None:
            low = max(low, int(bounds.lower)) if bounds.lower.is_Integer else low
            upper = int(bounds.upper) if bounds.upper.is_Integer else None
            high = upper if high is None else high if upper is None else min(high, upper)
    return Size(
        name=group["name"],
        sources=tuple(group["sources"]),
        symbol=symbol,
        torch_symbols=tuple(group["symbols"]),
        hint=int(group["hint"]),
        low=low,
        high=high,
        unbacked=str(symbol).startswith("u"),
    )

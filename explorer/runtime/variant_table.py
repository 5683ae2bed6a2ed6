"""Variants in, a table out: which of them to try for a call, by one of its sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from explorer.artifacts import CapturedGraph
from explorer.guards.variants import region_mask
from explorer.stages.capture import CaptureRequest, named_dims
from explorer.stages.inputs import bind_arguments, tensor_leaves, user_arguments
from explorer.torch_private.capture import traced_function

LARGEST_LISTED_SIZE = 65536
"""Sizes up to this one have a row; for larger ones every variant is tried."""

SizeReader = Callable[[tuple[Any, ...], Mapping[str, Any]], int]


class VariantTable:
    """For one size of a call, the variants to try, those whose conditions on that size hold.

    Args:
        request: knows the signature and the dynamic dims.
        captured: the graph of each variant, in order.
        largest: the largest size with a row.
    """

    def __init__(
        self, request: CaptureRequest, captured: Sequence[CapturedGraph], largest: int
    ) -> None:
        every = tuple(range(len(captured)))
        self._every = every
        _, dims = named_dims(request)
        self._rows: list[tuple[int, ...]] = []
        self._read: SizeReader | None = None
        if dims and len(captured) > 1:
            self._read = size_reader(request, dims[0].path, dims[0].dim)
            count = min(largest, LARGEST_LISTED_SIZE) + 1
            name = str(dims[0].name)
            self._rows = _rows([_alone(graph, name, count) for graph in captured], count)

    def candidates(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        """Positions of the variants to try, in order."""
        if self._read is None:
            return self._every
        try:
            size = self._read(args, kwargs)
        except (AttributeError, IndexError, KeyError, TypeError):
            return self._every  # a call that does not fit the signature: the variant says so
        return self._rows[size] if size < len(self._rows) else self._every


def _alone(captured: CapturedGraph, name: str, count: int) -> np.ndarray:
    """The values of one size that a graph does not rule out, whatever the other sizes are.

    Sizes 0 and 1 are never ruled out here: they are settled apart.
    """
    sizes = np.arange(count, dtype=np.int64)
    others = {
        guard.expression
        for guard in captured.guards
        if guard.expression is not None and len(guard.expression.free_symbols) > 1
    }
    if others:
        import dataclasses

        kept = tuple(guard for guard in captured.guards if guard.expression not in others)
        captured = dataclasses.replace(captured, guards=kept)
    mask = region_mask(captured, {name: sizes}, count)
    mask[:2] = True
    return mask


def _rows(masks: list[np.ndarray], count: int) -> list[tuple[int, ...]]:
    table = np.stack(masks)
    known: dict[bytes, tuple[int, ...]] = {}
    rows = []
    for column in np.ascontiguousarray(table.T):
        key = column.tobytes()
        if key not in known:
            known[key] = tuple(int(position) for position in np.flatnonzero(column))
        rows.append(known[key])
    return rows


def size_reader(request: CaptureRequest, path: str, dim: int) -> SizeReader:
    """A function of a call's arguments that reads one size.

    Args:
        request: knows the signature.
        path: of the tensor, as the user writes it.
        dim: of the tensor.
    """
    function, receiver = traced_function(request.model)
    code = function.__code__
    first = 0 if receiver is None else 1
    names = code.co_varnames[first : code.co_argcount]
    if path in names:
        position = names.index(path)

        def read(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
            tensor = args[position] if position < len(args) else kwargs[path]
            return tensor.shape[dim]

        return read

    def search(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
        bound = bind_arguments(function, receiver, args, kwargs)
        leaves = tensor_leaves(user_arguments(bound, receiver))
        return {leaf.path: leaf.tensor for leaf in leaves}[path].shape[dim]

    return search

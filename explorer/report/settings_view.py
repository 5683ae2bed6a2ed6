"""What a person may set, as plain data: the dims of a call's tensors, the ranges on an axis.

A dim is ``static``, ``dynamic`` or ``unbacked``. A table of dims names those that are not static:
``{"input_ids": {"0": {"mode": "dynamic", "name": "n"}}}``, with an empty name where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from explorer.config import CompilationConfig, CompilationMode
from explorer.errors import ExplorerError
from explorer.report.wording import counted, label_of, listed
from explorer.size_range import SizeRange, build_range_table
from explorer.stages.capture import CaptureRequest, wanted_dims, with_names
from explorer.stages.inputs import DynamicDim, TensorLeaf

if TYPE_CHECKING:
    from explorer.compilation import Compilation

DimTable: TypeAlias = dict[str, dict[str, dict[str, str]]]
"""Path -> dim -> ``mode`` and ``name`` of the dims that are not static."""

MODES = ("static", "dynamic", "unbacked")

PATH_WIDTH = 60
"""Characters of a path that are shown; the tip has more."""

_TIP_WIDTH = 400
_MOST_SIZES = 6
_MOST_DIMS_OF_SIZE = 4

# --------------------------------------------------------------------------------------------- dims


def dims_view(source: CaptureRequest | Compilation) -> dict[str, Any]:
    """Every tensor of the call with each of its dims, before or after a capture.

    Args:
        source: ``Session.request``, or a compilation.

    Returns:
        ``tensors``: ``path label title dtype dims``, each dim with ``dim size default note`` (the
        name that it gets when it has none); ``table``: the dims as they are set; ``inferred``: as
        they are when none are given; ``is_given``; ``message``: what is wrong with them, or empty.
    """
    request = source if isinstance(source, CaptureRequest) else source.captured.request
    if request is None:
        return _no_tensors("This capture was made by hand: its example call is not known.")
    plain = replace(request, dynamic_arg_dims=None, mark_unbacked_dims=None)
    try:
        leaves, inferred = wanted_dims(plain)
    except ExplorerError as error:
        return _no_tensors(label_of(error, _TIP_WIDTH))
    message = ""
    try:
        wanted = wanted_dims(request)[1]
    except ExplorerError as error:
        wanted, message = (), label_of(error, _TIP_WIDTH)
    return {
        "tensors": _tensors(leaves, request.fixed_dims),
        "table": _table(wanted),
        "inferred": _table(inferred),
        "is_given": not (request.dynamic_arg_dims is None and request.mark_unbacked_dims is None),
        "message": message,
    }


def _no_tensors(message: str) -> dict[str, Any]:
    return {"tensors": [], "table": {}, "inferred": {}, "is_given": False, "message": message}


def _tensors(
    leaves: Sequence[TensorLeaf], fixed: Mapping[tuple[str, int], int]
) -> list[dict[str, Any]]:
    all_dims = [(leaf, dim) for leaf in leaves for dim in range(leaf.tensor.dim())]
    named = with_names(tuple(DynamicDim(leaf.path, dim, None) for leaf, dim in all_dims))
    defaults = {(each.path, each.dim): each.name for each in named}
    return [
        {
            "path": leaf.path,
            "label": label_of(leaf.path, PATH_WIDTH),
            "title": label_of(leaf.path, _TIP_WIDTH),
            "dtype": str(leaf.tensor.dtype).removeprefix("torch."),
            "dims": [
                {
                    "dim": dim,
                    "size": size,
                    "default": label_of(defaults[leaf.path, dim], PATH_WIDTH),
                    "note": _note(size, fixed.get((leaf.path, dim))),
                }
                for dim, size in enumerate(leaf.tensor.shape)
            ],
        }
        for leaf in leaves
    ]


def _note(size: int, fixed: int | None) -> str:
    if fixed is not None:
        return f"the model makes it {fixed}"
    return "a dynamic dim is captured at a larger size" if size < 2 else ""


def _table(dims: Iterable[DynamicDim]) -> DimTable:
    table: DimTable = {}
    for each in dims:
        mode = "unbacked" if each.unbacked else "dynamic"
        table.setdefault(each.path, {})[str(each.dim)] = {"mode": mode, "name": each.name or ""}
    return table


def shared_sizes_text(tensors: Sequence[Mapping[str, Any]], table: DimTable) -> str:
    """Which dims are one size: ``n = input_ids[0] = positions[0], example 17``.

    Args:
        tensors: of ``dims_view``.
        table: the dims that are not static.
    """
    dims_of: dict[str, list[str]] = {}
    example_of: dict[str, int] = {}
    for tensor in tensors:
        for dim in tensor["dims"]:
            chosen = table.get(tensor["path"], {}).get(str(dim["dim"]))
            if chosen is not None:
                name = chosen["name"] or dim["default"]
                dims_of.setdefault(name, []).append(f"{tensor['label']}[{dim['dim']}]")
                example_of.setdefault(name, dim["size"])
    if not dims_of:
        return "No size is dynamic: the graph will be right for the example's sizes only."
    texts = []
    for name, dims in dims_of.items():
        places = " = ".join(dims[:_MOST_DIMS_OF_SIZE])
        more = len(dims) - _MOST_DIMS_OF_SIZE
        places += f" and {more:,} more" if more > 0 else ""
        texts.append(f"{name} = {places}, example {example_of[name]}")
    separate = f"{counted(len(texts), 'size')}: " if len(texts) > 1 else ""
    shown = "; ".join(texts[:_MOST_SIZES])
    rest = f"; and {len(texts) - _MOST_SIZES:,} more" if len(texts) > _MOST_SIZES else ""
    return f"{separate}{shown}{rest}"


def dims_text(view: Mapping[str, Any]) -> str:
    """What ``dims_view`` shows, as lines of text: one a tensor, then the sizes."""
    lines = [view["message"]] if view["message"] else []
    for tensor in view["tensors"]:
        chosen = view["table"].get(tensor["path"], {})
        dims = [_dim_text(dim, chosen.get(str(dim["dim"]))) for dim in tensor["dims"]]
        lines.append(f"{tensor['label']} {tensor['dtype']}: {', '.join(dims) or 'scalar'}")
    if view["tensors"]:
        lines.append(shared_sizes_text(view["tensors"], view["table"]))
    return "\n".join(lines)


def _dim_text(dim: Mapping[str, Any], chosen: Mapping[str, str] | None) -> str:
    if chosen is None:
        return f"{dim['size']} static"
    return f"{dim['size']} {chosen['mode']} {chosen['name'] or dim['default']}"


# ------------------------------------------------------------------------------------------- ranges


def ranges_axis(config: CompilationConfig) -> dict[str, Any]:
    """The axis of dispatch sizes with its ranges and exact sizes, on a logarithmic scale.

    Returns:
        ``segments``: ``start end label title from to``; ``sizes``: ``size title at``; positions go
        from 0 to 1. ``text``: the same in words. ``notes``: what was dropped or sorted.
    """
    config = config.in_force()
    table = build_range_table(config.compile_ranges_endpoints, config.exact_sizes, config.max_size)
    end = config.max_size
    segments = [
        {
            "start": each.start,
            "end": each.end,
            "label": str(each),
            "title": _range_title(each),
            "from": _position(each.start, end),
            "to": _position(each.end + 1, end),
        }
        for each in table.ranges
    ]
    sizes = [
        {
            "size": size,
            "title": f"size {size} has an artifact of its own",
            "at": (_position(size, end) + _position(size + 1, end)) / 2,
        }
        for size in table.exact_sizes
    ]
    notes = [*table.notes]
    if config.mode is CompilationMode.DYNAMO_TRACE_ONCE:
        notes.append("mode DYNAMO_TRACE_ONCE has one range for all sizes")
    return {
        "max_size": end,
        "segments": segments,
        "sizes": sizes,
        "text": _axis_text(table.ranges, table.exact_sizes),
        "notes": notes,
    }


def _position(size: int, max_size: int) -> float:
    """Where a size begins on an axis from 0 to 1."""
    return math.log(size) / math.log(max_size + 1)


def _range_title(size_range: SizeRange) -> str:
    if size_range.is_single_size:
        return f"size {size_range.start}: one artifact of each piece"
    return f"sizes {size_range.start} to {size_range.end}: one artifact of each piece"


def _axis_text(ranges: Sequence[SizeRange], exact: Sequence[int]) -> str:
    text = f"{counted(len(ranges), 'range')}: {listed(map(str, ranges), 12)}"
    return f"{text}; exactly {listed(map(str, exact), 12)}" if exact else text


__all__ = ["MODES", "DimTable", "dims_text", "dims_view", "ranges_axis", "shared_sizes_text"]

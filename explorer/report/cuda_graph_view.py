"""CUDA graphs as rows of plain data, for tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explorer.artifacts.cuda_graphs import CUDAGraphRecord


def cuda_graph_rows(records: Sequence[CUDAGraphRecord]) -> list[dict[str, Any]]:
    """One row per graph: ``size graph of bytes replays padded_calls inputs variant``."""
    return [
        {
            "size": each.size,
            "graph of": each.piece or "the whole call",
            "bytes": each.bytes,
            "replays": each.replays,
            "padded calls": each.padded_calls,
            "inputs": "copied" if each.copies_inputs else "in place",
            "variant": each.variant,
        }
        for each in records
    ]


__all__ = ["cuda_graph_rows"]

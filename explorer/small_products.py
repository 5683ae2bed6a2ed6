"""A graph pass of ours: matrix products of a few rows as loops that read each weight once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import fx

from explorer.passes import GraphPass

_ATEN: Any = torch.ops.aten


class SmallMatrixProducts(GraphPass):
    """Lets Inductor write the loop of a matrix product that has few rows, and few is a constant.

    A product of two rows reads every weight and computes next to nothing. Where the weights come
    from memory, the library that torch calls on a CPU takes about four times as long as reading
    them (AMD EPYC, MKL, one thread); the loop that Inductor writes reads each once, together with
    what comes before and after. Numbers differ by the order of a sum, as between any two kernels.

    It is for artifacts of exact sizes (``compile_sizes``): in those of a range the number of rows
    is not known, and they stay as they are. Give it as ``inductor_config={
    "post_grad_custom_post_pass": SmallMatrixProducts()}``, and measure: other processors may have a
    faster library.

    Args:
        most_rows: of the first matrix; products with more are left to the library.
    """

    def __init__(self, most_rows: int = 4) -> None:
        self.most_rows = most_rows

    def uuid(self) -> str:
        """From this file: classes of this package count by name, also for torch's own cache."""
        code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        return f"{type(self).__qualname__} {self.most_rows} {code}"

    def __call__(self, graph: fx.Graph) -> None:
        """Replaces ``aten.mm`` and ``aten.addmm`` on the CPU in the graph."""
        for node in list(graph.nodes):
            if node.target is _ATEN.mm.default:
                self._replace(graph, node, node.args, None)
            elif node.target is _ATEN.addmm.default and not node.kwargs:
                self._replace(graph, node, node.args[1:], node.args[0])

    def _replace(self, graph: fx.Graph, node: fx.Node, factors: Any, bias: Any) -> None:
        rows, weight = (factor.meta["val"] for factor in factors)
        is_small = isinstance(rows.shape[0], int) and rows.shape[0] <= self.most_rows
        if not (is_small and rows.device.type == "cpu" and rows.dtype == torch.float32):
            return
        with graph.inserting_before(node):
            wide = graph.call_function(_ATEN.unsqueeze.default, (factors[0], 2))
            deep = graph.call_function(_ATEN.unsqueeze.default, (factors[1], 0))
            products = graph.call_function(_ATEN.mul.Tensor, (wide, deep))
            found = graph.call_function(_ATEN.sum.dim_IntList, (products, [1]))
            wide.meta["val"], deep.meta["val"] = rows.unsqueeze(2), weight.unsqueeze(0)
            products.meta["val"] = wide.meta["val"] * deep.meta["val"]
            found.meta["val"] = node.meta["val"]
            if bias is not None:
                found = graph.call_function(_ATEN.add.Tensor, (found, bias))
                found.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(found)
        graph.erase_node(node)


__all__ = ["SmallMatrixProducts"]

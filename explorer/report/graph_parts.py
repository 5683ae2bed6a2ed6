"""What both graph views are made with: names in the user's words, and edges between drawn nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import fx

from explorer.artifacts import InputKind
from explorer.artifacts.common import Expression
from explorer.guards.expression import expression_text
from explorer.report.wording import counted
from explorer.stages.graphs import example_value, expression_of
from explorer.stages.op_names import canonical_name
from explorer.torch_private.opaque import type_name

if TYPE_CHECKING:
    from explorer.compilation import Compilation

MOST_READERS = 2
"""A value that more pieces (or, inside a piece, more nodes) read is cut."""

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER)
_SHORT_DTYPES = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
    "bool": "bool",
    "complex64": "c64",
    "complex128": "c128",
}


class Naming:
    """The names of a compilation's values, weights and sizes, in the user's words."""

    def __init__(self, compilation: Compilation) -> None:
        captured = compilation.captured
        self.sizes: dict[Expression, str] = {
            symbol: size.name
            for size in captured.sizes
            for symbol in size.torch_symbols
            if isinstance(symbol, sympy.Symbol)
        }
        self.inputs = {each.name: each for each in compilation.normalised.inputs}

    def is_weight(self, name: str) -> bool:
        """Whether a value is a parameter or buffer."""
        return name in self.inputs and self.inputs[name].kind in _WEIGHTS

    def path(self, name: str) -> str:
        """The user's words for an input, the node's name for anything else."""
        return self.inputs[name].path if name in self.inputs else name

    def size(self, value: Any) -> str:
        """A size or an expression over sizes: ``n``, ``4*n``, ``128``."""
        expression = value if isinstance(value, sympy.Basic) else expression_of(value)
        return str(value) if expression is None else expression_text(expression, self.sizes)

    def dims(self, shape: Iterable[Any]) -> str:
        """``n × 128``; a tensor without dims is ``scalar``."""
        return " × ".join(self.size(dim) for dim in shape) or "scalar"

    def value(self, value: Any) -> str:
        """What a node computes: ``f32 n × 128``, ``n`` for a size, ``2 of f32 n`` for a tuple."""
        if isinstance(value, torch.Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            return f"{_SHORT_DTYPES.get(dtype, dtype)} {self.dims(value.shape)}"
        if isinstance(value, tuple | list):
            kinds = list(dict.fromkeys(self.value(item) for item in value))
            return (
                f"{len(value)} of {kinds[0]}" if len(kinds) == 1 else counted(len(value), "value")
            )
        return self.size(value) if is_size(value) else type_name(value).rpartition(".")[2]

    def constants(self, node: fx.Node) -> str:
        """The arguments of a node that are no tensors: ``-1, keepdim=True``; ``[:, None]``."""
        if canonical_name(node) == "operator.getitem":
            index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
            return f"[{', '.join(self._constant(item) or 'None' for item in index)}]"
        found = [text for value in node.args if (text := self._constant(value))]
        for key, value in node.kwargs.items():
            if text := self._constant(value):
                found.append(f"{key}={text}")
        return ", ".join(found)

    def _constant(self, value: Any) -> str:
        """An argument that is no tensor, as text; empty for one that is, and for None."""
        if isinstance(value, fx.Node):
            known = example_value(value)
            return self.size(known) if is_size(known) else ""
        if value is None:
            return ""
        if isinstance(value, tuple | list):
            parts = [self._constant(item) for item in value]
            return f"({', '.join(parts)})" if all(parts) and parts else ""
        if isinstance(value, slice):
            ends = (value.start, value.stop)
            return ":".join("" if end is None else self._constant(end) for end in ends)
        return str(value).removeprefix("torch.")


def is_size(value: Any) -> bool:
    """Whether a value is a number computed from sizes."""
    return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


def short_name(name: str) -> str:
    """``torch.nn.functional.silu`` is ``silu``; ``demo::attention``, ``module:layers.*`` stay."""
    return name if ":" in name else name.rpartition(".")[2]


def short_op_name(name: str) -> str:
    """``torch.nn.functional.silu`` is ``silu``, ``demo::attention`` is ``attention``."""
    return name.rpartition("::")[2] if "::" in name else short_name(name)


@dataclass
class Edges:
    """Edges between drawn nodes; those between the same two, of one kind, are one."""

    found: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, source: str, target: str, kind: str, value: str) -> None:
        """Adds a value to the edge between two nodes."""
        values = self.found.setdefault((source, target, kind), [])
        if value not in values:
            values.append(value)

    def rows(self) -> list[dict[str, Any]]:
        """Each edge once, with all its values."""
        return [
            {"source": source, "target": target, "kind": kind, "values": values}
            for (source, target, kind), values in self.found.items()
        ]

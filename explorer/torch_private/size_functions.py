"""Torch's own functions in conditions on sizes, by name.

Private names used (torch 2.13.0): ``torch.utils._sympy.functions``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch.utils._sympy.functions as functions

NAMES = (
    "BitwiseFn_bitwise_and",
    "BitwiseFn_bitwise_or",
    "BitwiseFn_bitwise_xor",
    "CeilDiv",
    "CeilToInt",
    "CleanDiv",
    "FloatPow",
    "FloatTrueDiv",
    "FloorDiv",
    "FloorToInt",
    "Identity",
    "IntTrueDiv",
    "LShift",
    "Max",
    "Min",
    "Mod",
    "ModularIndexing",
    "PowByNatural",
    "PythonMod",
    "RShift",
    "RoundDecimal",
    "RoundToInt",
    "ToFloat",
    "TruncToFloat",
    "TruncToInt",
    "Where",
)


@functools.cache
def size_functions() -> Mapping[str, Any]:
    """The classes by name; called with arguments they make an expression, simplified."""
    return {name: getattr(functions, name) for name in NAMES if hasattr(functions, name)}

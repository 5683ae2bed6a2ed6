"""The functions that ``compare.py`` shows to each tool, and what ``explorer check`` takes of them.

``nested`` is the one that the comparison is about. The other three are for what it does not have: a
test that follows from an earlier one, a Python number, a choice that the compiler makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from explorer import CompileTarget


def nested(x: torch.Tensor) -> torch.Tensor:
    """Four tests, five results; (n, 8) -> (n, 8)."""
    n = x.shape[0]
    if n > 512:
        if n % 16 == 0:
            return x * 2
        return x * 3
    if n == 4:
        return x * 5
    if n <= 32:
        return x * 7
    return x * 11


def repeated(x: torch.Tensor) -> torch.Tensor:
    """The second test follows from the first one, and the third is the first one again."""
    n = x.shape[0]
    if n > 64:
        x = x + 1
    if n > 10:
        x = x * 2
    if n > 64:
        x = x - 3
    return x


def scaled(x: torch.Tensor, k: int) -> torch.Tensor:
    """A number decides; (n, 8) -> (n, 8)."""
    if k > 3:
        return x * 2
    return x * 3


class Normed(nn.Module):
    """No branch at all. Inductor picks a way to add numbers up by the size, on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 64) -> ()."""
        return torch.softmax(self.norm(x), dim=0).sum()


def nested_target() -> CompileTarget:
    """``nested`` with an example of 10 rows."""
    from explorer import CompileTarget

    return CompileTarget("nested", nested, (torch.ones(10, 8),), dynamic_arg_dims={"x": {0: "n"}})


def scaled_target() -> CompileTarget:
    """``scaled`` with an example of 10 rows and k = 5."""
    from explorer import CompileTarget

    return CompileTarget("scaled", scaled, (torch.ones(10, 8), 5), dynamic_arg_dims={"x": {0: "n"}})

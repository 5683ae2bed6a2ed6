"""Models with ``assert``: pytest rewrites those in test files, and a trace would see its code."""

import torch


def many_kinds(x: torch.Tensor) -> torch.Tensor:
    """A test of every kind, at most one on a line."""
    assert x.shape[0] != 9
    assert x.shape[0] != 5, f"not {x.shape[0]}"
    torch._check(x.shape[0] != 6)
    left = x.shape[0]
    while left > 8:
        left = left // 2
        x = x * 2
    x = x * 2 if x.shape[0] > 3 else x
    for _ in range(x.shape[0] // 10):
        x = x + 1
    return x.view(-1, 4, 16)


def asserted(x: torch.Tensor) -> torch.Tensor:
    """Two statements that an unbacked size turns into assertions of the graph."""
    torch._check(x.shape[0] > 5)
    assert x.shape[0] != 7
    return x * 2

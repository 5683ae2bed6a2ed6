"""Models and ops that tests of CUDA graphs share."""

from __future__ import annotations

from typing import Any

import torch

from explorer import (
    CUDAGraphMode,
)
from tests.explorer.runtime.recording_graphs import (
    python_op,
)

PIECEWISE, FULL = CUDAGraphMode.PIECEWISE, CUDAGraphMode.FULL
FULL_AND_PIECEWISE = CUDAGraphMode.FULL_AND_PIECEWISE
MODES = (PIECEWISE, FULL, FULL_AND_PIECEWISE)


class Calls:
    """How often ``graphs::add_up`` ran its Python."""

    count = 0


def add_up(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor) -> None:
    Calls.count += 1
    out.copy_(q)
    out += k
    out += v


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def waits(x: torch.Tensor) -> torch.Tensor:
    return x - x.max().item()


ADD_UP = python_op(add_up, mutates_args=("out",))
DOUBLED = python_op(doubled, fake_impl=like)
WAITS = python_op(waits, fake_impl=like)


class TwoToyOps(torch.nn.Module):
    """Three capturable pieces around two ops; y = 9 x + 19."""

    def forward(self, x):
        x = x + 1
        x = x + 2
        out = torch.empty_like(x)
        torch.ops.explorer.graphs_add_up(x, x, x, out)
        x = out
        x = x - 2
        x = x - 1
        out = torch.empty_like(x)
        torch.ops.explorer.graphs_add_up(x, x, x, out)
        x = out
        return x + 1


class Fresh(torch.nn.Module):
    """The op in the middle returns memory of its own at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.second = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.second(torch.ops.explorer.graphs_doubled(self.first(x)).sin())


class Waiting(Fresh):
    def forward(self, x):
        return self.second(torch.ops.explorer.graphs_waits(self.first(x).sin() + 0 * x[:, :1]) + 1)


def eager(model: Any, *args: Any) -> Any:
    with torch.no_grad():
        return model(*args)


def rows(size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(size + 100 * seed))


def assert_like(model: Any, fast: Any, *args: Any) -> None:
    torch.testing.assert_close(fast(*args), eager(model, *args), rtol=1e-5, atol=1e-5)


def plain(fast: Any, *args: Any) -> Any:
    """What served a call."""
    with fast.record() as record:
        fast(*args)
    return record.cuda_graph

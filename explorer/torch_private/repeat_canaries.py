"""Canaries for what repeated layers need: without it they are traced one by one."""

from __future__ import annotations

import torch
from torch import nn


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.scale = 2.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.inner(values) * self.scale


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer() for _ in range(4))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = values + 1
        for layer in self.layers:
            values = layer(values)
        return values


def _repeated_layers() -> None:
    # Here, since a canary must be importable where these names are missing.
    from explorer.torch_private.capture import trace
    from explorer.torch_private.repeats import calls, logs

    assert calls.repeats_written and logs.logs_of
    counts = trace(_Model(), (torch.ones(3, 2),), {}).repeats
    if (counts.traced, counts.written) != (1, 3):
        raise AssertionError(
            f"of four equal layers {counts.traced} were traced and {counts.written} written again"
        )


REPEAT_CANARIES = (("the calls of a repeated layer", _repeated_layers),)

__all__ = ["REPEAT_CANARIES"]

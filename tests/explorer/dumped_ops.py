"""A custom op whose module a dumped file can import: ``dumped::step(x)`` is ``x + 1``."""

import torch


def step(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def fake_step(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


torch.library.define("dumped::step", "(Tensor x) -> Tensor")
torch.library.impl("dumped::step", "default", step)
torch.library.register_fake("dumped::step", fake_step)

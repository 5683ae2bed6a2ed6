"""Layers that pass a LayerName to an op in a compiled piece, for the tests of it."""

from typing import Any

import torch
from torch import nn

from explorer import CompilationConfig, CompiledModel, LayerName, compile_model
from explorer.custom_ops import direct_register_custom_op
from tests.explorer.cutting import STEP, random_rows


def scale_named(x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
    return x * layer_name.resolve().gain


def like_first(x: torch.Tensor, _layer_name: Any) -> torch.Tensor:
    return torch.empty_like(x)


SCALE = direct_register_custom_op("test_scale_named", scale_named, fake_impl=like_first)


class NamedLayer(nn.Module):
    """``relu(x @ weight) * gain``, then a cut."""

    def __init__(self, name: str, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(random_rows(8, 8), requires_grad=False)
        self.gain = gain
        self.layer_name = LayerName(name).register(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = torch.ops.explorer.test_scale_named(torch.relu(x @ self.weight), self.layer_name)
        return torch.ops.demo.step(scaled)


class NamedLayers(nn.Module):
    """Equal layers, called ``layers.0`` and so on, each with a gain of its own."""

    def __init__(self, count: int = 3, first_gain: float = 2.0) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(
            NamedLayer(f"layers.{number}", first_gain + number) for number in range(count)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def compile_named(model: nn.Module, **settings: Any) -> CompiledModel:
    """Compiled on backend eager, cut at each layer, with the rows dynamic."""
    settings = {"backend": "eager", "splitting_ops": (STEP,), "max_size": 64, **settings}
    config = CompilationConfig(**settings)
    example = (random_rows(6, 8),)
    return compile_model(model, example, dynamic_arg_dims={"x": {0: "n"}}, config=config)


def fast_calls(compiled: CompiledModel) -> Any:
    """What serves calls while nothing about the model changed."""
    return compiled._states[0]._fast

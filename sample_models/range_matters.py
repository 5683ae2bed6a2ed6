"""A model for which one size range gets other code than the next, and a piece for which none does.

Inductor adds up few rows in one loop. More than 4096 it adds up in cascades, parts of parts, so
that rounding errors stay small; only the bounds of the size range tell it which it may do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from explorer.config import CompilationConfig
from sample_models import SampleModel
from sample_models.building import for_inference, seeded_weights

LONGEST_PLAIN_SUM = 4096
"""Rows up to which torch 2.13 writes one loop for a CPU."""


class CentredFeatures(nn.Module):
    """Features of each row, weighted by a softmax, less their mean over all rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        features = torch.sin(rows * self.scale) + rows
        weighted = features * features.softmax(-1)
        return weighted - weighted.mean(0)


def sample(width: int = 8, *, device: str = "cpu") -> SampleModel:
    """The model with two ranges, which meet where Inductor changes its mind.

    Args:
        width: features of a row.
        device: where the weights and inputs live.
    """
    with seeded_weights():
        model = for_inference(CentredFeatures(width), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        generator = torch.Generator().manual_seed(0)
        return (torch.rand(sizes["n"], width, generator=generator).to(device),), {}

    return SampleModel(
        name="range_matters",
        model=model,
        example_inputs=make_inputs({"n": 64})[0],
        dynamic_arg_dims={"rows": {0: "n"}},
        splitting_ops=("Tensor.softmax",),
        make_inputs=make_inputs,
        shows=(
            f"The code that adds up rows is another one for more than {LONGEST_PLAIN_SUM} of them, "
            "because the bounds of the size range allow a plain loop below that; the code of the "
            "other piece is the same in both ranges."
        ),
        config=CompilationConfig(
            compile_ranges_endpoints=(LONGEST_PLAIN_SUM,), max_size=4 * LONGEST_PLAIN_SUM
        ),
    )

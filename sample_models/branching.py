"""A model with a Python branch on the number of rows, of which a graph keeps one side.

It is the smallest model that goes wrong when a captured graph is used at every size: nothing in
the graph says that there was a branch. What says it is the guard that the branch left behind.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
from torch import nn

from explorer import CompilationConfig
from sample_models import SampleModel
from sample_models.building import for_inference, seeded_weights

BRANCH_ROWS = 4
"""The number of rows that the branch compares with."""


class Branch(Enum):
    """The test that the model makes."""

    EQUAL = "equal"
    """One size is special: ``rows == 4``."""
    AT_LEAST = "at_least"
    """Two regions: ``rows >= 4``."""


class SpecialSize(nn.Module):
    """Doubles the result at exactly 4 rows, and adds 1 at any other number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        projected = self.project(x)
        if x.shape[0] == BRANCH_ROWS:
            return projected * 2
        return projected + 1


class TwoRegions(nn.Module):
    """Doubles the result from 4 rows on, and multiplies it by 100 below."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        projected = self.project(x)
        return projected * 2 if x.shape[0] >= BRANCH_ROWS else projected * 100


_MODELS = {Branch.EQUAL: SpecialSize, Branch.AT_LEAST: TwoRegions}


def sample(
    branch: Branch | str = Branch.EQUAL,
    *,
    rows: int = 6,
    width: int = 8,
    device: str = "cpu",
) -> SampleModel:
    """A branching model with random weights, not cut anywhere; it accepts any number of rows.

    Args:
        branch: which test it makes.
        rows: rows of the example, at least 2; it decides which side the graph keeps.
        width: columns.
        device: where the weights and inputs live.
    """
    branch = Branch(branch)
    if rows < 2:
        raise ValueError(
            f"rows must be at least 2, not {rows}: an example of 1 row settles no branch."
        )
    with seeded_weights():
        model = for_inference(_MODELS[branch](width), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        generator = torch.Generator().manual_seed(sizes["n"])
        return (torch.randn(sizes["n"], width, generator=generator).to(device),), {}

    return SampleModel(
        name=f"branching_{branch.value}",
        model=model,
        example_inputs=make_inputs({"n": rows})[0],
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
        shows=_shows(branch, rows),
        config=CompilationConfig(max_size=64),
    )


def _shows(branch: Branch, rows: int) -> str:
    if branch is Branch.EQUAL:
        sizes = f"only for {BRANCH_ROWS}" if rows == BRANCH_ROWS else f"except for {BRANCH_ROWS}"
    else:
        sizes = f"from {BRANCH_ROWS} on" if rows >= BRANCH_ROWS else f"below {BRANCH_ROWS}"
    return f"Captured with {rows} rows, the graph is right {sizes}."

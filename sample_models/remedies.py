"""The model of ``branching`` written so that compiled code keeps both sides of its branch.

All give the numbers of ``branching.SpecialSize`` with the same weights: the result doubled at
exactly 4 rows, and 1 added at any other number. Copy the one that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
from torch import nn

from explorer import CompilationConfig, CompiledModel, compile_model
from sample_models import SampleModel
from sample_models.branch_shapes import BRANCH_ROWS
from sample_models.building import for_inference, seeded_weights


class Remedy(Enum):
    """How the branch is written."""

    COND = "torch.cond"
    """Both sides are in the graph, and the call decides."""
    CUSTOM_OP = "custom_op"
    """The branch is inside an op that the graph calls without looking in."""
    WHERE = "torch.where"
    """Both sides are computed, and the call picks."""
    CHECK = "torch._check"
    """The special size is declared unsupported."""


class WithCond(nn.Module):
    """The two sides are functions, and ``torch.cond`` calls one of them.

    Both return a new tensor of one dtype and one order of strides, and neither changes an input. A
    side that only hands its input on has to return ``x.clone()``. Two tests are joined with ``&``,
    not with ``and``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        projected = self.project(x)
        return torch.cond(
            x.shape[0] == BRANCH_ROWS,
            lambda projected: projected * 2,
            lambda projected: projected + 1,
            (projected,),
        )


@torch.library.custom_op("sample_models::special_size", mutates_args=())
def special_size(projected: torch.Tensor) -> torch.Tensor:
    """Doubles a tensor of 4 rows, and adds 1 to any other one; a new tensor in both cases.

    Args:
        projected: (rows, width).
    """
    if projected.shape[0] == BRANCH_ROWS:
        return projected * 2
    return projected + 1


@special_size.register_fake
def _(projected: torch.Tensor) -> torch.Tensor:
    # It must not look at the number of rows: a test here would decide the trace again.
    return torch.empty_like(projected)


class WithCustomOp(nn.Module):
    """The branch runs inside ``special_size``, where nothing is traced, and nothing is fused."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return special_size(self.project(x))


class WithWhere(nn.Module):
    """The test is a tensor, so that it is computed in each call; so are both sides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        projected = self.project(x)
        is_special = torch.scalar_tensor(x.shape[0], device=x.device) == BRANCH_ROWS
        return torch.where(is_special, projected * 2, projected + 1)


class WithCheck(nn.Module):
    """Only one side is left; the size of the other one is refused, compiled or not."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width), where rows is not 4."""
        torch._check(x.shape[0] != BRANCH_ROWS, lambda: f"{BRANCH_ROWS} rows are not supported")
        return self.project(x) + 1


# ------------------------------------------------------------------------------ split submodules


class SpecialSide(nn.Module):
    """What the model does at 4 rows."""

    def __init__(self, project: nn.Linear) -> None:
        super().__init__()
        self.project = project

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return self.project(x) * 2


class OtherSide(nn.Module):
    """What the model does at any other number of rows."""

    def __init__(self, project: nn.Linear) -> None:
        super().__init__()
        self.project = project

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return self.project(x) + 1


class SplitSubmodules:
    """Two compiled models and the ``if`` between them, in plain Python that nothing traces.

    Attributes:
        special: the compiled side for 4 rows.
        other: the compiled side for any other number.
    """

    def __init__(self, special: CompiledModel, other: CompiledModel) -> None:
        self.special = special
        self.other = other

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        if x.shape[0] == BRANCH_ROWS:
            return self.special(x)
        return self.other(x)


def split_submodules(
    config: CompilationConfig, *, rows: int = 6, width: int = 8, device: str = "cpu"
) -> SplitSubmodules:
    """Compiles each side by itself; the two share the weights.

    Args:
        config: how both are compiled.
        rows: rows of the example that both sides are captured with; a side has no branch.
        width: columns.
        device: where the weights and inputs live.
    """
    with seeded_weights():
        project = nn.Linear(width, width)
    example = (torch.randn(rows, width, generator=_seeded(rows)).to(device),)
    special, other = (
        compile_model(
            for_inference(side(project), device),
            example,
            dynamic_arg_dims={"x": {0: "n"}},
            config=config,
        )
        for side in (SpecialSide, OtherSide)
    )
    return SplitSubmodules(special, other)


# ------------------------------------------------------------------------------------- the sample

_MODELS = {
    Remedy.COND: WithCond,
    Remedy.CUSTOM_OP: WithCustomOp,
    Remedy.WHERE: WithWhere,
    Remedy.CHECK: WithCheck,
}


def sample(
    remedy: Remedy | str = Remedy.COND, *, rows: int = 6, width: int = 8, device: str = "cpu"
) -> SampleModel:
    """A model with a remedy and random weights, not cut anywhere; it takes any number of rows.

    ``split_submodules`` is the remedy that is not one model.

    Args:
        remedy: how the branch is written.
        rows: rows of the example, at least 2.
        width: columns.
        device: where the weights and inputs live.
    """
    remedy = Remedy(remedy)
    if rows < 2:
        raise ValueError(f"rows must be at least 2, not {rows}: a graph of 1 row has no size.")
    with seeded_weights():
        model = for_inference(_MODELS[remedy](width), device)

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (torch.randn(sizes["n"], width, generator=_seeded(sizes["n"])).to(device),), {}

    return SampleModel(
        name=f"remedies_{remedy.name.lower()}",
        model=model,
        example_inputs=make_inputs({"n": rows})[0],
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
        shows=_shows(remedy),
        config=CompilationConfig(max_size=64),
    )


def _shows(remedy: Remedy) -> str:
    if remedy is Remedy.CHECK:
        return (
            f"With {remedy.value}, one graph is right at every size but {BRANCH_ROWS}, and says so."
        )
    return f"With {remedy.value}, one graph is right at every size, {BRANCH_ROWS} included."


def _seeded(rows: int) -> torch.Generator:
    return torch.Generator().manual_seed(rows)

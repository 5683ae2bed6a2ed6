"""A model with a Python branch on the number of rows, of which a graph keeps one side.

It is the smallest model that goes wrong when a captured graph is used at every size: nothing in
the graph says that there was a branch. What says it is the guard that the branch left behind.
``remedies`` has the same model written so that one graph serves every size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import nn

from explorer import CompilationConfig
from sample_models import SampleModel, branch_shapes, remedies
from sample_models.branch_shapes import BRANCH_ROWS
from sample_models.building import for_inference, seeded_weights
from sample_models.remedies import Remedy, split_submodules

remedy_sample = remedies.sample
"""The smallest model as each ``Remedy`` writes it; see ``sample_models.remedies``."""


class Branch(Enum):
    """The test that the model makes."""

    EQUAL = "equal"
    """One size is special: ``rows == 4``."""
    AT_LEAST = "at_least"
    """Two regions: ``rows >= 4``."""
    GREATER = "greater"
    """Two regions far apart: ``n > 512``."""
    MODULO = "modulo"
    """Multiples are special: ``n % 8 == 0``."""
    NESTED = "nested"
    """Four tests: ``n > 512``, there ``n % 16 == 0``, else ``n == 4`` and ``n <= 32``."""
    TWO_DIMS = "two_dims"
    """Two sizes: ``nx > ny`` and ``ny == 7``."""
    INT_ARGUMENT = "int_argument"
    """A number decides with the size: ``k > 3`` and ``n > 2 * k``."""
    WHILE = "while"
    """A loop that halves the size while it is above 8."""
    TERNARY = "ternary"
    """``2 if n <= 16 else 100``."""
    AND = "and"
    """Two tests on one line: ``n > 64 and n % 4 == 0``."""
    ASSERT = "assert"
    """``assert n != 4``."""
    DICT_KEY = "dict_key"
    """The size is the key of a dict."""
    RANGE = "range"
    """A loop over ``range(n // 100)``, unrolled."""
    VIEW = "view"
    """``view(-1, 4, width)`` needs a multiple of 4, in eager as well."""


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


@dataclass(frozen=True)
class _Shape:
    """What a branch is made of: its model, its number, and where a graph of it is right."""

    model: Callable[[int, int], nn.Module]
    threshold: int
    right: Callable[[int, int, int], str]


def sample(
    branch: Branch | str = Branch.EQUAL,
    *,
    rows: int | None = None,
    width: int = 8,
    threshold: int | None = None,
    other: int = 5,
    device: str = "cpu",
) -> SampleModel:
    """A branching model with random weights, not cut anywhere; it accepts any number of rows.

    Args:
        branch: which test it makes.
        rows: rows of the example, at least 2; they decide which side the graph keeps. None means
            6, and two groups for VIEW.
        width: columns.
        threshold: the number that the test compares with, or divides by; None means the one in
            the description of the branch. EQUAL and AT_LEAST have no other.
        other: the second size ``ny`` of TWO_DIMS, and ``k`` of INT_ARGUMENT.
        device: where the weights and inputs live.
    """
    branch = Branch(branch)
    shape = _SHAPES[branch]
    if threshold is None:
        threshold = shape.threshold
    elif branch in (Branch.EQUAL, Branch.AT_LEAST):
        raise ValueError(f"{branch.value} compares with {BRANCH_ROWS}: it takes no threshold.")
    if rows is None:
        rows = 2 * threshold if branch is Branch.VIEW else 6
    if rows < 2:
        raise ValueError(
            f"rows must be at least 2, not {rows}: an example of 1 row settles no branch."
        )
    with seeded_weights():
        model = for_inference(shape.model(width, threshold), device)
    sizes = {"nx": rows, "ny": other} if branch is Branch.TWO_DIMS else {"n": rows}
    make_inputs = _inputs_maker(branch, width, other, device)
    right = shape.right(rows, threshold, other)
    return SampleModel(
        name=f"branching_{branch.value}",
        model=model,
        example_inputs=make_inputs(sizes)[0],
        dynamic_arg_dims={path: {0: name} for path, name in zip(("x", "y"), sizes, strict=False)},
        make_inputs=make_inputs,
        shows=f"Captured with {rows} rows, the graph is right {right}.",
        config=CompilationConfig(max_size=64 if max(rows, threshold) < 64 else 8192),
    )


def _inputs_maker(
    branch: Branch, width: int, other: int, device: str
) -> Callable[[Mapping[str, int]], tuple[tuple[Any, ...], dict[str, Any]]]:
    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def seeded(rows: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(rows)
            return torch.randn(rows, width, generator=generator).to(device)

        if branch is Branch.TWO_DIMS:
            return (seeded(sizes["nx"]), seeded(sizes["ny"])), {}
        if branch is Branch.INT_ARGUMENT:
            return (seeded(sizes["n"]), sizes.get("k", other)), {}
        return (seeded(sizes["n"]),), {}

    return make_inputs


# ------------------------------------------------------------- where a graph is right, in words


def _equal(rows: int, threshold: int, other: int) -> str:
    return f"only for {threshold}" if rows == threshold else f"except for {threshold}"


def _at_least(rows: int, threshold: int, other: int) -> str:
    return f"from {threshold} on" if rows >= threshold else f"below {threshold}"


def _greater(rows: int, threshold: int, other: int) -> str:
    return f"above {threshold}" if rows > threshold else f"up to {threshold}"


def _modulo(rows: int, threshold: int, other: int) -> str:
    return f"{'only' if rows % threshold == 0 else 'except'} at multiples of {threshold}"


def _nested(rows: int, threshold: int, other: int) -> str:
    if rows > threshold:
        return f"above {threshold}, {_modulo(rows, 16, other)}"
    if rows <= 32:
        return "only for 4" if rows == 4 else "up to 32, except for 4"
    return f"from 33 to {threshold}"


def _two_dims(rows: int, threshold: int, other: int) -> str:
    if rows > other:
        return "where nx > ny"
    return f"where nx <= ny and ny {'==' if other == threshold else '!='} {threshold}"


def _int_argument(rows: int, threshold: int, other: int) -> str:
    return f"for k = {other} and n {_greater(rows, 2 * other, other)}"


def _while(rows: int, threshold: int, other: int) -> str:
    halvings = 0
    while rows > threshold:
        rows, halvings = rows // 2, halvings + 1
    if not halvings:
        return f"up to {threshold}"
    return f"from {(threshold + 1) * 2 ** (halvings - 1)} to {(threshold + 1) * 2**halvings - 1}"


def _and(rows: int, threshold: int, other: int) -> str:
    if rows <= threshold:
        return f"up to {threshold}"
    return f"above {threshold}, {_modulo(rows, 4, other)}"


def _range(rows: int, threshold: int, other: int) -> str:
    turns = rows // threshold
    if not turns:
        return f"below {threshold}"
    return f"from {turns * threshold} to {(turns + 1) * threshold - 1}"


_SHAPES = {
    Branch.EQUAL: _Shape(lambda width, _: SpecialSize(width), BRANCH_ROWS, _equal),
    Branch.AT_LEAST: _Shape(lambda width, _: TwoRegions(width), BRANCH_ROWS, _at_least),
    Branch.GREATER: _Shape(branch_shapes.Greater, 512, _greater),
    Branch.MODULO: _Shape(branch_shapes.Modulo, 8, _modulo),
    Branch.NESTED: _Shape(branch_shapes.Nested, 512, _nested),
    Branch.TWO_DIMS: _Shape(branch_shapes.TwoDims, 7, _two_dims),
    Branch.INT_ARGUMENT: _Shape(branch_shapes.IntArgument, 3, _int_argument),
    Branch.WHILE: _Shape(branch_shapes.While, 8, _while),
    Branch.TERNARY: _Shape(branch_shapes.Ternary, 16, _greater),
    Branch.AND: _Shape(branch_shapes.And, 64, _and),
    Branch.ASSERT: _Shape(
        branch_shapes.Assert, 4, lambda rows, t, _: f"except for {t}, which the model refuses"
    ),
    Branch.DICT_KEY: _Shape(branch_shapes.DictKey, 4, lambda rows, t, _: f"only for {rows}"),
    Branch.RANGE: _Shape(branch_shapes.Range, 100, _range),
    Branch.VIEW: _Shape(
        branch_shapes.View, 4, lambda rows, t, _: f"at multiples of {t}, which the model needs"
    ),
}


__all__ = [
    "BRANCH_ROWS",
    "Branch",
    "Remedy",
    "SpecialSize",
    "TwoRegions",
    "remedy_sample",
    "sample",
    "split_submodules",
]

"""What is advised for a branch on a size under piecewise compiling, each piece of it to be tried.

A vLLM user asked how a branch that runs at exactly 4 rows survives compiling, and was given several
answers. Each is here as a model that does what it says, and as a sentence on what comes of it. Not
all of them help; ``sample_models.remedies`` has the ones that do, explained.

All models double their input at 4 rows and add 1 at any other number, if compiling leaves them the
branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import nn

from explorer import (
    CompilationConfig,
    GuardPolicy,
    compile_model,
    direct_register_custom_op,
    set_model_tag,
    support_torch_compile,
    use_config,
)
from sample_models import SampleModel
from sample_models.branch_shapes import BRANCH_ROWS
from sample_models.building import for_inference

Model = Callable[[torch.Tensor], torch.Tensor]
CAPTURED_AT = 6


class Advice(Enum):
    """What to do about the branch."""

    CUSTOM_OP = "put the branch into a custom op"
    COND = "write it with torch.cond"
    COND_WITH_IDENTITY = "write it with torch.cond and the identity for the other side"
    WHERE = "write it with torch.where"
    SUBMODULES = "a decorated submodule for each side, each with a tag"
    SUBMODULES_IN_A_DECORATED_MODEL = "the same inside a model that is decorated as well"
    PIECEWISE = "use piecewise compiling"
    SELECT_A_GRAPH = "let the backend pick one of several graphs at run time"


class Result(Enum):
    """What comes of it."""

    RIGHT = "right at every size"
    WRONG_WITHOUT_GUARDS = "wrong at 4 rows where conditions are dropped, refused where not"
    REFUSED_BY_INDUCTOR = "right uncompiled, refused when Inductor compiles it"


@dataclass(frozen=True)
class Tried:
    """One piece of advice that was tried.

    Attributes:
        result: what comes of it.
        why: in words.
        compiled: configuration -> the compiled model.
    """

    result: Result
    why: str
    compiled: Callable[[CompilationConfig], Model]


def _twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def _plus_one(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def branch(x: torch.Tensor) -> torch.Tensor:
    """(rows, width) -> (rows, width), with the branch in Python, as the question has it."""
    return _twice(x) if x.shape[0] == BRANCH_ROWS else _plus_one(x)


# ---------------------------------------------------------------------------------- the models


def _like(x: torch.Tensor) -> torch.Tensor:
    # It must not look at the number of rows, or the trace has a branch again.
    return torch.empty_like(x)


direct_register_custom_op("twice_at_four_rows", branch, fake_impl=_like)


def with_custom_op(x: torch.Tensor) -> torch.Tensor:
    """(rows, width) -> (rows, width); the op decides in each call, and nothing is fused with it."""
    return torch.ops.explorer.twice_at_four_rows(x)


def with_cond(x: torch.Tensor) -> torch.Tensor:
    """(rows, width) -> (rows, width), with both sides in the graph."""
    return torch.cond(x.shape[0] == BRANCH_ROWS, lambda: _twice(x), lambda: _plus_one(x))


def with_identity(x: torch.Tensor) -> torch.Tensor:
    """(rows, width) -> (rows, width); without an else, so 1 is added outside."""
    return torch.cond(x.shape[0] == BRANCH_ROWS, lambda: x * 2 - 1, lambda: x) + 1


def with_where(x: torch.Tensor) -> torch.Tensor:
    """(rows, width) -> (rows, width); both sides are computed, and the test is a tensor."""
    return torch.where(torch.scalar_tensor(x.shape[0]) == BRANCH_ROWS, _twice(x), _plus_one(x))


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Model) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return self.function(x)


@support_torch_compile
class SpecialSide(nn.Module):
    """What runs at 4 rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return _twice(x)


@support_torch_compile
class OtherSide(nn.Module):
    """What runs at any other number of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return _plus_one(x)


class TwoSides(nn.Module):
    """The test stays in Python, between two models that are compiled by themselves."""

    def __init__(self) -> None:
        super().__init__()
        with set_model_tag("special_side"):
            self.special = SpecialSide()
        with set_model_tag("other_side"):
            self.other = OtherSide()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, width) -> (rows, width)."""
        return self.special(x) if x.shape[0] == BRANCH_ROWS else self.other(x)


@support_torch_compile(dynamic_arg_dims={"x": {0: "n"}})
class DecoratedTwoSides(TwoSides):
    """The test is traced with the whole, and so are the two sides."""


# -------------------------------------------------------------------------------- what comes of it


def _of(model: Model) -> Callable[[CompilationConfig], Model]:
    def compiled(config: CompilationConfig) -> Model:
        example = (torch.ones(CAPTURED_AT, 3),)
        dims = {"x": {0: "n"}}
        return compile_model(model, example, dynamic_arg_dims=dims, config=config)

    return compiled


def _decorated(cls: type[nn.Module]) -> Callable[[CompilationConfig], Model]:
    def compiled(config: CompilationConfig) -> Model:
        with use_config(config):
            model = cls()
        model(torch.ones(CAPTURED_AT, 3))  # as a dummy run would
        return model

    return compiled


def _with_variants(config: CompilationConfig) -> Model:
    return _of(branch)(config.replace(guard_policy=GuardPolicy.VARIANTS))


TRIED = {
    Advice.CUSTOM_OP: Tried(
        Result.RIGHT,
        "the op is called in every call and decides then, and nothing is fused across it",
        _of(with_custom_op),
    ),
    Advice.COND: Tried(Result.RIGHT, "both sides are in the graph", _of(with_cond)),
    Advice.COND_WITH_IDENTITY: Tried(
        Result.REFUSED_BY_INDUCTOR,
        "a side of torch.cond may not return an input of it, which x.clone() mends",
        _of(with_identity),
    ),
    Advice.WHERE: Tried(
        Result.RIGHT, "both sides are computed in every call, and one is dropped", _of(with_where)
    ),
    Advice.SUBMODULES: Tried(
        Result.RIGHT, "the test is Python that nothing traces", _decorated(TwoSides)
    ),
    Advice.SUBMODULES_IN_A_DECORATED_MODEL: Tried(
        Result.WRONG_WITHOUT_GUARDS,
        "the trace of the outer model runs through both, and its test is frozen like any other",
        _decorated(DecoratedTwoSides),
    ),
    Advice.PIECEWISE: Tried(
        Result.WRONG_WITHOUT_GUARDS,
        "there is still one trace, however it is cut, and every range has the same side",
        _of(branch),
    ),
    Advice.SELECT_A_GRAPH: Tried(
        Result.RIGHT,
        "it was only proposed for vLLM, and guard_policy=GuardPolicy.VARIANTS does it here",
        _with_variants,
    ),
}
"""What comes of each piece of advice."""

_MODELS: dict[Advice, Callable[[], nn.Module]] = {
    Advice.CUSTOM_OP: lambda: Applied(with_custom_op),
    Advice.COND: lambda: Applied(with_cond),
    Advice.COND_WITH_IDENTITY: lambda: Applied(with_identity),
    Advice.WHERE: lambda: Applied(with_where),
    Advice.SUBMODULES: TwoSides,
    Advice.SUBMODULES_IN_A_DECORATED_MODEL: DecoratedTwoSides,
    Advice.PIECEWISE: lambda: Applied(branch),
    Advice.SELECT_A_GRAPH: lambda: Applied(branch),
}


def sample(
    advice: Advice | str = Advice.CUSTOM_OP, *, rows: int = CAPTURED_AT, device: str = "cpu"
) -> SampleModel:
    """The model of one piece of advice, without weights, not cut anywhere.

    As a sample it is compiled as a whole, which is not what the advice about submodules means.

    Args:
        advice: which one.
        rows: rows of the example, at least 2.
        device: where the inputs live.
    """
    advice = Advice(advice)
    if rows < 2:
        raise ValueError(f"rows must be at least 2, not {rows}: a graph of 1 row has no size.")
    tried = TRIED[advice]

    def make_inputs(sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        seeded = torch.Generator().manual_seed(sizes["n"])
        return (torch.randn(sizes["n"], 3, generator=seeded).to(device),), {}

    return SampleModel(
        name=f"forum_advice_{advice.name.lower()}",
        model=for_inference(_MODELS[advice](), device),
        example_inputs=make_inputs({"n": rows})[0],
        dynamic_arg_dims={"x": {0: "n"}},
        make_inputs=make_inputs,
        shows=(
            f"The advice to {advice.value} gives a model that is {tried.result.value}: {tried.why}."
        ),
        config=CompilationConfig(max_size=64),
    )

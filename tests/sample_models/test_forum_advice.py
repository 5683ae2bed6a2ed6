"""Each piece of advice for a branch on a size: what was said to come of it does."""

from __future__ import annotations

import pytest
import torch

from explorer import CompilationConfig, CompileError, GuardPolicy, GuardViolation
from sample_models.forum_advice import TRIED, Advice, Result, branch, sample

ROWS = (4, 6, 3, 5, 1, 2, 17, 64)
RIGHT = [each for each, tried in TRIED.items() if tried.result is Result.RIGHT]
FROZEN = [each for each, tried in TRIED.items() if tried.result is Result.WRONG_WITHOUT_GUARDS]


@pytest.fixture(autouse=True)
def no_grad() -> object:
    with torch.no_grad():
        yield


def config(policy: GuardPolicy = GuardPolicy.CHECK, backend: str = "eager") -> CompilationConfig:
    return CompilationConfig(backend=backend, guard_policy=policy, max_size=64)


def rows(count: int) -> torch.Tensor:
    return torch.arange(count * 3, dtype=torch.float32).reshape(count, 3)


def test_every_piece_of_advice_was_tried() -> None:
    assert set(TRIED) == set(Advice)


@pytest.mark.parametrize("policy", [GuardPolicy.CHECK, GuardPolicy.DROP])
@pytest.mark.parametrize("advice", RIGHT)
def test_right_at_every_size(advice: Advice, policy: GuardPolicy) -> None:
    model = TRIED[advice].compiled(config(policy))
    for count in ROWS:
        torch.testing.assert_close(model(rows(count)), branch(rows(count)))


@pytest.mark.slow
@pytest.mark.parametrize("advice", RIGHT)
def test_right_under_inductor(advice: Advice) -> None:
    model = TRIED[advice].compiled(config(backend="inductor"))
    for count in ROWS:
        torch.testing.assert_close(model(rows(count)), branch(rows(count)))


@pytest.mark.parametrize("advice", FROZEN)
def test_frozen_as_before(advice: Advice) -> None:
    dropped = TRIED[advice].compiled(config(GuardPolicy.DROP))
    torch.testing.assert_close(dropped(rows(4)), rows(4) + 1)  # the other side
    assert not torch.equal(dropped(rows(4)), branch(rows(4)))
    checked = TRIED[advice].compiled(config())
    torch.testing.assert_close(checked(rows(5)), branch(rows(5)))
    with pytest.raises(GuardViolation, match=r"n != 4 .*forum_advice.py"):
        checked(rows(4))


def test_identity_as_the_other_side() -> None:
    tried = TRIED[Advice.COND_WITH_IDENTITY]
    model = tried.compiled(config())
    for count in ROWS:
        torch.testing.assert_close(model(rows(count)), branch(rows(count)))
    with pytest.raises(CompileError, match=r"return x\.clone\(\)"):
        tried.compiled(config(backend="inductor"))


def test_the_sentence_of_the_sample() -> None:
    assert sample().shows == (
        "The advice to put the branch into a custom op gives a model that is right at every size: "
        "the op is called in every call and decides then, and nothing is fused across it."
    )
    with pytest.raises(ValueError, match="rows must be at least 2"):
        sample(rows=1)

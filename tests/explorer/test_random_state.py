"""Looking at a model leaves the caller's random numbers as they were."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from explorer import GuardPolicy, Session, compile_model
from explorer.comparison import compare_with_eager
from explorer.random_state import random_state_kept
from explorer.testing import assert_covers
from explorer.trying import try_size
from tests.explorer.comparing import EAGER, filled

CONFIG = EAGER.replace(max_size=8)
VARIANTS = CONFIG.replace(guard_policy=GuardPolicy.VARIANTS)


def draws(x):
    return torch.nn.functional.dropout(x, 0.5, True)


def make_inputs(sizes: Any) -> Any:
    random.random()
    np.random.rand()
    return (torch.randn(sizes["n"], 4),), {}


REQUEST: dict[str, Any] = {"dynamic_arg_dims": {"x": {0: "n"}}, "make_inputs": make_inputs}


def states() -> tuple[Any, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def session(config: Any = CONFIG) -> Session:
    made = Session(draws, (filled(5, 4),), config=config, **REQUEST)
    made.update()
    return made


LOOKS: dict[str, Callable[[Session], Any]] = {
    "compile": lambda _: compile_model(draws, (filled(1, 4),), config=CONFIG, **REQUEST),
    "audit": lambda made: made.compilation.audit(),
    "diagnose": lambda made: made.compilation.diagnose(),
    "assert_covers": lambda _: assert_covers(draws, (filled(5, 4),), config=CONFIG, **REQUEST),
    "measure": lambda made: made.measure(sizes=(3,)),
    "compare": lambda made: compare_with_eager(made, [{"n": 3}]),
    "try": lambda made: try_size(made, {"n": 1}),
    "cover": lambda made: made.model().cover(),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_at_a_model_draws_none_of_the_callers_numbers(name: str) -> None:
    made = session(VARIANTS if name == "cover" else CONFIG)
    before = states()
    LOOKS[name](made)
    assert states() == before


@pytest.mark.parametrize("config", [CONFIG, VARIANTS], ids=["CHECK", "VARIANTS"])
def test_the_first_call_at_size_one_draws_what_eager_draws(config: Any) -> None:
    compiled = compile_model(draws, (filled(5, 4),), config=config, **REQUEST)
    for _ in range(2):
        torch.manual_seed(0)
        expected = draws(torch.ones(1, 4))
        torch.manual_seed(0)
        assert torch.equal(compiled(torch.ones(1, 4)), expected)


def test_numbers_are_the_same_each_time_and_the_callers_go_on_after_an_error() -> None:
    torch.manual_seed(5)
    before, seen = states(), []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), random_state_kept():
            seen.append(torch.rand(3).tolist())
            raise ZeroDivisionError
    assert seen[0] == seen[1]
    assert states() == before

"""Every condition of a compilation, and what happens to a call that does not fulfil it."""

from __future__ import annotations

import pytest
import torch

from explorer import CompilationConfig, DynamicShapesConfig, GuardPolicy
from explorer.artifacts import Enforcement, GuardOrigin, GuardRecord, SourceLocation
from explorer.guards.listing import all_guards, enforcement_of
from tests.explorer.comparing import compiled
from tests.explorer.guards.diagnosing import CONFIG
from tests.explorer.rewriting import cell

SOURCE = """
def f(x, k):
    return x * k if x.shape[0] == 4 else x + k
"""
PLACE = SourceLocation("model.py", 3, "f", "")
BRANCH = GuardRecord(None, "n != 4", GuardOrigin.BRANCH, PLACE, ("x.size(0)",))
BOUND = GuardRecord(None, "n >= 2", GuardOrigin.ZERO_ONE, None, ("x.size(0)",))
VALUE = GuardRecord(None, "k == 5", GuardOrigin.VALUE, PLACE, ("k",))
DTYPE = GuardRecord(None, "x.dtype == torch.float32", GuardOrigin.VALUE, None, ("x.dtype",))
STATIC = GuardRecord(None, "x.size(1) == 3", GuardOrigin.STATIC_DIM, None, ("x.size(1)",))
INDUCTOR = GuardRecord(None, "n <= 4096", GuardOrigin.INDUCTOR)
ASSERTED = GuardRecord(None, "u0 > 5", GuardOrigin.TORCH_CHECK, PLACE, runtime_assert=True)

CHECKED, DROPPED = Enforcement.CHECKED, Enforcement.DROPPED
EVALUATED = DynamicShapesConfig(evaluate_guards=True)


@pytest.mark.parametrize(
    ("config", "branch", "bound", "value"),
    [
        (CompilationConfig(), CHECKED, CHECKED, CHECKED),
        (CompilationConfig(guard_policy=GuardPolicy.DROP), DROPPED, DROPPED, DROPPED),
        (CompilationConfig(dynamic_shapes=EVALUATED), CHECKED, DROPPED, DROPPED),
        (
            CompilationConfig(guard_policy=GuardPolicy.DROP, dynamic_shapes=EVALUATED),
            CHECKED,
            DROPPED,
            DROPPED,
        ),
        (CompilationConfig(guard_policy=GuardPolicy.VARIANTS), *[Enforcement.ROUTED] * 3),
    ],
)
def test_what_happens_under_each_policy(
    config: CompilationConfig, branch: Enforcement, bound: Enforcement, value: Enforcement
) -> None:
    found = [enforcement_of(each, config) for each in (BRANCH, BOUND, VALUE)]
    assert found == [branch, bound, value]


@pytest.mark.parametrize("policy", [GuardPolicy.CHECK, GuardPolicy.DROP])
def test_what_is_looked_at_whatever_the_policy(policy: GuardPolicy) -> None:
    config = CompilationConfig(guard_policy=policy)
    assert [enforcement_of(each, config) for each in (DTYPE, STATIC)] == [CHECKED, CHECKED]
    assert enforcement_of(INDUCTOR, config) is Enforcement.ROUTED
    assert enforcement_of(ASSERTED, config) is Enforcement.RUNTIME_ASSERT


def test_every_condition_is_listed_once() -> None:
    made = cell(SOURCE)
    dims = {"x": {0: "n"}}
    fast = compiled(made["f"], torch.ones(6, 3), 5, config=CONFIG, dynamic_arg_dims=dims)
    found = all_guards(fast.compilation)
    texts = [each.text for each in found]
    assert {"n != 4", "n >= 2", "k == 5", "x.size(1) == 3"} <= set(texts)
    assert "x.dtype == torch.float32" in texts
    assert len(found) == len(set(map(id, found)))
    static = next(each for each in found if each.origin is GuardOrigin.STATIC_DIM)
    assert (static.value, static.sources) == (3, ("x.size(1)",))

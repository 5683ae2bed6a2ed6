"""Tests that a trace decides without an error: in the test of torch.cond, in a side, in a fake."""

from __future__ import annotations

import warnings

import pytest
import torch

from explorer.config import CompilationConfig
from explorer.guards.op_traps import fake_guard_traps
from explorer.guards.predicate_traps import (
    cond_predicate_traps,
    cond_side_traps,
    constant_predicate_trap,
)
from explorer.guards.trap import TrapKind
from explorer.stages.capture import CaptureRequest, capture
from explorer.torch_private import capture as dynamo
from explorer.torch_private.failures import CONSTANT_PREDICATE, constant_predicates
from tests.explorer.guards import trapped_models as models


def captured(model, rows=6):
    request = CaptureRequest(model, (torch.randn(rows, 16),), {}, {"x": {0: "n"}})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=CONSTANT_PREDICATE)
        return capture(request, CompilationConfig(backend="eager"))


@pytest.mark.parametrize(
    ("model", "word", "better"),
    [
        (models.python_and, "`and`", "`(x.shape[0] > 2) & (x.shape[0] < 10)`"),
        (models.python_or_by_name, "`or`", "`(n < 3) | (n % 5 == 0)`"),
        (models.python_not, "`not`", "`torch.sym_not(four)`"),
        (models.python_chain, "a chained comparison", "`(2 < x.shape[0]) & (x.shape[0] < 10)`"),
        (models.nested_logic, "`or`", "`(n < 3) | torch.sym_not((n > 5) & (n < 9))`"),
    ],
)
def test_logic_in_the_test_of_cond_is_found_without_an_error(model, word, better):
    found = captured(model)
    messages = cond_predicate_traps(found.branch_sites, found.guards)
    assert len(messages) == 1
    assert models.here(model) in messages[0]
    assert f"{word} in the test of torch.cond is decided while tracing" in messages[0]
    assert messages[0].endswith(f"Write {better}.")


@pytest.mark.parametrize(
    "model",
    [
        models.right_cond,
        models.plain_and,
        models.logic_beside_cond,
        models.alias,
        models.python_bool,  # bool() of a test on sizes decides nothing
    ],
)
def test_other_tests_are_left_alone(model):
    found = captured(model)
    assert cond_predicate_traps(found.branch_sites, found.guards) == ()


@pytest.mark.parametrize("size", range(1, 13))
def test_the_test_as_it_should_be_is_the_same_test(size):
    n = size
    assert bool(n > 2 and n < 10) is bool((n > 2) & (n < 10))
    x = torch.randn(size, 16)
    assert torch.equal(models.python_and(x), models.and_as_told(x))
    assert torch.equal(models.python_not(x), models.not_as_told(x))


def test_the_models_as_told_have_one_graph_for_every_size():
    for model in (models.and_as_told, models.not_as_told):
        assert [guard for guard in captured(model).guards if not guard.is_bound] == []


# ------------------------------------------------------------------------- a constant as the test


def stack_of_constant(model):
    x = torch.randn(6, 16)
    dynamo.mark_backed(x, 0)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        found = dynamo.trace(model, (x,), {}).recording.constant_predicates
    assert not [each for each in shown if CONSTANT_PREDICATE in str(each.message)]
    return found


def test_a_test_of_a_static_dim_is_a_constant():
    (stack,) = stack_of_constant(models.static_test)
    trap = constant_predicate_trap(stack)
    assert trap is not None
    assert trap.kind is TrapKind.CONSTANT_TEST
    assert models.here(models.static_test) in str(trap)
    assert "only one side is in the graph" in str(trap)
    assert "dynamic_arg_dims" in str(trap)


def test_a_constant_made_by_not_says_so():
    (stack,) = stack_of_constant(models.python_not)
    trap = constant_predicate_trap(stack)
    assert trap is not None
    assert trap.kind is TrapKind.PYTHON_LOGIC
    assert "Write `torch.sym_not(four)`." in str(trap)


def test_a_test_that_is_computed_is_no_constant_and_other_warnings_are_shown():
    assert stack_of_constant(models.right_cond) == []
    with pytest.warns(UserWarning, match="something else"), constant_predicates([]):
        warnings.warn("something else", UserWarning, stacklevel=1)


# -------------------------------------------------------------------------- conditions that leak


def test_a_check_in_a_side_holds_for_every_call():
    messages = cond_side_traps(captured(models.check_inside, rows=20).guards)
    assert len(messages) == 1
    assert models.here(models.check_inside) in messages[0]
    assert "Leave the check out of the function" in messages[0]


def test_a_view_in_a_side_holds_for_every_call():
    messages = cond_side_traps(captured(models.view_inside, rows=8).guards)
    assert len(messages) == 1
    assert models.here(models.view_inside) in messages[0]
    assert "demands ((16 * n) % 64) == 0 and 5 more conditions of every call" in messages[0]


def test_a_condition_outside_of_a_side_is_none_of_it():
    assert cond_side_traps(captured(models.size_branch).guards) == ()
    assert cond_side_traps(captured(models.python_and).guards) == ()


def test_a_fake_that_tests_the_size_is_found_by_its_condition():
    messages = fake_guard_traps(captured(models.calls_fake_branches).guards)
    assert len(messages) == 1
    assert models.here(models.the_fake) in messages[0]
    assert "the fake implementation of trapped_models::fake_branches" in messages[0]
    assert "whether n != 4" in messages[0]


def test_conditions_of_torchs_own_operators_are_no_fault_of_a_fake():
    assert fake_guard_traps(captured(models.view_inside, rows=8).guards) == ()
    assert fake_guard_traps(captured(models.size_branch).guards) == ()

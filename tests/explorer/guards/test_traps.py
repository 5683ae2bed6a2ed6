"""Each trap is provoked for real, and the message says where, what, and what to write instead."""

from __future__ import annotations

import pytest
import torch

import explorer
from explorer.config import DynamicShapesConfig, DynamicShapesType
from explorer.guards.fixes import Situation, fixes_for
from explorer.guards.trap import TrapKind
from explorer.guards.traps import explain_trace_error, trap_of
from explorer.torch_private import capture as dynamo
from tests.explorer.guards import trapped_models as models


def failed_trace(model, *, rows=6, unbacked=False):
    """The error of a trace with one dynamic dim, and what was asked."""
    x = torch.randn(rows, 16)
    if unbacked:
        dynamo.mark_unbacked(x, 0, "n")
    else:
        dynamo.mark_backed(x, 0)
    recording = dynamo.Recording()
    with pytest.raises((*dynamo.TRACE_ERRORS, *dynamo.MODEL_ERRORS)) as caught:
        dynamo.trace(model, (x,), {}, recording=recording)
    return caught.value, recording


def message_of(model, *, rows=6, unbacked=False):
    error, recording = failed_trace(model, rows=rows, unbacked=unbacked)
    message = explain_trace_error(error, recording=recording)
    assert message is not None
    assert message.startswith("The model does not trace into one graph at ")
    assert message.endswith(" Running the model without compiling is not affected.")
    assert "\n" not in message
    assert ".." not in message.replace("...", "")
    return message


both_marks = pytest.mark.parametrize("unbacked", [False, True])


@both_marks
@pytest.mark.parametrize(
    ("model", "what", "change"),
    [
        (models.dtypes, "the first function of torch.cond returns float64", ".to(torch.float32)"),
        (models.strides, "strides are in another order", "return result.contiguous()"),
        (models.structures, "different numbers of values", "the same structure from both"),
        (models.a_float, "returns a float", "torch.full((), value)"),
    ],
)
def test_a_side_of_cond_is_explained(model, what, change, unbacked):
    message = message_of(model, unbacked=unbacked)
    assert models.here(model) in message
    assert what in message
    assert change in message


def test_strides_are_said_without_torchs_symbols():
    assert ": (1, n) and (16, 1)" in message_of(models.strides)


# Torch refuses these two while tracing only where gradients are wanted, which a capture never is.


@pytest.mark.parametrize(
    ("model", "kind", "change"),
    [
        (models.alias, TrapKind.ALIAS, "return x.clone()"),
        (models.alias_by_view, TrapKind.ALIAS, "return x.clone()"),
        (models.mutation, TrapKind.MUTATION, "`x + 1` for `x.add_(1)`"),
    ],
)
def test_what_torch_refuses_with_gradients_is_explained(model, kind, change):
    x = torch.randn(6, 16)
    dynamo.mark_backed(x, 0)
    with torch.enable_grad(), pytest.raises(dynamo.TRACE_ERRORS) as caught:
        torch.compile(model, fullgraph=True, backend="eager")(x)
    trap = trap_of(caught.value)
    assert trap is not None
    assert trap.kind is kind
    assert models.here(model) in str(trap)
    assert change in str(trap)


def test_a_check_inside_a_side_is_demanded_of_every_call():
    message = message_of(models.check_inside)
    assert models.here(models.check_inside) in message
    assert "what one demands is demanded of every call" in message
    assert "Leave the check out of the function" in message


def test_a_view_inside_a_side_is_traced_at_the_example():
    message = message_of(models.view_inside)
    assert models.here(models.view_inside) in message
    assert "fails there (shape '[-1, 4, 16]' is invalid for input of size any number)" in message
    assert "custom op" in message


def test_a_test_on_an_unbacked_size_is_said_in_the_users_words():
    message = message_of(models.size_branch, unbacked=True)
    assert models.here(models.size_branch) in message
    assert "the test `x.shape[0] == 4` asks whether n == 4, and n is marked unbacked" in message
    for fix in (
        "torch.cond",
        "torch.library.custom_op",
        "GuardPolicy.VARIANTS",
        "a compiled submodule for each side",
        "torch._check",
    ):
        assert fix in message
    assert "u0" not in message


def test_a_test_on_a_tensor_offers_what_helps_there():
    for model in (models.value_branch, models.item_branch):
        for unbacked in (False, True):
            message = message_of(model, unbacked=unbacked)
            assert models.here(model) in message
            assert "depends on what a tensor holds" in message
            assert "torch.where" in message
            assert "torch.cond" in message
            assert "GuardPolicy.VARIANTS" not in message  # it cannot help
            assert "torch._check" not in message
    assert "the branch on `x.sum() > 0` depends" in message_of(models.value_branch)
    assert "the branch on `total > 0` depends" in message_of(models.item_branch)


def test_and_in_the_test_of_an_unbacked_cond_says_how_to_write_it():
    message = message_of(models.python_and, unbacked=True)
    assert models.here(models.python_and) in message
    assert "`and` in the test of torch.cond is decided while tracing" in message
    assert "Write `(x.shape[0] > 2) & (x.shape[0] < 10)`." in message


def test_a_fake_that_tests_the_size_is_named_with_its_own_line():
    message = message_of(models.calls_fake_branches, unbacked=True)
    assert models.here(models.the_fake) in message
    assert "the fake implementation of trapped_models::fake_branches" in message
    assert "asks whether n == 4" in message
    assert "return torch.empty_like(x)" in message


def test_a_custom_op_that_returns_its_input_fails_when_that_side_runs():
    x = torch.randn(6, 16)
    assert torch.equal(models.calls_returns_input(x), x + 1)
    with pytest.raises(RuntimeError, match="must not also be an input") as caught:
        models.calls_returns_input(torch.randn(4, 16))
    trap = trap_of(caught.value)
    assert trap is not None
    assert trap.kind is TrapKind.OP_ALIAS
    assert "the custom op returns_input returned one of its inputs" in str(trap)
    assert "return x.clone()" in str(trap)


# ------------------------------------------------------------------------------ nothing is guessed


def test_without_a_recording_a_size_and_a_value_are_not_told_apart():
    error, _ = failed_trace(models.size_branch, unbacked=True)
    message = explain_trace_error(error)
    assert message is not None
    assert models.here(models.size_branch) in message
    assert "a size that is marked unbacked, or a value of a tensor" in message
    assert "GuardPolicy.VARIANTS" in message


def prints(x):
    print("seen")
    return x + 1


def test_another_failure_has_no_trap():
    error, recording = failed_trace(prints)
    assert explain_trace_error(error, recording=recording) is None
    assert trap_of(ValueError("torch.cond is a function")) is None


# ------------------------------------------------------------------------------ seen by the user


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (models.dtypes, "float64 and the second one float32"),
        (models.strides, "strides are in another order"),
        (models.check_inside, "what one demands is demanded of every call"),
        (models.value_branch, "depends on what a tensor holds"),
    ],
)
def test_a_compilation_says_so(model, what):
    with pytest.raises(explorer.CaptureError) as caught:
        explorer.compile_model(
            model,
            (torch.randn(6, 16),),
            dynamic_arg_dims={"x": {0: "n"}},
            config=explorer.CompilationConfig(backend="eager", max_size=64),
        )
    assert models.here(model) in str(caught.value)
    assert what in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_fake_that_fixes_the_size_is_the_place():
    with pytest.raises(explorer.CaptureError, match="the model fixed it to 4") as caught:
        explorer.compile_model(
            models.calls_fake_branches,
            (torch.randn(4, 16),),
            dynamic_arg_dims={"x": {0: "n"}},
            config=explorer.CompilationConfig(backend="eager", max_size=64),
        )
    assert models.here(models.the_fake) in str(caught.value)


@pytest.mark.parametrize("how", ["config", "one dim"])
def test_a_session_with_an_unbacked_size_offers_the_fixes(how):
    shapes = DynamicShapesType.UNBACKED if how == "config" else DynamicShapesType.BACKED
    session = explorer.Session(
        models.size_branch,
        (torch.randn(6, 16),),
        dynamic_arg_dims={"x": {0: "rows"}},
        mark_unbacked_dims={"x": {0: "rows"}} if how == "one dim" else None,
        config=explorer.CompilationConfig(
            backend="eager", max_size=64, dynamic_shapes=DynamicShapesConfig(shapes)
        ),
    )
    with pytest.raises(explorer.CaptureError) as caught:
        session.update()
    assert models.here(models.size_branch) in str(caught.value)
    assert "asks whether rows == 4, and rows is marked unbacked" in str(caught.value)
    for fix in fixes_for(Situation.UNBACKED_TEST):
        assert fix.use in str(caught.value)

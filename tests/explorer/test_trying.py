"""One size at which the model and the compiled model are looked at side by side."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

from explorer import ConfigError, GuardPolicy, Session
from explorer.comparison import Outcome
from explorer.trying import Trial, try_size
from sample_models import branching
from tests.explorer.targets import session_of, session_of_target
from tests.explorer.test_comparison import Counting, Off


def branch(policy: GuardPolicy) -> Session:
    return session_of_target(branching.sample(), guard_policy=policy)


def test_check_refuses_and_says_what_the_graph_would_have_returned() -> None:
    trial = try_size(branch(GuardPolicy.CHECK), {"n": 4})
    assert trial.outcome is Outcome.REFUSED
    assert trial.compiled is not None and trial.compiled.has_failed
    assert "n != 4" in trial.compiled.text
    assert trial.policy == "CHECK refused the call, as a condition of the graph does not hold."
    free = trial.unchecked
    assert free is not None and not free.has_failed
    assert "differs in 32 of 32 elements" in free.difference
    assert free.largest is not None and free.largest > 1


def test_drop_returns_the_wrong_side_without_a_word() -> None:
    session = branch(GuardPolicy.DROP)
    trial = try_size(session, {"n": 4})
    model = session.request.model
    with torch.no_grad():
        projected = model.project(branching.sample().make_inputs({"n": 4})[0][0])  # type: ignore
        apart = (projected * 2 - (projected + 1)).abs()
    assert trial.outcome is Outcome.DIFFERENT
    assert trial.unchecked is None
    assert trial.compiled is not None
    assert trial.compiled.largest == pytest.approx(float(apart.max()), abs=1e-5)
    row, column = divmod(int(apart.argmax()), 8)
    assert f"most at output[{row}, {column}]: " in trial.compiled.difference
    assert trial.policy == "DROP: nothing was checked; served by artifact A for 1–64."


def test_variants_captures_a_graph_once_and_then_picks_it() -> None:
    session = branch(GuardPolicy.VARIANTS)
    first, again = try_size(session, {"n": 4}), try_size(session, {"n": 4})
    other = try_size(session, {"n": 6})
    assert {each.outcome for each in (first, again, other)} == {Outcome.EQUAL}
    assert first.policy.startswith("VARIANTS: graph #1, captured for this call; served by ")
    assert again.policy.startswith("VARIANTS: graph #1, one of 2; served by ")
    assert other.policy.startswith("VARIANTS: graph #0, one of 2; served by ")


@pytest.mark.parametrize("policy", GuardPolicy)
def test_where_the_graph_is_right_both_are_equal(policy: GuardPolicy) -> None:
    trial = try_size(branch(policy), {"n": 6})
    assert trial.outcome is Outcome.EQUAL
    assert trial.compiled is not None
    assert trial.compiled.text == trial.eager.text
    assert trial.eager.text.startswith("float32 (6, 8): ")
    assert trial.compiled.difference == "Equal in every element."


def test_size_0_is_served_by_the_model_as_it_is() -> None:
    trial = try_size(branch(GuardPolicy.CHECK), {"n": 0})
    assert trial.policy == "The model as it is served the call: no graph ran."


def test_a_size_out_of_the_ranges_is_refused_with_its_own_reason() -> None:
    trial = try_size(branch(GuardPolicy.CHECK), {"n": 65})
    assert trial.outcome is Outcome.REFUSED
    assert trial.compiled is not None and "max_size" in trial.compiled.text
    assert trial.policy == "The call was refused before a graph ran."


def test_an_int_argument_can_be_tried_and_is_else_as_in_the_example() -> None:
    session = session_of_target(branching.sample("int_argument"))
    assert dict(try_size(session, {"n": 7}).sizes) == {"n": 7, "k": 5}
    trial = try_size(session, {"n": 7, "k": 2})
    assert trial.outcome is Outcome.REFUSED
    assert trial.sizes_text == "n = 7, k = 2"


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"m": 1}, "There is no size named 'm'; the names are n"),
        ({"n": -1}, "n must be an int of at least 0"),
        ({"n": True}, "n must be an int of at least 0"),
        ({"n": "4"}, "n must be an int of at least 0"),
        ({"n": 10**9}, "n = 1,000,000,000 is not run: above 8,192"),
    ],
    ids=["name", "negative", "bool", "text", "too large"],
)
def test_sizes_that_cannot_be_tried(sizes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        try_size(branch(GuardPolicy.CHECK), sizes)


def test_an_error_of_the_model_is_no_fault_of_the_compiled_one() -> None:
    class Bounded(nn.Module):
        def forward(self, x):
            return x + 1 if x.shape[0] <= 8 else x.not_there()

    trial = try_size(session_of(Bounded(), torch.ones(6)), {"x_0": 12})
    assert trial.outcome is Outcome.EAGER_FAILS
    assert trial.eager.has_failed and "AttributeError" in trial.eager.text
    assert trial.compiled is None
    assert "not called" in trial.policy


def test_an_error_of_the_compiled_model_alone_is_different() -> None:
    class Broken:
        name = "broken"

        def identity(self) -> str:
            return "broken"

        def compile(self, graph, example_inputs, *, size_range, options):
            def call(*values):
                raise ZeroDivisionError("no\nmore")

            return call

    session = session_of(lambda x: x + 1, torch.ones(6), config=config_of(Broken()))
    trial = try_size(session, {"x_0": 3})
    assert trial.outcome is Outcome.DIFFERENT
    assert trial.compiled is not None and trial.compiled.has_failed
    assert "no" in trial.compiled.text and "\n" not in trial.compiled.text
    assert trial.policy == "The compiled model failed where the model does not."


def config_of(backend: Any) -> Any:
    from explorer import CompilationConfig

    return CompilationConfig(backend=backend, max_size=64)


@pytest.mark.parametrize(
    ("dtype", "amount", "outcome"),
    [
        (torch.bfloat16, 0.015625, Outcome.EQUAL),
        (torch.bfloat16, 0.25, Outcome.DIFFERENT),
        (torch.float16, 0.0078125, Outcome.EQUAL),
        (torch.float16, 0.125, Outcome.DIFFERENT),
    ],
)
def test_small_floats_have_a_wide_tolerance(
    dtype: torch.dtype, amount: float, outcome: Outcome
) -> None:
    session = session_of(
        lambda x: x + 1, torch.zeros(6, dtype=dtype), config=config_of(Off(amount))
    )
    trial = try_size(session, {"x_0": 3})
    assert trial.outcome is outcome
    assert trial.compiled is not None
    assert trial.compiled.largest == amount
    expected = "Equal within the tolerance" if outcome is Outcome.EQUAL else "Different: "
    assert trial.compiled.difference.startswith(expected)


def test_nan_in_both_is_said_and_nan_in_one_is_infinitely_far() -> None:
    class Nans(Off):
        def compile(self, graph, example_inputs, *, size_range, options):
            return lambda *values: tuple(value * float("nan") for value in graph(*values))

    both = try_size(session_of(lambda x: x * float("nan"), torch.ones(6)), {"x_0": 3})
    assert both.outcome is Outcome.EQUAL
    assert both.compiled is not None
    assert both.compiled.difference == "Equal in every element. Both are NaN in 3 elements."
    session = session_of(lambda x: x + 1, torch.ones(6), config=config_of(Nans(0.0)))
    one = try_size(session, {"x_0": 3})
    assert one.outcome is Outcome.DIFFERENT
    assert one.compiled is not None
    assert one.compiled.largest == float("inf")
    assert "output[0]: NaN instead of 2" in one.compiled.difference


def test_a_number_is_not_close_to_an_infinity() -> None:
    class Finite(Off):
        def compile(self, graph, example_inputs, *, size_range, options):
            return lambda *values: tuple(torch.ones_like(value) for value in graph(*values))

    session = session_of(lambda x: x / 0, torch.ones(6), config=config_of(Finite(0.0)))
    trial = try_size(session, {"x_0": 3})
    assert trial.outcome is Outcome.DIFFERENT
    assert trial.compiled is not None and "1 instead of inf" in trial.compiled.difference


def test_another_shape_has_no_place_of_its_own() -> None:
    class Shorter(Off):
        def compile(self, graph, example_inputs, *, size_range, options):
            return lambda *values: tuple(value[1:] for value in graph(*values))

    session = session_of(lambda x: x + 1, torch.ones(6), config=config_of(Shorter(0.0)))
    trial = try_size(session, {"x_0": 3})
    assert trial.outcome is Outcome.DIFFERENT
    assert trial.compiled is not None and trial.compiled.largest is None
    assert "has shape torch.Size([2]) instead of torch.Size([3])" in trial.compiled.difference


def test_several_outputs_are_named() -> None:
    session = session_of(lambda x: (x + 1, x.sum(), x.long(), x > 0, x), torch.ones(6, 2))
    text = try_size(session, {"x_0": 3}).eager.text
    assert text == (
        "tuple of output[0] float32 (3, 2): 2, 2, 2, 2, …; output[1] float32 (): 6; output[2] "
        "int64 (3, 2): 1, 1, 1, 1, … and 2 more"
    )


def test_the_model_its_inputs_and_random_numbers_are_left_alone() -> None:
    model, example = Counting(), torch.ones(6)
    session = session_of(model, example)
    session.update()
    states = torch.get_rng_state(), random.getstate()
    for size in (3, 6):
        assert try_size(session, {"x_0": size}).outcome is Outcome.EQUAL
    assert float(model.calls) == 0
    assert torch.equal(example, torch.ones(6))
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]


def test_in_text_a_trial_has_the_three_results() -> None:
    trial: Trial = try_size(branch(GuardPolicy.CHECK), {"n": 4})
    lines = str(trial).splitlines()
    assert lines[0] == "n = 4: refused"
    assert [line.split()[0] for line in lines[1:5]] == [
        "model",
        "compiled",
        "unchecked",
        "Different:",
    ]


def test_a_model_without_sizes_is_tried_at_its_example() -> None:
    session = session_of(lambda x: x + 1, torch.ones(6), dynamic_arg_dims={})
    trial = try_size(session, {})
    assert trial.outcome is Outcome.EQUAL
    assert trial.sizes_text == "the example"

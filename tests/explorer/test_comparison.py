"""The comparison of a compiled model with the model as it is."""

import pytest
import torch
from torch import nn

import explorer
from explorer.comparison import Outcome, compare_with_eager
from sample_models import branching
from tests.explorer.targets import session_of, session_of_target


def test_a_static_model_is_compared_at_its_example() -> None:
    session = session_of(lambda x: x + 1, torch.ones(6), dynamic_arg_dims={})
    (check,) = compare_with_eager(session)
    assert check.outcome is Outcome.EQUAL
    assert (check.sizes_text, check.served_by) == ("the example", "the one artifact")


class Off:
    """A backend whose results are off by a little."""

    name = "off"

    def __init__(self, amount: float) -> None:
        self.amount = amount

    def identity(self) -> str:
        return f"off {self.amount}"

    def compile(self, graph, example_inputs, *, size_range, options):
        return lambda *values: tuple(value + self.amount for value in graph(*values))


@pytest.mark.parametrize(
    ("amount", "outcome"),
    [(0.0, Outcome.EQUAL), (1e-6, Outcome.EQUAL), (0.5, Outcome.DIFFERENT)],
)
def test_results_are_compared_within_a_tolerance(amount: float, outcome: Outcome) -> None:
    config = explorer.CompilationConfig(backend=Off(amount), max_size=64)
    session = session_of(torch.nn.Linear(4, 4), torch.ones(6, 4), config=config)
    (check,) = compare_with_eager(session, [{"input_0": 3}])
    assert check.outcome is outcome
    assert check.is_wrong is (outcome is Outcome.DIFFERENT)
    assert check.max_abs_difference == pytest.approx(amount, abs=2e-7)
    assert check.served_by == "1–64"
    assert ("differs in 12 of 12 elements" in check.problem) is check.is_wrong


def test_infinities_and_nan_of_eager_are_equal_to_themselves() -> None:
    session = session_of(lambda x: torch.stack([x / 0, x * float("nan")]), torch.ones(6))
    (check,) = compare_with_eager(session, [{"x_0": 3}])
    assert (check.outcome, check.max_abs_difference) == (Outcome.EQUAL, 0.0)


def test_a_size_that_the_graph_is_not_right_for_is_refused() -> None:
    session = session_of_target(branching.sample())
    (check,) = compare_with_eager(session, [{"n": 4}])
    assert check.outcome is Outcome.REFUSED
    assert not check.is_wrong
    assert "n != 4" in check.problem
    assert check.max_abs_difference is None


def test_a_size_at_which_eager_fails_is_no_fault() -> None:
    table = torch.nn.Parameter(torch.ones(8), requires_grad=False)

    class Bounded(nn.Module):
        def forward(self, x):
            return x + table[: x.shape[0]] if x.shape[0] <= 8 else x.not_there()

    session = session_of(Bounded(), torch.ones(6))
    (check,) = compare_with_eager(session, [{"x_0": 12}])
    assert check.outcome is Outcome.EAGER_FAILS
    assert "AttributeError" in check.problem


def test_make_inputs_that_fails_is_no_fault() -> None:
    def make_inputs(sizes):
        raise RuntimeError("only 6")

    session = session_of(lambda x: x + 1, torch.ones(6), make_inputs=make_inputs)
    (check,) = compare_with_eager(session, [{"x_0": 3}])
    assert check.outcome is Outcome.EAGER_FAILS
    assert "only 6" in check.problem


def test_random_numbers_are_the_same_on_both_sides() -> None:
    session = session_of(lambda x: x + torch.rand_like(x), torch.ones(6))
    before = torch.get_rng_state()
    (check,) = compare_with_eager(session, [{"x_0": 3}])
    assert check.outcome is Outcome.EQUAL
    assert torch.equal(torch.get_rng_state(), before)


class Counting(nn.Module):
    """Counts its calls in a buffer, and adds into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x.add_(self.calls)
        return x * 2


def test_state_and_inputs_are_compared_and_left_alone() -> None:
    model, example = Counting(), torch.ones(6)
    session = session_of(model, example)
    checks = compare_with_eager(session, [{"x_0": 3}, {"x_0": 6}])
    assert [check.outcome for check in checks] == [Outcome.EQUAL, Outcome.EQUAL]
    assert float(model.calls) == 0
    assert torch.equal(example, torch.ones(6))


def test_a_missed_write_is_found() -> None:
    class Forgetful:
        name = "forgetful"

        def identity(self) -> str:
            return "forgetful"

        def compile(self, graph, example_inputs, *, size_range, options):
            def call(*values):
                copies = [v.clone() if isinstance(v, torch.Tensor) else v for v in values]
                return graph(*copies)

            return call

    config = explorer.CompilationConfig(backend=Forgetful(), max_size=64)
    session = session_of(Counting(), torch.ones(6), config=config)
    (check,) = compare_with_eager(session, [{"x_0": 3}])
    assert check.is_wrong
    assert "input args[0] differs in 3 of 3 elements" in check.problem


def test_each_result_is_told_as_it_comes() -> None:
    seen = []
    session = session_of(lambda x: x + 1, torch.ones(6))
    checks = compare_with_eager(session, [{"x_0": 2}, {"x_0": 3}], on_check=seen.append)
    assert tuple(seen) == checks

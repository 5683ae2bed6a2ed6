"""What the model itself does at the points where a graph is not right."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from explorer.artifacts import CapturedGraph, EagerOutcome
from explorer.errors import InputError
from explorer.guards import eager
from explorer.guards.eager import EagerRuns
from explorer.guards.regions import Points
from explorer.stages.capture import CaptureRequest, capture
from tests.explorer.comparing import EAGER, filled


def captured_of(model: Any, *args: Any, **rest: Any) -> CapturedGraph:
    request = CaptureRequest(model, args or (filled(6, 4),), {}, {"x": {0: "n"}}, **rest)
    return capture(request, EAGER)


def line(first: int, last: int) -> tuple[Points, np.ndarray]:
    sizes = {"n": np.arange(first, last + 1)}
    return Points(sizes, True, True, "", sizes), np.arange(last - first + 1)


def rejects(wrong: Any) -> Any:
    def model(x):
        if wrong(x.shape[0]):
            raise ValueError("not here\nsecond line")
        return x + 1

    return model


def test_a_few_points_stand_for_a_group_that_behaves_alike() -> None:
    runs = EagerRuns(captured_of(lambda x: x + 1))
    found = runs.examine(*line(10, 1009))
    assert [probe.sizes["n"] for probe in found.probes] == [10, 510, 511, 1009]
    assert found.outcome is EagerOutcome.WORKS
    assert found.fails.tolist() == []
    assert runs.count == 4


def test_a_group_that_fails_fails_as_a_whole() -> None:
    found = EagerRuns(captured_of(rejects(lambda n: n > 9))).examine(*line(10, 1009))
    assert found.outcome is EagerOutcome.FAILS
    assert len(found.fails) == 1000
    assert {probe.problem for probe in found.probes} == {"ValueError: not here"}


def test_a_mixed_group_is_run_at_more_points() -> None:
    found = EagerRuns(captured_of(rejects(lambda n: n % 2))).examine(*line(10, 69))
    assert found.outcome is EagerOutcome.MIXED
    assert len(found.probes) == 60
    assert (found.fails + 10).tolist() == list(range(11, 70, 2))
    longer = EagerRuns(captured_of(rejects(lambda n: n % 2))).examine(*line(10, 1009))
    assert len(longer.probes) <= 64 + 4
    assert all((longer.fails + 10) % 2 == 1)


def test_large_sizes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "LARGEST_PROBED_SIZE", 20)
    runs = EagerRuns(captured_of(lambda x: x + 1))
    assert [p.sizes["n"] for p in runs.examine(*line(10, 1009)).probes] == [10, 15, 16, 20]
    assert [p.sizes["n"] for p in runs.examine(*line(30, 1009)).probes] == [30]


def test_there_is_an_end_to_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "MOST_PROBES", 2)
    found = EagerRuns(captured_of(lambda x: x + 1)).examine(*line(10, 1009))
    assert [probe.outcome for probe in found.probes] == [
        EagerOutcome.WORKS,
        EagerOutcome.WORKS,
        EagerOutcome.NOT_KNOWN,
        EagerOutcome.NOT_KNOWN,
    ]
    assert found.outcome is EagerOutcome.WORKS


def test_what_make_inputs_cannot_make_is_not_known() -> None:
    def make_inputs(sizes):
        if sizes["n"] > 100:
            raise RuntimeError("no")
        return (filled(sizes["n"], 4),), {}

    runs = EagerRuns(captured_of(lambda x: x + 1, make_inputs=make_inputs))
    assert runs.at({"n": 50}).outcome is EagerOutcome.WORKS
    probe = runs.at({"n": 101})
    assert probe.outcome is EagerOutcome.NOT_KNOWN
    assert "make_inputs failed for sizes {'n': 101}: no" in probe.problem
    with pytest.raises(InputError, match="no size named 'm'"):
        eager.example_inputs.at(runs.captured.request, {"m": 3})


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory")]
)
def test_too_little_memory_is_no_failure_of_the_model(error: Exception) -> None:
    def model(x):
        if x.shape[0] > 9:
            raise error
        return x + 1

    probe = EagerRuns(captured_of(model)).at({"n": 10})
    assert (probe.outcome, probe.problem) == (EagerOutcome.NOT_KNOWN, "there is not enough memory")


def test_int_arguments_are_replaced_by_name() -> None:
    seen = []

    def model(x, k, *, j=3):
        seen.append((x.shape[0], k, j))
        return x * k * j

    runs = EagerRuns(captured_of(model, filled(6, 4), 5))
    seen.clear()
    assert runs.at({"n": 4, "k": 7, "j": 2}).outcome is EagerOutcome.WORKS
    assert seen == [(4, 7, 2)]
    probe = runs.at({"n": 4, "self.k": 7})
    assert probe.outcome is EagerOutcome.NOT_KNOWN
    assert "self.k is no argument of the call" in probe.problem


def test_methods_are_called_on_their_object() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x, k):
            return x * k

    assert EagerRuns(captured_of(Scaled(), filled(6, 4), 5)).at({"n": 4, "k": 7}).problem == ""


def test_random_numbers_warnings_and_gradients_are_left_as_they_were() -> None:
    import warnings

    def model(x):
        random.random()
        np.random.random()
        torch.rand(1)
        warnings.warn("loud", UserWarning, stacklevel=1)
        assert not torch.is_grad_enabled()
        return x + 1

    captured = dataclasses.replace(captured_of(lambda x: x + 1), model=model)
    states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
    assert EagerRuns(captured).at({"n": 4}).outcome is EagerOutcome.WORKS
    assert random.getstate() == states[0]
    assert repr(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.is_grad_enabled()


def test_the_example_is_not_written_to() -> None:
    def model(x):
        return x.add_(1)

    example = torch.ones(6, 4)
    runs = EagerRuns(captured_of(model, example))
    assert runs.at({"n": 6}).outcome is EagerOutcome.WORKS
    assert torch.equal(example, torch.ones(6, 4))

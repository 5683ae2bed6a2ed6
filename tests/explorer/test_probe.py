"""Inputs of other sizes, and the sizes at which a fault would show."""

import pytest
import torch

from explorer.errors import InputError
from explorer.probe import inputs_at, sizes_to_compare
from explorer.stages.capture import CaptureRequest
from sample_models import branching, toy_llama
from tests.explorer.targets import session_of, session_of_target


def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y


# ------------------------------------------------------------------------------------------ inputs


@pytest.mark.parametrize("size", [1, 4, 6, 13])
def test_without_make_inputs_the_example_is_repeated_or_sliced(size: int) -> None:
    example = torch.arange(12.0).reshape(6, 2)
    session = session_of(lambda x: x * 2, example, dynamic_arg_dims={"x": {0: "n"}})
    (made,), kwargs = inputs_at(session, {"n": size})
    rows = example[[row % 6 for row in range(size)]]
    assert torch.equal(made, rows)
    assert kwargs == {}


def test_make_inputs_is_asked_by_name() -> None:
    session = session_of_target(toy_llama.sample(layers=1, hidden=16, heads=2))
    (ids, positions), _ = inputs_at(session, {"n": 7})
    assert ids.shape == positions.shape == (7,)


def test_a_size_that_is_left_out_stays_as_in_the_example() -> None:
    example = torch.ones(6, 8)
    request = CaptureRequest(lambda x: x + 1, (example,), {}, {"x": {0: "rows", 1: "columns"}})
    (made,), _ = inputs_at(request, {"columns": 3})
    assert made.shape == (6, 3)


def test_dims_that_the_model_made_one_size_change_together() -> None:
    session = session_of(
        add, torch.ones(6), torch.ones(6), dynamic_arg_dims={"x": {0: "a"}, "y": {0: "b"}}
    )
    (x, y), _ = inputs_at(session, {"a": 9})
    assert x.shape == y.shape == (9,)


def test_keyword_and_nested_inputs_are_found() -> None:
    def model(batch, *, scale):
        return batch["x"] * scale

    session = session_of(
        model,
        {"x": torch.ones(5)},
        example_kwargs={"scale": torch.ones(1)},
        dynamic_arg_dims={"batch['x']": {0: "n"}},
    )
    (batch,), kwargs = inputs_at(session, {"n": 8})
    assert batch["x"].shape == (8,)
    assert kwargs["scale"].shape == (1,)


def test_an_unknown_size_is_refused_with_the_known_ones() -> None:
    session = session_of(lambda x: x + 1, torch.ones(6), dynamic_arg_dims={"x": {0: "n"}})
    with pytest.raises(InputError, match="no size named 'm'; the sizes are n"):
        inputs_at(session, {"m": 3})


# -------------------------------------------------------------------------------- which sizes


def test_sizes_touch_every_edge_and_every_exact_size() -> None:
    session = session_of_target(
        toy_llama.sample(layers=1, hidden=16, heads=2),
        compile_ranges_endpoints=(8, 32),
        compile_sizes=(20,),
        max_size=100,
    )
    sizes = [each["n"] for each in sizes_to_compare(session.compilation)]
    assert {1, 8, 9, 32, 33, 100, 20, 2, 3, 17, 64} <= set(sizes)
    assert sizes == sorted(sizes)
    assert max(sizes) == 100


def test_sizes_touch_both_sides_of_a_condition() -> None:
    session = session_of_target(branching.sample())
    assert {3, 4, 5} <= {each["n"] for each in sizes_to_compare(session.compilation)}


def test_other_sizes_vary_too() -> None:
    session = session_of(
        lambda x: x + 1, torch.ones(6, 8), dynamic_arg_dims={"x": {0: "rows", 1: "columns"}}
    )
    sizes = sizes_to_compare(session.compilation)
    assert {"columns": 9} in sizes
    assert {"rows": 64} in sizes


def test_a_static_model_has_its_example_only() -> None:
    session = session_of(lambda x: x + 1, torch.ones(6), dynamic_arg_dims={})
    assert sizes_to_compare(session.compilation) == [{}]

import pytest
import torch

import explorer
from sample_models import branching
from sample_models.branching import Branch


@pytest.mark.parametrize("branch", Branch)
def test_plain_model_takes_both_sides(make_sample, run_eagerly, branch):
    sample = make_sample("branching", branch=branch)
    for size in range(1, 9):
        (rows,), _ = sample.make_inputs({"n": size})
        projected = sample.model.project(rows)
        if branch is Branch.EQUAL:
            expected = projected * 2 if size == 4 else projected + 1
        else:
            expected = projected * 2 if size >= 4 else projected * 100
        assert torch.equal(run_eagerly(sample, size), expected)


@pytest.mark.parametrize(
    ("branch", "rows", "right"),
    [
        (Branch.EQUAL, 6, {1, 2, 3, 5, 6, 7, 8}),
        (Branch.AT_LEAST, 6, {4, 5, 6, 7, 8}),
        (Branch.AT_LEAST, 3, {1, 2, 3}),
    ],
)
def test_the_graph_is_right_where_the_sentence_says(
    make_sample, compile_sample, assert_equal_to_eager, branch, rows, right
):
    sample = make_sample("branching", branch=branch, rows=rows)
    compiled = compile_sample(sample)
    assert_equal_to_eager(sample, compiled, tuple(right))
    for size in set(range(1, 9)) - right:
        args, kwargs = sample.make_inputs({"n": size})
        with pytest.raises(explorer.GuardViolation, match=r"branching\.py"):
            compiled(*args, **kwargs)


def test_without_guards_the_graph_answers_wrongly_at_four(make_sample, compile_sample, run_eagerly):
    sample = make_sample("branching")
    compiled = compile_sample(sample, guard_policy=explorer.GuardPolicy.DROP)
    args, kwargs = sample.make_inputs({"n": 4})
    projected = sample.model.project(*args)
    assert torch.equal(compiled(*args, **kwargs), projected + 1)
    assert torch.equal(run_eagerly(sample, 4), projected * 2)


@pytest.mark.parametrize(
    ("branch", "rows", "sentence"),
    [
        (Branch.EQUAL, 6, "Captured with 6 rows, the graph is right except for 4."),
        (Branch.EQUAL, 4, "Captured with 4 rows, the graph is right only for 4."),
        (Branch.AT_LEAST, 6, "Captured with 6 rows, the graph is right from 4 on."),
        (Branch.AT_LEAST, 3, "Captured with 3 rows, the graph is right below 4."),
    ],
)
def test_the_sentence_names_the_sizes(branch, rows, sentence):
    assert branching.sample(branch, rows=rows).shows == sentence


def test_an_example_of_one_row_is_refused():
    with pytest.raises(ValueError, match="rows must be at least 2, not 1"):
        branching.sample(rows=1)


def test_an_unknown_branch_is_refused():
    with pytest.raises(ValueError, match="'sideways' is not a valid Branch"):
        branching.sample("sideways")

import pytest
import torch

import explorer
from sample_models import branching
from sample_models.branching import Branch

ALL = set(range(1, 65))
ONE_SIZE = [
    each for each in Branch if each not in (Branch.TWO_DIMS, Branch.INT_ARGUMENT, Branch.VIEW)
]
MULTIPLES_OF_4 = {n for n in ALL if n % 4 == 0}
MULTIPLES_OF_8 = {n for n in ALL if n % 8 == 0}

# Branch, options, the sizes of 1..64 at which the graph is right, and the sentence. Size 1 belongs
# to the graph whose side it takes.
CASES = [
    (Branch.EQUAL, {"rows": 6}, ALL - {4}, "except for 4"),
    (Branch.AT_LEAST, {"rows": 6}, ALL - {1, 2, 3}, "from 4 on"),
    (Branch.AT_LEAST, {"rows": 3}, {1, 2, 3}, "below 4"),
    (Branch.GREATER, {}, ALL, "up to 512"),
    (Branch.GREATER, {"rows": 600}, set(), "above 512"),
    (Branch.GREATER, {"threshold": 40}, set(range(1, 41)), "up to 40"),
    (Branch.GREATER, {"threshold": 40, "rows": 50}, set(range(41, 65)), "above 40"),
    (Branch.MODULO, {}, ALL - MULTIPLES_OF_8, "except at multiples of 8"),
    (Branch.MODULO, {"rows": 16}, MULTIPLES_OF_8, "only at multiples of 8"),
    (Branch.NESTED, {}, set(range(1, 33)) - {4}, "up to 32, except for 4"),
    (Branch.NESTED, {"threshold": 48, "rows": 40}, set(range(33, 49)), "from 33 to 48"),
    (
        Branch.NESTED,
        {"threshold": 48, "rows": 50},
        set(range(49, 64)),
        "above 48, except at multiples of 16",
    ),
    (
        Branch.NESTED,
        {"threshold": 24, "rows": 32},
        {32, 48, 64},
        "above 24, only at multiples of 16",
    ),
    (Branch.WHILE, {}, set(range(1, 9)), "up to 8"),
    (Branch.WHILE, {"rows": 10}, set(range(9, 18)), "from 9 to 17"),
    (Branch.WHILE, {"rows": 20}, set(range(18, 36)), "from 18 to 35"),
    (Branch.TERNARY, {}, set(range(1, 17)), "up to 16"),
    (Branch.TERNARY, {"rows": 17}, set(range(17, 65)), "above 16"),
    (Branch.AND, {}, ALL, "up to 64"),
    (Branch.AND, {"threshold": 16}, set(range(1, 17)), "up to 16"),
    (
        Branch.AND,
        {"threshold": 16, "rows": 20},
        {n for n in MULTIPLES_OF_4 if n > 16},
        "above 16, only at multiples of 4",
    ),
    (
        Branch.AND,  # size 1 takes the same side, for the other reason
        {"threshold": 16, "rows": 21},
        {1} | {n for n in ALL - MULTIPLES_OF_4 if n > 16},
        "above 16, except at multiples of 4",
    ),
    (Branch.ASSERT, {}, ALL - {4}, "except for 4, which the model refuses"),
    (Branch.RANGE, {}, ALL, "below 100"),
    (Branch.RANGE, {"threshold": 10}, set(range(1, 10)), "below 10"),
    (Branch.RANGE, {"threshold": 10, "rows": 25}, set(range(20, 30)), "from 20 to 29"),
    (Branch.VIEW, {}, MULTIPLES_OF_4, "at multiples of 4, which the model needs"),
    (Branch.INT_ARGUMENT, {}, set(range(1, 11)), "for k = 5 and n up to 10"),
    (Branch.INT_ARGUMENT, {"rows": 11}, set(range(11, 65)), "for k = 5 and n above 10"),
    (Branch.INT_ARGUMENT, {"other": 2}, set(range(5, 65)), "for k = 2 and n above 4"),
]


# What a model multiplies by, worked out a second time: (n, threshold) -> factor, None where it
# refuses.
FACTORS = {
    Branch.AT_LEAST: lambda n, t: 2 if n in range(4, 100) else 100,
    Branch.GREATER: lambda n, t: 100 if n in range(t + 1) else 2,
    Branch.MODULO: lambda n, t: 2 if n in range(0, 100, t) else 100,
    Branch.NESTED: lambda n, t: (
        (2 if n in (16, 32, 48, 64) else 3)
        if n in range(t + 1, 100)
        else {4: 5}.get(n, 7 if n in range(33) else 11)
    ),
    Branch.WHILE: lambda n, t: 2 ** sum(n >= edge for edge in (9, 18, 36)),
    Branch.TERNARY: lambda n, t: 2 if n in range(t + 1) else 100,
    Branch.AND: lambda n, t: 2 if n in range(t + 1, 100) and n in MULTIPLES_OF_4 else 100,
    Branch.ASSERT: lambda n, t: None if n == t else 2,
    Branch.DICT_KEY: lambda n, t: {t: 2, 2 * t: 3}.get(n, 100),
    Branch.RANGE: lambda n, t: 2 ** int(n / t),
}


@pytest.mark.parametrize("branch", ONE_SIZE)
def test_plain_model_takes_every_side(make_sample, run_eagerly, branch):
    small = {Branch.GREATER: 40, Branch.NESTED: 40, Branch.AND: 16, Branch.RANGE: 10}
    options = {"threshold": small[branch]} if branch in small else {}
    sample = make_sample("branching", branch=branch, **options)
    sides = set()
    for size in sorted(ALL):
        (rows,), _ = sample.make_inputs({"n": size})
        projected = sample.model.project(rows)
        if branch is Branch.EQUAL:
            factor, expected = size == 4, projected * 2 if size == 4 else projected + 1
        else:
            threshold = getattr(sample.model, "threshold", 4)
            factor = FACTORS[branch](size, threshold)
            expected = projected if factor is None else projected * factor
        sides.add(factor)
        if factor is None:
            with pytest.raises(AssertionError, match="this number of rows is not supported"):
                run_eagerly(sample, size)
        else:
            assert torch.allclose(run_eagerly(sample, size), expected)
    assert len(sides) >= 2


def test_plain_model_of_two_sizes_takes_three_sides(make_sample):
    sample = make_sample("branching", branch=Branch.TWO_DIMS)
    for nx, ny, factor in [
        (6, 5, 2),
        (8, 7, 2),
        (7, 7, 100),
        (3, 7, 100),
        (5, 5, 1000),
        (2, 9, 1000),
    ]:
        (x, y), _ = sample.make_inputs({"nx": nx, "ny": ny})
        both = sample.model.project(x).mean(0) + sample.model.project(y).mean(0)
        assert torch.equal(sample.model(x, y), both * factor)


def test_plain_model_with_a_number_takes_four_sides(make_sample):
    sample = make_sample("branching", branch=Branch.INT_ARGUMENT)
    for n, k, factor in [(11, 5, 2), (10, 5, 3), (7, 3, 100), (6, 3, 1000)]:
        (x, given), _ = sample.make_inputs({"n": n, "k": k})
        assert given == k
        assert torch.equal(sample.model(x, k), sample.model.project(x) * factor)


def test_plain_model_views_groups_of_rows_only(make_sample, run_eagerly):
    sample = make_sample("branching", branch=Branch.VIEW)
    assert run_eagerly(sample, 12).shape == (3, 8)
    with pytest.raises(RuntimeError, match="invalid for input of size 48"):
        run_eagerly(sample, 6)


@pytest.mark.parametrize(("branch", "options", "right", "sentence"), CASES)
def test_the_graph_is_right_where_the_sentence_says(
    make_sample, compile_sample, assert_equal_to_eager, branch, options, right, sentence
):
    sample = make_sample("branching", branch=branch, **options)
    rows = sample.example_inputs[0].shape[0]
    assert sample.shows == f"Captured with {rows} rows, the graph is right {sentence}."
    compiled = compile_sample(sample)
    assert_equal_to_eager(sample, compiled, (*sorted(right), rows))
    for size in sorted(ALL - right):
        args, kwargs = sample.make_inputs({"n": size})
        with pytest.raises(explorer.GuardViolation, match=r"branch\w*\.py|not right for n = 1:"):
            compiled(*args, **kwargs)


@pytest.mark.parametrize(
    ("options", "right", "sentence"),
    [
        ({}, lambda nx, ny: nx > ny, "where nx > ny"),
        ({"rows": 3}, lambda nx, ny: nx <= ny != 7, "where nx <= ny and ny != 7"),
    ],
)
def test_the_graph_of_two_sizes_is_right_where_the_sentence_says(
    make_sample, compile_sample, options, right, sentence
):
    sample = make_sample("branching", branch=Branch.TWO_DIMS, **options)
    assert sample.shows.endswith(f"the graph is right {sentence}.")
    compiled = compile_sample(sample)
    for nx in range(2, 12):
        for ny in range(2, 12):
            (x, y), _ = sample.make_inputs({"nx": nx, "ny": ny})
            if right(nx, ny):
                assert torch.equal(compiled(x, y), sample.model(x, y))
            else:
                with pytest.raises(explorer.GuardViolation, match=r"branch_shapes\.py"):
                    compiled(x, y)


def test_another_number_is_refused(make_sample, compile_sample):
    sample = make_sample("branching", branch=Branch.INT_ARGUMENT)
    compiled = compile_sample(sample)
    args, _ = sample.make_inputs({"n": 6, "k": 2})
    with pytest.raises(explorer.GuardViolation, match="k"):
        compiled(*args)


def test_a_size_as_a_key_makes_the_dim_a_constant(make_sample, compile_sample):
    sample = make_sample("branching", branch=Branch.DICT_KEY)
    assert sample.shows == "Captured with 6 rows, the graph is right only for 6."
    message = r"x\.size\(0\).*fixed it to 6 at .*branch_shapes\.py:\d+: .*factors\.get"
    with pytest.raises(explorer.CaptureError, match=message):
        compile_sample(sample)


def test_without_guards_the_graph_answers_wrongly_at_four(make_sample, compile_sample, run_eagerly):
    sample = make_sample("branching")
    compiled = compile_sample(sample, guard_policy=explorer.GuardPolicy.DROP)
    args, kwargs = sample.make_inputs({"n": 4})
    projected = sample.model.project(*args)
    assert torch.equal(compiled(*args, **kwargs), projected + 1)
    assert torch.equal(run_eagerly(sample, 4), projected * 2)


def test_the_wrong_side_is_far_away(make_sample, compile_sample, run_eagerly):
    sample = make_sample("branching", branch=Branch.AT_LEAST, rows=4)
    compiled = compile_sample(sample, guard_policy=explorer.GuardPolicy.DROP)
    args, kwargs = sample.make_inputs({"n": 3})
    assert torch.equal(compiled(*args, **kwargs) * 50, run_eagerly(sample, 3))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"branch": Branch.EQUAL, "rows": 4}, "only for 4"),
        ({"branch": Branch.NESTED, "rows": 4}, "only for 4"),
        (
            {"branch": Branch.TWO_DIMS, "rows": 4, "other": 7},
            "where nx <= ny and ny == 7",
        ),
    ],
)
def test_an_equality_that_holds_makes_a_constant(make_sample, compile_sample, options, sentence):
    sample = make_sample("branching", **options)
    assert sample.shows == f"Captured with 4 rows, the graph is right {sentence}."
    with pytest.raises(explorer.CaptureError, match=r"the model fixed it to \d at .*branch\w*\.py"):
        compile_sample(sample)


def test_an_example_of_one_row_is_refused():
    with pytest.raises(ValueError, match="rows must be at least 2, not 1"):
        branching.sample(rows=1)


def test_a_threshold_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="at_least compares with 4: it takes no threshold"):
        branching.sample("at_least", threshold=9)


def test_an_unknown_branch_is_refused():
    with pytest.raises(ValueError, match="'sideways' is not a valid Branch"):
        branching.sample("sideways")

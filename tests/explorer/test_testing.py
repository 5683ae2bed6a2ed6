"""``assert_covers`` in people's own tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import CompilationConfig, ConfigError, GuardPolicy, OutOfRange, SizeRange
from explorer.errors import CaptureError
from explorer.testing import assert_covers
from tests.explorer.comparing import filled
from tests.explorer.rewriting import cell

CONFIG = CompilationConfig(backend="eager", max_size=64)
DIMS = {"x": {0: "n"}}

MODELS = cell(
    """
    def plain(x):
        return x * 2

    def branch(x):
        return x * 2 if x.shape[0] == 4 else x + 1

    def two(x):
        if x.shape[0] == 4:
            return x * 2
        return x * 3 if x.shape[0] > 30 else x + 1

    def holes(x):
        if x.shape[0] == 4:
            return x * 2
        if x.shape[0] == 9:
            raise ValueError("nine")
        return x * 3 if x.shape[0] == 10 else x + 1

    def grouped(x):
        return x.view(-1, 4, 3).sum(1)

    def scaled(x, k):
        return x * k

    def larger(x, y):
        return x.sum(0) * 2 if x.shape[0] > y.shape[0] else y.sum(0)

    def windows(x):
        n = x.shape[0]
        rows = torch.nn.functional.pad(x, (0, 0, 0, (-n) % 4)).view(-1, 4, 3)
        return rows.roll(1, 1).flatten(0, 1)[:n]

    def no_graph(x):
        return x if x.sum() > 0 else x + 1
    """
)


def _assert_covers(name: str, *rest: Any, example: int = 6, **options: Any) -> Any:
    settings = {"config": CONFIG, "dynamic_arg_dims": DIMS} | options
    return assert_covers(MODELS[name], (filled(example, 3), *rest), **settings)


def test_what_is_covered_returns_the_audit() -> None:
    audit = _assert_covers("plain")
    assert audit.valid == ((2, 64),)
    assert audit.domain == {"n": (1, 64)}


def test_what_is_not_covered_fails_with_line_sizes_result_and_fixes() -> None:
    with pytest.raises(AssertionError, match="branch is not covered at all sizes") as error:
        _assert_covers("branch")
    text = " ".join(str(error.value).split())
    assert ">:5 return x * 2 if x.shape[0] == 4 else x + 1" in text
    assert "wrong at 4 (1 size)" in text
    assert "at n = 4 output differs in" in text
    assert "FIX (none was tried here" in text


@pytest.mark.parametrize(
    ("sizes", "covered"),
    [
        (SizeRange(5, 64), True),
        (SizeRange(1, 3), True),
        (SizeRange(3, 5), False),
        ([3, 5, 64], True),
        ([3, 4, 5], False),
        ([4], False),
        (iter((1, 64)), True),
        (range(5, 20), True),
        ({"n": SizeRange(5, 6)}, True),
        ({"n": [3, 5]}, True),
        ({"n": [3, 4, 5]}, False),
    ],
)
def test_only_the_sizes_that_were_asked_for_count(sizes: Any, covered: bool) -> None:
    if covered:
        _assert_covers("branch", sizes=sizes)
    else:
        with pytest.raises(AssertionError, match="n = 4"):
            _assert_covers("branch", sizes=sizes)


def test_a_size_at_which_the_model_fails_does_not_count() -> None:
    _assert_covers("grouped", example=8, sizes=[8, 9, 12])
    _assert_covers("grouped", example=8, sizes=SizeRange(8, 16))


def test_what_is_allowed_does_not_count() -> None:
    _assert_covers("branch", allow=["n != 4"])
    with pytest.raises(AssertionError, match="31-64"):
        _assert_covers("two", allow=["n != 4"])
    _assert_covers("two", allow=["n != 4", "n <= 30"])


def test_listed_sizes_and_what_is_allowed_go_together() -> None:
    _assert_covers("two", sizes=[3, 4, 20], allow=["n != 4"])
    _assert_covers("two", sizes=[3, 4, 30], allow=["n != 4"])
    with pytest.raises(AssertionError):
        _assert_covers("two", sizes=[3, 4, 31], allow=["n != 4"])


@pytest.mark.parametrize(
    ("sizes", "allow", "covered"),
    [
        ([3, 20], [], True),
        ([3, 4, 20], [], False),
        ([3, 4, 20], ["n != 4"], True),
        ([3, 4, 10, 20], ["n != 4"], False),
        ([3, 9, 20], [], True),
        ([3, 9, 10], [], False),
    ],
)
def test_what_is_wrong_between_listed_sizes_does_not_count(
    sizes: list[int], allow: list[str], covered: bool
) -> None:
    if covered:
        _assert_covers("holes", sizes=sizes, allow=allow)
    else:
        with pytest.raises(AssertionError, match="is not covered at all sizes"):
            _assert_covers("holes", sizes=sizes, allow=allow)


def test_an_int_argument_has_to_be_allowed_or_varied() -> None:
    with pytest.raises(AssertionError, match="Constant: k is 5"):
        _assert_covers("scaled", 5)
    _assert_covers("scaled", 5, allow=["k"])
    _assert_covers("scaled", 5, sizes={"k": SizeRange(5, 5)})
    with pytest.raises(AssertionError, match="BAKED VALUE"):
        _assert_covers("scaled", 5, sizes={"k": [4, 5]})


@pytest.mark.parametrize(
    ("sizes", "covered"),
    [
        ({"n": [8, 16], "m": [3, 5]}, True),
        ({"n": [8, 16], "m": [3, 9]}, False),
        ({"n": SizeRange(8, 9), "m": SizeRange(2, 7)}, True),
        ({"n": [8, 64], "m": SizeRange(2, 7)}, True),
        ({"n": [4, 64], "m": SizeRange(2, 7)}, False),
    ],
)
def test_listed_sizes_of_two_dims_are_all_combinations(sizes: Any, covered: bool) -> None:
    dims = {"x": {0: "n"}, "y": {0: "m"}}
    options = {"sizes": sizes, "dynamic_arg_dims": dims}
    if covered:
        _assert_covers("larger", filled(5, 3), **options)
    else:
        with pytest.raises(AssertionError, match="BAKED BRANCH"):
            _assert_covers("larger", filled(5, 3), **options)


def test_a_fixed_dim_fails_until_it_is_allowed() -> None:
    with pytest.raises(AssertionError, match="FIXED DIM"):
        _assert_covers("branch", example=4)
    assert _assert_covers("branch", example=4, allow=["x.size(0)"]) is None


def test_size_one_is_covered_where_a_call_of_it_is_served() -> None:
    _assert_covers("windows", sizes=[1, 5, 6])
    with pytest.raises(AssertionError, match="not covered  2-4"):
        _assert_covers("windows", sizes=[1, 2, 6])


@pytest.mark.parametrize("sizes", [SizeRange(1, 128), SizeRange(100, 128), [5, 65]], ids=str)
def test_sizes_above_max_size_are_not_covered_unless_the_model_serves_them(sizes: Any) -> None:
    with pytest.raises(AssertionError, match=r"a call raises SizeOutOfRange, as max_size is 64"):
        _assert_covers("plain", sizes=sizes)
    _assert_covers("plain", sizes=sizes, config=CONFIG.replace(out_of_range=OutOfRange.EAGER))


def test_variants_cover_what_one_graph_does_not() -> None:
    _assert_covers("branch", config=CONFIG.replace(guard_policy=GuardPolicy.VARIANTS))
    few = CONFIG.replace(guard_policy=GuardPolicy.VARIANTS, variants_limit=1)
    with pytest.raises(AssertionError, match="variants_limit"):
        _assert_covers("branch", config=few)


def test_keyword_arguments_and_inputs_of_other_sizes_are_the_authors() -> None:
    made: list[int] = []

    def make_inputs(sizes: Any) -> Any:
        made.append(sizes["n"])
        return (), {"x": filled(sizes["n"], 3)}

    with pytest.raises(AssertionError):
        assert_covers(
            MODELS["branch"],
            (),
            example_kwargs={"x": filled(6, 3)},
            dynamic_arg_dims=DIMS,
            make_inputs=make_inputs,
            config=CONFIG,
        )
    assert 4 in made


def test_wrong_use_is_no_failed_assertion() -> None:
    with pytest.raises(ConfigError, match="sizes is empty"):
        _assert_covers("plain", sizes=[])
    with pytest.raises(ConfigError, match="domain names 'm'"):
        _assert_covers("plain", sizes={"m": [3]})
    with pytest.raises(CaptureError, match="does not trace into one graph"):
        _assert_covers("no_graph")


def test_a_module_is_named_by_its_class() -> None:
    class Doubled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.shape[0] == 4 else x

    with pytest.raises(AssertionError, match="Doubled is not covered"):
        assert_covers(Doubled(), (filled(6, 3),), dynamic_arg_dims=DIMS, config=CONFIG)

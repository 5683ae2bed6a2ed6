"""The check of a call: the fast predicate and the slow words agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import compile_model
from explorer.artifacts import CapturedGraph
from explorer.errors import ExplorerError, GuardViolation
from explorer.runtime import accept, predicate
from explorer.size_range import SizeRange
from explorer.stages.capture import CaptureRequest, capture
from tests.explorer.comparing import EAGER, filled


def captured(model: Any, *args: Any, dims: Any = None) -> CapturedGraph:
    return capture(CaptureRequest(model, args, {}, dims), EAGER)


def adds(x, y):
    return x * 2 + y


def branches(x, y):
    if x.shape[0] % 8 == 0:
        return x + y
    return x - y


def flat(graph: CapturedGraph, *tensors: torch.Tensor) -> tuple[Any, ...]:
    """Values for the placeholders: the tensors in order, then sizes read from them."""
    given = iter(tensors)
    positions = {each.position: next(given) for each in predicate.tensors_of(graph)}
    return tuple(positions.get(number) for number in range(len(graph.inputs)))


def test_sizes_are_read_from_their_first_tensor() -> None:
    graph = captured(adds, filled(5, 3), filled(5, 3))
    values = flat(graph, filled(7, 3), filled(7, 3))
    assert accept.read_sizes(graph, values) == {"x_0": 7}


@pytest.mark.parametrize(
    ("x", "y", "accepted"),
    [
        pytest.param(filled(7, 3), filled(7, 3), 7, id="plain"),
        pytest.param(filled(2, 3), filled(2, 3), 2, id="smallest"),
        pytest.param(filled(1, 3), filled(1, 3), -1, id="one is not plain"),
        pytest.param(filled(0, 3), filled(0, 3), -1, id="zero is not plain"),
        pytest.param(filled(7, 3), filled(8, 3), -1, id="two sizes"),
        pytest.param(filled(7, 4), filled(7, 4), -1, id="static dim"),
        pytest.param(filled(7), filled(7, 3), -1, id="rank of the first"),
        pytest.param(filled(7, 3), filled(7), -1, id="rank of the second"),
        pytest.param(filled(7, 3, 1), filled(7, 3), -1, id="rank too high"),
        pytest.param(torch.tensor(1.0), filled(7, 3), -1, id="rank 0"),
        pytest.param(filled(7, 3).double(), filled(7, 3), -1, id="dtype"),
        pytest.param(filled(3, 7).t(), filled(7, 3), -1, id="strides"),
        pytest.param(filled(7, 3), torch.empty(7, 3, device="meta"), -1, id="device"),
    ],
)
def test_predicate(x: torch.Tensor, y: torch.Tensor, accepted: int) -> None:
    graph = captured(adds, filled(5, 3), filled(5, 3))
    accepts, source = predicate.write_predicate(graph, graph.sizes[0], check_guards=True)
    assert accepts(flat(graph, x, y)) == accepted
    assert source.startswith("def accepted_size(values):")


@pytest.mark.parametrize("size", range(2, 30))
def test_predicate_and_words_agree_on_guards(size: int) -> None:
    graph = captured(branches, filled(5, 3), filled(5, 3))
    (dispatch,) = graph.sizes
    checked, _ = predicate.write_predicate(graph, dispatch, check_guards=True)
    unchecked, _ = predicate.write_predicate(graph, dispatch, check_guards=False)
    values = flat(graph, filled(size, 3), filled(size, 3))
    assert unchecked(values) == size
    if size % 8:
        assert checked(values) == size
        accept.check_guards(graph, {"x_0": size}, SizeRange(1, 64), dispatch)
    else:
        assert checked(values) == predicate.NOT_ACCEPTED
        with pytest.raises(GuardViolation, match=rf"not right for x_0 = {size}: .*test_accept\.py"):
            accept.check_guards(graph, {"x_0": size}, SizeRange(1, 64), dispatch)


def patches(x):
    rows, height, width = x.shape
    kept = x[:, : height // 2 * 2, : width // 2 * 2]
    return kept.reshape(rows, height // 2 * (width // 2), 4)


@pytest.mark.parametrize(
    ("shape", "accepted"),
    [
        pytest.param((3, 2, 2), "w in 6..64 step 2 (30 sizes)", id="one size alone is at fault"),
        pytest.param((3, 2, 3), "w in 6..64 step 2 (30 sizes)", id="the first condition is on it"),
        pytest.param((3, 3, 3), "no w where the other sizes are as in this call", id="two are"),
    ],
)
def test_the_sizes_that_are_right_are_those_of_the_condition(shape: Any, accepted: str) -> None:
    graph = captured(patches, filled(3, 8, 10), dims={"x": {0: "b", 1: "h", 2: "w"}})
    dispatch = graph.sizes[0]
    assert dispatch.name == "b"
    with pytest.raises(GuardViolation, match=r"holds only where .*\bw\b") as caught:
        sizes = dict(zip("bhw", shape, strict=True))
        accept.check_guards(graph, sizes, SizeRange(1, 64), dispatch)
    assert caught.value.accepted == accepted
    assert f"It is right for {accepted}. " in str(caught.value)


def test_the_dispatch_size_is_named_where_the_condition_reads_it() -> None:
    def larger(x, y):
        return x.sum() + y.sum() if x.shape[0] > y.shape[0] else x.sum()

    graph = captured(larger, filled(9), filled(8), dims={"x": {0: "nx"}, "y": {0: "ny"}})
    for dispatch, accepted in zip(graph.sizes, ("nx in 8–64", "ny in 2"), strict=True):
        with pytest.raises(GuardViolation, match="nx > ny") as caught:
            accept.check_guards(graph, {"nx": 3, "ny": 7}, SizeRange(1, 64), dispatch)
        assert caught.value.accepted == accepted


def test_nothing_dynamic_is_accepted_as_zero() -> None:
    graph = captured(adds, filled(5, 3), filled(5, 3), dims={})
    accepts, _ = predicate.write_predicate(graph, None, check_guards=True)
    assert accepts(flat(graph, filled(5, 3), filled(5, 3))) == 0
    assert accepts(flat(graph, filled(6, 3), filled(6, 3))) == predicate.NOT_ACCEPTED


@pytest.mark.parametrize(
    ("x", "restrided"),
    [
        pytest.param(filled(7, 3), [], id="plain"),
        pytest.param(filled(3, 7).t(), ["x"], id="transposed"),
        pytest.param(filled(7, 6)[:, ::2], ["x"], id="columns"),
        pytest.param(filled(3, 1).t(), [], id="one row has any stride"),
    ],
)
def test_strides_that_differ_are_listed(x: torch.Tensor, restrided: list[str]) -> None:
    graph = captured(adds, filled(5, 3), filled(5, 3))
    values = flat(graph, x, filled(len(x), 3))
    found = accept.check_tensors(graph, values, {"x_0": len(x)})
    assert [each.expected.path for each in found] == restrided


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: filled(7, 3).to_sparse(), "x has layout", id="sparse"),
        pytest.param(lambda: torch.empty(7, 3, device="meta"), "x has device meta", id="meta"),
        pytest.param(lambda: filled(7, 3).half(), r"x has dtype torch\.float16", id="half"),
        pytest.param(lambda: filled(7, 3, 2), "x has rank 3", id="rank"),
        pytest.param(lambda: filled(7, 2), r"x\.size\(1\) is 2", id="shape"),
    ],
)
def test_tensor_is_refused_by_name(make: Any, message: str) -> None:
    graph = captured(adds, filled(5, 3), filled(5, 3))
    with pytest.raises(ExplorerError, match=message):
        accept.check_tensors(graph, flat(graph, make(), filled(7, 3)), {"x_0": 7})


def test_contiguous_layout_is_recognised_with_symbols() -> None:
    graph = captured(
        lambda x, y: x.sum() + y.sum(), filled(5, 3, 4), filled(3, 5).t(), dims={"x": 1}
    )
    plain, transposed = graph.user_inputs
    assert predicate.is_contiguous_layout(plain)
    assert not predicate.is_contiguous_layout(transposed)


def doubled_where_equal(x, y):
    return x * 2 if x.shape[0] == y.shape[0] else x


def doubled_after_check(x, y):
    torch._check(x.shape[0] == y.shape[0])
    return x * 2


@pytest.mark.parametrize(
    ("function", "unbacked"),
    [(doubled_where_equal, False), (doubled_after_check, False), (doubled_after_check, True)],
)
def test_tensor_that_only_decides_is_compared_too(function: Any, unbacked: bool) -> None:
    """``y`` is no input of the graph, but its size was taken for that of ``x``."""
    dims = {"x": 0, "y": 0}
    model = compile_model(
        function,
        (torch.ones(5, 4), torch.ones(5, 4)),
        dynamic_arg_dims=dims,
        mark_unbacked_dims=dims if unbacked else None,
        config=EAGER,
    )
    for count in (3, 1, 7):
        given = torch.ones(count, 4), torch.ones(count, 4)
        torch.testing.assert_close(model(*given), function(*given))
    for one, other in ((3, 4), (6, 2), (3, 1), (1, 3)):
        with pytest.raises(GuardViolation, match=rf"y.size\(0\) is {other}.* x.size\(0\)"):
            model(torch.ones(one, 4), torch.ones(other, 4))
    with pytest.raises(GuardViolation, match=r"y.*rank"):
        model(torch.ones(3, 4), torch.tensor(1.0))


def test_size_of_a_tensor_that_is_not_computed_with() -> None:
    def scaled(x, y):
        return x * y.shape[0]

    model = compile_model(
        scaled,
        (torch.ones(5, 4), torch.ones(6, 4)),
        dynamic_arg_dims={"x": 0, "y": 0},
        config=EAGER,
    )
    assert [size.label for size in model.compilation.captured.sizes] == ["x.size(0)", "y.size(0)"]
    for one, other in ((3, 4), (6, 2), (3, 1), (1, 3)):
        given = torch.ones(one, 4), torch.ones(other, 4)
        torch.testing.assert_close(model(*given), scaled(*given))

"""guard_policy VARIANTS: each call through the captured graph that is right for it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explorer import (
    CompilationConfig,
    CompiledModel,
    ConfigError,
    Coverage,
    GuardPolicy,
    GuardViolation,
    InputError,
    OutOfRange,
    SizeOutOfRange,
    SizeRange,
    compile_model,
    counters,
)
from explorer.errors import VariantsLimit
from explorer.progress import CancelToken
from tests.explorer.guards.asserting_models import asserted

VARIANTS = CompilationConfig(backend="eager", guard_policy=GuardPolicy.VARIANTS)
WIDTH = 16


def rows(size: int) -> torch.Tensor:
    return torch.randn(size, WIDTH, generator=torch.Generator().manual_seed(size))


def compiled(
    model: Callable[..., Any],
    *args: Any,
    config: CompilationConfig = VARIANTS,
    dims: Mapping[str, Any] | None = None,
) -> CompiledModel:
    return compile_model(model, args, dynamic_arg_dims=dims or {"x": {0: "n"}}, config=config)


def is_four(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] == 4:
        return x * 2
    return x + 1


def above(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] > 512 else x + 1


def multiple(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] % 8 == 0 else x + 1


def nested(x: torch.Tensor) -> torch.Tensor:
    n = x.shape[0]
    if n > 512:
        return x * 2 if n % 16 == 0 else x * 3
    if n == 4:
        return x * 5
    return x * 7 if n <= 32 else x * 9


def viewed(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1, 4, 16)


def conjunction(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 64 and x.shape[0] % 4 == 0:
        return x * 2
    return x * 3


def halved(x: torch.Tensor) -> torch.Tensor:
    left = x.shape[0]
    while left > 1000:
        left = left // 2
        x = x * 2
    return x


def ternary(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] < 100 else x * 3


def by_hundreds(x: torch.Tensor) -> torch.Tensor:
    for _ in range(x.shape[0] // 100):
        x = x + 1
    return x


def by_key(x: torch.Tensor) -> torch.Tensor:
    return x * {4: 2, 8: 3}.get(x.shape[0], 100)


def at_least_four(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] >= 4 else x * 100


def two_dims(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > y.shape[0]:
        return x.sum() + y.sum()
    if y.shape[0] == 7:
        return x.sum() * 2 - y.sum()
    return x.sum() * 3 - y.sum()


def int_argument(x: torch.Tensor, k: int) -> torch.Tensor:
    if k > 3:
        x = x * 2
    if x.shape[0] > 2 * k:
        x = x + 100
    return x


def test_the_forum_thread_in_small() -> None:
    """Traced at 4, called with 3: DROP takes the wrong side, CHECK refuses, VARIANTS is right."""
    three = rows(3)
    drop = compiled(at_least_four, rows(4), config=VARIANTS.replace(guard_policy=GuardPolicy.DROP))
    assert torch.equal(drop(three), three * 2)
    assert not drop.compilation.audit(SizeRange(1, 16)).is_valid(n=3)
    check = compiled(
        at_least_four, rows(4), config=VARIANTS.replace(guard_policy=GuardPolicy.CHECK)
    )
    with pytest.raises(GuardViolation, match=r"n >= 4.*x\.shape\[0\] >= 4"):
        check(three)
    variants = compiled(at_least_four, rows(4))
    assert torch.equal(variants(three), three * 100)
    assert torch.equal(variants(rows(4)), rows(4) * 2)


@pytest.mark.parametrize("example", [4, 10])
def test_an_example_on_either_side_of_an_equality(example: int) -> None:
    model = compiled(is_four, rows(example))
    for size in (0, 1, 2, 3, 4, 5, 100):
        assert torch.equal(model(rows(size)), is_four(rows(size)))
    assert len(model.variants) == 2
    assert [each.name for each in model.variants[0].captured.sizes] == ["n"]
    assert model.variants[1].captured.sizes == ()


def test_a_variant_is_captured_once() -> None:
    model = compiled(is_four, rows(10))
    with counters.expect(captured=1):
        model(rows(4))
    with counters.expect(captured=0):
        for size in (4, 3, 4, 5, 4):
            assert torch.equal(model(rows(size)), is_four(rows(size)))


def test_sizes_0_and_1_need_no_variant_of_their_own() -> None:
    model = compiled(is_four, rows(10), config=VARIANTS.replace(variants_limit=2))
    model(rows(4))  # with one variant there is no table
    with counters.expect(captured=1, compiled=1):  # both for size 1
        for size in (1, 0, 1, 0):
            assert torch.equal(model(rows(size)), is_four(rows(size)))


def test_a_graph_for_size_1_counts_with_the_general_one_that_comes_later() -> None:
    model = compiled(at_least_four, rows(10))
    for size in (1, 2, 1):
        assert torch.equal(model(rows(size)), at_least_four(rows(size)))
    dims = [[each.name for each in variant.captured.sizes] for variant in model.variants]
    assert dims == [["n"], ["n"]]


COVERED = [
    pytest.param(is_four, 10, 3, 2, id="n == 4"),
    pytest.param(above, 10, 3, 2, id="n > 512"),
    pytest.param(multiple, 10, 3, 2, id="n % 8 == 0"),
    pytest.param(nested, 1000, 6, 5, id="nested"),
    pytest.param(viewed, 64, 1, 1, id="view"),
    pytest.param(conjunction, 100, 4, 2, id="and"),
    pytest.param(halved, 100, 6, 5, id="while"),
    pytest.param(ternary, 10, 3, 2, id="ternary"),
    pytest.param(asserted, 10, 1, 1, id="assert"),
    pytest.param(by_hundreds, 250, 83, 82, id="range(n // 100)", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("model", "example", "captures", "graphs"), COVERED)
def test_cover_of_all_sizes(
    model: Callable[..., Any], example: int, captures: int, graphs: int
) -> None:
    fast = compiled(model, rows(example), config=VARIANTS.replace(variants_limit=100))
    coverage = fast.cover()
    assert coverage.is_complete and coverage.coverage == "all 8,192 points"
    assert coverage.captures <= captures and coverage.graphs == len(fast.variants) == graphs
    served = sum(region.points for region in coverage.regions) + coverage.failing_points
    assert served == 8192
    sizes = np.random.default_rng(0).integers(1, 8193, 200).tolist()
    with counters.expect(captured=0):
        for size in {1, 2, 3, 4, 5, 8, 512, 513, 8192, *sizes}:
            try:
                expected = model(rows(size))
            except (RuntimeError, AssertionError):
                continue
            assert torch.equal(fast(rows(size)), expected), size


def test_regions_are_those_of_the_branches() -> None:
    coverage = compiled(is_four, rows(10)).cover(SizeRange(1, 100))
    assert [each.intervals for each in coverage.regions] == [((1, 3), (5, 100)), ((4, 4),)]
    assert coverage.regions[1].example == {"n": 4}
    coverage = compiled(viewed, rows(64)).cover(SizeRange(1, 10))
    assert coverage.eager_fails == ((1, 3), (5, 7), (9, 10))


def partly_refused(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1, 4, 16).sum((0, 1)) if x.shape[0] > 8 else x.sum(0)


def test_where_eager_fails_nothing_else_is_given_up() -> None:
    model = compiled(partly_refused, rows(64))
    coverage = model.cover(SizeRange(1, 64))
    fails = {size for a, b in coverage.eager_fails for size in range(a, b + 1)}
    assert fails == {size for size in range(9, 65) if size % 4}
    assert coverage.is_complete and len(model.variants) >= 2
    with counters.expect(captured=0):
        for size in (1, 2, 8, 12, 64):
            torch.testing.assert_close(model(rows(size)), partly_refused(rows(size)))


@pytest.mark.parametrize(
    "rest", [{"scale": 3.0}, {"scale": torch.tensor(3.0)}, {"options": {"weight": 2}}]
)
def test_cover_takes_no_graph_of_other_values_for_one_of_the_example(rest: dict[str, Any]) -> None:
    model = compiled(by_values, rows(5))
    model(rows(20), **rest)
    coverage = model.cover(SizeRange(2, 64))
    assert coverage.is_complete
    assert [each.points for each in coverage.regions] == [7, 0, 56]
    with counters.expect(captured=0):
        for size in (2, 8, 9, 64):
            assert torch.equal(model(rows(size)), by_values(rows(size)))


def test_cover_of_two_sizes() -> None:
    dims = {"x": {0: "nx"}, "y": {0: "ny"}}
    model = compiled(two_dims, rows(9), rows(8), dims=dims)
    coverage = model.cover({"nx": SizeRange(1, 128), "ny": SizeRange(1, 128)})
    assert coverage.is_complete and coverage.captures <= 7 and coverage.graphs == 3
    points = np.random.default_rng(0).integers(1, 129, (200, 2)).tolist()
    with counters.expect(captured=0):
        for nx, ny in [*points, (1, 1), (1, 7), (7, 7), (1, 128), (128, 1), (7, 8)]:
            x, y = rows(nx), rows(ny)
            assert torch.equal(model(x, y), two_dims(x, y)), (nx, ny)


def test_an_int_argument_is_part_of_the_region() -> None:
    model = compiled(int_argument, rows(9), 2, config=VARIANTS.replace(variants_limit=40))
    coverage = model.cover({"n": SizeRange(1, 64), "k": SizeRange(0, 8)})
    assert coverage.is_complete and coverage.captures <= 26 and coverage.graphs == 4
    with counters.expect(captured=0):
        for k in range(9):
            for size in (1, 2, 3, 7, 8, 9, 16, 17, 64):
                assert torch.equal(model(rows(size), k), int_argument(rows(size), k)), (size, k)


def test_a_size_used_as_a_key_has_a_graph_for_each_size() -> None:
    model = compiled(by_key, rows(4))
    for size in (4, 8, 9, 4, 9):
        assert torch.equal(model(rows(size)), by_key(rows(size)))
    assert [each.captured.sizes for each in model.variants] == [(), (), ()]


class Flags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 2
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, flag: bool = False) -> torch.Tensor:
        x = self.inner(x) * self.scale
        return x + 1 if flag else x


def test_values_and_attributes_are_part_of_the_region() -> None:
    module = Flags().eval().requires_grad_(False)
    model = compiled(module, rows(6))
    for flag, scale in ((False, 2), (True, 2), (False, 3), (False, 2), (True, 3)):
        module.scale = scale
        assert torch.equal(model(rows(7), flag=flag), module(rows(7), flag=flag))
    assert len(model.variants) == 4
    with counters.expect(captured=0):
        module.scale = 2
        assert torch.equal(model(rows(5), flag=True), module(rows(5), flag=True))


class Optional(nn.Module):
    def forward(self, x: Any, mask: Any = None, scale: Any = 1.0, options: Any = None) -> Any:
        if mask is not None:
            x = x.masked_fill(mask, 0)
        if options:
            x = x * options["weight"]
        x = x * scale
        return x.topk(2, 0).values if x.shape[0] >= 2 else x


def mask(size: int) -> torch.Tensor:
    return rows(size) > 0.5


HALF, TWO = torch.tensor(0.5), torch.tensor(2.0)
INSTEAD_OF_A_TENSOR = [
    pytest.param([(5, {"scale": TWO}), (5, {"scale": 2.5}), (6, {"scale": HALF})], id="a float"),
    pytest.param([(5, {"mask": mask(5)}), (1, {}), (1, {"mask": mask(1)})], id="None at size 1"),
    pytest.param(
        [(5, {"options": {"weight": TWO}}), (7, {"options": {"weight": 3.0}}), (5, {})],
        id="a float in a dict",
    ),
    pytest.param([(5, {"scale": TWO}), (5, {"scale": 2}), (5, {"scale": True})], id="an int"),
]


@pytest.mark.parametrize("calls", INSTEAD_OF_A_TENSOR)
def test_what_stands_in_place_of_a_tensor_has_a_graph_of_its_own(
    calls: list[tuple[int, dict[str, Any]]],
) -> None:
    model = compiled(Optional(), rows(5))
    for size, rest in calls:
        assert torch.equal(model(rows(size), **rest), Optional()(rows(size), **rest))
    with counters.expect(captured=0):
        for size, rest in calls:
            assert torch.equal(model(rows(size), **rest), Optional()(rows(size), **rest))


@pytest.mark.parametrize("limit", [2, 8])
def test_a_call_that_no_capture_takes_says_so_and_adds_nothing(limit: int) -> None:
    model = compiled(Optional(), rows(5), config=VARIANTS.replace(variants_limit=limit))
    model(rows(5), scale=TWO)
    refused: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        ((), {}, TypeError, "missing a required argument: 'x'"),
        ((rows(5),), {"other": 1}, TypeError, "unexpected keyword argument 'other'"),
        (([1.0, 2.0],), {}, InputError, "lacks a dim .* argument x with type list"),
        ((rows(5).to_sparse(),), {}, InputError, "x has layout torch.sparse_coo"),
        ((rows(5),), {"scale": TWO.to_sparse()}, InputError, "scale has layout torch.sparse"),
    ]
    for args, kwargs, kind, message in refused:
        with pytest.raises(kind, match=message):
            model(*args, **kwargs)
        assert len(model.variants) == 2


def test_what_eager_refuses_in_place_of_a_tensor_is_refused_as_eager_does() -> None:
    model = compiled(Optional(), rows(5))
    model(rows(5), scale=TWO)
    with pytest.raises(TypeError, match=r"unsupported operand .*'Tensor' and 'dict'"):
        model(rows(5), scale={})
    assert len(model.variants) == 2


RANGED = VARIANTS.replace(max_size=64, compile_ranges_endpoints=(16,), compile_sizes=(4,))


def above_sixteen(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] > 16 else x * 4


@pytest.mark.parametrize("called", [(), (20,)])
def test_a_size_above_the_ranges_lists_those_of_the_configuration(called: tuple[int, ...]) -> None:
    model = compiled(above_sixteen, rows(5), config=RANGED)
    for size in called:
        model(rows(size))
    before = len(model.variants)
    with (
        counters.expect(captured=0, compiled=0),
        pytest.raises(SizeOutOfRange, match=r"n = 70 .* the ranges are 1–16, 4, 17–64\. "),
    ):
        model(rows(70))
    assert len(model.variants) == before


def test_a_size_above_the_ranges_is_left_to_eager_without_a_capture() -> None:
    config = RANGED.replace(out_of_range=OutOfRange.EAGER)
    model = compiled(above_sixteen, rows(5), config=config)
    with counters.expect(captured=0):
        assert torch.equal(model(rows(70)), above_sixteen(rows(70)))


def test_a_model_with_a_graph_for_each_size_has_no_largest_size() -> None:
    model = compiled(by_key, rows(4), config=RANGED)
    assert torch.equal(model(rows(70)), by_key(rows(70)))


@pytest.mark.parametrize("dispatch", ["nx", "ny"])
@pytest.mark.parametrize("example", [4, 9])
def test_the_dispatch_size_may_be_a_constant_of_a_graph(example: int, dispatch: str) -> None:
    def model(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.sum() * y if x.shape[0] == 4 else x.sum() + y

    dims = {"x": {0: "nx"}, "y": {0: "ny"}}
    config = VARIANTS.replace(dispatch_dim=dispatch)
    fast = compiled(model, rows(example), rows(5), dims=dims, config=config)
    for nx, ny in ((4, 5), (9, 5), (4, 6), (1, 6), (4, 1)):
        assert torch.equal(fast(rows(nx), rows(ny)), model(rows(nx), rows(ny)))


def test_size_0_needs_no_capture() -> None:
    model = compiled(Optional(), rows(5))
    nothing = rows(0)
    with counters.expect(captured=0):
        assert torch.equal(model(nothing, mask=nothing > 0), nothing)


def test_a_dtype_is_part_of_the_region() -> None:
    model = compiled(is_four, rows(6))
    assert model(rows(6).double()).dtype is torch.float64
    assert model(rows(6)).dtype is torch.float32
    assert len(model.variants) == 2


def test_replaced_parameters_drop_the_graphs_of_the_old_ones() -> None:
    module = Flags().eval().requires_grad_(False)
    model = compiled(module, rows(6), config=VARIANTS.replace(variants_limit=2))
    for _ in range(4):
        module.inner.weight = nn.Parameter(torch.randn(WIDTH, WIDTH), requires_grad=False)
        assert torch.equal(model(rows(7)), module(rows(7)))
        module.double()
        assert torch.equal(model(rows(7).double()), module(rows(7).double()))
        module.float()


def unrolled(x: torch.Tensor) -> torch.Tensor:
    for _ in range(x.shape[0] // 10):
        x = x + 1
    return x


def test_the_limit_names_the_line_that_makes_the_captures() -> None:
    model = compiled(unrolled, rows(25), config=VARIANTS.replace(variants_limit=4))
    with pytest.raises(VariantsLimit, match=r"variants_limit.*x\.shape\[0\] // 10") as raised:
        model.cover(SizeRange(1, 200))
    assert "n // 10" in raised.value.guard
    assert raised.value.source_line is not None and "test_variants.py" in raised.value.source_line
    assert len(model.variants) == 4
    assert torch.equal(model(rows(25)), unrolled(rows(25)))


def test_the_limit_names_the_line_of_graphs_for_one_size_each() -> None:
    model = compiled(by_key, rows(4), config=VARIANTS.replace(variants_limit=3))
    with pytest.raises(VariantsLimit, match=r"by_key|x\.shape\[0\], 100") as raised:
        for size in range(2, 9):
            model(rows(size))
    assert raised.value.guard.startswith("x.size(0) == ")
    assert raised.value.source_line is not None and "test_variants.py" in raised.value.source_line


def two_lines(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] > 8:
        return x * 2 if x.shape[0] % 2 == 0 else x * 3
    return x * 4


def test_the_limit_where_a_later_graph_has_a_line_that_the_first_has_not() -> None:
    model = compiled(two_lines, rows(5), config=VARIANTS.replace(variants_limit=2))
    model(rows(10))
    with pytest.raises(VariantsLimit, match=r"n = 11 needs .* x\.shape\[0\] > 8"):
        model(rows(11))
    with pytest.raises(VariantsLimit, match=r"x\.shape\[0\] > 8"):
        model.cover(SizeRange(2, 64))


def by_values(x: torch.Tensor, scale: float = 1.0, options: Any = None) -> torch.Tensor:
    if x.shape[0] > 8:
        x = x + 1
    weight = options["weight"] if options else 1
    return x * weight * scale


OF_VALUES = [
    pytest.param(3, [{"scale": each} for each in (1.0, 2.0, 3.0, 4.0)], "scale == 1.0", id="float"),
    pytest.param(
        3,
        [{"options": {"weight": each}} for each in (2, 3, 4, 5)],
        "options is None",
        id="in a dict",
    ),
    pytest.param(2, [{"scale": torch.tensor(2.0)}, {"scale": 2.0}], "scale == 1.0", id="a tensor"),
]


@pytest.mark.parametrize(("limit", "calls", "guard"), OF_VALUES)
def test_the_limit_names_the_value_that_the_graphs_differ_in(
    limit: int, calls: list[dict[str, Any]], guard: str
) -> None:
    model = compiled(by_values, rows(5), config=VARIANTS.replace(variants_limit=limit))
    with pytest.raises(VariantsLimit, match=r"Most of them come from .* Make that line") as raised:
        for rest in calls:
            model(rows(5), **rest)
    assert raised.value.guard == guard
    assert raised.value.source_line is not None and "test_variants.py" in raised.value.source_line


def test_the_limit_names_a_dtype_without_a_line() -> None:
    model = compiled(by_values, rows(5), config=VARIANTS.replace(variants_limit=2))
    model(rows(5).double())
    with pytest.raises(VariantsLimit, match=r"come from x\.dtype == .* Make the model ind"):
        model(rows(5).half())


def test_the_limit_names_nothing_where_there_is_one_graph() -> None:
    model = compiled(by_values, rows(5), config=VARIANTS.replace(variants_limit=1))
    with pytest.raises(VariantsLimit, match=r"variants_limit\)\. Raise variants_limit, or make"):
        model(rows(5), scale=2.0)


def one_side_is_empty(x: torch.Tensor) -> torch.Tensor:
    return x if x.shape[0] == 4 else x * 2


@pytest.mark.parametrize("example", [4, 10])
def test_a_side_without_operations_returns_its_input(example: int) -> None:
    model = compiled(one_side_is_empty, rows(example))
    for size in (4, 10, 1, 4):
        given = rows(size)
        assert torch.equal(model(given), one_side_is_empty(given))
    given = rows(4)
    assert model(given) is given


def test_a_failing_call_raises_what_eager_raises_and_adds_nothing() -> None:
    model = compiled(viewed, rows(64))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="shape '\\[-1, 4, 16\\]' is invalid"):
            model(rows(5))
    assert len(model.variants) == 1


def written(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x * 2


def test_an_input_that_no_capture_takes_adds_no_variant() -> None:
    model = compiled(written, rows(6), config=VARIANTS.replace(variants_limit=2))
    for _ in range(3):  # a variant that stayed would end in VariantsLimit
        with pytest.raises(GuardViolation, match=r"strides"):
            model(torch.zeros(WIDTH, 6).t())
    assert len(model.variants) == 1


def test_two_threads_make_one_variant() -> None:
    model, results = compiled(is_four, rows(10)), []
    barrier = threading.Barrier(2)

    def call() -> None:
        barrier.wait()
        with torch.no_grad():
            results.append(model(rows(4)))

    threads = [threading.Thread(target=call) for _ in range(2)]
    with counters.expect(captured=1):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(each, is_four(rows(4))) for each in results) and len(results) == 2


def test_a_record_names_the_variant() -> None:
    model = compiled(is_four, rows(10))
    with model.record() as record:
        model(rows(4))
        assert record.variant == 1
        model(rows(5))
        assert record.variant == 0 and record.sizes == {"n": 5}


def shared_tail(x: torch.Tensor) -> torch.Tensor:
    y = torch.relu(x * 2 if x.shape[0] > 512 else x * 3)
    return torch.sin(y) + 1


def test_variants_share_the_artifacts_of_equal_pieces() -> None:
    config = VARIANTS.replace(splitting_ops=("torch.relu",))
    model = compiled(shared_tail, rows(10), config=config)
    with counters.expect(compiled=1, reused=1):
        model(rows(600))
    first, second = model.variants
    assert first.artifacts[1].key == second.artifacts[1].key
    assert first.artifacts[1].callable is second.artifacts[1].callable
    for size in (10, 600):
        assert torch.equal(model(rows(size)), shared_tail(rows(size)))


def test_cover_needs_the_policy() -> None:
    model = compiled(is_four, rows(10), config=VARIANTS.replace(guard_policy=GuardPolicy.CHECK))
    with pytest.raises(ConfigError, match=r"CHECK does not do.*GuardPolicy\.VARIANTS"):
        model.cover()


def test_cover_tells_what_the_graphs_so_far_cover() -> None:
    told: list[Coverage] = []
    coverage = compiled(is_four, rows(10)).cover(SizeRange(2, 64), partial=told.append)
    assert [each.graphs for each in told] == [1]
    assert told[0].regions[0].points == 62, "all sizes from 2 to 64 but 4"
    assert [each.points for each in coverage.regions] == [62, 1]


def test_cover_says_how_far_it_is_and_can_be_cancelled() -> None:
    seen = []
    compiled(is_four, rows(10)).cover(progress=seen.append)
    assert seen[-1].done == seen[-1].total == 8192
    assert [each.what for each in seen[:2]] == ["n = 4", "n = 1"]
    token = CancelToken()
    token.cancel()
    from explorer import Cancelled

    with pytest.raises(Cancelled, match="last good compilation stays"):
        compiled(is_four, rows(10)).cover(cancel=token)

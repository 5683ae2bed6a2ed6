"""Step 7: equal to eager at every size that is served, and words at every other call."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import threading
import weakref
from typing import Any

import pytest
import torch

import explorer
from explorer import (
    CompilationConfig,
    ExplorerError,
    GradPolicy,
    GradRequired,
    GuardPolicy,
    GuardViolation,
    InputError,
    OutOfRange,
    SizeOutOfRange,
    SizeRange,
)
from explorer.artifacts import StitchedProgram
from explorer.counters import counters
from tests.explorer.comparing import (
    EAGER,
    assert_like_eager,
    assert_same,
    call,
    compiled,
    filled,
    see,
)

THIS_FILE = r"test_compiled_model\.py:\d+"


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.second = torch.nn.Linear(4, 3)
        self.register_buffer("shift", torch.ones(3))
        self.shift: torch.Tensor

    def forward(self, x):
        return self.second(self.first(x).relu()) + self.shift


def scaled(x):
    return x * 2 + x.shape[0]


def eager(model: Any, *args: Any, **kwargs: Any) -> Any:
    with torch.no_grad():
        return model(*args, **kwargs)


# ------------------------------------------------------------ sizes and ranges

RANGES = EAGER.replace(compile_ranges_endpoints=(8, 32), compile_sizes=(16, 64, 128), max_size=256)


@pytest.mark.parametrize(
    ("size", "served_by"),
    [
        (2, (1, 8)),
        (8, (1, 8)),
        (9, (9, 32)),
        (15, (9, 32)),
        (16, (16, 16)),
        (17, (9, 32)),
        (32, (9, 32)),
        (33, (33, 256)),
        (64, (64, 64)),
        (65, (33, 256)),
        (128, (128, 128)),
        (256, (33, 256)),
    ],
)
def test_size_is_served_by_its_range(size: int, served_by: tuple[int, int]) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES)
    with fast.record() as record:
        result = fast(filled(size, 3))
    assert torch.equal(result, eager(model, filled(size, 3)))
    assert record.size_range == SizeRange(*served_by)
    assert record.sizes == {"x_0": size}
    assert [artifact.size_range for artifact in record.artifacts] == [SizeRange(*served_by)]


def test_every_size_equals_eager_bit_by_bit() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES.replace(max_size=40, compile_sizes=(1, 16)))
    for size in range(41):
        assert_same(see(model, call(filled(size, 3))), see(fast, call(filled(size, 3))))


def test_six_artifacts_for_each_piece_that_depends_on_the_size() -> None:
    config = RANGES.replace(max_size=8192, splitting_ops=("Tensor.relu",))
    with explorer.counters.expect(compiled=12):
        fast = compiled(Block(), filled(5, 3), config=config)
    compilation = fast.compilation
    assert [str(each) for each in compilation.size_ranges] == ["1–8", "9–32", "33–8192"]
    for unique in compilation.unique_pieces:
        of_piece = [a for a in compilation.artifacts if a.unique_id == unique.unique_id]
        assert len(of_piece) == 6


def test_size_above_the_ranges_lists_them() -> None:
    fast = compiled(scaled, filled(5, 3), config=RANGES)
    with pytest.raises(SizeOutOfRange) as caught:
        fast(filled(257, 3))
    text = str(caught.value)
    for part in ("x_0 = 257", "x.size(0)", "1–8, 9–32", "33–256", "max_size", "OutOfRange.EAGER"):
        assert part in text
    assert "\n" not in text


def test_size_above_the_ranges_may_run_eagerly() -> None:
    fast = compiled(scaled, filled(5, 3), config=RANGES.replace(out_of_range=OutOfRange.EAGER))
    with fast.record() as record:
        assert torch.equal(fast(filled(257, 3)), scaled(filled(257, 3)))
    assert (record.variant, record.size_range, record.artifacts) == (None, None, ())
    with fast.record() as record:
        fast(filled(256, 3))
    assert record.variant == 0


def test_exact_size_is_served_by_an_artifact_without_a_symbol() -> None:
    fast = compiled(scaled, filled(5, 3), config=RANGES)
    for n in (16, 64, 128):
        assert torch.equal(fast(filled(n, 3)), scaled(filled(n, 3)))


def test_nothing_dynamic_has_one_row_and_refuses_other_shapes() -> None:
    fast = compiled(scaled, filled(5, 3), dynamic_arg_dims={})
    assert len(fast.compilation.plan.entries) == 1
    assert torch.equal(fast(filled(5, 3)), scaled(filled(5, 3)))
    for shape in ((6, 3), (1, 3), (0, 3), (5, 4)):
        with pytest.raises(GuardViolation, match=r"that dim is static and was \d at capture"):
            fast(filled(*shape))


def two_sizes(x, y):
    return (x * 2).sum(0) + (y + 1).sum(0) * x.shape[0], y * y.shape[0]


def test_two_independent_sizes() -> None:
    fast = compiled(
        two_sizes,
        filled(5, 3),
        filled(6, 3),
        dynamic_arg_dims={"x": {0: "n"}, "y": {0: "m"}},
        config=RANGES.replace(splitting_ops=("Tensor.sum",)),
    )
    for n in (0, 1, 2, 5, 8, 9, 16, 33):
        for m in (0, 1, 2, 7, 300):
            pair = call(filled(n, 3), filled(m, 3))
            assert_same(see(two_sizes, pair), see(fast, pair))


@pytest.mark.parametrize(("name", "other"), [("n", 300), ("m", 9)])
def test_dispatch_dim_picks_the_range(name: str, other: int) -> None:
    fast = compiled(
        two_sizes,
        filled(5, 3),
        filled(6, 3),
        dynamic_arg_dims={"x": {0: "n"}, "y": {0: "m"}},
        config=RANGES.replace(dispatch_dim=name),
    )
    sizes = {"n": other, "m": other, name: 33}
    with fast.record() as record:
        fast(filled(sizes["n"], 3), filled(sizes["m"], 3))
    assert record.size_range == SizeRange(33, 256)
    assert record.sizes == sizes


def test_dispatch_dim_that_does_not_exist_lists_the_sizes() -> None:
    with pytest.raises(
        explorer.ConfigError, match=r"dispatch_dim names 'k', but the sizes are x_0"
    ):
        compiled(scaled, filled(5, 3), config=EAGER.replace(dispatch_dim="k"))


# ------------------------------------------------------------ sizes 0 and 1


def test_size_one_is_served_by_the_same_graph_with_its_own_artifact() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES)
    made = len(fast.compilation.artifacts)
    with counters.expect(captured=1, compiled=1), fast.record() as record:
        first = fast(filled(1, 3))
        second = fast(filled(1, 3))
    assert torch.equal(first, eager(model, filled(1, 3)))
    assert torch.equal(second, first)
    assert record.size_range == SizeRange(1, 1)
    assert len(fast.compilation.artifacts) == made


def test_size_one_among_the_compile_sizes_is_compiled_up_front() -> None:
    fast = compiled(scaled, filled(5, 3), config=RANGES.replace(compile_sizes=(1,)))
    assert SizeRange(1, 1) in [artifact.size_range for artifact in fast.compilation.artifacts]
    with counters.expect(compiled=0):
        assert torch.equal(fast(filled(1, 3)), scaled(filled(1, 3)))


def test_max_size_of_one() -> None:
    fast = compiled(scaled, filled(5, 3), config=EAGER.replace(max_size=1))
    assert torch.equal(fast(filled(1, 3)), scaled(filled(1, 3)))
    with pytest.raises(SizeOutOfRange, match=r"x_0 = 2 .* the ranges are 1"):
        fast(filled(2, 3))


def branches_at_one(x):
    if x.shape[0] == 1:
        return x * 100
    return x + 1


def expands(x):
    return x + torch.ones(x.shape[0], 1).expand(x.shape[0], 3)


def squeezes(x):
    return x.squeeze(0) + 1


DIFFERENT_AT_ONE = [pytest.param(branches_at_one, id="branch on one")]
SAME_OR_DIFFERENT = [
    pytest.param(squeezes, id="squeeze drops the dim"),
    pytest.param(lambda x: x.squeeze(0).sum(0), id="what follows a squeeze"),
    pytest.param(lambda x: x + torch.ones(x.shape[0], 1), id="broadcast of ones"),
    pytest.param(expands, id="expand"),
    pytest.param(lambda x: x.view(1, -1) * x.shape[0], id="view"),
    pytest.param(lambda x: x.sum(0) / (x.shape[0] - 1), id="division by zero"),
    pytest.param(lambda x: x[: x.shape[0] // 2], id="half of it"),
    pytest.param(lambda x: x.t() @ x, id="matmul"),
    pytest.param(lambda x: torch.cat([x, x[-1:]]), id="cat"),
    pytest.param(lambda x: x.std(0), id="deviation", marks=pytest.mark.filterwarnings("ignore")),
]


@pytest.mark.parametrize("model", DIFFERENT_AT_ONE)
def test_another_graph_at_size_one_is_refused(model: Any) -> None:
    fast = compiled(model, filled(5, 3))
    for _ in range(2):
        with pytest.raises(GuardViolation, match=r"not right for x_0 = 1: .* another graph") as at:
            fast(filled(1, 3))
        assert at.value.guard == "x_0 >= 2"
        assert "\n" not in str(at.value)
    assert torch.equal(fast(filled(4, 3)), model(filled(4, 3)))


@pytest.mark.parametrize("model", [*SAME_OR_DIFFERENT, *DIFFERENT_AT_ONE])
@pytest.mark.parametrize("mode", ["backed", "unbacked", "backed_size_oblivious"])
def test_size_one_and_zero_are_never_wrong(model: Any, mode: str) -> None:
    try:
        config = EAGER.replace(dynamic_shapes=explorer.DynamicShapesConfig(type=mode))  # type: ignore[arg-type]
        fast = compiled(model, filled(5, 3), config=config)
    except explorer.CaptureError:
        assert mode == "unbacked"
        return
    for n in (0, 1, 2, 3):
        expected = see(model, call(filled(n, 3)))
        try:
            given = see(fast, call(filled(n, 3)))
        except GuardViolation:
            assert n == 1 or mode != "backed"
        else:
            assert_same(expected, given, layouts=False)


def test_size_zero_runs_eagerly() -> None:
    fast = compiled(scaled, filled(5, 3))
    with fast.record() as record:
        assert torch.equal(fast(filled(0, 3)), scaled(filled(0, 3)))
    assert record.variant is None
    assert record.calls == 1


# ------------------------------------------------------------ what the graph is not valid for


def branches_at_four(x):
    if x.shape[0] == 4:
        return x * 2
    return x + 1


def needs_eights(x):
    return x.view(8, -1) + 1


def needs_many(x):
    if x.shape[0] > 10:
        return x + 1
    return x - 1


def related(x, y):
    if x.shape[0] > y.shape[0]:
        return x.sum(0) + 1
    return y.sum(0) - 1


SHAPE_VIOLATIONS = [
    pytest.param(branches_at_four, (5, 3), (4, 3), "x_0 != 4", "if x.shape", "2–3, 5–", id="equal"),
    pytest.param(needs_eights, (16, 3), (15, 3), "% 8", "view(8, -1)", "step 8", id="divisible"),
    pytest.param(needs_many, (16, 3), (10, 3), "10", "if x.shape[0] > 10", "11–256", id="greater"),
]


@pytest.mark.parametrize(("model", "example", "given", "guard", "line", "right"), SHAPE_VIOLATIONS)
def test_violation_names_guard_line_and_sizes(
    model: Any, example: Any, given: Any, guard: str, line: str, right: str
) -> None:
    fast = compiled(model, filled(*example))
    with pytest.raises(GuardViolation, match=THIS_FILE) as caught:
        fast(filled(*given))
    error = caught.value
    assert guard in error.guard
    assert error.source_line is not None and "test_compiled_model.py:" in error.source_line
    assert line in str(error)
    assert right in error.accepted
    assert f"x_0 = {given[0]}" in error.given
    assert "GuardPolicy.DROP" in str(error)
    assert "\n" not in str(error)
    assert torch.equal(fast(filled(*example)), model(filled(*example)))


@pytest.mark.parametrize(
    ("model", "example", "given"),
    [
        pytest.param(branches_at_four, 5, 4, id="equal"),
        pytest.param(needs_many, 16, 10, id="greater"),
    ],
)
def test_dropped_guards_answer_as_the_frozen_branch(model: Any, example: int, given: int) -> None:
    fast = compiled(model, filled(example, 3), config=EAGER.replace(guard_policy=GuardPolicy.DROP))
    assert torch.equal(fast(filled(given, 3)), filled(given, 3) + 1)
    assert not torch.equal(fast(filled(given, 3)), model(filled(given, 3)))


def test_relation_between_two_sizes_is_checked() -> None:
    fast = compiled(related, filled(9, 3), filled(5, 3))
    for n, m in ((9, 5), (3, 2), (200, 199)):
        assert torch.equal(fast(filled(n, 3), filled(m, 3)), related(filled(n, 3), filled(m, 3)))
    for n, m in ((5, 5), (2, 3)):
        with pytest.raises(GuardViolation, match=r"x_0 = \d, y_0 = \d: it holds only where .*y_0"):
            fast(filled(n, 3), filled(m, 3))


def reads_only_the_shape(x, y):
    return x + 1 if y.shape[0] == 5 else x - 1


def reads_only_the_dtype(x, y):
    return x + 1 if y.dtype == torch.float32 else x - 1


def reads_only_the_rank(x, y):
    return x + 1 if y.dim() == 2 else x - 1


def reads_only_the_strides(x, y):
    return x + 1 if y.is_contiguous() else x - 1


def reads_only_requires_grad(x, y):
    return x + 1 if not y.requires_grad else x - 1


def reads_only_presence(x, y):
    return x + 1 if y is not None else x - 1


def compares_identity(x, y):
    return x + 1 if y is not x else x - 1


@pytest.mark.parametrize(
    ("model", "other"),
    [
        pytest.param(reads_only_the_shape, lambda x: filled(6, 3), id="shape"),
        pytest.param(reads_only_the_dtype, lambda x: filled(5, 3).double(), id="dtype"),
        pytest.param(reads_only_the_rank, lambda x: filled(5), id="rank"),
        pytest.param(reads_only_the_strides, lambda x: filled(3, 5).t(), id="strides"),
        pytest.param(reads_only_requires_grad, lambda x: filled(5, 3).requires_grad_(), id="grad"),
        pytest.param(reads_only_presence, lambda x: None, id="presence"),
        pytest.param(compares_identity, lambda x: x, id="identity"),
    ],
)
@pytest.mark.parametrize("dims", [{"x": 0}, {"x": [0, 1]}], ids=["one dim", "two dims"])
def test_tensor_that_only_decides_a_branch_is_checked(model: Any, other: Any, dims: Any) -> None:
    fast = compiled(model, filled(5, 3), filled(5, 3), dynamic_arg_dims=dims)
    x = filled(7, 3)
    assert torch.equal(fast(x, filled(5, 3)), x + 1)
    with torch.no_grad():
        refused_or_right(fast, model, x, other(x), word="y")


def test_dynamic_dim_of_a_tensor_that_only_decides_a_branch_is_checked() -> None:
    def model(x, y):
        return x + 1 if y.shape[0] > 4 else x - 1

    fast = compiled(model, filled(5, 3), filled(5, 3))
    x = filled(7, 3)
    assert torch.equal(fast(x, filled(9, 3)), x + 1)
    with pytest.raises(GuardViolation, match="y"):
        fast(x, filled(3, 3))


def adds(x, y):
    return x + y


CALLS_NOT_VALID = [
    pytest.param(
        lambda: (filled(5, 3).double(), filled(5, 3)),
        r"x has dtype torch\.float64, but the graph was captured with torch\.float32",
        id="dtype",
    ),
    pytest.param(
        lambda: (filled(5, 3), filled(5, 3).bfloat16()), r"y has dtype torch\.bfloat16", id="bf16"
    ),
    pytest.param(
        lambda: (filled(5, 3), torch.empty(5, 3, device="meta")), r"y .*meta", id="device"
    ),
    pytest.param(
        lambda: (filled(5, 3, 1), filled(5, 3)), r"x has rank 3 \(shape \(5, 3, 1\)\)", id="rank 3"
    ),
    pytest.param(lambda: (filled(5), filled(5, 3)), r"x has rank 1 \(shape \(5,\)\)", id="rank 1"),
    pytest.param(lambda: (torch.tensor(1.0), filled(5, 3)), r"x has rank 0", id="rank 0"),
    pytest.param(
        lambda: (filled(5, 4), filled(5, 3)),
        r"x\.size\(1\) is 4, but that dim is static and was 3",
        id="static dim",
    ),
    pytest.param(
        lambda: (filled(5, 3), filled(6, 3)),
        r"y\.size\(0\) is 6, but must be 5: it is the same size as x\.size\(0\)",
        id="relation",
    ),
    pytest.param(lambda: (filled(5, 3), filled(1, 3)), r"y\.size\(0\) is 1", id="broadcast"),
    pytest.param(lambda: (filled(5, 3), 2.0), r"\by\b", id="a number for a tensor"),
    pytest.param(lambda: (filled(5, 3), None), r"\by\b", id="None for a tensor"),
    pytest.param(lambda: (filled(5, 3), [filled(5, 3)]), r"\by\b", id="a list for a tensor"),
]


@pytest.mark.parametrize(("make", "message"), CALLS_NOT_VALID)
@pytest.mark.parametrize("policy", [GuardPolicy.CHECK, GuardPolicy.DROP])
def test_other_tensors_are_refused_by_name(make: Any, message: str, policy: GuardPolicy) -> None:
    fast = compiled(adds, filled(5, 3), filled(5, 3), config=EAGER.replace(guard_policy=policy))
    with pytest.raises((GuardViolation, InputError), match=message) as caught:
        fast(*make())
    assert "\n" not in str(caught.value)
    assert torch.equal(fast(filled(7, 3), filled(7, 3)), filled(7, 3) * 2)


SETTING = {"scale": 3.0}
FACTOR = 2.0


def reads_global(x):
    return x * FACTOR


def reads_global_dict(x):
    return x * SETTING["scale"]


def helper(x):
    return x * 3


def calls_helper(x):
    return helper(x)


def with_value(x, k=3, name="sum", flag=True):
    x = x + 1 if name == "sum" else x * k
    return x + k if flag else x


class Attributed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0
        self.names = ["a", "b"]
        self.inner = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.inner(x) * self.scale + len(self.names)


def refused_or_right(fast: Any, model: Any, *args: Any, word: str = "", **kwargs: Any) -> None:
    """A changed state gives eager's numbers or a GuardViolation that names the state, each time."""
    for _ in range(2):
        try:
            result = fast(*args, **kwargs)
        except GuardViolation as error:
            assert word in str(error)
            assert "\n" not in str(error)
        else:
            assert torch.equal(result, eager(model, *args, **kwargs))


def test_changed_global_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = compiled(reads_global, filled(5, 3))
    monkeypatch.setitem(globals(), "FACTOR", 7.0)
    with pytest.raises(GuardViolation, match="FACTOR"):
        fast(filled(7, 3))
    monkeypatch.undo()
    assert torch.equal(fast(filled(7, 3)), filled(7, 3) * 2)


@pytest.mark.parametrize(
    ("model", "change", "word"),
    [
        pytest.param(
            reads_global_dict, ("setitem", SETTING, "scale", 5.0), "SETTING", id="inside a global"
        ),
        pytest.param(
            calls_helper, ("setitem", globals(), "helper", lambda x: x * 9), "helper", id="function"
        ),
    ],
)
def test_what_a_global_holds_is_noticed(
    monkeypatch: pytest.MonkeyPatch, model: Any, change: Any, word: str
) -> None:
    fast = compiled(model, filled(5, 3))
    method, target, key, value = change
    getattr(monkeypatch, method)(target, key, value)
    refused_or_right(fast, model, filled(7, 3), word=word)


def test_code_of_a_called_function_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = compiled(calls_helper, filled(5, 3))
    monkeypatch.setattr(helper, "__code__", (lambda x: x * 9).__code__)
    refused_or_right(fast, calls_helper, filled(7, 3))


def test_changed_closure_is_noticed() -> None:
    scale = 2.0

    def model(x):
        return x * scale

    fast = compiled(model, filled(5, 3))
    scale = 5.0
    with pytest.raises(GuardViolation, match="scale"):
        fast(filled(7, 3))


def test_closure_tensor_that_was_replaced_or_written() -> None:
    shift = torch.ones(3)

    def model(x):
        return x + shift

    fast = compiled(model, filled(5, 3))
    shift.mul_(4)
    assert torch.equal(fast(filled(7, 3)), model(filled(7, 3)))
    shift = torch.full((3,), 9.0)
    refused_or_right(fast, model, filled(7, 3))


@pytest.mark.parametrize(
    ("args", "kwargs", "word"),
    [
        pytest.param((4,), {}, "k", id="int"),
        pytest.param((), {"name": "product"}, "name", id="string"),
        pytest.param((), {"flag": False}, "flag", id="bool"),
        pytest.param((3.0,), {}, "k", id="float for an int"),
        pytest.param((None,), {"name": "sum", "flag": False}, "flag", id="None"),
        pytest.param((torch.tensor(3),), {}, "k", id="tensor for an int"),
    ],
)
def test_changed_python_argument_is_noticed(args: Any, kwargs: Any, word: str) -> None:
    fast = compiled(with_value, filled(5, 3), 3)
    with pytest.raises((GuardViolation, InputError), match=rf"\b{word}\b"):
        fast(filled(7, 3), *args, **kwargs)
    assert torch.equal(fast(filled(7, 3), 3, name="sum"), with_value(filled(7, 3)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: setattr(m, "scale", 5.0), id="attribute"),
        pytest.param(lambda m: m.names.append("c"), id="list attribute"),
        pytest.param(lambda m: setattr(m, "inner", torch.nn.Identity()), id="module replaced"),
        pytest.param(lambda m: setattr(m, "inner", torch.nn.Linear(3, 3)), id="module swapped"),
        pytest.param(lambda m: setattr(m.inner, "bias", None), id="bias removed"),
        pytest.param(lambda m: setattr(m, "forward", lambda x: x * 50), id="forward of instance"),
        pytest.param(
            lambda m: setattr(m.inner, "forward", lambda x: x * 50), id="forward of a child"
        ),
    ],
)
def test_changed_model_is_noticed(change: Any) -> None:
    model = Attributed()
    fast = compiled(model, filled(5, 3))
    fast(filled(7, 3))
    change(model)
    refused_or_right(fast, model, filled(7, 3))


def test_monkeypatched_class_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(torch.nn.Module):
        def forward(self, x):
            return x * 2

    model = Local()
    fast = compiled(model, filled(5, 3))
    monkeypatch.setattr(Local, "forward", lambda self, x: x * 50)
    refused_or_right(fast, model, filled(7, 3))


class Stochastic(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.drop(x))


@pytest.mark.parametrize("first", ["train", "eval"])
def test_train_and_eval_are_two_states(first: str) -> None:
    model = Stochastic()
    getattr(model, first)()
    fast = compiled(model, filled(5, 3))
    twin = copy.deepcopy(model)
    for _ in range(2):
        torch.manual_seed(3)
        expected = eager(twin, filled(7, 3))
        torch.manual_seed(3)
        assert torch.equal(fast(filled(7, 3)), expected)
    model.train(first == "eval")
    twin.train(first == "eval")
    torch.manual_seed(3)
    expected = eager(twin, filled(7, 3))
    torch.manual_seed(3)
    try:
        result = fast(filled(7, 3))
    except GuardViolation as error:
        assert "training" in str(error)
    else:
        assert torch.equal(result, expected)


def test_autocast_is_noticed() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    with autocast, pytest.raises(GuardViolation, match="autocast"):
        fast(filled(7, 3))
    assert torch.equal(fast(filled(7, 3)), eager(model, filled(7, 3)))


def test_runner_made_outside_autocast_knows_that_the_capture_was_inside() -> None:
    model = Block()
    session = explorer.Session(model, (filled(5, 3),), config=EAGER)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        session.update()
    with pytest.raises(GuardViolation, match="autocast"):
        session.run(filled(7, 3))


def test_default_of_an_argument_changed_after_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(x, k=3):
        return x * k

    fast = compiled(model, filled(5, 3))
    monkeypatch.setattr(model, "__defaults__", (5,))
    refused_or_right(fast, model, filled(7, 3))


def test_compiled_under_autocast_stays_so() -> None:
    model = Block()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = compiled(model, filled(5, 3))
        expected = eager(model, filled(7, 3))
        assert torch.equal(fast(filled(7, 3)), expected)
    with pytest.raises(GuardViolation, match="autocast"):
        fast(filled(7, 3))
    with (
        torch.autocast("cpu", dtype=torch.float16),
        pytest.raises(GuardViolation, match="autocast"),
    ):
        fast(filled(7, 3))


def test_default_dtype_is_noticed() -> None:
    def model(x):
        return x + torch.ones(3)

    fast = compiled(model, filled(5, 3))
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(GuardViolation, match="default dtype"):
            fast(filled(7, 3).float())
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(fast(filled(7, 3)), model(filled(7, 3)))


def test_default_device_is_noticed_or_does_not_matter() -> None:
    def model(x):
        return x + torch.ones(3)

    fast = compiled(model, filled(5, 3))
    with torch.device("meta"):
        x = filled(7, 3).to("meta")
        with pytest.raises((GuardViolation, InputError), match=r"meta|default device"):
            fast(x)


# ------------------------------------------------------------ layouts of inputs


def reads(x):
    return x * 2 + x.roll(1, 0)


def writes(x):
    return x.add_(1) * 2


def returns_view(x):
    return x[1:], x + 1


LAYOUTS = [
    pytest.param(lambda n: filled(3, n).t(), id="transposed"),
    pytest.param(lambda n: filled(n, 6)[:, ::2], id="every second column"),
    pytest.param(lambda n: filled(n * 2, 3)[::2], id="every second row"),
    pytest.param(lambda n: filled(1, 3).expand(n, 3), id="expanded rows"),
    pytest.param(lambda n: filled(n, 1).expand(n, 3), id="expanded columns"),
    pytest.param(lambda n: filled(n + 2, 3)[2:], id="with an offset"),
    pytest.param(lambda n: filled(n, 4)[:, 1:], id="unaligned offset"),
    pytest.param(lambda n: filled(n, 3).as_strided((n, 3), (1, 1)), id="overlapping itself"),
]


@pytest.mark.parametrize("make", LAYOUTS)
@pytest.mark.parametrize("model", [reads, writes, returns_view])
def test_other_layouts_are_right_or_refused(model: Any, make: Any) -> None:
    fast = compiled(model, filled(5, 3))
    for n in (2, 7, 1, 16):
        try:
            expected = see(model, call(make(n)))
        except RuntimeError:
            with pytest.raises((RuntimeError, ExplorerError), match=r"memory|stride"):
                fast(make(n))
            continue
        try:
            given = see(fast, call(make(n)))
        except GuardViolation as error:
            assert model is not reads
            assert "x has strides" in str(error)
            assert ".contiguous()" in str(error)
        else:
            assert_same(expected, given, layouts=False)


def test_other_layouts_and_refused_calls_capture_nothing() -> None:
    fast = compiled(reads, filled(5, 3))
    with counters.expect(captured=0, compiled=0):
        for value in (filled(3, 7).t(), filled(7, 6)[:, ::2], filled(7, 3)):
            assert torch.equal(fast(value), reads(value))
        for bad in (filled(7, 3).double(), filled(7), filled(7, 4)):
            with pytest.raises(GuardViolation, match="x"):
                fast(bad)


@pytest.mark.parametrize("make", LAYOUTS[:5])
def test_example_of_another_layout(make: Any) -> None:
    fast = compiled(reads, make(5))
    for n in (2, 7):
        for value in (make(n), filled(n, 3)):
            assert torch.equal(fast(value), reads(value))


def test_channels_last() -> None:
    model = torch.nn.Conv2d(3, 2, 1)
    fast = compiled(model, filled(5, 3, 4, 4))
    for n in (1, 2, 7):
        x = filled(n, 3, 4, 4).to(memory_format=torch.channels_last)
        torch.testing.assert_close(fast(x), eager(model, x))


def test_channels_last_example_is_served_by_channels_last_calls() -> None:
    model = torch.nn.Conv2d(3, 2, 1)
    last = torch.channels_last
    fast = compiled(model, filled(5, 3, 4, 4).to(memory_format=last), dynamic_arg_dims={"input": 0})
    for n in (2, 7):
        x = filled(n, 3, 4, 4)
        torch.testing.assert_close(fast(x.to(memory_format=last)), eager(model, x))
        torch.testing.assert_close(fast(x), eager(model, x))


@pytest.mark.parametrize("kind", [torch.nn.Parameter, torch.nn.Buffer])
def test_parameter_may_be_an_input(kind: Any) -> None:
    fast = compiled(reads, filled(5, 3))
    with torch.no_grad():
        assert torch.equal(fast(kind(filled(7, 3))), reads(filled(7, 3)))


def test_conjugated_and_negated_views_are_refused_by_name() -> None:
    doubles = compiled(lambda x: x * 2, torch.complex(filled(5, 3), filled(5, 3)))
    whole = torch.complex(filled(7, 3), filled(7, 3))
    assert torch.equal(doubles(whole), whole * 2)
    with pytest.raises(InputError, match=r"^x is a view that is .* pass x\.resolve_conj\(\)"):
        doubles(whole.conj())
    of_floats = compiled(lambda x: x * 2, torch.view_as_real(whole)[..., 1])
    with pytest.raises(InputError, match=r"^x is a view that is .* pass x\.resolve_neg\(\)"):
        of_floats(whole.conj().imag)


# ------------------------------------------------------------ grad, inference mode


def test_input_that_requires_grad_is_refused_by_name() -> None:
    fast = compiled(scaled, filled(5, 3))
    x = filled(7, 3).requires_grad_()
    with pytest.raises(GradRequired, match=r"requires grad, but .* torch\.no_grad\(\)"):
        fast(x)
    with pytest.raises(GradRequired, match="'x' requires grad"):
        fast(x=x)
    with torch.no_grad():
        assert torch.equal(fast(x), scaled(filled(7, 3)))


def test_input_that_requires_grad_may_run_eagerly() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=EAGER.replace(grad=GradPolicy.EAGER))
    x = filled(7, 3).requires_grad_()
    result = fast(x)
    result.sum().backward()
    assert torch.equal(result, model(x))
    assert x.grad is not None and model.first.weight.grad is not None


@pytest.mark.parametrize("wrap", [lambda x: {"a": [x]}, lambda x: {"a": (x,)}])
def test_nested_input_that_requires_grad_is_refused(wrap: Any) -> None:
    fast = compiled(lambda batch: batch["a"][0] * 2, wrap(filled(5, 3)))
    with pytest.raises(GradRequired, match="requires grad"):
        fast(wrap(filled(7, 3).requires_grad_()))


def test_parameters_alone_may_require_grad_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    with caplog.at_level(logging.WARNING, logger="explorer"):
        results = [fast(filled(7, 3)) for _ in range(3)]
    assert not any(result.requires_grad for result in results)
    assert [r.message for r in caplog.records if "gradients" in r.message] == [
        "gradients are not computed: compiled pieces run under no_grad"
    ]
    assert torch.is_grad_enabled()


def test_grad_mode_is_restored_after_an_error() -> None:
    fast = compiled(scaled, filled(5, 3))
    with pytest.raises(GuardViolation, match="rank"):
        fast(filled(5))
    assert torch.is_grad_enabled()


def test_inference_mode() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    with torch.inference_mode():
        x = filled(7, 3)
        for n in (7, 1, 2):
            assert torch.equal(fast(filled(n, 3)), model(filled(n, 3)))
    assert torch.equal(fast(x), eager(model, x))
    with torch.inference_mode():
        made_inside = compiled(model, filled(5, 3))
        assert torch.equal(made_inside(filled(7, 3)), model(filled(7, 3)))
    assert torch.equal(made_inside(filled(9, 3)), eager(model, filled(9, 3)))


# ------------------------------------------------------------ parameters after compiling


def new_state() -> dict[str, torch.Tensor]:
    return {name: value + 0.5 for name, value in Block().state_dict().items()}


def optimise(model: torch.nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(filled(4, 3)).sum().backward()
    optimizer.step()


def tie(model: Block) -> None:
    model.second.weight = torch.nn.Parameter(torch.ones(3, 4))
    model.first.weight = torch.nn.Parameter(model.second.weight.detach().t())


def share_one_parameter(model: torch.nn.Module) -> None:
    model.norm_b.weight = model.norm_a.weight  # type: ignore[union-attr]


def resize(model: Block) -> None:
    model.first = torch.nn.Linear(3, 9)
    model.second = torch.nn.Linear(9, 3)


PARAMETER_CHANGES = [
    pytest.param(lambda m: m.load_state_dict(new_state()), 0, id="load_state_dict"),
    pytest.param(
        lambda m: m.load_state_dict(new_state(), assign=True), 0, id="load_state_dict assign"
    ),
    pytest.param(
        lambda m: setattr(m.first, "weight", torch.nn.Parameter(torch.ones(4, 3))), 0, id="assigned"
    ),
    pytest.param(
        lambda m: setattr(m.first.weight, "data", torch.ones(4, 3)), 0, id="data assigned"
    ),
    pytest.param(lambda m: m.first.weight.data.mul_(3), 0, id="data written"),
    pytest.param(optimise, 0, id="optimiser step"),
    pytest.param(lambda m: setattr(m, "shift", torch.full((3,), 7.0)), 0, id="buffer replaced"),
    pytest.param(lambda m: m.shift.fill_(9.0), 0, id="buffer written"),
    pytest.param(lambda m: setattr(m, "first", torch.nn.Linear(3, 4)), 1, id="module swapped"),
    pytest.param(lambda m: m.requires_grad_(False), 1, id="frozen"),
    pytest.param(
        lambda m: setattr(m.first.weight, "data", torch.ones(3, 4).t()), 1, id="other strides"
    ),
    pytest.param(tie, 1, id="tied"),
    pytest.param(resize, 1, id="resized"),
]


@pytest.mark.parametrize(("change", "recompiled"), PARAMETER_CHANGES)
def test_changed_parameters_are_never_stale(change: Any, recompiled: int) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=EAGER.replace(splitting_ops=("Tensor.relu",)))
    fast(filled(7, 3))
    fast(filled(1, 3))
    change(model)
    before = counters.snapshot()["captured"]
    for n in (7, 2, 1, 16):
        assert torch.equal(fast(filled(n, 3)), eager(model, filled(n, 3)))
    if not recompiled:
        probes = 1  # of size 1, at most
        assert counters.snapshot()["captured"] - before <= probes


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        pytest.param(lambda m: m.half(), torch.float16, id="half"),
        pytest.param(lambda m: m.double(), torch.float64, id="double"),
        pytest.param(lambda m: m.to(torch.bfloat16), torch.bfloat16, id="to"),
    ],
)
def test_other_dtype_of_the_model(change: Any, dtype: torch.dtype) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    change(model)
    x = filled(7, 3).to(dtype)
    for _ in range(2):
        try:
            result = fast(x)
        except (GuardViolation, InputError) as error:
            assert "dtype" in str(error) or "first" in str(error)
            assert "\n" not in str(error)
        else:
            assert result.dtype == dtype
            assert torch.equal(result, eager(model, x))


def test_other_dtype_and_back(caplog: pytest.LogCaptureFixture) -> None:
    model = Block().double()
    fast = compiled(model, filled(5, 3).double())
    model.float()
    with pytest.raises((GuardViolation, RuntimeError), match="dtype"):
        fast(filled(7, 3).double())
    model.double()
    assert torch.equal(fast(filled(7, 3).double()), eager(model, filled(7, 3).double()))


def test_recompile_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    model.requires_grad_(False)
    with caplog.at_level(logging.WARNING, logger="explorer"):
        for n in (7, 8, 9):
            assert torch.equal(fast(filled(n, 3)), eager(model, filled(n, 3)))
    assert len([r for r in caplog.records if "recompiling" in r.message]) <= 1


def test_functional_call_with_other_parameters() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))

    class Calls(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x):
            return fast(x)

    swapped = {f"model.{name}": value * 3 for name, value in model.state_dict().items()}
    with torch.no_grad():
        result = torch.func.functional_call(Calls(), swapped, (filled(7, 3),))
        expected = torch.func.functional_call(
            model, {k[6:]: v for k, v in swapped.items()}, filled(7, 3)
        )
    assert torch.equal(result, expected)
    assert torch.equal(fast(filled(7, 3)), eager(model, filled(7, 3)))


class Twins(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Linear(3, 3, bias=False)
        self.b = torch.nn.Linear(3, 3, bias=False)

    def forward(self, x):
        self.a.weight.mul_(2)
        return self.b(self.a(x))


def test_weights_tied_after_compiling_when_one_is_written() -> None:
    model = Twins()
    with torch.no_grad():
        fast = compiled(model, filled(5, 3))
        model.b.weight = model.a.weight
        twin = copy.deepcopy(model)
        for _ in range(2):
            assert torch.equal(fast(filled(7, 3)), eager(twin, filled(7, 3)))


def test_weights_untied_after_compiling() -> None:
    model = Twins()
    model.b.weight = model.a.weight
    with torch.no_grad():
        fast = compiled(model, filled(5, 3))
        model.b.weight = torch.nn.Parameter(torch.ones(3, 3))
        twin = copy.deepcopy(model)
        for _ in range(2):
            assert torch.equal(fast(filled(7, 3)), eager(twin, filled(7, 3)))


def test_names_of_the_state_are_unchanged() -> None:
    model = Block()
    names = list(model.state_dict())
    fast = compiled(model, filled(5, 3))
    fast(filled(7, 3))
    assert list(model.state_dict()) == names


def test_two_instances_of_one_class_are_apart() -> None:
    models = [Block() for _ in range(12)]
    compilations = [compiled(model, filled(5, 3)) for model in models]
    for model, fast in zip(models, compilations, strict=True):
        assert torch.equal(fast(filled(7, 3)), eager(model, filled(7, 3)))


# ------------------------------------------------------------ threads, copies, records


def test_threads_may_call_at_once() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES)
    sizes = [1, 2, 3, 8, 9, 16, 33, 64, 100, 0]
    expected = {size: eager(model, filled(size, 3)) for size in sizes}
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for step in range(40):
            size = sizes[(seed * 3 + step) % len(sizes)]
            try:
                if not torch.equal(fast(filled(size, 3)), expected[size]):
                    wrong.append(size)
            except Exception as error:
                wrong.append((size, error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_compiling_in_one_thread_while_another_calls() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    done = threading.Event()
    wrong: list[Any] = []

    def work() -> None:
        while not done.is_set():
            try:
                if not torch.equal(fast(filled(7, 3)), eager(model, filled(7, 3))):
                    wrong.append("numbers")
            except Exception as error:
                wrong.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(3):
        compiled(Block(), filled(5, 3))
    done.set()
    thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "copy_it", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"]
)
def test_copy_is_a_clear_type_error(copy_it: Any) -> None:
    fast = compiled(Block(), filled(5, 3))
    with pytest.raises(TypeError, match=r"CompiledModel holds compiled code and cannot be copied"):
        copy_it(fast)


def test_record_of_a_call() -> None:
    config = RANGES.replace(splitting_ops=("Tensor.relu",))
    fast = compiled(Block(), filled(5, 3), config=config)
    with fast.record() as record:
        assert (record.calls, record.sizes, record.variant) == (0, {}, None)
        fast(filled(4, 3))
        fast(filled(40, 3))
    fast(filled(4, 3))
    assert record.calls == 2
    assert record.sizes == {"x_0": 40}
    assert record.size_range == SizeRange(33, 256)
    assert record.variant == 0
    assert len(record.piece_microseconds) == len(fast.compilation.pieces) == 3
    assert [artifact.unique_id for artifact in record.artifacts] == ["A", "B"]
    assert 0 < sum(record.piece_microseconds) <= record.microseconds


def test_record_of_a_static_model() -> None:
    fast = compiled(scaled, filled(5, 3), dynamic_arg_dims={})
    with fast.record() as record:
        fast(filled(5, 3))
    assert (record.sizes, record.size_range, record.variant) == ({}, None, 0)
    assert len(record.artifacts) == 1


def test_recording_does_not_change_results() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES)
    for n in (0, 1, 2, 16, 100):
        with fast.record() as record:
            assert torch.equal(fast(filled(n, 3)), eager(model, filled(n, 3)))
        assert record.calls == 1


def test_record_is_still_open_after_a_recompile() -> None:
    model = Block()
    fast = compiled(model, filled(5, 3))
    with fast.record() as record:
        fast(filled(7, 3))
        model.requires_grad_(False)
        fast(filled(8, 3))
    assert record.calls == 2
    fast(filled(9, 3))
    assert record.calls == 2


def test_results_are_not_kept_alive() -> None:
    fast = compiled(Block(), filled(5, 3), config=EAGER.replace(splitting_ops=("Tensor.relu",)))
    x = filled(7, 3)
    result = fast(x)
    watched = [weakref.ref(x), weakref.ref(result)]
    del x, result
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


def test_variants_is_the_one_compilation() -> None:
    fast = compiled(Block(), filled(5, 3))
    assert fast.variants == (fast.compilation,)


def test_random_numbers_are_those_of_eager_with_the_eager_backend() -> None:
    def model(x):
        return torch.nn.functional.dropout(x, 0.5) + torch.rand(x.shape[0], 1)

    fast = compiled(model, filled(5, 3))
    torch.manual_seed(7)
    expected = model(filled(9, 3))
    torch.manual_seed(7)
    assert torch.equal(fast(filled(9, 3)), expected)


def test_many_pieces_with_mutation_and_views() -> None:
    def model(x):
        y = x * 2
        z = y.t()
        y.add_(1)
        w = z.relu()
        z.mul_(3)
        return y, z, w, x.add_(1)

    for cut in ((), ("Tensor.relu",), ("Tensor.add_", "Tensor.mul_"), ("Tensor.t", "Tensor.relu")):
        assert_like_eager(
            model, lambda n: call(filled(n, 3)), (2, 3, 16), config=EAGER.replace(splitting_ops=cut)
        )


def test_config_of_the_compilation_is_the_one_asked_for() -> None:
    config = CompilationConfig(backend="eager", max_size=64)
    assert compiled(scaled, filled(5, 3), config=config).compilation.config == config


def test_recording_binds_its_function_once_and_none_while_it_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound: list[bool] = []
    bind = StitchedProgram.bind

    def watched(program: StitchedProgram, *given: Any) -> Any:
        bound.append("times" in program.source)
        return bind(program, *given)

    monkeypatch.setattr(StitchedProgram, "bind", watched)
    fast = compiled(Block(), filled(5, 3), config=RANGES)
    for _ in range(3):
        fast(filled(5, 3))
    assert bound == [False]
    for _ in range(2):
        with fast.record():
            fast(filled(5, 3))
            fast(filled(6, 3))
    assert bound == [False, True]


def test_recorded_calls_are_served_by_the_generated_function_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Block()
    fast = compiled(model, filled(5, 3), config=RANGES)
    fast(filled(5, 3))
    (runner,) = fast.runners()
    monkeypatch.setattr(runner, "call", None)  # the long way
    with fast.record() as record:
        assert torch.equal(fast(filled(40, 3)), eager(model, filled(40, 3)))
    assert (record.calls, record.sizes, record.size_range) == (1, {"x_0": 40}, SizeRange(33, 256))


def test_two_threads_record_their_own_pieces() -> None:
    config = RANGES.replace(splitting_ops=("Tensor.relu",))
    fast = compiled(Block(), filled(5, 3), config=config)
    errors: list[Exception] = []

    def call() -> None:
        try:
            for _ in range(200):
                with fast.record() as record:
                    fast(filled(4, 3))
                assert len(record.piece_microseconds) in (0, 3)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

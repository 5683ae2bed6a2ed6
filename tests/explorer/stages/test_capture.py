"""Step 1: any signature, any aliasing, and every refusal in words."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import logging
import warnings
from typing import Any, NamedTuple, cast

import pytest
import torch

import explorer
from explorer import (
    CaptureError,
    CompilationConfig,
    ConfigError,
    DynamicShapesConfig,
    DynamicShapesType,
    InputError,
)
from explorer.artifacts import CapturedGraph, InputKind
from explorer.stages.capture import CaptureRequest, capture
from explorer.stages.graphs import example_value
from tests.explorer.comparing import (
    EAGER,
    Call,
    assert_like_eager,
    assert_same,
    call,
    compiled,
    filled,
    see,
)


def captured_graph(
    model: Any, *args: Any, dims: Any = None, mode: str = "backed", **rest: Any
) -> CapturedGraph:
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType(mode)))
    return capture(CaptureRequest(model, args, {}, dims, **rest), config)


# ------------------------------------------------------------ signatures


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


@dataclasses.dataclass
class Record:
    left: torch.Tensor
    scale: float
    right: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    left: torch.Tensor
    right: torch.Tensor


class Kind(enum.Enum):
    SINE = 1
    COSINE = 2


class Callable_:
    def __init__(self) -> None:
        self.scale = 3.0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale

    def method(self, x: torch.Tensor, *, shift: float = 1.0) -> torch.Tensor:
        return x * self.scale + shift


def scaled(x, scale=2.0):
    return x * scale


def keyword_only(x, *, y, scale=2.0):
    return x * scale + y


def positional_only(x, y, /, scale=2.0):
    return x * scale + y


def starred(x, *others):
    for each in others:
        x = x + each
    return x


def double_starred(x, **others):
    for each in others.values():
        x = x + each
    return x


def everything(x, y=None, *rest, flag=True, **named):
    if y is not None:
        x = x + y
    for each in rest:
        x = x * each
    return (x if flag else -x) + sum(named.values())


def of_kind(x, kind):
    return x.sin() if kind is Kind.SINE else x.cos()


def of_dtype(x, dtype, name):
    return x.to(dtype) if name == "to" else x


def nested(batch):
    first, (second, third) = batch["pair"]
    return {"sum": first + second * batch["inner"]["scale"], "rest": [third, (first,)]}


def of_pair(pair):
    return Pair(pair.left + pair.right, pair.left * 2)


def of_record(record):
    right = record.left if record.right is None else record.right
    return record.left * record.scale + right


def of_frozen_record(record):
    return FrozenRecord(record.left + record.right, record.right * 2)


def to_record(x):
    return Record(x + 1, 2.0, x * 2)


def ordered(batch):
    return collections.OrderedDict(a=batch["b"] + 1, b=batch["a"] * 2)


def make_closure(scale, tensor):
    return lambda x: x * scale + tensor


def nested_call(n: int) -> Call:
    batch = {
        "pair": [filled(n, 3), (filled(n, 3) * 2, torch.tensor(2.0))],
        "inner": {"scale": filled(n, 1)},
    }
    return call(batch)


SIGNATURES: list[Any] = [
    pytest.param(scaled, lambda n: call(filled(n, 3)), id="default left out"),
    pytest.param(scaled, lambda n: call(filled(n, 3), 3.0), id="default given"),
    pytest.param(scaled, lambda n: call(x=filled(n, 3), scale=4.0), id="all by keyword"),
    pytest.param(keyword_only, lambda n: call(filled(n, 3), y=filled(n, 3)), id="keyword-only"),
    pytest.param(positional_only, lambda n: call(filled(n, 3), filled(n, 3)), id="positional-only"),
    pytest.param(starred, lambda n: call(filled(n, 3), filled(n, 3), filled(n, 3)), id="*args"),
    pytest.param(starred, lambda n: call(filled(n, 3)), id="empty *args"),
    pytest.param(
        double_starred, lambda n: call(filled(n, 3), a=filled(n, 3), b=filled(n, 1)), id="**kwargs"
    ),
    pytest.param(
        everything,
        lambda n: call(filled(n, 3), None, filled(n, 1), flag=False, extra=filled(n, 3)),
        id="all kinds of parameters",
    ),
    pytest.param(everything, lambda n: call(filled(n, 3), y=filled(n, 3)), id="None left out"),
    pytest.param(of_kind, lambda n: call(filled(n, 3), Kind.COSINE), id="enum"),
    pytest.param(of_dtype, lambda n: call(filled(n, 3), torch.float64, "to"), id="dtype, string"),
    pytest.param(nested, nested_call, id="nested dict, list, tuple"),
    pytest.param(of_pair, lambda n: call(Pair(filled(n, 3), filled(n, 1))), id="namedtuple"),
    pytest.param(of_record, lambda n: call(Record(filled(n, 3), 2.0)), id="dataclass input"),
    pytest.param(
        of_frozen_record,
        lambda n: call(FrozenRecord(filled(n, 3), filled(n, 3) + 1)),
        id="frozen dataclass in and out",
    ),
    pytest.param(to_record, lambda n: call(filled(n, 3)), id="dataclass output"),
    pytest.param(
        ordered,
        lambda n: call(collections.OrderedDict(a=filled(n, 3), b=filled(n, 3))),
        id="OrderedDict in and out",
    ),
    pytest.param(Callable_(), lambda n: call(filled(n, 3)), id="callable object"),
    pytest.param(Callable_().method, lambda n: call(filled(n, 3), shift=2.0), id="method"),
    pytest.param(
        functools.partial(keyword_only, scale=5.0),
        lambda n: call(filled(n, 3), y=filled(n, 3)),
        id="partial",
    ),
    pytest.param(make_closure(3.0, torch.ones(3)), lambda n: call(filled(n, 3)), id="closure"),
    pytest.param(torch.nn.ReLU(), lambda n: call(filled(n, 3)), id="torch's own module"),
    pytest.param(
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2)),
        lambda n: call(filled(n, 3)),
        id="sequence of modules",
    ),
]


@pytest.mark.parametrize(("model", "make"), SIGNATURES)
def test_call_binds_as_in_eager(model: Any, make: Any) -> None:
    # The dims of each input are inferred: dim 0 of every tensor, so static inputs stay as they are.
    assert_like_eager(model, make)


def test_model_output_of_transformers_comes_back_as_such() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")

    class Model(torch.nn.Module):
        def forward(self, x):
            return outputs.BaseModelOutput(last_hidden_state=x * 2, hidden_states=(x, x + 1))

    fast = assert_like_eager(Model(), lambda n: call(filled(n, 3)))
    result = fast(filled(4, 3))
    assert isinstance(result, outputs.BaseModelOutput)
    assert torch.equal(result[0], filled(4, 3) * 2)


def test_call_may_be_written_differently_than_the_example() -> None:
    fast = compiled(keyword_only, filled(5, 3), example_kwargs={"y": filled(5, 3)})
    want = keyword_only(filled(7, 3), y=filled(7, 3))
    assert torch.equal(fast(x=filled(7, 3), y=filled(7, 3)), want)
    assert torch.equal(fast(filled(7, 3), y=filled(7, 3), scale=2.0), want)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(call(), "missing a required argument: 'x'", id="too few"),
        pytest.param(call(1, 2, 3, y=1), "too many positional arguments", id="too many"),
        pytest.param(call(1, y=1, z=2), "unexpected keyword argument 'z'", id="unknown keyword"),
    ],
)
def test_example_that_does_not_fit_the_signature(arguments: Call, message: str) -> None:
    args, kwargs = arguments
    with pytest.raises(InputError, match=rf"do not fit the signature keyword_only\(.*{message}"):
        compiled(keyword_only, *args, example_kwargs=kwargs)


def test_call_that_does_not_fit_the_signature_is_a_type_error() -> None:
    fast = compiled(keyword_only, filled(5, 3), example_kwargs={"y": filled(5, 3)})
    for args, kwargs in (call(), call(filled(5, 3)), call(filled(5, 3), y=1, z=2)):
        with pytest.raises(TypeError, match="argument"):
            fast(*args, **kwargs)


def test_example_inputs_must_be_a_tuple() -> None:
    with pytest.raises(ConfigError, match=r"must be a tuple .* not Tensor: write \(x,\)"):
        explorer.compile_model(scaled, filled(5, 3), config=EAGER)  # type: ignore[arg-type]


# ------------------------------------------------------------ outputs, aliasing, mutation


class Counting(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(3))
        self.count: torch.Tensor
        self.last: torch.Tensor

    def forward(self, x):
        self.count += 1
        self.last.copy_(x.sum(0))
        return x * self.count


class Assigning(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(3))
        self.count: torch.Tensor

    def forward(self, x):
        self.count = self.count + x.sum(0)
        return x + self.count


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 3)
        self.head = torch.nn.Linear(3, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


class Normed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x)


def add_in_place(x):
    x.add_(1)
    return x * 2


def add_in_place_and_return(x):
    return x.add_(1)


def write_through_a_view(x):
    x[1:].mul_(2)
    x.t()[0] = 3.0
    return x.sum(0)


def swap_outputs(x, y):
    return y, x, x + y


def write_one_read_other(x, y):
    y.copy_(x)
    return x + y


def many_views(x):
    y = x * 2
    return y, y[1:], y.t(), x[:1], x.view(-1), x.detach()


def inside_containers(x):
    y = x + 1
    return {"a": y, "b": [y, (y, x)]}


def constants(x):
    return x + 1, None, 3, 2.5, "text", True, x.shape[0], x.shape, x.dtype, (), {}


def sizes_computed(x):
    return x.shape[0] * 2 + 1, x.numel(), x.new_zeros(x.shape[0] + 1, 2)


def fills_a_list(x, found):
    found.append(x * 2)
    return x + 1


def fills_a_dict(x, found):
    found["twice"] = x * 2
    return x + 1


def grow_storage(x, y):
    x.untyped_storage().resize_(4096)
    return x + y


def not_a_number(x):
    return x / 0, torch.sqrt(x), torch.full_like(x, float("nan"))


EFFECTS: list[Any] = [
    pytest.param(Counting(), lambda n: call(filled(n, 3)), id="buffers updated in place"),
    pytest.param(Assigning(), lambda n: call(filled(n, 3)), id="buffer assigned"),
    pytest.param(Normed(), lambda n: call(filled(n, 3)), id="running statistics of a batch norm"),
    pytest.param(Normed().eval(), lambda n: call(filled(n, 3)), id="batch norm in eval mode"),
    pytest.param(Tied(), lambda n: call(torch.arange(n) % 7), id="tied weights"),
    pytest.param(add_in_place, lambda n: call(filled(n, 3)), id="input written"),
    pytest.param(add_in_place_and_return, lambda n: call(filled(n, 3)), id="written, returned"),
    pytest.param(write_through_a_view, lambda n: call(filled(n, 3)), id="written through views"),
    pytest.param(lambda x: x, lambda n: call(filled(n, 3)), id="output is the input, no op"),
    pytest.param(lambda x: (x, x + 1), lambda n: call(filled(n, 3)), id="output is an input"),
    pytest.param(lambda x: x.view(-1), lambda n: call(filled(n, 3)), id="output views an input"),
    pytest.param(lambda x: x[1:, ::2], lambda n: call(filled(n, 3)), id="slice of an input"),
    pytest.param(swap_outputs, lambda n: call(filled(n, 3), filled(n, 3)), id="inputs swapped"),
    pytest.param(many_views, lambda n: call(filled(n, 3)), id="outputs alias each other"),
    pytest.param(inside_containers, lambda n: call(filled(n, 3)), id="one tensor returned thrice"),
    pytest.param(constants, lambda n: call(filled(n, 3)), id="constants, sizes, None"),
    pytest.param(sizes_computed, lambda n: call(filled(n, 3)), id="computed sizes"),
    pytest.param(lambda x: x.shape, lambda n: call(filled(n, 3)), id="only a shape"),
    pytest.param(lambda x: x.shape[0] + 1, lambda n: call(filled(n, 3)), id="only a number"),
    pytest.param(lambda x: None, lambda n: call(filled(n, 3)), id="returns None"),
    pytest.param(fills_a_list, lambda n: call(filled(n, 3), []), id="appends to a list"),
    pytest.param(fills_a_dict, lambda n: call(filled(n, 3), {}), id="fills a dict"),
    pytest.param(not_a_number, lambda n: call(filled(n, 3)), id="NaN and infinity"),
]


@pytest.mark.parametrize(("model", "make"), EFFECTS)
@pytest.mark.parametrize("cut", [(), ("aten::mul", "aten::add")], ids=["whole", "cut"])
@pytest.mark.filterwarnings("ignore::explorer.SplittingOpWarning")
def test_effects_and_aliasing_are_those_of_eager(model: Any, make: Any, cut: Any) -> None:
    config = EAGER.replace(splitting_ops=cut)
    assert_like_eager(copy.deepcopy(model), make, (2, 3, 7, 7, 16), config=config)


def test_same_tensor_twice() -> None:
    x = filled(5, 3)
    fast = compiled(lambda a, b: a * 2 + b, x, x)
    y = filled(7, 3)
    assert torch.equal(fast(y, y), y * 2 + y)


def test_example_that_passed_one_tensor_twice_is_not_wrong_for_two() -> None:
    x = filled(5, 3)
    fast = compiled(lambda a, b: a * 2 + b, x, x)
    first, second = filled(7, 3), filled(7, 3) + 10
    try:
        result = fast(first, second)
    except explorer.GuardViolation as error:
        assert "a" in error.guard and "b" in error.guard
    else:
        assert torch.equal(result, first * 2 + second)


@pytest.mark.parametrize(
    "overlap",
    [
        pytest.param(lambda: [filled(4, 3)] * 2, id="the same tensor"),
        pytest.param(lambda: (lambda x: [x[:4], x[2:]])(filled(6, 3)), id="overlapping slices"),
        pytest.param(lambda: (lambda x: [x, x.view(4, 3)])(filled(4, 3)), id="a view"),
    ],
)
def test_overlapping_inputs_of_a_model_that_writes_are_refused(overlap: Any) -> None:
    fast = compiled(write_one_read_other, filled(5, 3), filled(5, 3))
    with pytest.raises(
        InputError, match=r"(x and y|y and x) share memory and the model writes .*\.clone"
    ):
        fast(*overlap())
    assert_same(
        see(write_one_read_other, call(filled(4, 3), filled(4, 3))),
        see(fast, call(filled(4, 3), filled(4, 3))),
    )


def test_overlapping_inputs_of_a_model_that_only_reads_are_fine() -> None:
    fast = compiled(swap_outputs, filled(5, 3), filled(5, 3))
    whole = filled(8, 3)
    assert_same(
        see(swap_outputs, call(whole[:6], whole[2:])), see(fast, call(whole[:6], whole[2:]))
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda x, y: x.set_(y) + 1, id="set_"),
        pytest.param(lambda x, y: x.resize_(2, 2) + 1, id="resize_"),
        pytest.param(grow_storage, id="storage resize_"),
    ],
)
def test_set_and_resize_are_right_or_refused(model: Any) -> None:
    expected = None
    try:
        fast = compiled(model, filled(5, 3), filled(5, 3))
    except CaptureError as error:
        assert "test_capture.py" in str(error)
        return
    expected = see(model, call(filled(5, 3), filled(5, 3)))
    assert_same(expected, see(fast, call(filled(5, 3), filled(5, 3))))


class Labelled(torch.Tensor):
    pass


REFUSED_TENSORS = [
    pytest.param(lambda: filled(5, 3).as_subclass(Labelled), "x is a Labelled", id="subclass"),
    pytest.param(lambda: filled(5, 3).to_sparse(), "x has layout torch.sparse_coo", id="sparse"),
    pytest.param(lambda: torch.empty(5, 3, device="meta"), "x is on the meta device", id="meta"),
    pytest.param(
        lambda: torch.quantize_per_tensor(filled(5, 3), 0.1, 0, torch.qint8),
        "x is quantised",
        id="quantised",
        marks=pytest.mark.filterwarnings("ignore:.*quantiz.*"),
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED_TENSORS)
def test_tensor_that_a_graph_cannot_take_is_refused_at_capture(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compiled(scaled, make())


@pytest.mark.parametrize(("make", "message"), REFUSED_TENSORS)
def test_tensor_that_a_graph_cannot_take_is_refused_at_a_call(make: Any, message: str) -> None:
    fast = compiled(scaled, filled(5, 3))
    with pytest.raises((InputError, explorer.GuardViolation), match=r"\bx\b"):
        fast(make())


# ------------------------------------------------------------ hooks


def hooked(when: str) -> tuple[torch.nn.Module, list[int]]:
    seen: list[int] = []

    def note(*_: Any) -> None:
        seen.append(1)

    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    if when == "forward":
        model[0].register_forward_hook(note)
    else:
        model.register_forward_pre_hook(note)
    return model, seen


@pytest.mark.parametrize("when", ["forward", "forward_pre"])
def test_hook_registered_before_runs_as_often_as_in_eager(when: str) -> None:
    model, seen = hooked(when)
    fast = compiled(model, filled(5, 3))
    seen.clear()
    try:
        for size in (2, 3, 7):
            fast(filled(size, 3))
    except explorer.GuardViolation:
        return  # the hook changed what the graph relies on, and it was said
    assert len(seen) == 3


def times_five(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
    return output * 5


def test_hook_that_changes_the_output_is_part_of_the_graph() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    model[0].register_forward_hook(times_five)
    assert_like_eager(model, lambda n: call(filled(n, 3)))


@pytest.mark.parametrize("place", ["root", "child"])
@pytest.mark.parametrize("when", ["forward", "forward_pre"])
def test_hook_registered_after_compiling_is_not_passed_over(when: str, place: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    fast = compiled(model, filled(5, 3))
    fast(filled(7, 3))
    owner = model if place == "root" else model[0]
    if when == "forward":
        owner.register_forward_hook(times_five)
    else:
        owner.register_forward_pre_hook(lambda module, args: (args[0] * 5,))
    with torch.no_grad():
        expected = model(filled(7, 3))
    try:
        result = fast(filled(7, 3))
    except explorer.GuardViolation as error:
        assert "hooks" in str(error)
    else:
        assert torch.equal(result, expected)


def test_parametrised_weight_is_computed_each_call() -> None:
    model = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 3))
    fast = assert_like_eager(model, lambda n: call(filled(n, 3)))
    with torch.no_grad():
        model.get_parameter("parametrizations.weight.original0").mul_(3)
        assert torch.equal(fast(filled(4, 3)), model(filled(4, 3)))


# ------------------------------------------------------------ what is not one graph


def prints(x):
    y = x + 1
    print(y)
    return y * 2


def reads_item(x):
    scale = x.sum().item()
    return x * scale


def branches_on_data(x):
    if x.sum() > 0:
        return x + 1
    return x - 1


def breaks(x):
    torch._dynamo.graph_break()
    return x + 1


class Inner(torch.nn.Module):
    def forward(self, x):
        if x.mean() > 0:
            return x + 1
        return x


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        return self.inner(x * 2)


GRAPH_BREAKS = [
    pytest.param(prints, "print", "print(y)", id="print"),
    pytest.param(branches_on_data, "ranch", "if x.sum() > 0:", id="data-dependent branch"),
    pytest.param(breaks, "graph", "torch._dynamo.graph_break()", id="graph_break"),
    pytest.param(Outer(), "ranch", "if x.mean() > 0:", id="in a submodule"),
]


@pytest.mark.parametrize(("model", "reason", "line"), GRAPH_BREAKS)
def test_graph_break_says_reason_line_and_hint(model: Any, reason: str, line: str) -> None:
    with pytest.raises(CaptureError, match="does not trace into one graph") as caught:
        compiled(model, filled(5, 3))
    text = str(caught.value)
    assert reason in text
    assert "test_capture.py:" in text
    assert line in text
    assert "\n" not in text
    assert len(text) < 700
    assert caught.value.__cause__ is not None


def test_data_dependent_branch_names_both_ways_out() -> None:
    with pytest.raises(CaptureError, match=r"torch\.cond .* torch\.where"):
        compiled(branches_on_data, filled(5, 3))


def test_item_is_refused_with_its_line_or_right() -> None:
    try:
        fast = compiled(reads_item, filled(5, 3))
    except CaptureError as error:
        assert "scale = x.sum().item()" in str(error)
    else:
        assert torch.equal(fast(filled(7, 3)), reads_item(filled(7, 3)))


class Unusual(Exception):
    pass


def raises_unusual(x):
    raise Unusual("no such thing as 7 wheels")


def raises_by_shape(x):
    return x @ torch.ones(4, 2)


def raises_key_error(x):
    return x + {"a": 1}["b"]


@pytest.mark.parametrize(
    ("model", "type_", "message"),
    [
        pytest.param(raises_unusual, Unusual, "no such thing as 7 wheels", id="own exception"),
        pytest.param(raises_by_shape, RuntimeError, "cannot be multiplied", id="shapes"),
        pytest.param(raises_key_error, KeyError, "b", id="KeyError"),
    ],
)
def test_model_that_raises_raises_the_same(model: Any, type_: type, message: str) -> None:
    with pytest.raises(type_, match=message) as caught:
        compiled(model, filled(5, 3))
    assert type(caught.value) is type_
    assert caught.value.__context__ is None
    files = [str(entry.path) for entry in caught.traceback]
    assert files[-1].endswith("test_capture.py")


class Scale(torch.nn.Module):
    def forward(self, x):
        return x * 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(Scale, "Scale is a class: make an instance", id="class"),
        pytest.param(torch.nn.Linear, "Linear is a class", id="torch's class"),
        pytest.param(3, "The model is a int, which cannot be called", id="no callable"),
        pytest.param(None, "The model is a NoneType", id="None"),
        pytest.param(len, "without Python code to trace", id="builtin"),
    ],
)
def test_thing_that_is_no_model_is_refused(model: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        compiled(model, filled(5, 3))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")
def test_scripted_model_is_refused_by_name() -> None:
    with pytest.raises(CaptureError, match=r"TorchScript module, .* pass the original module"):
        compiled(torch.jit.script(Scale()), filled(5, 3))


def test_compiled_module_is_taken_apart() -> None:
    model = Scale()
    fast = compiled(torch.compile(model, backend="eager"), filled(5, 3))
    assert torch.equal(fast(filled(7, 3)), filled(7, 3) * 2)


def test_compiled_function_is_taken_apart() -> None:
    fast = compiled(torch.compile(scaled, backend="eager"), filled(5, 3))
    assert torch.equal(fast(filled(7, 3)), filled(7, 3) * 2)


def test_compiling_a_compiled_model_again_works_or_is_refused_in_words() -> None:
    once = compiled(scaled, filled(5, 3))
    try:
        twice = compiled(once, filled(5, 3))
    except CaptureError as error:
        assert "CompiledModel" in str(error)
    else:
        assert torch.equal(twice(filled(7, 3)), filled(7, 3) * 2)


def test_model_that_calls_a_compiled_model_works_or_is_refused_in_words() -> None:
    inner = compiled(scaled, filled(5, 3))
    try:
        fast = compiled(lambda x: inner(x) + 1, filled(5, 3))
    except CaptureError as error:
        assert "test_capture.py" in str(error)
    else:
        assert torch.equal(fast(filled(7, 3)), filled(7, 3) * 2 + 1)


def test_model_without_a_tensor_operation_runs_as_it_is() -> None:
    fast = compiled(lambda x, k: (x, k + 1), filled(5, 3), 3)
    x = filled(7, 3)
    assert fast(x, 4) == (x, 5)
    assert "no tensor operation" in " ".join(fast.compilation.notes)


def test_model_without_tensor_arguments() -> None:
    model = torch.nn.Linear(3, 2)
    fast = compiled(lambda: model(torch.ones(4, 3)))
    assert torch.equal(fast(), model(torch.ones(4, 3)).detach())


# ------------------------------------------------------------ nothing leaks out


def marks_of(tensor: torch.Tensor) -> list[str]:
    return [name for name in vars(tensor) if "dynamo" in name]


@pytest.mark.parametrize("mode", ["backed", "unbacked", "backed_size_oblivious"])
def test_marks_stay_off_the_tensors_of_the_user(mode: str) -> None:
    batch = {"x": filled(5, 3), "many": [filled(5, 1)]}
    parameter = torch.nn.Parameter(filled(5, 3))
    before = [batch["x"], batch["many"][0], parameter]
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType(mode)))
    fast = compiled(
        lambda b, p: b["x"] + b["many"][0] + p.detach(), batch, parameter, config=config
    )
    with torch.no_grad():
        fast(batch, parameter)
    assert batch["x"] is before[0] and batch["many"][0] is before[1]
    assert [marks_of(tensor) for tensor in before] == [[], [], []]


def test_marks_that_the_user_made_stay_and_do_not_matter() -> None:
    x = filled(5, 3)
    torch._dynamo.mark_static(x, 0)
    fast = compiled(scaled, x, dynamic_arg_dims={"x": 0})
    assert torch.equal(fast(filled(9, 3)), filled(9, 3) * 2)
    assert marks_of(x) != []


def global_settings() -> dict[str, Any]:
    import torch._C._functorch
    import torch._functorch.config
    import torch._inductor.config
    import torch.fx.experimental._config
    import torch.fx.experimental.symbolic_shapes

    # They get their functions when they are imported.
    compiler_config = cast(Any, torch.compiler.config)
    fx_config = cast(Any, torch.fx.experimental._config)
    names = ["torch", "torch._dynamo", "torch._inductor", "torch._guards", "torch.fx", "explorer"]
    found = {
        "dynamo": torch._dynamo.config.get_config_copy(),
        "inductor": torch._inductor.config.get_config_copy(),
        "fx": fx_config.get_config_copy(),
        "functorch": torch._functorch.config.get_config_copy(),
        "compiler": compiler_config.get_config_copy(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "loggers": [(logging.getLogger(n).level, logging.getLogger(n).disabled) for n in names],
        "random": torch.random.get_rng_state().tolist(),
        "log_guard": torch.fx.experimental.symbolic_shapes.ShapeEnv._log_guard,
        "vmap": torch._C._functorch.maybe_current_level(),
    }
    return found


OUTCOMES = [
    pytest.param(scaled, None, id="good compile"),
    pytest.param(branches_on_data, CaptureError, id="graph break"),
    pytest.param(raises_unusual, Unusual, id="model raises"),
    pytest.param(lambda x: x.reshape(5, 3), CaptureError, id="dim made constant"),
]


@pytest.mark.parametrize(("model", "error"), OUTCOMES)
@pytest.mark.parametrize("mode", ["backed", "unbacked", "backed_size_oblivious"])
def test_no_global_setting_changes(model: Any, error: Any, mode: str) -> None:
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType(mode)))
    x = filled(5, 3)
    before = global_settings()
    if error is None:
        fast = compiled(model, x, config=config)
        fast(filled(1, 3))
        fast(filled(7, 3))
    else:
        with pytest.raises(error):
            compiled(model, x, config=config)
    after = global_settings()
    assert {name for name in before if before[name] != after[name]} == set()


def test_hundredth_compile_works_as_the_first() -> None:
    class Block(torch.nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale
            self.weight = torch.nn.Parameter(torch.full((3,), scale))

        def forward(self, x):
            return x * self.weight + self.scale + x.shape[0]

    for number in range(100):
        model = Block(float(number))
        rows = 2 + number % 9
        with explorer.counters.expect(captured=1):
            fast = compiled(model, filled(rows, 3))
        with torch.no_grad():
            assert torch.equal(fast(filled(rows + 1, 3)), model(filled(rows + 1, 3)))
        assert [size.name for size in fast.compilation.captured.sizes] == ["x_0"]


def graph_text(graph: CapturedGraph) -> str:
    return (
        str(graph.graph) + str([(s.name, s.low, s.high) for s in graph.sizes]) + str(graph.guards)
    )


def two_dims(x, y):
    return (x @ y).relu() * x.shape[0]


def test_earlier_traces_of_other_sizes_do_not_change_a_capture() -> None:
    def make(rows: int, columns: int) -> CapturedGraph:
        return captured_graph(two_dims, filled(rows, 3), filled(3, columns), dims={"x": 0})

    first = graph_text(make(5, 4))
    for rows, columns in ((6, 7), (9, 8), (11, 2), (1, 3)):
        make(rows, columns)
        torch.compile(two_dims, backend="eager")(filled(rows, 3), filled(3, columns))
    assert graph_text(make(5, 4)) == first


def test_own_compilations_of_the_user_are_left_alone() -> None:
    calls: list[int] = []

    def counting_backend(graph: Any, example_inputs: Any) -> Any:
        calls.append(1)
        return graph.forward

    user = torch.compile(two_dims, backend=counting_backend)
    user(filled(5, 3), filled(3, 4))
    user(filled(6, 3), filled(3, 4))
    count = len(calls)
    captured_graph(two_dims, filled(8, 3), filled(3, 4), dims={"x": 0})
    captured_graph(two_dims, filled(9, 3), filled(3, 4), dims={"x": 0}, mode="unbacked")
    for rows in (5, 6, 7, 12):
        assert torch.equal(
            user(filled(rows, 3), filled(3, 4)), two_dims(filled(rows, 3), filled(3, 4))
        )
    assert len(calls) == count


# ------------------------------------------------------------ sizes and dims


def rows_added(x, y):
    return x + y


MODES = ["backed", "unbacked", "backed_size_oblivious"]


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
@pytest.mark.parametrize("mode", MODES)
def test_any_example_size_gives_a_dynamic_graph(rows: int, mode: str) -> None:
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType(mode)))
    fast = compiled(scaled, filled(rows, 3), config=config)
    (size,) = fast.compilation.captured.sizes
    assert size.name == "x_0"
    for n in (0, 1, 2, 3, 8, 17):
        assert torch.equal(fast(filled(n, 3)), filled(n, 3) * 2)


@pytest.mark.parametrize("mode", MODES)
def test_size_symbols_are_those_of_the_mode(mode: str) -> None:
    graph = captured_graph(two_dims, filled(5, 3), filled(3, 4), dims={"x": 0}, mode=mode)
    (size,) = graph.sizes
    assert size.unbacked is (mode == "unbacked")
    assert size.hint == 5
    assert str(size.symbol)[0] == ("u" if mode == "unbacked" else "s")


def test_dim_marked_unbacked_is_so_in_every_mode() -> None:
    graph = captured_graph(
        two_dims, filled(5, 3), filled(3, 4), dims={"x": 0}, mark_unbacked_dims={"y": 1}
    )
    assert [(s.name, s.unbacked) for s in graph.sizes] == [("x_0", False), ("y_1", True)]


def test_branch_on_an_unbacked_size_is_refused_with_its_line() -> None:
    def model(x):
        if x.shape[0] == 4:
            return x * 2
        return x + 1

    with pytest.raises(CaptureError, match=r"if x\.shape\[0\] == 4:"):
        captured_graph(model, filled(5, 3), mode="unbacked")


def test_one_name_is_one_size() -> None:
    graph = captured_graph(
        rows_added, filled(5, 3), filled(5, 3), dims={"x": {0: "n"}, "y": {0: "n"}}
    )
    (size,) = graph.sizes
    assert (size.name, size.sources) == ("n", (("x", 0), ("y", 0)))


@pytest.mark.parametrize("mode", MODES)
def test_one_name_in_separate_uses_is_still_one_size(mode: str) -> None:
    def model(x, y):
        return x * 2, y * 3

    dims = {"x": {0: "n"}, "y": {0: "n"}}
    graph = captured_graph(model, filled(5, 3), filled(5, 3), dims=dims, mode=mode)
    assert [size.name for size in graph.sizes] == ["n"]
    config = EAGER.replace(dynamic_shapes=DynamicShapesConfig(type=DynamicShapesType(mode)))
    fast = compiled(model, filled(5, 3), filled(5, 3), dynamic_arg_dims=dims, config=config)
    with pytest.raises(explorer.GuardViolation, match=r"y\.size\(0\) is 8, but must be 7"):
        fast(filled(7, 3), filled(8, 3))


def test_one_name_with_two_sizes_names_both_inputs() -> None:
    with pytest.raises(InputError, match=r"'n' is 5 in x\.size\(0\) and 6 in y\.size\(0\)"):
        compiled(
            lambda x, y: (x, y + 1),
            filled(5, 3),
            filled(6, 3),
            dynamic_arg_dims={"x": {0: "n"}, "y": {0: "n"}},
        )


def test_equal_sizes_with_two_names_stay_two() -> None:
    def model(x, y):
        return x.sum(0) + y.sum(0)

    dims = {"x": {0: "n"}, "y": {0: "m"}}
    fast = compiled(model, filled(5, 3), filled(5, 3), dynamic_arg_dims=dims)
    assert [size.name for size in fast.compilation.captured.sizes] == ["n", "m"]
    for n, m in ((2, 9), (9, 2), (1, 4), (4, 1), (1, 1), (0, 3)):
        x, y = filled(n, 3), filled(m, 3)
        assert torch.equal(fast(x, y), model(x, y))


def test_two_names_that_the_model_makes_one_are_said_with_the_line() -> None:
    dims = {"x": {0: "n"}, "y": {0: "m"}}
    fast = compiled(rows_added, filled(5, 3), filled(5, 3), dynamic_arg_dims=dims)
    (size,) = fast.compilation.captured.sizes
    assert size.sources == (("x", 0), ("y", 0))
    (note,) = [note for note in fast.compilation.notes if "one size" in note]
    assert "n" in note and "m" in note
    assert "test_capture.py:" in note and "return x + y" in note
    with pytest.raises(explorer.GuardViolation, match=r"y\.size\(0\) is 8, but must be 7"):
        fast(filled(7, 3), filled(8, 3))


FIXED = [
    pytest.param(lambda x: x.reshape(5, 3) + 1, r"x\.size\(0\) .* fixed it to 5", id="reshape"),
    pytest.param(
        lambda x: x + 1 if x.shape[0] == 5 else x, r"x\.size\(0\) .* fixed it to 5", id="branch"
    ),
    pytest.param(lambda x: x + torch.ones(5, 1), r"x\.size\(0\) .* fixed it to 5", id="constant"),
]


@pytest.mark.parametrize(("model", "message"), FIXED)
@pytest.mark.parametrize("mode", ["backed", "backed_size_oblivious"])
def test_dim_that_the_model_fixes_is_named_with_its_line(
    model: Any, message: str, mode: str
) -> None:
    with pytest.raises(CaptureError, match=message) as caught:
        captured_graph(model, filled(5, 3), dims={"x": 0}, mode=mode)
    assert "test_capture.py:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nested_input_that_the_model_fixes_is_named() -> None:
    with pytest.raises(CaptureError, match=r"^batch\['b'\]\[0\]\.size\(0\) was asked to be"):
        compiled(lambda batch: batch["a"] + batch["b"][0], {"a": filled(5, 3), "b": [filled(3)]})


def test_example_of_size_one_that_only_broadcasts_is_right_or_refused_in_words() -> None:
    def model(x, shift):
        return x + shift

    try:
        fast = compiled(model, filled(5, 3), filled(1, 3))
    except explorer.ExplorerError as error:
        assert "shift.size(0)" in str(error)
    else:
        for n in (2, 5, 8):
            assert torch.equal(fast(filled(n, 3), filled(1, 3)), filled(n, 3) + filled(1, 3))


BAD_DIMS: list[Any] = [
    pytest.param({"z": 0}, r"names 'z', which is no argument; tensors are at x, y", id="unknown"),
    pytest.param({"xx": 0}, "nearest: x", id="misspelt"),
    pytest.param({"x": 2}, r"asks for dim 2, but x has 2 dims \(shape \(5, 3\)\)", id="dim 2"),
    pytest.param({"x": -3}, "asks for dim -3, but x has 2 dims", id="dim -3"),
    pytest.param({"x": 0.5}, r"holds 0\.5: a dim is an int", id="float dim"),
    pytest.param({"x": True}, "holds True: a dim is an int", id="bool dim"),
    pytest.param({"x": None}, "holds None: a dim is an int", id="None dim"),
    pytest.param({"x": {0: "not a name"}}, "names a size 'not a name'", id="bad name"),
    pytest.param({"x": {0: "class"}}, "names a size 'class'", id="keyword as name"),
    pytest.param({"x": {0: 3}}, "names a size 3", id="number as name"),
    pytest.param({0: 0}, "has the key 0: keys are argument names", id="key 0"),
    pytest.param(["x"], "must be a dict of argument name -> dims", id="a list"),
    pytest.param(
        {"k": 0},
        "Unsupported dynamic dimensions 0 for argument k with type int",
        id="an int argument",
    ),
]


@pytest.mark.parametrize(("dims", "message"), BAD_DIMS)
def test_dims_that_do_not_exist_are_refused(dims: Any, message: str) -> None:
    def model(x, y, k=3):
        return x + y + k

    with pytest.raises(ConfigError, match=message):
        compiled(model, filled(5, 3), filled(5, 3), dynamic_arg_dims=dims)
    with pytest.raises(ConfigError, match=message.replace("dynamic_arg", "mark_unbacked")):
        compiled(model, filled(5, 3), filled(5, 3), mark_unbacked_dims=dims)


@pytest.mark.parametrize(
    "path",
    ["batch['ids']", 'batch["ids"]', "batch[ 'ids' ]"],
)
def test_path_into_a_container(path: str) -> None:
    def model(batch, pair):
        return batch["ids"] * 2 + pair[1][0]

    make = lambda n: call({"ids": filled(n, 3)}, (1, [filled(3)]))  # noqa: E731
    assert_like_eager(model, make, dynamic_arg_dims={path: 0})
    message = r"argument batch with type dict .* is no tensor but holds batch\['ids'\]: name one"
    with pytest.raises(ConfigError, match=message):
        compiled(model, *make(5)[0], dynamic_arg_dims={"batch": 0})


def test_negative_dim_counts_from_the_end() -> None:
    graph = captured_graph(scaled, filled(5, 3), dims={"x": -1})
    assert [size.sources for size in graph.sizes] == [(("x", 1),)]


def test_all_dims_of_one_tensor() -> None:
    def model(x):
        return x.sum((0, 2)) * x.shape[2]

    fast = compiled(model, filled(5, 3, 4), dynamic_arg_dims={"x": [0, 1, 2]})
    assert [size.name for size in fast.compilation.captured.sizes] == ["x_0", "x_1", "x_2"]
    for shape in ((2, 2, 2), (7, 3, 9), (4, 8, 3), (1, 3, 4), (5, 1, 1)):
        assert torch.equal(fast(filled(*shape)), model(filled(*shape)))


def test_dim_that_follows_from_another_is_refused_in_words() -> None:
    def model(x, y):
        return x.reshape(-1) + y

    with pytest.raises(CaptureError, match=r"y\.size\(0\) .* ties it to another size|one size"):
        compiled(model, filled(5, 3), filled(15), dynamic_arg_dims={"x": 0, "y": 0})


def test_input_that_the_model_does_not_read_is_said() -> None:
    fast = compiled(lambda x, y: x + 1, filled(5, 3), filled(6, 3))
    assert any("y.size(0) is not in the graph" in note for note in fast.compilation.notes)
    assert torch.equal(fast(filled(7, 3), filled(2, 2)), filled(7, 3) + 1)


# ------------------------------------------------------------ where nodes come from


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.proj(x).softmax(-1)


class Layered(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([Attention(), Attention()])
        self.register_buffer("shift", torch.ones(3))
        self.shift: torch.Tensor

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x + self.shift


def test_inputs_have_the_names_of_the_user() -> None:
    graph = captured_graph(Layered(), filled(5, 3), dims={"x": {0: "n"}})
    found = {each.path: each.kind for each in graph.inputs}
    assert found["x"] is InputKind.USER
    assert found["layers.0.proj.weight"] is InputKind.PARAMETER
    assert found["layers.1.proj.bias"] is InputKind.PARAMETER
    assert found["shift"] is InputKind.BUFFER
    assert [each.name for each in graph.inputs if each.kind is InputKind.SIZE] == ["n"]
    assert not any(each.name.startswith(("L_", "l_")) for each in graph.inputs)


def test_tied_weights_are_one_input() -> None:
    graph = captured_graph(Tied(), torch.arange(5))
    assert [each.kind for each in graph.inputs].count(InputKind.PARAMETER) == 1


def test_nodes_keep_the_lines_and_modules_of_the_user() -> None:
    fast = compiled(
        Layered(), filled(5, 3), config=EAGER.replace(splitting_ops=("Tensor.softmax",))
    )
    lines = {line.text for piece in fast.compilation.pieces for line in piece.source_lines}
    assert {"return self.proj(x).softmax(-1)", "x = x + layer(x)", "return x + self.shift"} <= lines
    files = {line.file for piece in fast.compilation.pieces for line in piece.source_lines}
    assert files == {__file__}
    modules = [module for piece in fast.compilation.pieces for module in piece.modules]
    assert "layers.0.proj" in modules and "layers.1" in modules


def test_every_tensor_node_has_an_example_value_without_data() -> None:
    graph = captured_graph(Layered(), filled(5, 3))
    for node in graph.graph.nodes:
        if node.op != "output":
            assert example_value(node) is not None, node


# ------------------------------------------------------------ inputs of other sizes


def test_make_inputs_is_asked_when_the_example_is_too_small() -> None:
    asked: list[dict[str, int]] = []

    def make_inputs(sizes):
        asked.append(dict(sizes))
        return (torch.arange(sizes["n"]) % 7,), {}

    model = Tied()
    explorer.compile_model(
        model,
        (torch.zeros(1, dtype=torch.int64),),
        dynamic_arg_dims={"ids": {0: "n"}},
        make_inputs=make_inputs,
        config=EAGER,
    )
    assert [list(each) for each in asked] == [["n"]]
    assert asked[0]["n"] >= 2


@pytest.mark.parametrize(
    ("make_inputs", "message"),
    [
        pytest.param(lambda sizes: 1 / 0, "make_inputs failed for sizes .*division", id="raises"),
        pytest.param(lambda sizes: filled(3), "must return .* not Tensor", id="no tuple"),
        pytest.param(lambda sizes: ((filled(3),), ()), r"must return \(args tuple, ", id="no dict"),
        pytest.param(lambda sizes: ((filled(1, 3),), {}), "make_inputs", id="another size"),
        pytest.param(lambda sizes: ((), {}), "fit the signature|make_inputs", id="no inputs"),
    ],
)
def test_make_inputs_that_cannot_be_used_is_refused(make_inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compiled(scaled, filled(1, 3), make_inputs=make_inputs)


def test_capture_leaves_example_and_model_as_they_were() -> None:
    model = Counting()
    x = filled(5, 3)
    before = x.clone()
    captured_graph(model, x)
    captured_graph(add_in_place, x)
    assert torch.equal(x, before)
    assert model.count.item() == 0
    assert torch.equal(model.last, torch.zeros(3))


def test_inference_tensors_and_grad_tensors_may_be_examples() -> None:
    with torch.inference_mode():
        x = filled(5, 3)
    assert torch.equal(compiled(scaled, x)(filled(7, 3)), filled(7, 3) * 2)
    y = filled(5, 3).requires_grad_()
    assert torch.equal(compiled(scaled, y)(filled(7, 3)), filled(7, 3) * 2)
    assert y.requires_grad


def test_config_of_another_type_is_refused() -> None:
    with pytest.raises((TypeError, ConfigError), match="CompilationConfig"):
        compiled(scaled, filled(5, 3), config={"backend": "eager"})  # type: ignore[arg-type]
    assert isinstance(EAGER, CompilationConfig)


def static_cond(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cond(y.shape[0] == 4, lambda: x * 2, lambda: x + 1, ())


def test_a_torch_cond_whose_test_is_a_constant_is_said_with_its_line() -> None:
    request = CaptureRequest(static_cond, (torch.ones(6), torch.ones(5)), {}, {"x": {0: "n"}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (note,) = capture(request, CompilationConfig()).notes
    assert "test_capture.py" in note and "y.shape[0] == 4" in note


ASSIGNED: Any = 0


def counts_in_a_global(x: torch.Tensor) -> torch.Tensor:
    global ASSIGNED
    ASSIGNED += 1
    return x + ASSIGNED


def test_a_global_that_a_call_would_not_assign_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"assigns the global ASSIGNED.*an attribute"):
        captured_graph(counts_in_a_global, filled(5, 3))
    assert ASSIGNED == 0


def test_a_model_that_fails_and_its_inputs_are_as_they_were() -> None:
    class Fails(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            x.add_(torch.rand(4))
            return self.norm(x)

    model, given = Fails().train(), filled(1, 4)
    before, torch_state = given.clone(), torch.get_rng_state()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        capture(CaptureRequest(model, (given,), {}, {}), EAGER)
    assert torch.equal(given, before)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_an_op_that_fails_is_told_in_our_words_alone() -> None:
    log = logging.getLogger("torch._subclasses.fake_tensor")
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with pytest.raises(RuntimeError, match="aximum size for tensor"):
            capture(CaptureRequest(lambda x: x.unfold(0, 9, 1), (filled(5, 3),), {}, {}), EAGER)
        assert said == []
        log.error("said by somebody else")
        assert [each.getMessage() for each in said] == ["said by somebody else"]
    finally:
        log.removeHandler(handler)

"""The generated whole call: it serves plain calls, and notices whatever changed since."""

from __future__ import annotations

import collections
import copy
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from explorer import (
    CompiledModel,
    DynamicShapesConfig,
    GuardPolicy,
    GuardViolation,
    InputError,
)
from explorer.counters import counters
from explorer.runtime.runner import NOT_SERVED
from tests.explorer.comparing import EAGER, assert_same, call, compiled, filled, see

FACTOR = 2.0
SETTING = {"scale": 2.0}
DROP = EAGER.replace(guard_policy=GuardPolicy.DROP)


def helper(x):
    return x - 1


class Inner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(filled(3, 3))
        self.one = torch.nn.Parameter(torch.ones(1))
        self.shift = torch.nn.Buffer(torch.ones(1))
        self.scale = 2
        self.flag = 1

    def forward(self, x):
        x = x @ self.weight * self.scale + self.one + self.shift * self.flag
        return x + 1 if self.training else x

    def other(self, x):
        return x * 50


class Quieter(Inner):
    def forward(self, x):
        return x * 0


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.layers = torch.nn.ModuleList([Inner(), Inner()])

    def forward(self, x, k=5):
        for layer in self.layers:
            x = layer(x)
        return helper(self.inner(x)) * FACTOR * SETTING["scale"] + k


def fast_calls(model: CompiledModel) -> Any:
    """The generated functions of the graph that served last."""
    return model._states[0]._fast


def warm(model: Any, *args: Any, **options: Any) -> CompiledModel:
    """A compiled model whose calls are served by the generated function."""
    fast = compiled(model, *args, **options)
    fast(*args)
    assert fast_calls(fast).source is not None
    return fast


def eager(model: Any, *args: Any) -> Any:
    with torch.no_grad():
        return model(*args)


def assert_follows(fast: CompiledModel, model: Any, *args: Any) -> None:
    """Twice, for the way that notices and the one after it."""
    for _ in range(2):
        result, expected = fast(*args), eager(model, *args)
        assert torch.equal(result, expected)
        assert result.dtype == expected.dtype


# ------------------------------------------------------------------------- what it notices


def of_inner(change: Callable[[Any], Any]) -> Callable[[Outer], Any]:
    return lambda model: change(model.layers[1])


def replace_data(make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], None]:
    def change(inner: Any) -> None:
        inner.weight.data = make(inner.weight.data)

    return change


def replace_equal(name: str, kind: Any) -> Callable[[Any], None]:
    """Another object of the same content."""

    def change(inner: Any) -> None:
        setattr(inner, name, kind(getattr(inner, name).detach().clone()))

    return change


FOLLOWED = [
    pytest.param(of_inner(replace_data(lambda t: t * 3)), id="data of other values"),
    pytest.param(of_inner(replace_data(lambda t: (t * 3).t())), id="data of other strides"),
    pytest.param(
        lambda m: setattr(m.inner.one, "data", m.inner.one.data.double()), id="data of other dtype"
    ),
    pytest.param(of_inner(replace_equal("one", torch.nn.Parameter)), id="equal parameter"),
    pytest.param(of_inner(replace_equal("shift", torch.nn.Buffer)), id="equal buffer"),
    pytest.param(
        lambda m: m.layers.__setitem__(1, copy.deepcopy(m.layers[1])), id="equal submodule"
    ),
    pytest.param(
        of_inner(lambda i: i._parameters.update(one=torch.nn.Parameter(torch.zeros(1)))),
        id="in the dict of parameters",
    ),
    pytest.param(
        of_inner(lambda i: setattr(i.one, "data", torch.zeros(3))), id="data of other shape"
    ),
]


@pytest.mark.parametrize("change", FOLLOWED)
@pytest.mark.parametrize("config", [EAGER, DROP], ids=["CHECK", "DROP"])
def test_changed_weights_are_followed(change: Callable[[Outer], Any], config: Any) -> None:
    model, x = Outer(), filled(7, 3)
    fast = warm(model, x, config=config)
    change(model)
    assert_follows(fast, model, x)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.mul_(3)
    assert_follows(fast, model, x)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("one", lambda: torch.ones(1).double(), id="dtype"),
        pytest.param("one", lambda: torch.ones(3), id="shape"),
        pytest.param("weight", lambda: filled(3, 3).t(), id="strides"),
    ],
)
@pytest.mark.parametrize("config", [EAGER, DROP], ids=["CHECK", "DROP"])
def test_data_of_another_layout_is_captured_again(name: str, make: Any, config: Any) -> None:
    model, x = Outer(), filled(7, 3)
    fast = warm(model, x, config=config)
    with counters.expect(captured=0):
        fast(x)
    getattr(model.inner, name).data = make()
    with counters.expect(captured=1):
        assert torch.equal(fast(x), eager(model, x))
    with counters.expect(captured=0):
        assert torch.equal(fast(x), eager(model, x))


class OtherList(torch.nn.ModuleList):
    pass


VIOLATIONS = [
    pytest.param(of_inner(lambda i: setattr(i, "scale", 3)), r"scale == 2", "3", id="attribute"),
    pytest.param(of_inner(lambda i: setattr(i, "scale", 2.0)), r"scale == 2", "2.0", id="2.0"),
    pytest.param(of_inner(lambda i: setattr(i, "flag", True)), r"flag == 1", "True", id="True"),
    pytest.param(lambda m: m.layers[1].eval(), r"training == True", "False", id="training"),
    pytest.param(
        of_inner(lambda i: setattr(i, "forward", i.other)), "forward", None, id="forward of a child"
    ),
    pytest.param(of_inner(lambda i: setattr(i, "__class__", Quieter)), "Inner", None, id="class"),
    pytest.param(
        lambda m: setattr(m.layers, "__class__", OtherList),
        "ModuleList",
        None,
        id="class of a list",
    ),
    pytest.param(
        of_inner(lambda i: setattr(i, "__dict__", {**vars(i), "scale": 2.0})),
        "scale == 2",
        "2.0",
        id="dict of attributes",
    ),
    pytest.param(
        of_inner(lambda i: i.register_forward_hook(lambda *a: a[2] * 2)), "hooks", None, id="hook"
    ),
    pytest.param(
        of_inner(lambda i: i._forward_pre_hooks.update({7: lambda *a: None})),
        "hooks",
        None,
        id="hook in the dict",
    ),
    pytest.param(
        of_inner(
            lambda i: setattr(i, "_forward_hooks", collections.OrderedDict({7: lambda *a: None}))
        ),
        "hooks",
        None,
        id="dict of hooks",
    ),
]


@pytest.mark.parametrize(("change", "guard", "now"), VIOLATIONS)
def test_changed_state_is_a_violation(change: Any, guard: str, now: str | None) -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    change(model)
    for _ in range(2):
        with pytest.raises(GuardViolation, match=guard) as caught:
            fast(filled(7, 3))
        assert now is None or caught.value.given == now


@pytest.mark.parametrize(("change", "guard", "now"), VIOLATIONS[:4])
def test_python_values_are_dropped(change: Any, guard: str, now: str | None) -> None:
    model = Outer()
    fast = warm(model, filled(7, 3), config=DROP)
    expected = fast(filled(7, 3))
    change(model)
    assert torch.equal(fast(filled(7, 3)), expected)


def test_submodule_that_becomes_another_one_is_right_or_refused() -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    model._modules["inner"] = model.layers[0]
    with pytest.raises(GuardViolation, match="no two of its tensors are one object"):
        fast(filled(7, 3))


def test_value_set_back_is_served_again() -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    model.inner.scale = 3
    with pytest.raises(GuardViolation, match=r"self\.inner\.scale == 2.*test_fast_call\.py:\d+"):
        fast(filled(7, 3))
    model.inner.scale = 2
    for _ in range(4):
        assert_follows(fast, model, filled(7, 3))
    assert fast_calls(fast).source is not None


@pytest.mark.parametrize(
    ("target", "name", "value", "word"),
    [
        pytest.param(globals(), "FACTOR", 7.0, "FACTOR", id="global"),
        pytest.param(SETTING, "scale", 7.0, "SETTING", id="inside a global"),
        pytest.param(globals(), "helper", lambda x: x * 9, "helper", id="function"),
        pytest.param(helper, "__code__", (lambda x: x * 9).__code__, "helper", id="code"),
        pytest.param(Inner, "forward", Inner.other, "forward", id="method of a class"),
        pytest.param(Outer.forward, "__defaults__", (9,), "forward", id="default"),
    ],
)
def test_what_lies_outside_the_model_is_noticed(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, value: Any, word: str
) -> None:
    fast = warm(Outer(), filled(7, 3))
    with monkeypatch.context() as patched:
        if isinstance(target, dict):
            patched.setitem(target, name, value)
        else:
            patched.setattr(target, name, value)
        with pytest.raises(GuardViolation, match=word):
            fast(filled(7, 3))
    assert fast(filled(7, 3)).shape == (7, 3)


def test_closure_is_noticed() -> None:
    scale = 2.0

    def model(x):
        return x * scale

    fast = warm(model, filled(7, 3))
    scale = 5.0
    with pytest.raises(GuardViolation, match=r"scale == 2\.0") as caught:
        fast(filled(7, 3))
    assert (caught.value.given, caught.value.accepted) == ("5.0", "2.0")


def doubled(module: Any, args: Any, output: Any) -> Any:
    return output * 2


def test_hook_of_the_capture_that_was_removed_is_noticed() -> None:
    model = Outer()
    model.inner.register_forward_hook(doubled)
    fast = warm(model, filled(7, 3))
    assert_follows(fast, model, filled(7, 3))
    model.inner._forward_hooks.clear()
    with pytest.raises(GuardViolation, match="hooks"):
        fast(filled(7, 3))


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        pytest.param(lambda: torch.autocast("cpu"), "autocast", id="autocast"),
        pytest.param(lambda: torch.device("meta"), "default device", id="default device"),
    ],
)
def test_settings_of_the_thread_are_noticed(setting: Any, word: str) -> None:
    fast = warm(Outer(), filled(7, 3))
    x = filled(7, 3)
    with setting(), pytest.raises(GuardViolation, match=word):
        fast(x)


def test_default_dtype_is_noticed() -> None:
    fast = warm(Outer(), filled(7, 3))
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(GuardViolation, match="default dtype"):
            fast(filled(7, 3).float())
    finally:
        torch.set_default_dtype(torch.float32)


def test_model_that_changes_all_the_time_is_right() -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    for number in range(20):
        vars(model.inner)["unread"] = number
        model.inner.one = torch.nn.Parameter(torch.full((1,), float(number)))
        assert_follows(fast, model, filled(7, 3))


def test_inference_mode_has_a_function_of_its_own() -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    with torch.inference_mode():
        for _ in range(3):
            assert torch.equal(fast(filled(7, 3)), model(filled(7, 3)))
    assert all(fast_calls(fast)._functions)
    model.inner.scale = 3
    with torch.inference_mode(), pytest.raises(GuardViolation, match="scale == 2"):
        fast(filled(7, 3))


def test_threads_share_the_function() -> None:
    model = Outer()
    fast = warm(model, filled(7, 3))
    wrong: list[int] = []

    def run(size: int) -> None:
        for _ in range(30):
            if not torch.equal(fast(filled(size, 3)), eager(model, filled(size, 3))):
                wrong.append(size)

    threads = [threading.Thread(target=run, args=(size,)) for size in (1, 2, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --------------------------------------------------------------------- calls and outputs


class Pair(NamedTuple):
    first: torch.Tensor
    second: Any


SHARED = {"kind": "shared"}

PLAIN_OUTPUTS = [
    pytest.param(lambda x: x + 1, id="tensor"),
    pytest.param(lambda x: (x + 1,), id="tuple of one"),
    pytest.param(lambda x: [x + 1, (x * 2, [x])], id="nested, with the input"),
    pytest.param(lambda x: {"a": x + 1, "b": {"c": None, "d": "text", 3: True}}, id="dict"),
    pytest.param(lambda x: Pair(x + 1, (x, None)), id="named tuple"),
    pytest.param(lambda x: (y := x + 1, y), id="one tensor twice"),
    pytest.param(lambda x: (x + 1, x[:2]), id="view of the input"),
    pytest.param(lambda x: x, id="the input"),
]


@pytest.mark.parametrize("model", PLAIN_OUTPUTS)
def test_plain_outputs_are_those_of_eager(model: Any) -> None:
    fast = warm(model, filled(7, 3)) if model(filled(7, 3)) is not None else None
    assert fast is not None
    for size in (1, 2, 7, 9, 1, 30):
        assert_same(see(model, call(filled(size, 3))), see(fast, call(filled(size, 3))))


def shares_a_list(x):
    made = [x + 1]
    return made, made


OTHER_OUTPUTS = [
    pytest.param(lambda x: (x + 1, x.shape[0] * 2), id="size"),
    pytest.param(lambda x: (x + 1, 3), id="int"),
    pytest.param(shares_a_list, id="one list twice"),
]


@pytest.mark.parametrize("model", OTHER_OUTPUTS)
def test_other_outputs_are_those_of_eager(model: Any) -> None:
    fast = compiled(model, filled(7, 3))
    for size in (1, 2, 7, 9):
        assert_same(see(model, call(filled(size, 3))), see(fast, call(filled(size, 3))))


def test_list_of_the_call_that_is_returned_stays_the_same_object() -> None:
    fast = compiled(lambda xs: (xs[0] + 1, xs), [filled(7, 3)])
    for _ in range(3):
        given = [filled(7, 3)]
        assert fast(given)[1] is given


def with_options(x, k=5, *, flag=True, name="a"):
    return x * k if flag else x + len(name)


def test_keyword_arguments() -> None:
    fast = warm(with_options, filled(7, 3))
    expected = filled(9, 3) * 5
    forms = [{}, {"k": 5}, {"flag": True}, {"name": "a", "flag": True, "k": 5}]
    for form in [*forms, *forms]:
        assert torch.equal(fast(filled(9, 3), **form), expected)
        assert torch.equal(fast(**form, x=filled(9, 3)), expected)
    with pytest.raises(GuardViolation, match=r"k == 5") as caught:
        fast(filled(9, 3), k=6)
    assert (caught.value.given, caught.value.accepted) == ("6", "5")
    with pytest.raises(GuardViolation, match=r"flag == True"):
        fast(filled(9, 3), flag=False)
    for wrong in ({"j": 1}, {"x": filled(9, 3)}):
        with pytest.raises(TypeError, match="argument"):
            fast(filled(9, 3), **wrong)
    with pytest.raises(TypeError, match="argument"):
        fast()


def test_tensors_in_containers() -> None:
    def model(batch, pair):
        return batch["ids"] + pair[0] * pair[1]

    def given(size: int) -> tuple[Any, ...]:
        return {"ids": filled(size, 3)}, (filled(size, 3), filled(size, 3))

    fast = warm(
        model, *given(7), dynamic_arg_dims=dict.fromkeys(("batch['ids']", "pair[0]", "pair[1]"), 0)
    )
    for size in (2, 9):
        assert torch.equal(fast(*given(size)), model(*given(size)))
    with pytest.raises(GuardViolation, match=r"batch\['ids'\] is not in this call"):
        fast({}, given(7)[1])
    with pytest.raises((GuardViolation, InputError), match="pair"):
        fast(given(7)[0], list(given(7)[1]))
    with pytest.raises(InputError, match=r"batch\['ids'\] is a int"):
        fast({"ids": 3}, given(7)[1])


def test_recorded_calls_take_the_other_way() -> None:
    fast = warm(Outer(), filled(7, 3))
    with fast.record() as record:
        fast(filled(9, 3))
    assert record.sizes == {"x_0": 9}


def test_call_with_an_input_that_is_written() -> None:
    def model(x, y):
        x.add_(y)
        return x * 2

    fast = warm(model, filled(7, 3), filled(7, 3))
    assert_same(
        see(model, call(filled(9, 3), filled(9, 3))), see(fast, call(filled(9, 3), filled(9, 3)))
    )
    x = filled(7, 3)
    with pytest.raises(InputError, match="share memory"):
        fast(x, x.view(7, 3))


class Keeps(torch.nn.Module):
    """Sets an attribute in every call, and reads it in none."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = torch.zeros(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = x * 2
        return x + 1


def keeps_in_a_closure() -> tuple[Callable[..., Any], Callable[[], Any]]:
    last: Any = None

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal last
        last = x * 2
        return x + 1

    return model, lambda: last


@pytest.mark.parametrize("place", ["attribute", "closure"])
def test_what_a_call_sets_is_set_by_every_call(place: str) -> None:
    module = Keeps()
    model, last = (module, lambda: module.last) if place == "attribute" else keeps_in_a_closure()
    fast = compiled(model, filled(7, 3))
    for size in (7, 9, 9, 8, 1, 5):
        assert torch.equal(fast(filled(size, 3)), filled(size, 3) + 1)
        assert torch.equal(last(), filled(size, 3) * 2)


# ----------------------------------------------------------------------- evaluate_guards


def branches(x, k=2):
    return x * k if x.shape[0] >= 4 else x * 100


def different_at_one(x):
    return x + 1 if x.shape[0] == 1 else x - 1


def evaluating(policy: GuardPolicy) -> Any:
    shapes = DynamicShapesConfig(evaluate_guards=True)
    return EAGER.replace(guard_policy=policy, dynamic_shapes=shapes)


@pytest.mark.parametrize("policy", [GuardPolicy.CHECK, GuardPolicy.DROP])
def test_evaluate_guards_fails_on_sizes_only(policy: GuardPolicy) -> None:
    fast = warm(branches, filled(7, 3), config=evaluating(policy))
    for _ in range(2):
        with pytest.raises(GuardViolation, match=r"x_0 = 3.*x_0 >= 4"):
            fast(filled(3, 3))
        with pytest.raises(GuardViolation, match=r"x_0 = 1.*x_0 >= 4"):
            fast(filled(1, 3))
        assert torch.equal(fast(filled(9, 3), 3), filled(9, 3) * 2)  # k is not looked at


@pytest.mark.parametrize("policy", [GuardPolicy.CHECK, GuardPolicy.DROP])
def test_evaluate_guards_does_not_set_size_one_apart(policy: GuardPolicy) -> None:
    fast = warm(different_at_one, filled(7, 3), config=evaluating(policy))
    for _ in range(2):
        assert torch.equal(fast(filled(1, 3)), filled(1, 3) - 1)
        assert torch.equal(fast(filled(2, 3)), filled(2, 3) - 1)


def test_not_served_is_no_output() -> None:
    fast = warm(lambda x: x + 1, filled(7, 3))
    assert fast(filled(1, 3)) is not NOT_SERVED

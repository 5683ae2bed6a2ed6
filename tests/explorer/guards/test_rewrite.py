"""Rewrites of branches on sizes, tried: captured, run on both sides, and compared with eager."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CaptureError
from explorer.artifacts import SourceLocation
from explorer.guards.rewrite import Rewrite, applied, function_at, rewrite_to_cond
from tests.explorer.comparing import filled
from tests.explorer.rewriting import (
    SIZES,
    cell,
    check,
    new_source,
    place,
    rewritten,
    statement_place,
)


def early_return(x):
    if x.shape[0] == 4:
        return x * 2
    return x + 1


def assigns(x):
    n = x.shape[0]
    if n > 8:  # noqa: SIM108
        y = x * 2
    else:
        y = x - 1
    return y * 3


def without_else(x):
    y = x + 1
    if x.size(0) > 8:
        y = y * 2
    return y


def ternary(x):
    return x * 2 if x.shape[0] == 4 else x


def ternary_inside(x):
    return torch.relu(x - 1 if len(x) > 8 else x[:1].expand_as(x)) + 1


def chain(x):
    n = x.shape[0]
    if n == 4:
        y = x * 2
    elif n <= 8:
        y = x + 1
    elif n % 2:
        y = x
    else:
        y = x - 3
    return y


def chain_of_returns(x):
    n = x.shape[0]
    if n == 4:
        return x * 2
    elif n <= 8:
        return x + 1
    return x


def chain_of_ternaries(x):
    n = x.shape[0]
    return x * 2 if n == 4 else x + 1 if n < 9 else x


def nested(x):
    n = x.shape[0]
    if n > 4:
        if n > 8:
            return x * 3
        return x.view(-1, 3)
    return x + 1


def returns_in_a_row(x):
    n = x.shape[0]
    if n == 4:
        return x * 2
    x = x + 1
    if n == 8:
        return x
    return x * 3


def both_and(x):
    n = x.shape[0]
    return x * 2 if n > 2 and n < 10 else x + 1


def either_or(x):
    n = x.shape[0]
    if n < 3 or n % 4 == 0 or n in (5, 9):
        return x * 2
    return x + 1


def negated(x):
    n = x.shape[0]
    if not (4 <= n < 10 or n % 5 == 0):
        return x * 2
    return x + 1


def number_as_truth(x):
    odd = x.shape[0] % 2
    if odd:
        return x * 2
    return x + 1


def truth_with_a_name(x):
    large = x.shape[0] > 8
    if large:
        return x * 2
    return x + 1


def changed_before_it_is_returned(x):
    if x.shape[0] > 8:
        x = x + 1
        x = x * x
        return x
    x = x - 1
    return x


def swapped(x):
    a = x + 1
    b = x - 1
    if x.shape[0] > 8:
        a, b = b, a * 2
    return a * 3 + b


def two_names(x):
    n, width = x.shape
    if n > 8:
        half = x / 2
        a, b = half, half * width
    else:
        a = x
        b = a * 2
    return a + b


def in_a_loop(x):
    y = x
    for step in range(3):
        if x.shape[0] > 8:  # noqa: SIM108
            y = y + step
        else:
            y = y * 2
    return y


def read_in_the_next_round(x):
    y = carry = x
    for _ in range(3):
        y = y + carry
        if x.shape[0] > 8:
            carry = y * 2
    return y


def structure_of_results(x):
    if x.shape[0] > 8:
        return {"a": x, "b": [x * 2, (x, x)]}
    return {"a": x + 1, "b": [x, (x - 1, x)]}


def with_one_side_in_python(x, flag=True):
    y = x
    if x.shape[0] > 8:
        if flag:  # noqa: SIM108
            y = x * 2
        else:
            y = x * 3
    return y


CASES = [
    (early_return, "x.shape[0] == 4"),
    (assigns, "n > 8"),
    (without_else, "x.size(0) > 8"),
    (ternary, "x.shape[0] == 4"),
    (ternary_inside, "len(x) > 8"),
    (chain, "n == 4"),
    (chain, "n <= 8"),
    (chain_of_returns, "n == 4"),
    (chain_of_ternaries, "n == 4"),
    (nested, "n > 4"),
    (returns_in_a_row, "n == 4"),
    (both_and, "n < 10"),
    (either_or, "n % 4 == 0"),
    (negated, "n % 5 == 0"),
    (number_as_truth, "odd"),
    (truth_with_a_name, "large"),
    (changed_before_it_is_returned, "x.shape[0] > 8"),
    (swapped, "x.shape[0] > 8"),
    (two_names, "n > 8"),
    (in_a_loop, "x.shape[0] > 8"),
    (read_in_the_next_round, "x.shape[0] > 8"),
    (structure_of_results, "x.shape[0] > 8"),
    (with_one_side_in_python, "x.shape[0] > 8"),
]


@pytest.mark.parametrize(
    ("function", "test"), CASES, ids=lambda each: getattr(each, "__name__", each)
)
@pytest.mark.parametrize("example", [6, 12])
def test_rewrite_is_right_on_both_sides(function: Any, test: str, example: int) -> None:
    if function in (number_as_truth, truth_with_a_name):
        location = statement_place(function)
    else:
        location = place(function, test)
    result = rewrite_to_cond(function, location)
    assert isinstance(result, Rewrite), str(result)
    for n in SIZES:  # as Python runs it
        torch.testing.assert_close(result.function(filled(n, 3)), function(filled(n, 3)))
    check(result.function, function, example=example)


def test_branch_is_wrong_without_the_rewrite() -> None:
    with pytest.raises(AssertionError):
        check(early_return, early_return)


# ----------------------------------------------------------------------------- where functions live


class Layer(nn.Module):
    scale = 3.0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.__private = 2.0

    def forward(self, x):
        if x.shape[0] > 8:
            return self.linear(x) * self.__private
        return self.helper(x)

    def helper(self, x):
        y = self.linear(x)
        if x.shape[0] == 4:
            y = self.scaled(y, self.scale)
        return y

    def alone(self, x):
        return x * self.scale if len(x) > 4 else x

    @staticmethod
    def scaled(x, by):
        return x * by if len(x) < 3 else x / by


class Inherited(Layer):
    def forward(self, x):
        y = super().forward(x)
        return y + 1 if x.shape[0] == 9 else y


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def announced(function):
    """A decorator that does not use functools.wraps."""

    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) + 0

    return wrapper


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) + 0

    return wrapper


class Decorated(nn.Module):
    @logged
    @logged
    def forward(self, x, *, by: int = 2):
        if x.shape[0] > 8:
            return x * by
        return x + by


def helper_of_a_function(x):
    return x * 2 if x.shape[0] > 8 else x


def uses_a_helper(x):
    return helper_of_a_function(x) + 1


def made_with(offset):
    other = offset * 2

    def inner(x, factor=3, *, power: int = 2):
        """Its text."""
        if x.shape[0] > 8:
            return x * factor + offset
        return x**power + other

    return inner


@pytest.mark.parametrize(
    ("model", "method", "tests"),
    [
        (Layer(), Layer.forward, {Layer.forward: "x.shape[0] > 8"}),
        (Stack(), Layer.helper, {Layer.helper: "x.shape[0] == 4"}),
        (Inherited(), Inherited.forward, {Inherited.forward: "x.shape[0] == 9"}),
    ],
    ids=["forward", "another method of a submodule", "method with super()"],
)
def test_method_of_a_module(model: Any, method: Any, tests: Any) -> None:
    expected = {n: model(filled(n, 3)) for n in SIZES}
    location = place(method, next(iter(tests.values())))
    assert function_at(model, location) is method
    result = rewritten(method, next(iter(tests.values())))
    code = method.__code__
    with applied(result, model) as changed, torch.no_grad():
        assert changed is model
        assert method.__code__ is result.function.__code__
        for n in SIZES:
            torch.testing.assert_close(changed(filled(n, 3)), expected[n], rtol=0, atol=0)
    assert method.__code__ is code


def test_module_has_no_branch_left_when_each_one_is_rewritten() -> None:
    model = Stack()
    expected = {n: model(filled(n, 3)) for n in SIZES}
    methods = {
        Layer.forward: "x.shape[0] > 8",
        Layer.helper: "x.shape[0] == 4",
        Layer.scaled: "len(x) < 3",
    }
    results = [rewritten(each, text) for each, text in methods.items()]
    with applied(results[0], model), applied(results[1], model), applied(results[2], model):
        # At size 1 torch takes one side only, and the graph of that has fewer inputs.
        check(model, lambda x: expected[len(x)], sizes=SIZES[1:])


def test_static_method_is_found_and_rewritten() -> None:
    function = Layer.scaled
    assert function_at(Stack(), place(function, "len(x) < 3")) is function
    result = rewritten(function, "len(x) < 3")
    assert result.function(filled(2, 3), 3.0).equal(filled(2, 3) * 3.0)


def test_decorated_forward() -> None:
    model = Decorated()
    file = Decorated.forward.__code__.co_filename
    lines, first = inspect.getsourcelines(Decorated)
    line = next(i for i, text in enumerate(lines, first) if "if x.shape" in text)
    location = SourceLocation(file, line, column=11, end_line=line, end_column=25)
    function = function_at(model, location)
    assert function is not None and function.__qualname__ == "Decorated.forward"
    result = rewrite_to_cond(function, location)
    assert isinstance(result, Rewrite), str(result)
    assert result.source.startswith("    @logged\n    @logged\n    def forward(self, x, *, by")
    with applied(result, model) as changed:
        check(changed, lambda x: x * 2 if len(x) > 8 else x + 2)


def test_function_that_is_only_in_a_closure() -> None:
    model = announced(early_return)
    location = place(early_return, "x.shape[0] == 4")
    assert function_at(model, location) is early_return
    with applied(rewritten(early_return, "x.shape[0] == 4"), model) as changed:
        assert changed is model
        assert early_return.__code__.co_filename.startswith("<torch.cond rewrite of test_rewrite")
        assert changed(filled(4, 3)).equal(filled(4, 3) * 2)


def test_helper_that_a_function_names() -> None:
    location = place(helper_of_a_function, "x.shape[0] > 8")
    assert function_at(uses_a_helper, location) is helper_of_a_function
    result = rewritten(helper_of_a_function, "x.shape[0] > 8")
    with applied(result, uses_a_helper) as changed:
        check(changed, lambda x: (x * 2 if len(x) > 8 else x) + 1)


def test_function_as_model_is_replaced_by_the_new_one() -> None:
    result = rewritten(early_return, "x.shape[0] == 4")
    code = early_return.__code__
    with applied(result, early_return) as changed:
        assert changed is result.function
        assert early_return.__code__ is code


def test_bound_method_as_model_keeps_its_object() -> None:
    layer = Layer()
    with applied(rewritten(Inherited.forward, "x.shape[0] == 9"), layer.forward) as changed:
        assert changed == layer.forward  # nothing of it was rewritten
    with applied(rewritten(Layer.alone, "len(x) > 4"), layer.alone) as changed:
        assert inspect.ismethod(changed) and changed.__self__ is layer
        check(changed, layer.alone)


def test_everything_is_put_back_when_the_trial_fails() -> None:
    code = Layer.forward.__code__
    result = rewritten(Layer.forward, "x.shape[0] > 8")
    with pytest.raises(ZeroDivisionError), applied(result, Layer()):
        raise ZeroDivisionError
    assert Layer.forward.__code__ is code


def test_closure_defaults_and_names_are_kept() -> None:
    original = made_with(5)
    new = rewritten(original, "x.shape[0] > 8").function
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__",
                 "__kwdefaults__", "__annotations__", "__closure__", "__globals__"):  # fmt: skip
        assert getattr(new, name) == getattr(original, name), name
    assert inspect.signature(new) == inspect.signature(original)
    check(new, original)


def test_function_in_a_notebook_cell() -> None:
    made = cell(
        """
        from __future__ import annotations

        def f(x: Unknown):
            return x * 2 if x.shape[0] == 4 else x
        """
    )
    check(rewritten(made["f"], "x.shape[0] == 4").function, made["f"])


def test_function_inside_a_function() -> None:
    text = new_source(
        """
        def f(x):
            def double(y):
                if y.shape[0] == 4:
                    return y * 2
                return y

            return double(x) + 1
        """,
        "y.shape[0] == 4",
    )
    assert "        return torch.cond(y.shape[0] == 4, if_true, if_false, ())\n\n    return" in text


def test_function_at_finds_nothing_elsewhere() -> None:
    assert function_at(early_return, SourceLocation("model.py", 3)) is None
    assert function_at(early_return, place(ternary, "x.shape")) is None


def test_what_torch_does_not_take_shows_when_it_is_tried() -> None:
    made = cell(
        """
        def f(x):
            if x.shape[0] > 8:
                return x.double()
            return x + 1
        """
    )
    result = rewritten(made["f"], "x.shape[0] > 8")
    with pytest.raises(CaptureError, match="one graph"):
        check(result.function, made["f"])

"""Models that fall into a trap, each with the line that a message has to name marked ``# here``."""

from __future__ import annotations

import inspect

import torch


def alias(x):
    return torch.cond(x.shape[0] == 4, lambda x: x * 2, lambda x: x, (x,))  # here


def alias_by_view(x):
    return torch.cond(x.shape[0] == 4, lambda x: x.t() * 2, lambda x: x.t(), (x,))  # here


def mutation(x):
    return torch.cond(x.shape[0] == 4, lambda x: x.add_(1) * 2, lambda x: x + 1, (x,))  # here


def dtypes(x):
    return torch.cond(x.shape[0] == 4, lambda x: x.double(), lambda x: x + 1, (x,))  # here


def strides(x):
    def columns_first(x):
        return x.t().contiguous().t() * 1

    return torch.cond(x.shape[0] == 4, columns_first, lambda x: x + 1, (x,))  # here


def structures(x):
    return torch.cond(x.shape[0] == 4, lambda x: (x * 2, x + 2), lambda x: (x + 1,), (x,))  # here


def a_float(x):
    return torch.cond(x.shape[0] == 4, lambda x: (x * 2, 3.0), lambda x: (x + 1, 4.0), (x,))  # here


def an_int(x):
    return torch.cond(x.shape[0] == 4, lambda x: (x * 2, 3), lambda x: (x + 1, 4), (x,))  # here


def the_same_int(x):
    return torch.cond(x.shape[0] == 4, lambda x: (x * 2, 3), lambda x: (x + 1, 3), (x,))  # here


def check_inside(x):
    def large(x):
        torch._check(x.shape[0] > 10)  # here
        return x * 2

    return torch.cond(x.shape[0] > 10, large, lambda x: x + 1, (x,))


def view_inside(x):
    def grouped(x):
        return x.view(-1, 4, 16).sum(1).sum(0)  # here

    return torch.cond(x.shape[0] % 4 == 0, grouped, lambda x: x.sum(0), (x,))


def python_and(x):
    return torch.cond(
        x.shape[0] > 2 and x.shape[0] < 10,  # here
        lambda x: x * 2,
        lambda x: x + 1,
        (x,),
    )


def python_or_by_name(x):
    n = x.shape[0]
    test = n < 3 or n % 5 == 0  # here
    return torch.cond(test, lambda x: x * 2, lambda x: x + 1, (x,))


def python_not(x):
    four = x.shape[0] == 4
    return torch.cond(not four, lambda x: x * 2, lambda x: x + 1, (x,))  # here


def python_chain(x):
    return torch.cond(2 < x.shape[0] < 10, lambda x: x * 2, lambda x: x + 1, (x,))  # here


def python_bool(x):
    return torch.cond(bool(x.shape[0] == 4), lambda x: x * 2, lambda x: x + 1, (x,))


def nested_logic(x):
    n = x.shape[0]
    return torch.cond(
        n < 3 or not (n > 5 and n < 9),  # here
        lambda x: x * 2,
        lambda x: x + 1,
        (x,),
    )


def and_as_told(x):
    test = (x.shape[0] > 2) & (x.shape[0] < 10)
    return torch.cond(test, lambda x: x * 2, lambda x: x + 1, (x,))


def not_as_told(x):
    four = x.shape[0] == 4
    return torch.cond(torch.sym_not(four), lambda x: x * 2, lambda x: x + 1, (x,))


def logic_beside_cond(x):
    y = x + 3 if x.shape[0] > 2 and x.shape[0] < 10 else x
    return torch.cond(x.shape[0] == 4, lambda y: y * 2, lambda y: y + 1, (y,))


def static_test(x):
    return torch.cond(x.shape[1] == 4, lambda x: x * 2, lambda x: x + 1, (x,))  # here


def right_cond(x):
    n = x.shape[0]
    test = (n > 2) & torch.sym_not(n == 7)
    return torch.cond(test, lambda x: x * 2, lambda x: x + 1, (x,))


def plain_and(x):
    if x.shape[0] > 2 and x.shape[0] < 10:
        return x * 2
    return x + 1


def size_branch(x):
    if x.shape[0] == 4:  # here
        return x * 2
    return x + 1


def value_branch(x):
    if x.sum() > 0:  # here
        return x * 2
    return x + 1


def item_branch(x):
    total = x.sum().item()
    if total > 0:  # here
        return x * 2
    return x + 1


@torch.library.custom_op("trapped_models::returns_input", mutates_args=())
def returns_input(x: torch.Tensor) -> torch.Tensor:
    return x if x.shape[0] == 4 else x + 1


returns_input.register_fake(torch.empty_like)


@torch.library.custom_op("trapped_models::fake_branches", mutates_args=())
def fake_branches(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.shape[0] == 4 else x + 1


@fake_branches.register_fake
def the_fake(x):
    if x.shape[0] == 4:  # here
        return torch.empty_like(x)
    return x.new_empty(x.shape)


def calls_returns_input(x):
    return returns_input(x)


def calls_fake_branches(x):
    return fake_branches(x)


def here(function) -> str:
    """``trapped_models.py:line`` of the line of a function that is marked."""
    lines, first = inspect.getsourcelines(function)
    number = next(at for at, line in enumerate(lines) if line.rstrip().endswith("# here"))
    return f"trapped_models.py:{first + number}: "

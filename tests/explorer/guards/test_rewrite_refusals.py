"""What is not rewritten, and what is said about it."""

from __future__ import annotations

import linecache
from typing import Any

import pytest

from explorer.artifacts import SourceLocation
from explorer.guards.rewrite import Refusal, Rewrite, rewrite_to_cond
from tests.explorer.guards.test_rewrite import early_return
from tests.explorer.rewriting import cell, fill_line_cache, place

SIDE = """# a cell
def f(self, x, y, k=1):
    n = x.shape[0]
    if n > 8:
        {}
    return y
"""
WHOLE = """# a cell
def f(self, x, y, k=1):
    n = x.shape[0]
{}
"""
REFUSALS = [
    (SIDE, "raise ValueError(n)", 5, "`raise ValueError(n)` raises, and torch.cond traces both"),
    (SIDE, "assert n > 3; return x", 5, "`assert n > 3` would be checked for the whole graph"),
    (SIDE, "torch._check(n > 3); return x", 5, "would be checked for the whole graph"),
    (SIDE, "self.seen = x; y = x", 5, "`self.seen` is an attribute that is set"),
    (SIDE, "y[0] = 1", 5, "`y[0]` is an item that is set"),
    (SIDE, "y += 1", 5, "may not: write `y = y + ...`"),
    (SIDE, "y = x.add_(1)", 5, "`x.add_(1)` changes a tensor in place"),
    (SIDE, "y = torch.relu(x, out=y)", 5, "writes into a tensor (out=)"),
    (SIDE, "self.log.append(x); y = x", 5, "is run for its effect"),
    (SIDE, "y = locals()['x']", 5, "means something else inside a function"),
    (SIDE, "del y", 5, "`del y` deletes something"),
    (SIDE, "y = (z := x) * 2", 5, "sets a name inside an expression"),
    (SIDE, "return None", 5, "`None` is no tensor"),
    (SIDE, "return", 5, "A side returns None"),
    (SIDE, "return n", 5, "`n` is no tensor"),
    (SIDE, "return 'text'", 5, "`'text'` is no tensor"),
    (SIDE, "return x, y", 6, "The sides return different structures: a tuple of 2 and one tensor"),
    (SIDE, "return x, n", 5, "`n` is no tensor"),
    (SIDE, "y = None", 4, "`y = None` is no tensor"),
    (SIDE, "y = n // 2", 4, "`y = n // 2` is no tensor"),
    (SIDE, "y = x, x", 4, "`y` holds a tuple of 2: give the parts names of their own"),
    (SIDE, "z = x", 4, "Nothing that the sides assign is read afterwards"),
    (
        WHOLE,
        "    if n > 8:\n        z = x\n    else:\n        y = x\n    return y + z",
        4,
        "The sides assign different names: `z` gets a value on one side only",
    ),
    (
        WHOLE,
        "    if n > 8:\n        f = torch.relu\n    else:\n        f = torch.tanh\n    return f(x)",
        4,
        "`f` is called",
    ),
    (WHOLE, "    z = 1\n    if n > 8:\n        z = x\n    return z", 5, "`z = 1` is no tensor"),
    (WHOLE, "    if n > 8:\n        return x\n    y = x", 4, "or returns None"),
    (
        WHOLE,
        "    if n > 8:\n        if k:\n            return x\n    return y",
        4,
        "returns only sometimes",
    ),
    (
        WHOLE,
        "    for i in y:\n        if n > 8:\n            break\n        y = y + 1\n    return y",
        6,
        "`break` leaves a loop",
    ),
    (
        WHOLE,
        "    for i in y:\n        if n > 8:\n            y = x\n            continue\n    return y",
        7,
        "`continue` leaves a loop",
    ),
    (WHOLE, "    while n > 8:\n        n = n - 1\n    return x", 4, "A `while` repeats its body"),
    (WHOLE, "    assert n > 8\n    return x", 4, "An `assert` has no sides"),
    (WHOLE, "    return [t for t in y if n > 8]", 4, "The test stands in a comprehension"),
    (WHOLE, "    return [t if n > 8 else x for t in y]", 4, "The test stands in a comprehension"),
    (WHOLE, "    return (lambda: x if n > 8 else y)()", 4, "The test stands in a lambda"),
    (WHOLE, "    z = n > 8\n    return x", 4, "No `if` and no ternary has its test at this place"),
    (WHOLE, "    return x.view(2 if n > 8 else 1, -1)", 4, "`2` is no tensor"),
    (WHOLE, "    return (torch.relu if n > 8 else torch.tanh)(x)", 4, "chooses a function"),
    (WHOLE, "    return x if n > 8 and x.sum() > 0 else y", 4, "The test calls `x.sum`"),
    (WHOLE, "    return x if n > 8 and (k := n) else y", 4, "The test sets a name: `(k := n)`"),
    (WHOLE, "    return x if n > 8 and self.flag else y", 4, "`self.flag` in the test may be"),
    (WHOLE, "    return x if n > 8 and y is not None else x", 4, "is no comparison of numbers"),
    (WHOLE, "    return x if n > 8 and k == 'fast' else y", 4, "is no comparison of numbers"),
    (WHOLE, "    return x if n > 8 and x.shape == y.shape else y", 4, "compares whole shapes"),
    (WHOLE, "    return x if n > 8 and n in k else y", 4, "searches something whose items are not"),
    (WHOLE, "    return x if n > 8 and (n or k) > 3 else y", 4, "inside an expression of the test"),
    (WHOLE, "    if n > 8:\n        y = yield x\n    return y", 5, "The function f yields"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "code", "line", "reason"), REFUSALS, ids=[each[1][:40] for each in REFUSALS]
)
def test_refusal_says_why_and_where(frame: str, code: str, line: int, reason: str) -> None:
    made = cell(frame.format(code))
    result = rewrite_to_cond(made["f"], place(made["f"], "n > 8"))
    assert isinstance(result, Refusal), result.source
    assert reason in result.reason
    assert result.reason.endswith((".", "None.")) and "\n" not in result.reason
    assert result.location.line == line
    assert result.location.text in linecache.getlines(result.location.file)[line - 1]
    assert str(result).startswith(f"{result.location.file}:{line}: ")


def test_refusal_of_a_lambda() -> None:
    made = cell("f = lambda x: x * 2 if x.shape[0] > 8 else x")
    result = rewrite_to_cond(made["f"], place(made["f"], "x.shape[0] > 8"))
    assert isinstance(result, Refusal) and "stands in a lambda" in result.reason


def test_refusal_without_source() -> None:
    made: dict[str, Any] = {}
    exec("def f(x):\n    return x if x.shape[0] > 8 else -x", made)
    result = rewrite_to_cond(made["f"], SourceLocation("<string>", 2, column=16))
    assert isinstance(result, Refusal) and "The source of f is not available" in result.reason


def test_refusal_of_source_that_has_changed() -> None:
    made = cell("def f(x):\n    return x if x.shape[0] > 8 else -x")
    location = place(made["f"], "x.shape[0] > 8")
    text = "def f(x):\n    return x if x.shape[0] > 9 else -x\n"
    fill_line_cache(location.file, text)
    result = rewrite_to_cond(made["f"], location)
    assert isinstance(result, Refusal) and "has changed since it was imported" in result.reason


def test_refusal_when_the_column_is_not_known_and_two_tests_share_the_line() -> None:
    made = cell("def f(x):\n    return (x if len(x) > 8 else -x) + (x if len(x) < 3 else 0 * x)")
    result = rewrite_to_cond(made["f"], SourceLocation(place(made["f"], "len").file, 2))
    assert isinstance(result, Refusal) and "Several tests stand on this line" in result.reason


def test_place_of_a_line_is_enough_when_one_test_stands_there() -> None:
    line = place(early_return, "x.shape[0] == 4").line
    result = rewrite_to_cond(early_return, SourceLocation(early_return.__code__.co_filename, line))
    assert isinstance(result, Rewrite)

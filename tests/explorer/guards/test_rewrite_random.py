"""Random functions with branches on sizes: each rewrite does in Python what the function did."""

from __future__ import annotations

import ast
import linecache
import random
from types import FunctionType
from typing import Any

import pytest
import torch

from explorer.artifacts import SourceLocation
from explorer.guards.rewrite import Refusal, Rewrite, rewrite_to_cond
from tests.explorer.rewriting import cell

NAMES = "abcx"
TESTS = ["n > 3", "n == 4", "n % 2", "not n < 3", "2 < n <= 5", "n in (3, 5)", "len(x0) % 3 == 0"]
SIZES = range(1, 8)


def condition(source: random.Random) -> str:
    if source.random() < 0.1:
        return "flag"
    first, second = source.choice(TESTS), source.choice(TESTS)
    joined = f"{first} {source.choice(['and', 'or'])} {second}"
    return source.choice([first, first, joined, f"not ({joined})"])


def value(source: random.Random, depth: int = 0) -> str:
    kind = source.choice(range(7)) if depth < 3 else 0
    if kind < 2:
        return source.choice(NAMES)
    inner = value(source, depth + 1)
    if kind < 4:
        return f"({inner}) {source.choice('+-*')} {source.choice('123')}"
    if kind == 4:
        return f"({inner}).view(-1)"
    other = value(source, depth + 1)
    if kind == 5:
        return f"({inner} if {condition(source)} else {other})"
    return f"({inner}) - ({other})"


def block(source: random.Random, indentation: str, *, returns: bool) -> list[str]:
    lines = []
    inner = indentation + "    "
    for _ in range(source.randint(1, 3)):
        kind = source.random()
        if kind < 0.5 or len(indentation) > 12:
            comment = source.choice(["", "  # a comment"])
            lines.append(f"{indentation}{source.choice(NAMES)} = {value(source)}{comment}")
        elif kind < 0.6:
            names = source.choice(["a, b", "b, x", "c, a"])
            lines.append(f"{indentation}{names} = {value(source)}, {value(source)}")
        elif kind < 0.68:
            lines += [f"{indentation}for _ in range(2):", *block(source, inner, returns=False)]
        else:
            heads = [
                "if",
                *["elif"] * source.choice([0, 0, 1, 2]),
                *["else"] * source.choice([0, 1]),
            ]
            for head in heads:
                test = "" if head == "else" else f" {condition(source)}"
                body = block(source, inner, returns=source.random() < 0.3)
                lines += [f"{indentation}{head}{test}:", *body]
    return [*lines, f"{indentation}return {value(source)}"] if returns else lines


def random_function(seed: int) -> FunctionType:
    source = random.Random(seed)
    c = ["    c = a - b"] if source.random() < 0.7 else []
    head = [
        "def f(x, flag=True):",
        "    x0, n = x, x.shape[0]",
        "    a = x + 1",
        "    b = x * 2",
        *c,
    ]
    text = "\n".join([*head, *block(source, "    ", returns=True)])
    return cell(text + "\n")["f"]


def places(function: FunctionType) -> list[SourceLocation]:
    file = function.__code__.co_filename
    tree = ast.parse("".join(linecache.getlines(file)))
    tests = [each.test for each in ast.walk(tree) if isinstance(each, ast.If | ast.IfExp)]
    return [
        SourceLocation(
            file,
            test.lineno,
            column=test.col_offset,
            end_line=test.end_lineno,
            end_column=test.end_col_offset,
        )
        for test in tests
        if not isinstance(test, ast.Name)
    ]


def outcome(function: Any, n: int) -> Any:
    """The result, or None where a name has no value."""
    try:
        return function(torch.arange(n, dtype=torch.float64))
    except NameError:
        return None


@pytest.mark.parametrize("part", range(3))
def test_random_functions(part: int) -> None:
    rewritten = 0
    for seed in range(part * 8, part * 8 + 8):
        function = random_function(seed)
        expected = {n: outcome(function, n) for n in SIZES}
        for location in places(function):
            result = rewrite_to_cond(function, location)
            assert isinstance(result, Rewrite | Refusal)
            if isinstance(result, Refusal):
                continue
            rewritten += 1
            for n, wanted in expected.items():
                if wanted is not None:
                    message = f"seed {seed}, n = {n}\n{result.diff}"
                    assert torch.equal(result.function(torch.arange(n).double()), wanted), message
    assert rewritten > 10

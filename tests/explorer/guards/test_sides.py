"""Which side of a branch a capture keeps, against what the function does in eager."""

from __future__ import annotations

import textwrap

import pytest
import torch

from explorer.artifacts import SourceLocation
from explorer.guards.sides import sides_of
from tests.explorer.comparing import filled
from tests.explorer.guards.diagnosing import diagnosis_of_cell
from tests.explorer.rewriting import cell, place

BRANCHES = {
    "if/else": """
        if x.shape[0] == 4:
            return x * 2
        else:
            return x + 1
        """,
    "fall through": """
        if x.shape[0] == 4:
            return x * 2
        return x + 1
        """,
    "not": """
        if not x.shape[0] == 4:
            return x * 2
        return x + 1
        """,
    "ternary": "return x * 2 if x.shape[0] == 4 else x + 1",
    "not in a ternary": "return x * 2 if not x.shape[0] == 4 else x + 1",
    "and": """
        if x.shape[0] > 3 and x.shape[0] < 9:
            return x * 2
        return x + 1
        """,
    "or": """
        if x.shape[0] < 3 or x.shape[0] > 9:
            return x * 2
        return x + 1
        """,
    "and with a flag": """
        if flag and x.shape[0] == 4:
            return x * 2
        return x + 1
        """,
    "or with a flag": """
        if not flag or x.shape[0] > 9:
            return x * 2
        return x + 1
        """,
    "not around and": """
        if not (x.shape[0] > 4 and x.shape[0] < 9):
            return x * 2
        return x + 1
        """,
    "not inside and": """
        if not x.shape[0] == 4 and x.shape[0] < 20:
            return x * 2
        return x + 1
        """,
    "and inside or": """
        if x.shape[0] > 9 or (x.shape[0] > 4 and x.shape[0] % 2 == 0):
            return x * 2
        return x + 1
        """,
    "chained comparison": """
        if 2 < x.shape[0] < 9:
            return x * 2
        return x + 1
        """,
    "a name": """
        small = x.shape[0] < 4
        if small:
            return x * 2
        return x + 1
        """,
    "not a name": """
        small = x.shape[0] < 4
        if not small:
            return x * 2
        return x + 1
        """,
    "a name in a ternary": """
        small = x.shape[0] < 4
        return x * 2 if small else x + 1
        """,
    "a call": """
        if bool(x.shape[0] == 4):
            return x * 2
        return x + 1
        """,
}


@pytest.mark.parametrize("example", [6, 12, 3])
@pytest.mark.parametrize("body", BRANCHES.values(), ids=BRANCHES)
def test_the_frozen_side_is_the_one_that_eager_takes_for_the_example(
    body: str, example: int
) -> None:
    source = "def f(x, flag=True):\n" + textwrap.indent(textwrap.dedent(body), "    ").lstrip("\n")
    x = filled(example, 3)
    doubled = torch.equal(cell(source)["f"](x), x * 2)
    verb = "gives" if " else " in body else "returns"
    sides = (f"{verb} `x * 2`", f"{verb} `x + 1`")
    diagnosis = diagnosis_of_cell(source, example)
    assert diagnosis.findings
    for finding in diagnosis.findings:
        assert (finding.frozen, finding.other) == (sides if doubled else sides[::-1])


TWO_ON_A_LINE = """
def f(x):
    n = x.shape[0]
    return (x * 2 if n > 4 and n < 20 else x + 1) + (x * 3 if n > 8 and n < 30 else x + 5)
"""


def test_tests_on_one_line_are_told_apart() -> None:
    diagnosis = diagnosis_of_cell(TWO_ON_A_LINE)
    frozen = {v.guard.text: each.frozen for each in diagnosis.findings for v in each.violations}
    assert frozen == {
        "n > 4": "gives `x * 2`",
        "n < 20": "gives `x * 2`",
        "n <= 8": "gives `x + 5`",
    }


ELIF = """
def f(x):
    if x.shape[0] == 4:
        y = x * 2
    elif x.shape[0] > 20:
        raise ValueError("too many")
    elif x.shape[0] > 10:
        pass
    else:
        y = x * 3
        y = y + 1
    return y
"""


@pytest.mark.parametrize(
    ("test", "when_true", "when_false"),
    [
        (
            "x.shape[0] == 4",
            "does `y = x * 2`",
            "goes on with the test `x.shape[0] > 20` in line 4",
        ),
        (
            "x.shape[0] > 20",
            "raises `ValueError('too many')`",
            "goes on with the test `x.shape[0] > 10` in line 6",
        ),
        ("x.shape[0] > 10", "does nothing", "runs lines 9-10"),
    ],
)
def test_what_each_side_does_is_said_shortly(test: str, when_true: str, when_false: str) -> None:
    sides = sides_of(place(cell(ELIF)["f"], test))
    assert sides is not None
    assert (sides.of(True), sides.of(False)) == (when_true, when_false)


OTHERS = """
def f(x):
    if x.shape[0] == 4:
        x = x * 2
    if x.shape[0] == 5:
        y = x * 2
        return y
    if x.shape[0] == 6:
        for _ in range(3):
            x = x + 1
    if x.shape[0] == 7:
        return
    if x.shape[0] == 8: raise
    while x.shape[0] > 9:
        x = x[1:]
    return x.sum(0, keepdim=True) + x.mean(0, keepdim=True) + x.amax(0, keepdim=True) + x.amin(0)
"""


@pytest.mark.parametrize(
    ("test", "when_true", "when_false"),
    [
        ("x.shape[0] == 4", "does `x = x * 2`", "goes on behind the `if`"),
        ("x.shape[0] == 5", "does `y = x * 2` and returns `y`", None),
        ("x.shape[0] == 6", "runs lines 8-9", "goes on behind the `if`"),
        ("x.shape[0] == 7", "returns `None`", None),
        ("x.shape[0] == 8", "raises", None),
    ],
)
def test_a_side_of_several_lines_is_named_by_them(
    test: str, when_true: str, when_false: str | None
) -> None:
    sides = sides_of(place(cell(OTHERS)["f"], test))
    assert sides is not None
    assert sides.when_true == when_true
    assert when_false is None or sides.when_false == when_false


def test_a_loop_and_an_unknown_place_have_no_sides() -> None:
    assert sides_of(place(cell(OTHERS)["f"], "x.shape[0] > 9")) is None
    assert sides_of(SourceLocation("/no/such/file.py", 3, "f", "")) is None


def test_a_long_side_is_shortened() -> None:
    made = cell(
        "def f(x):\n    return x * 2 if x.shape[0] == 4 else " + " + ".join("x" * 60) + "\n"
    )
    sides = sides_of(place(made["f"], "x.shape[0] == 4"))
    assert sides is not None
    assert sides.when_false.endswith("...`")
    assert len(sides.when_false) < 80

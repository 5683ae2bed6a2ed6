"""Tests that a capture did not reach, found in the source."""

from __future__ import annotations

import pytest

from explorer.artifacts import RecordedAs, SiteKind
from explorer.guards.places import source_between
from explorer.guards.whole_tests import place_of_test
from tests.explorer.guards.diagnosing import compilation_of_cell

BEHIND_AN_IF = """
def f(x):
    n = x.shape[0]
    if n > 20:
        while n > 30:
            n = n // 2
        return x * 2 if n % 16 == 0 else x * 3
    return x * 5 if n == 4 else x
"""

BEHIND_NOT = """
def f(x):
    n = x.shape[0]
    if not n > 20:
        return x if n == 4 else x * 5
    return x * 2 if n % 16 == 0 else x * 3
"""

OPERANDS = """
def f(x):
    n = x.shape[0]
    if n > 20 and n % 2 == 0 and n < 30:
        return x * 2 if n > 25 else x * 3
    return x
"""

NESTED_OPERANDS = """
def f(x):
    n = x.shape[0]
    if (n > 20 and n % 2 == 0) or n == 7:
        return x * 2
    return x
"""

NOT_AN_OPERAND = """
def f(x):
    n = x.shape[0]
    if not n > 3 and n % 2 == 0:
        return x * 2
    return x
"""


@pytest.mark.parametrize(
    ("source", "example", "missed"),
    [
        (BEHIND_AN_IF, 6, {"n > 30": "n > 20", "n % 16 == 0": "n > 20"}),
        (BEHIND_AN_IF, 25, {"n == 4": "n > 20"}),
        (BEHIND_NOT, 6, {"n % 16 == 0": "n > 20"}),
        (BEHIND_NOT, 25, {"n == 4": "n > 20"}),
        (OPERANDS, 6, {"n % 2 == 0": "n > 20", "n < 30": "n > 20", "n > 25": "n > 20"}),
        (OPERANDS, 21, {"n < 30": "n % 2 == 0", "n > 25": "n % 2 == 0"}),
        (OPERANDS, 32, {"n > 25": "n < 30"}),
        (OPERANDS, 22, {}),
        (NESTED_OPERANDS, 6, {"n % 2 == 0": "n > 20"}),
        (NESTED_OPERANDS, 22, {"n == 7": "n % 2 == 0"}),
        (NOT_AN_OPERAND, 6, {"n % 2 == 0": "n > 3"}),
        (NOT_AN_OPERAND, 3, {}),
    ],
)
def test_tests_on_the_side_not_taken_stand_behind_the_one_that_decided(
    source: str, example: int, missed: dict[str, str]
) -> None:
    sites = compilation_of_cell(source, example).captured.branch_sites
    found = {
        source_between(site.location): source_between(site.behind)
        for site in sites
        if site.recorded_as is RecordedAs.NOT_REACHED and site.behind
    }
    assert found == missed
    assert all(not site.answers for site in sites if site.recorded_as is RecordedAs.NOT_REACHED)


IN_A_TERNARY = """
def f(x):
    n = x.shape[0]
    small = n < 4
    y = x * 2 if small else x * 3
    return y + 1 if n > 20 else y
"""


def test_a_name_alone_as_the_test_of_a_ternary() -> None:
    site = compilation_of_cell(IN_A_TERNARY).captured.branch_sites[0]
    assert site.kind is SiteKind.TERNARY
    assert source_between(place_of_test(site.location)) == "small"


NAMED = """
def f(x):
    few = x.shape[0] < 4
    if not few:
        return x * 2
    return x
"""


def test_the_test_is_shown_where_python_knows_the_statement_only() -> None:
    source = (
        "def f(x):\n    few = x.shape[0] < 4\n    if not few:\n        return x * 2\n    return x\n"
    )
    site = compilation_of_cell(source).captured.branch_sites[0]
    assert source_between(site.location).startswith("if not few")
    assert source_between(place_of_test(site.location)) == "few"


LETTERS = """
def f(x):
    ä = 'größer'; n = x.shape[0]
    return x * 2 if (ä, n > 9)[1] else x
"""


def test_columns_are_right_behind_letters_of_several_bytes() -> None:
    source = (
        "def f(x):\n    ä = 'größer'; n = x.shape[0]\n    return x * 2 if (ä, n > 9)[1] else x\n"
    )
    (site,) = compilation_of_cell(source).captured.branch_sites
    assert source_between(place_of_test(site.location)) == "(ä, n > 9)[1]"

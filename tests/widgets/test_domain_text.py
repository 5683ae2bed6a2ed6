from __future__ import annotations

import pytest

from explorer import ConfigError, SizeRange
from widgets.domain_text import parse_domain, sizes_of


@pytest.mark.parametrize(
    ("text", "names", "domain"),
    [
        ("", ["n"], None),
        ("  ", ["n"], None),
        ("1-64", ["n"], {"n": SizeRange(1, 64)}),
        (" 1 – 64 ", ["n"], {"n": SizeRange(1, 64)}),
        ("1..64", ["n"], {"n": SizeRange(1, 64)}),
        ("7", ["n"], {"n": SizeRange(7, 7)}),
        ("n=0-9", ["n"], {"n": SizeRange(0, 9)}),
        ("n = 1-64, k=5", ["n", "k"], {"n": SizeRange(1, 64), "k": SizeRange(5, 5)}),
        ("größe=1-2", ["größe"], {"größe": SizeRange(1, 2)}),
    ],
)
def test_domains(text: str, names: list[str], domain: dict[str, SizeRange] | None) -> None:
    assert parse_domain(text, names) == domain


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        ("a lot", ["n"], "'a lot' is no range of sizes: write n=1-64"),
        ("1-64", ["n", "k"], "A name is missing before 1-64: the names are n, k"),
        ("m=1-4", ["n"], "There is no size named m; the names are n"),
        ("n=4-1", ["n"], "n=4-1 is empty: write the smaller size first"),
        ("n=1-4, n=5-6", ["n"], "n is given twice"),
        ("1-64", [], "the names are none: nothing varies"),
        ("n=1-4,", ["n"], "'' is no range of sizes"),
        ("n=-1-4", ["n"], "is no range of sizes"),
        ("n=1-9999999999", ["n"], "is no range of sizes"),
        ("__import__('os').abort()", ["n"], "is no range of sizes"),
        ("٣-٤", ["n"], "is no range of sizes"),
        ("1" * 20_000, ["n"], "more than 10,000"),
    ],
)
def test_what_cannot_be_read_is_quoted(text: str, names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(")", r"\)")):
        parse_domain(text, names)


def test_sizes_of_an_intent_are_whole_numbers() -> None:
    assert sizes_of({"n": 4}) == {"n": 4}


@pytest.mark.parametrize("given", [None, 4, "n", ["n", 4], {"n": "4"}, {"n": 4.5}, {"n": True}])
def test_other_sizes_are_refused(given: object) -> None:
    with pytest.raises(ConfigError, match=r"whole number|names with numbers"):
        sizes_of(given)

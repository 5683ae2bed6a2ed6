"""Texts of sizes are read, or quoted in one sentence that says what to write."""

from __future__ import annotations

import re

import pytest

from explorer import ConfigError
from widgets.settings_text import (
    LONGEST_TEXT,
    named_dims,
    numbers_text,
    parse_compile_sizes,
    parse_endpoints,
    parse_max_size,
    parse_sizes,
)

ENDPOINTS = {
    "": (),
    " , ,": (),
    "8": (8,),
    "8, 64": (8, 64),
    "8 64": (8, 64),
    "64,8,\n8": (64, 8, 8),
}

NO_NUMBERS = {
    "1-8": "'1-8' is no size: write the last size of each range, as in 8, 64.",
    "8, -1": "'-1' is no size",
    "8.5": "'8.5' is no size",
    "1e3": "'1e3' is no size",
    "8_000": "'8_000' is no size",
    "٣": "'٣' is no size",
    "12345678901": "'12345678901' is no size",
    "__import__('os')": "is no size",
    "\u202e8": "'8' is no size",
    "9" * (LONGEST_TEXT + 1): "more than 10,000: shorten it",
}


@pytest.mark.parametrize(("text", "expected"), ENDPOINTS.items(), ids=map(repr, ENDPOINTS))
def test_endpoints_are_read(text: str, expected: tuple[int, ...]) -> None:
    assert parse_endpoints(text) == expected
    assert parse_endpoints(numbers_text(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"), NO_NUMBERS.items(), ids=[ascii(text[:40]) for text in NO_NUMBERS]
)
def test_what_is_no_size_is_quoted_in_one_sentence(text: str, message: str) -> None:
    for parse in (parse_endpoints, parse_compile_sizes, parse_max_size):
        with pytest.raises(ConfigError, match=re.escape(message.partition(":")[0])) as caught:
            parse(text if parse is not parse_max_size else text.rpartition(" ")[2])
        assert len(str(caught.value)) < 200


def test_exact_sizes_may_hold_the_word_for_the_capture_sizes() -> None:
    read = parse_compile_sizes("16 64, cudagraph_capture_sizes")
    assert read == (16, 64, "cudagraph_capture_sizes")
    assert parse_compile_sizes(numbers_text(read)) == read
    with pytest.raises(ConfigError, match="'cudagraph_sizes' is no size"):
        parse_compile_sizes("16 cudagraph_sizes")


@pytest.mark.parametrize(("text", "count"), [("", 0), ("8 9", 2)])
def test_the_largest_size_is_one_number(text: str, count: int) -> None:
    assert parse_max_size(" 8192 ") == 8192
    with pytest.raises(ConfigError, match=f"max holds {count} sizes"):
        parse_max_size(text)


def test_sizes_to_measure_are_read() -> None:
    assert parse_sizes(" 1 16,64 ") == (1, 16, 64)
    with pytest.raises(ConfigError, match="'two' is no size: write sizes, as in 1 16 64"):
        parse_sizes("1 two")


def test_dims_have_the_names_of_what_was_given() -> None:
    class Dim:
        __name__ = "rows"

    assert named_dims({0: Dim(), 1: "n", 2: None}) == {0: "rows", 1: "n", 2: None}
    assert named_dims(0) == {0: None}
    assert named_dims([0, 2]) == {0: None, 2: None}

from __future__ import annotations

import re

import pytest

from explorer import ConfigError
from widgets.settings_text import (
    LONGEST_TEXT,
    dims_text,
    numbers_text,
    parse_compile_sizes,
    parse_dims,
    parse_endpoints,
    parse_max_size,
    parse_splitting_ops,
    splitting_ops_text,
)

READABLE = {
    "": None,
    "   ": None,
    "none": {},
    "x[0]": {"x": {0: None}},
    "x[0]=n": {"x": {0: "n"}},
    "x[-1]=n": {"x": {-1: "n"}},
    "x[0]=n,": {"x": {0: "n"}},
    "input_ids[0]=n, positions[0]=n": {"input_ids": {0: "n"}, "positions": {0: "n"}},
    " x [ 0 ] = n\n, x[1]=m ": {"x": {0: "n", 1: "m"}},
    "batch['ids'][0]=n": {"batch['ids']": {0: "n"}},
    'batch["ids"][0]=n': {'batch["ids"]': {0: "n"}},
    "batch['a, b[0]=c'][1]": {"batch['a, b[0]=c']": {1: None}},
    "pair[0][1]=n": {"pair[0]": {1: "n"}},
    "record.field[0]=n": {"record.field": {0: "n"}},
    "record.pair[1].left[2]": {"record.pair[1].left": {2: None}},
    "größe[0]=länge": {"größe": {0: "länge"}},
    "none[0]=n": {"none": {0: "n"}},
}

UNREADABLE = {
    "x": "x is given without a dim: write x[0] or x[0]=n.",
    "x=n": "x is given without a dim",
    "batch['ids']=n": "batch['ids'] is given without a dim: write batch['ids'][0]",
    "x.": "x is given without a dim",
    "x[0": "At '[0' a bracket is not closed",
    "x[n]": "At '[n]' a bracket is not closed, or holds neither a number nor a quoted key",
    "x[0=n, y[0]=n": "At '[0=n, y[0]=n' a bracket is not closed",
    "x[1.5]": "a bracket is not closed, or holds neither",
    "x[12345678]": "a bracket is not closed, or holds neither",
    "x[0]=": "After x[0]= the name of a size is missing: write x[0]=n.",
    "x[0]=3": "After x[0]= the name of a size is missing",
    "x[0]=n y[0]=n": "At 'y[0]=n' a comma is missing.",
    "x[0]=n+1": "At '+1' a comma is missing.",
    "x[0]=n; y[0]": "At '; y[0]' a comma is missing.",
    ",x[0]": "At ',x[0]' the name of an input is missing",
    "x[0],,y[0]": "At ',y[0]' the name of an input is missing",
    "[0]=n": "At '[0]=n' the name of an input is missing",
    "0x[0]": "the name of an input is missing",
    "x[0]=n, x[0]=m": "x[0] is given twice",
    "__import__('os').system('true')": "__import__ is given without a dim",
    "<script>alert(1)</script>": "the name of an input is missing",
    "x" * (LONGEST_TEXT + 1): "more than 10,000: shorten it",
}


@pytest.mark.parametrize(("text", "expected"), READABLE.items(), ids=map(repr, READABLE))
def test_dims_are_read(text: str, expected: object) -> None:
    assert parse_dims(text) == expected


@pytest.mark.parametrize(
    ("text", "message"), UNREADABLE.items(), ids=[repr(text[:40]) for text in UNREADABLE]
)
def test_what_cannot_be_read_is_quoted_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse_dims(text)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        (None, ""),
        ({}, "none"),
        ({"x": 0}, "x[0]"),
        ({"x": [0, 1]}, "x[0], x[1]"),
        ({"x": {0: "n"}, "batch['ids']": {-1: None}}, "x[0]=n, batch['ids'][-1]"),
    ],
    ids=str,
)
def test_dims_become_a_text_that_says_the_same(dims: object, text: str) -> None:
    assert dims_text(dims) == text  # pyright: ignore[reportArgumentType]
    again = parse_dims(text)
    assert dims_text(again) == text


def test_a_dim_object_gives_its_name() -> None:
    from torch.export import Dim

    assert dims_text({"x": {0: Dim("tokens")}}) == "x[0]=tokens"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ,", ()),
        ("demo::attention", ("demo::attention",)),
        ("F.silu, module:layers.*.mlp ,F.silu", ("F.silu", "module:layers.*.mlp")),
        ("a::b\nc::d.default", ("a::b", "c::d.default")),
    ],
    ids=repr,
)
def test_splitting_ops_are_read(text: str, names: tuple[str, ...]) -> None:
    assert parse_splitting_ops(text) == names
    assert parse_splitting_ops(splitting_ops_text(names)) == names


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

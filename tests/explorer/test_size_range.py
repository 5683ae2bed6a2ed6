"""Ranges are closed at both ends, and the table tiles 1..max_size without gaps."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.errors import ConfigError
from explorer.size_range import RangeTable, SizeRange, build_range_table, interval_text


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        pytest.param(8, 4, r"SizeRange\(8, 4\) is empty", id="inverted"),
        pytest.param(-1, 4, r"SizeRange\(-1, 4\) is empty", id="negative"),
        pytest.param(1.0, 4, r"SizeRange\.start must be an int, not 1\.0", id="float"),
        pytest.param(1, 4.5, r"SizeRange\.end must be an int, not 4\.5", id="float end"),
        pytest.param(True, 4, r"SizeRange\.start must be an int, not True", id="bool"),
        pytest.param(1, None, r"SizeRange\.end must be an int, not None", id="None"),
        pytest.param("1", 4, r"SizeRange\.start must be an int, not '1'", id="text"),
    ],
)
def test_range_without_a_size_is_refused(start: Any, end: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SizeRange(start, end)


@pytest.mark.parametrize(
    ("size", "inside"),
    [(8, False), (9, True), (20, True), (32, True), (33, False), (9.0, False), ("9", False)],
)
def test_both_ends_belong_to_a_range(size: Any, inside: bool) -> None:
    assert (size in SizeRange(9, 32)) is inside


def test_bool_is_no_size() -> None:
    assert True not in SizeRange(0, 4)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        pytest.param((1, 8), (9, 16), None, id="neighbours"),
        pytest.param((1, 8), (8, 16), (8, 8), id="one size"),
        pytest.param((1, 100), (20, 30), (20, 30), id="inside"),
        pytest.param((5, 5), (5, 5), (5, 5), id="the same"),
    ],
)
def test_intersection(first: Any, second: Any, both: Any) -> None:
    expected = None if both is None else SizeRange(*both)
    assert SizeRange(*first).intersection(SizeRange(*second)) == expected
    assert SizeRange(*second).intersection(SizeRange(*first)) == expected


def test_range_as_text() -> None:
    assert str(SizeRange(9, 32)) == "9–32"
    assert str(SizeRange(16, 16)) == "16"
    assert SizeRange(16, 16).is_single_size
    assert interval_text([SizeRange(2, 3), SizeRange(5, 5)]) == "2–3, 5"
    assert interval_text([]) == "none"


TABLES = [
    pytest.param((), 8192, [(1, 8192)], [], id="no endpoint"),
    pytest.param((8, 32), 8192, [(1, 8), (9, 32), (33, 8192)], [], id="two endpoints"),
    pytest.param((32, 8), 64, [(1, 8), (9, 32), (33, 64)], ["endpoints sorted"], id="unsorted"),
    pytest.param((8, 8), 64, [(1, 8), (9, 64)], ["duplicate endpoints dropped"], id="duplicate"),
    pytest.param((63,), 64, [(1, 63), (64, 64)], [], id="last range of one size"),
    pytest.param((2, 3, 4), 5, [(1, 2), (3, 3), (4, 4), (5, 5)], [], id="ranges of one size"),
    pytest.param((), 1, [(1, 1)], [], id="one size in all"),
    pytest.param(
        (0, 1),
        64,
        [(1, 64)],
        [
            "endpoint 0 dropped: the first range starts at 1",
            "endpoint 1 dropped: the first range starts at 1",
        ],
        id="endpoints before the first range",
    ),
    pytest.param(
        (64, 100),
        64,
        [(1, 64)],
        [
            "endpoint 64 dropped: the last range ends at max_size=64",
            "endpoint 100 dropped: the last range ends at max_size=64",
        ],
        id="endpoints at and beyond max_size",
    ),
    pytest.param(
        (100, 8, 8, 1),
        64,
        [(1, 8), (9, 64)],
        [
            "endpoint 100 dropped: the last range ends at max_size=64",
            "endpoint 1 dropped: the first range starts at 1",
            "duplicate endpoints dropped",
            "endpoints sorted",
        ],
        id="everything at once",
    ),
]


@pytest.mark.parametrize(("endpoints", "max_size", "ranges", "notes"), TABLES)
def test_table_and_what_it_says(endpoints: Any, max_size: int, ranges: Any, notes: Any) -> None:
    table = build_range_table(endpoints, (), max_size)
    assert table.ranges == tuple(SizeRange(*pair) for pair in ranges)
    assert list(table.notes) == notes


@pytest.mark.parametrize(("endpoints", "max_size", "ranges", "notes"), TABLES)
def test_table_tiles_all_sizes(endpoints: Any, max_size: int, ranges: Any, notes: Any) -> None:
    table = build_range_table(endpoints, (), max_size)
    holders = [sum(size in each for each in table.ranges) for size in range(1, max_size + 1)]
    assert holders == [1] * max_size
    assert not any(0 in each or max_size + 1 in each for each in table.ranges)


def test_exact_sizes_are_sorted_and_unique() -> None:
    table = build_range_table((8,), (16, 4, 16, 1), 64)
    assert table.exact_sizes == (1, 4, 16)
    assert table.notes == ("duplicate compile sizes dropped", "compile sizes sorted")
    assert table.all() == (
        SizeRange(1, 8),
        SizeRange(9, 64),
        SizeRange(1, 1),
        SizeRange(4, 4),
        SizeRange(16, 16),
    )


@pytest.mark.parametrize("size", [0, -1, 65])
def test_exact_size_outside_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=rf"compile_sizes holds {size}, which is not in 1\.\."):
        build_range_table((), (size,), 64)


def test_ranges_have_an_order() -> None:
    shuffled = [SizeRange(9, 32), SizeRange(1, 8), SizeRange(9, 9)]
    assert sorted(shuffled) == [SizeRange(1, 8), SizeRange(9, 9), SizeRange(9, 32)]
    assert isinstance(build_range_table((), (), 4), RangeTable)

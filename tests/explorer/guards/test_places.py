"""Places in the user's source, with columns that count characters."""

from __future__ import annotations

import traceback

import pytest
import torch

import explorer
from explorer.artifacts import SourceLocation
from explorer.guards.places import (
    bytes_before,
    is_user_file,
    located,
    place_of_position,
    source_between,
    user_frames,
    user_place,
)
from explorer.torch_private.recorder import Position
from tests.explorer.rewriting import fill_line_cache

SOURCE = "größe = 1\nif größe > 4 and (größe\n        < 9): pass\n"


@pytest.fixture
def file() -> str:
    fill_line_cache("<places>", SOURCE)
    return "<places>"


def test_files_of_torch_and_of_this_package_are_not_the_users() -> None:
    assert is_user_file(__file__)
    assert not is_user_file(str(torch.__file__))
    assert not is_user_file(str(explorer.__file__))


def test_columns_count_characters(file: str) -> None:
    line = SOURCE.splitlines()[1]
    start = len(line.partition("größe > 4")[0].encode())
    end = start + len("größe > 4".encode())
    place = located(file, "f", (2, start, 2, end))
    assert (place.column, place.end_column) == (3, 12)
    assert source_between(place) == "größe > 4"
    assert bytes_before(file, 2, 12) == end


def test_a_test_over_two_lines_is_joined(file: str) -> None:
    start = len(SOURCE.splitlines()[1].partition("(")[0].encode()) + 1
    place = located(file, "f", (2, start, 3, 11))
    assert source_between(place) == "größe < 9"


def test_without_columns_the_line_is_the_source(file: str) -> None:
    place = located(file, "f", (1, None, None, None))
    assert place.column is None
    assert source_between(place) == "größe = 1"


def test_a_position_in_torch_is_no_place(file: str) -> None:
    theirs = Position(str(torch.__file__), 1, 0, 1, 4, "f")
    assert place_of_position(theirs) is None
    mine = place_of_position(Position(file, 1, 0, 1, 7, "f"))
    assert mine is not None
    assert source_between(mine) == "größe"
    assert place_of_position(None) is None


def test_the_innermost_frame_of_the_user() -> None:
    summary = traceback.StackSummary.from_list(
        [(__file__, 1, "outer", "a"), (__file__, 2, "inner", "b"), (torch.__file__, 3, "t", "c")]
    )
    assert [each.line for each in user_frames(summary)] == [1, 2]
    place = user_place(summary)
    assert place is not None
    assert (place.line, place.function) == (2, "inner")
    assert user_place(None) is None
    assert isinstance(place, SourceLocation)

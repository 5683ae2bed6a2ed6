"""Blocks as data, as text and as HTML: all three say the same, whatever the texts are."""

from __future__ import annotations

import html
import json
import math
from itertools import count, pairwise

import pytest

from explorer.report.blocks import (
    LONGEST_TEXT,
    MOST_LINES,
    MOST_ROWS,
    Action,
    Block,
    Cell,
    Choice,
    Choices,
    Code,
    Column,
    Facts,
    Heading,
    Notice,
    Row,
    Sentence,
    Sentences,
    Table,
    texts,
    views_of,
)
from explorer.report.blocks_html import blocks_html
from explorer.report.blocks_text import blocks_text
from explorer.report.drawn_blocks import (
    AlignedStrips,
    Bar,
    Bars,
    Lines,
    PairedLine,
    Point,
    Series,
    SideBySide,
    StripCell,
    size_axis,
    value_axis,
)
from tests.explorer.report.block_facts import assert_same_facts


def sample_blocks(text: str, *, numbered: bool = False) -> tuple[Block, ...]:
    """Every kind of block; one text in each place that has one, or a different one in each."""
    numbers = count(1000)

    def say() -> str:
        return f"{text}{next(numbers)}" if numbered else text

    cells = (Cell(say(), 1.0, detail=say(), mark="same"), Cell(say(), colour=1), Cell(say(), 2.0))
    rows = (Row(cells, ("unique", text[:50])), Row(cells, ("line", (text[:50], 3))))
    columns = (Column(say()), Column(say(), "letter"), Column(say(), "bar"))
    points = (Point(1, 5.0, 4.0, 6.0, f"{say()} 1"), Point(64, 900.0, 900.0, 990.0, f"{say()} 64"))
    strip = ((StripCell(say(), 1, text), None), (None, StripCell("▨", None, text)))
    lines = (
        PairedLine("same", ((say(), False),), ((say(), False),)),
        PairedLine("changed", ((say(), True),), (("a ", False), (say(), True))),
        PairedLine("left", ((say(), False),), None),
        PairedLine("right", None, ((say(), False),)),
    )
    return (
        Heading(say()),
        Sentence(say()),
        Sentence(say(), quiet=True),
        Sentences((say(), say())),
        Facts(((say(), say()), ("left out", ""))),
        Notice("warning", say()),
        Code(f"{say()}\n  {say()}", say(), folded=True, is_diff=True),
        Table(say(), columns, rows),
        Table(say(), columns, (), say()),
        Choices((Choice("choose", say(), ((0, say()), (1, "other")), 0),)),
        Action("act", say(), False, say(), say(), say()),
        Bars(say(), (Bar(say(), 2.0, say(), None, ("piece", 1)), Bar(say(), 1.0, say()))),
        Lines(say(), say(), say(), (Series(say(), points), Series("drawn nowhere", ()))),
        SideBySide(say(), say(), lines),
        AlignedStrips((say(), say()), strip),
    )


HOSTILE = [
    "x\"><img src=q onerror=alert(1)>'",
    "</code></pre></style><script>alert(1)</script>",
    "a\nb\tc\rd\x00\x1b[31me",
    "\u202eabc\u2066def",
    "{{7*7}} ${x} $\\frac{1}{2}$ &amp; <b>",
    "ü▨漢" * 5,
]


def test_all_forms_say_the_same() -> None:
    assert_same_facts(sample_blocks("some words"))
    for block in sample_blocks("text", numbered=True):  # so that no other place says it
        assert_same_facts((block,))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert_in_all_forms(text: str) -> None:
    blocks = sample_blocks(text)
    assert_same_facts(blocks)
    assert "\x1b" not in blocks_text(blocks)
    assert "\u202e" not in blocks_text(blocks)
    assert "<script" not in blocks_html(blocks)
    assert "<img" not in blocks_html(blocks)


def test_a_text_of_a_megabyte_is_shortened_everywhere() -> None:
    blocks = sample_blocks("x" * 1_000_000)
    assert len(json.dumps(views_of(blocks))) < 200_000
    assert len(blocks_text(blocks)) < 200_000
    assert len(blocks_html(blocks)) < 200_000
    cell = Cell("y" * 5_000).view()
    assert cell["text"] == "y" * (LONGEST_TEXT - 1) + "…"
    assert cell["hint"].startswith("y" * 1_000)
    assert "hint" not in Cell("short").view()


def test_long_code_and_long_tables_say_what_was_left_out() -> None:
    code = Code("\n".join(map(str, range(MOST_LINES + 5)))).view()["source"]
    assert code.endswith("\n… 5 more lines")
    table = Table("t", (Column("n"),), tuple(Row(texts([n])) for n in range(MOST_ROWS + 7)))
    assert len(table.view()["rows"]) == MOST_ROWS
    assert table.view()["more"] == "and 7 more rows"
    assert "and 7 more rows" in blocks_text((table,))
    assert "and 7 more rows" in blocks_html((table,))


def test_columns_without_any_text_are_left_out() -> None:
    rows = (Row((Cell("a"), Cell(""), Cell("c"))), Row((Cell(""), Cell(""), Cell("d"))))
    view = Table("t", (Column("one"), Column("two"), Column("three")), rows).view()
    assert [each["head"] for each in view["columns"]] == ["one", "three"]
    assert [[cell.get("text") for cell in row["cells"]] for row in view["rows"]] == [
        ["a", "c"],
        [None, "d"],
    ]


def test_targets_are_json_and_keep_their_kind_of_key() -> None:
    table = sample_blocks("t")[7].view()
    assert [row["target"] for row in table["rows"]] == [
        {"kind": "unique", "key": "t"},
        {"kind": "line", "key": ["t", 3]},
    ]
    assert Cell("a", target=("piece", 0)).view()["target"] == {"kind": "piece", "key": 0}


def test_zero_is_a_value() -> None:
    assert Cell("0 ms", 0.0, colour=0).view() == {"text": "0 ms", "value": 0.0, "colour": 0}


def test_two_columns_of_one_name_stay_two_in_text() -> None:
    table = Table("t", (Column("same"), Column("same")), (Row(texts(["left", "right"])),))
    assert "left" in blocks_text((table,))
    assert "right" in blocks_text((table,))


# ---------------------------------------------------------------------------------------- the plots


@pytest.mark.parametrize(
    ("sizes", "is_log"), [([4, 16, 32], False), ([4, 33], True), ([7], False), ([], False)]
)
def test_sizes_that_span_much_lie_on_a_logarithmic_axis(sizes: list[float], is_log: bool) -> None:
    axis = size_axis(sizes)
    assert axis.is_log is is_log
    places = [axis.place(size) for size in sizes]
    assert places == sorted(places)
    assert all(0 < place < 1 for place in places)


def test_equal_ratios_are_equally_long_on_a_logarithmic_axis() -> None:
    axis = size_axis([1, 16, 256])
    first, second, third = (axis.place(size) for size in (1, 16, 256))
    assert second - first == pytest.approx(third - second, abs=1e-3)


def test_crowded_sizes_share_ticks() -> None:
    axis = size_axis(list(range(1, 2000)))
    assert len(axis.ticks) < 20
    places = [axis.place(tick) for tick in axis.ticks]
    assert min(b - a for a, b in pairwise(places)) >= 0.06


@pytest.mark.parametrize(
    "values", [[5.0], [0.0, 3.0], [1.0, 7.9], [2.0, 90.0], [0.3, 41_000.0], [0.0], [], [math.inf]]
)
def test_values_lie_between_round_ticks(values: list[float]) -> None:
    axis = value_axis(values)
    assert 2 <= len(axis.ticks) <= 9
    assert list(axis.ticks) == sorted(axis.ticks)
    for value in values:
        assert 0 <= axis.place(value) <= 1
    positive = [value for value in values if 0 < value < math.inf]
    assert axis.is_log == (bool(positive) and max(positive) > 8 * min(positive))


def test_points_of_a_plot_are_sorted_and_carry_their_words() -> None:
    points = (Point(64, 1.0, 1.0, 1.0, "n = 64"), Point(2, 2.0, 2.0, 2.0, "n = 2"))
    view = Lines("t", "size n", "µs", (Series("eager", points), Series("none", ()))).view()
    assert [each["name"] for each in view["series"]] == ["eager"]
    assert [each["text"] for each in view["series"][0]["points"]] == ["n = 2", "n = 64"]
    assert view["x_label"] == "size n, logarithmic"


def test_a_drawn_plot_has_a_title_for_each_point() -> None:
    lines = next(each for each in sample_blocks("µs") if isinstance(each, Lines))
    drawn = blocks_html((lines,))
    assert drawn.count("<title>") >= 2
    assert html.escape("µs: µs 64") in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")

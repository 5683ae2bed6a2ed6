"""The view of two compilations: both named, aligned, and beside each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from explorer.compilation import Compilation
from explorer.diff import CompilationDiff, compare
from explorer.report.blocks_text import blocks_text
from explorer.report.diff_view import (
    FIRST,
    SECOND,
    aligned,
    diff_html,
    diff_text,
    diff_view,
)
from sample_models import toy_llama
from tests.explorer.report.block_facts import assert_same_facts, column, of_kind
from tests.explorer.report.test_html import every_text_hostile
from tests.widgets.markup_reading import Read

NAMES = ("#0", "#1")
NOTHING = CompilationDiff({}, (), {}, ((), ()), {})


@pytest.fixture(scope="module")
def two(compile_target: Callable[..., Compilation]) -> tuple[Compilation, Compilation]:
    """The same model, cut at attention, and also at an activation."""
    target = toy_llama.sample(layers=3, hidden=32)
    finer = ("F.silu", "demo::attention")
    return compile_target(target), compile_target(target, splitting_ops=finer)


def test_both_sides_are_named_with_what_differs_in_their_settings(
    two: tuple[Compilation, Compilation],
) -> None:
    view = diff_view(*two, compare(*two), NAMES)
    settings = of_kind(view, "table")[0]
    assert [each["head"] for each in settings["columns"]] == ["setting", "#0", "#1"]
    assert column(settings, "setting") == ["splitting_ops"]
    assert column(settings, "#1") == ["('F.silu', 'demo::attention')"]
    assert "#0: 7 pieces, 4 compiled (3 unique), 3 splitting" in blocks_text(view)
    assert_same_facts(view)


def test_equal_pieces_stand_above_each_other(two: tuple[Compilation, Compilation]) -> None:
    pairs = aligned(*two)
    assert [a.index for a, _ in pairs if a] == list(range(7))
    assert [b.index for _, b in pairs if b] == list(range(13))
    together = [(a.index, b.index) for a, b in pairs if a and b]
    assert together == [(0, 0), (1, 1), (3, 5), (5, 9)]  # the first piece, and each attention
    for a, b in pairs:
        if a and b:
            assert a.kind is b.kind
            assert a.node_count == b.node_count
    (strips,) = of_kind(diff_view(*two, compare(*two), NAMES), "strips")
    assert strips["pairs"][0]["is_equal"]
    assert strips["pairs"][0]["first"]["label"] == "A"
    assert sum(pair["is_equal"] for pair in strips["pairs"]) == sum(
        a is not None and b is not None for a, b in pairs
    )


def test_equal_pieces_have_one_colour_and_others_another(
    two: tuple[Compilation, Compilation],
) -> None:
    (strips,) = of_kind(diff_view(*two, compare(*two), NAMES), "strips")
    first = {p["first"]["colour"] for p in strips["pairs"] if p["first"]}
    second = {p["second"]["colour"] for p in strips["pairs"] if p["second"]}
    assert first & second == {0, None}  # A is in both; B and C mean something else on each side
    for pair in strips["pairs"]:
        if pair["is_equal"]:
            assert pair["first"]["colour"] == pair["second"]["colour"]


def test_no_counterpart_is_said_in_words(two: tuple[Compilation, Compilation]) -> None:
    text = blocks_text(diff_view(*two, compare(*two), NAMES))
    assert "3 pieces of #0 have no counterpart in #1: 2, 4, 6." in text
    same = blocks_text(diff_view(two[0], two[0], compare(two[0], two[0]), NAMES))
    assert "Each piece has a counterpart on the other side" in same
    assert "Nothing differs." in same


def test_a_piece_of_each_side_can_be_chosen(two: tuple[Compilation, Compilation]) -> None:
    view = diff_view(*two, compare(*two), NAMES, ("A", "A"))
    (choices,) = of_kind(view, "choices")
    assert [each["name"] for each in choices["choices"]] == [FIRST, SECOND]
    assert [each["value"] for each in choices["choices"]] == ["A", "A"]
    assert "A of #0 and A of #1 are the same." in blocks_text(view)
    (beside,) = of_kind(view, "side_by_side")
    assert {line["mark"] for line in beside["lines"]} == {"same"}
    other = diff_view(*two, compare(*two), NAMES, ("nothing", "A"))
    assert of_kind(other, "choices")[0]["choices"][0]["value"] == "B"  # has no counterpart
    assert "They are not the same" in blocks_text(other)


def test_conditions_that_came_and_went_are_listed() -> None:
    diff = CompilationDiff({}, (), {"B 1–8": (None, "store")}, (("n >= 2",), ("n != 4",)), {})
    text = diff_text(diff)
    assert "n >= 2" in text
    tables = diff_html(diff)
    assert "gone" in tables
    assert "new" in tables
    assert "absent" in tables
    assert "n != 4" in Read(tables).text


def test_a_difference_shows_itself_with_both_sides(two: tuple[Compilation, Compilation]) -> None:
    diff = compare(*two)
    page = Read(diff._repr_html_())
    page.assert_passive()
    assert "before piece" in page.text
    assert "after piece" in page.text
    assert "no counterpart" in diff.report()
    assert "<Compilation" not in repr(diff)
    assert diff == CompilationDiff(
        diff.config, diff.pieces, diff.artifacts, diff.guards, diff.timings
    )


def test_without_the_sides_what_is_known_is_shown(two: tuple[Compilation, Compilation]) -> None:
    full = compare(*two)
    bare = CompilationDiff(full.config, full.pieces, full.artifacts, full.guards, full.timings)
    assert "splitting_ops" in diff_text(bare)
    assert "piece_" not in diff_text(bare)
    assert diff_text(NOTHING) == "Nothing differs.\n"
    assert Read(diff_html(NOTHING)).text == "Nothing differs."


def test_hostile_texts_are_inert(toy: Compilation, hostile: Compilation) -> None:
    bad = every_text_hostile(toy)
    text = 'x"><script>alert(1)</script>\u202e'
    diff = CompilationDiff(
        {text: (text, None)}, (text,), {text: (text, None)}, ((text,), (text,)), {text: (1.0, 0.0)}
    )
    assert_same_facts(diff_view(bad, hostile, diff, (text, text)))
    assert "\u202e" not in diff_text(diff)

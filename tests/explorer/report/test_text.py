"""The summary of a compilation, and tables as text."""

import pytest

import explorer
from explorer.report import text
from sample_models import toy_llama


@pytest.fixture(scope="module")
def many_groups(compile_target) -> explorer.Compilation:
    """13 unique pieces, seven rows of ranges."""
    return compile_target(
        toy_llama.sample(layers=12, hidden=32),
        dedupe=False,
        compile_ranges_endpoints=(4, 8, 16, 32, 64, 128),
        compile_sizes=(3, 5, 7),
    )


def assert_fits(summary: str) -> None:
    lines = summary.splitlines()
    assert len(lines) <= text.HEIGHT
    assert max(map(len, lines)) <= text.WIDTH


def test_summary_says_it_on_one_screen(toy) -> None:
    summary = toy.summary()
    assert_fits(summary)
    assert "25 pieces, 13 compiled (3 unique), 12 splitting" in summary
    assert "A ▨ (B ▨)×11 C" in summary
    assert "A 1× of 39 nodes · B 11× of 50 nodes · C 1× of 24 nodes" in summary
    assert "n in 1–8, 9–32, 33–2048; exactly 16, 64" in summary
    assert "15 artifacts" in summary
    assert "capture" in summary.splitlines()[-1]


def test_summary_of_many_groups_and_ranges_fits_and_counts_the_rest(many_groups) -> None:
    summary = many_groups.summary()
    assert_fits(summary)
    assert "and 9 more unique pieces" in summary
    assert "more ranges not shown" in summary


def test_summary_names_the_line_of_a_guard(branch) -> None:
    assert "n != 4 at sample_models/branching.py:" in branch.summary()


def test_summary_is_plain_text(hostile) -> None:
    assert_fits(hostile.summary())
    assert hostile.summary().isprintable() is False  # line breaks, and nothing else
    assert hostile.summary().replace("\n", "").isprintable()


def test_summary_says_what_was_reused() -> None:
    target = toy_llama.sample(layers=2, hidden=32)
    session = explorer.Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        config=target.compilation_config().replace(backend="eager"),
    )
    session.update()
    again = session.update(compile_sizes=(16, 64))
    assert "9 reused from memory" in again.summary()


def test_table_aligns_numbers_to_the_right() -> None:
    rows = [{"name": "a", "count": 5, "note": None}, {"name": "longer", "count": 1234, "note": "x"}]
    assert text.table(rows) == "\n".join(
        ["name    count  note", "a           5  –", "longer   1234  x"]
    )


def test_table_of_nothing_is_empty() -> None:
    assert text.table([]) == ""


def test_table_cells_hold_no_control_characters() -> None:
    assert "\x1b" not in text.table([{"name": "red \x1b[31m\nline"}])

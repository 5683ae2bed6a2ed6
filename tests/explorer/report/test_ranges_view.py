"""The view of ranges: what serves what, what it cost, and what the ranges changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from explorer.artifacts import ArtifactOrigin, SkippedRange
from explorer.compilation import Compilation
from explorer.report.blocks_text import blocks_text
from explorer.report.ranges_view import MOST_DIFFS, ranges_view
from explorer.size_range import SizeRange
from tests.explorer.report.block_facts import assert_same_facts, column, of_kind
from tests.explorer.report.test_html import every_text_hostile
from tests.explorer.report.test_kernel_count import CPU


def changed(compilation: Compilation, **changes: Any) -> Compilation:
    """With other fields in its compiled pieces; the function ``each`` changes every artifact."""
    change = changes.pop("each", None)
    if change is not None:
        changes["artifacts"] = tuple(change(each) for each in compilation.artifacts)
    compiled = dataclasses.replace(compilation.compiled, **changes)
    plan = dataclasses.replace(compilation.plan, compiled=compiled)
    return dataclasses.replace(compilation, plan=plan)


@pytest.fixture(scope="module")
def inductor_like(toy: Compilation) -> Compilation:
    """As Inductor would have made it: code with kernels, bytes, two ranges with one code."""

    def one(artifact: Any) -> Any:
        code = CPU.replace("mul", "div") if artifact.size_range == SizeRange(33, 2048) else CPU
        return dataclasses.replace(
            artifact, code=code, bytes=44_600, seconds=1.5, backend="inductor"
        )

    same = (("B", (SizeRange(1, 8), SizeRange(9, 32))),)
    return changed(toy, each=one, same_code=same)


def test_the_matrix_has_a_row_per_piece_and_a_column_per_range(toy: Compilation) -> None:
    matrix = of_kind(ranges_view(toy), "table")[0]
    heads = [each["head"] for each in matrix["columns"]]
    assert heads == ["piece", "1–8", "9–32", "33–2048", "exactly 16", "exactly 64"]
    assert column(matrix, "piece") == ["A", "B", "C"]
    keys = [[cell["target"]["key"] for cell in row["cells"][1:]] for row in matrix["rows"]]
    for row, letter in zip(keys, "ABC", strict=True):
        assert {toy.artifacts[key].unique_id for key in row} == {letter}
    assert sorted(key for row in keys for key in row) == list(range(15))


def test_cells_say_seconds_bytes_kernels_and_equal_code(inductor_like: Compilation) -> None:
    matrix = of_kind(ranges_view(inductor_like), "table")[0]
    cell = matrix["rows"][1]["cells"][1]
    assert cell["text"] == "1.50 s"
    assert cell["detail"] == "44.6 kB, 2 kernels + 2 library calls, as for 9–32"
    assert cell["mark"] == "same"
    assert "mark" not in matrix["rows"][0]["cells"][1]


def test_eager_artifacts_have_no_kernels(toy: Compilation) -> None:
    details = str([table["rows"] for table in of_kind(ranges_view(toy), "table")])
    assert "kernel" not in details


def test_differences_of_ranges_are_folded_code(inductor_like: Compilation) -> None:
    codes = of_kind(ranges_view(inductor_like), "code")
    assert len(codes) == 3  # 9–32 against 33–2048, for each piece
    assert all(code["folded"] and code["is_diff"] for code in codes)
    assert codes[0]["title"].startswith("piece A: the code for 9–32 and 33–2048 differs")
    assert any(line.startswith("-") and "mul" in line for line in codes[0]["source"].split("\n"))
    assert "piece A: the code for 1–8 and 9–32 is the same." in blocks_text(
        ranges_view(inductor_like)
    )
    assert len(codes) <= MOST_DIFFS


def test_without_generated_code_it_says_why_nothing_differs(
    toy: Compilation, branch: Compilation
) -> None:
    assert "The eager backend compiles no code" in blocks_text(ranges_view(toy))
    assert_same_facts(ranges_view(branch))


def test_the_dispatch_table_says_what_serves_a_size(toy: Compilation) -> None:
    table = of_kind(ranges_view(toy), "table")[1]
    assert column(table, "sizes") == ["exactly 16", "exactly 64", "1–8", "9–32", "33–2048"]
    assert column(table, "function")[-1] == "run_33_2048"
    assert column(table, "B")[2] == "B 1–8"
    target = table["rows"][2]["cells"][3]["target"]
    assert toy.artifacts[target["key"]].unique_id == "B"
    assert toy.artifacts[target["key"]].size_range == SizeRange(1, 8)


def test_skipped_ranges_and_added_guards_are_said(toy: Compilation) -> None:
    skipped = (SkippedRange(SizeRange(1, 8), "no size in it is right for the graph"),)
    guarded = changed(
        toy,
        skipped=skipped,
        each=lambda each: dataclasses.replace(each, guards=("n % 8 == 0",)),
    )
    view = ranges_view(guarded)
    assert of_kind(view, "notice")[0]["text"] == (
        "1–8 is not compiled: no size in it is right for the graph"
    )
    assert set(column(of_kind(view, "table")[-1], "right only where")) == {"n % 8 == 0"}


def test_origins_are_said_in_the_matrix_and_the_list(toy: Compilation) -> None:
    loaded = changed(
        toy,
        each=lambda each: dataclasses.replace(each, origin=ArtifactOrigin.STORE, seconds=0.0),
    )
    view = ranges_view(loaded)
    assert of_kind(view, "table")[0]["rows"][0]["cells"][1]["text"] == "store"
    assert set(column(of_kind(view, "table")[-1], "origin")) == {"loaded from the store"}


def test_the_account_is_drawn_as_bars(toy: Compilation) -> None:
    (bars,) = of_kind(ranges_view(toy), "bars")
    assert bars["title"].endswith("of wall time")
    assert "capture: one graph" in [bar["label"] for bar in bars["bars"]]
    assert max(bar["share"] for bar in bars["bars"]) == 1.0


def test_all_forms_say_the_same(
    toy: Compilation, branch: Compilation, hostile: Compilation, inductor_like: Compilation
) -> None:
    for each in (toy, branch, hostile, inductor_like, every_text_hostile(toy)):
        assert_same_facts(ranges_view(each))


def test_without_artifacts_there_are_sentences(toy: Compilation) -> None:
    empty = changed(toy, artifacts=(), same_code=())
    plan = dataclasses.replace(empty.plan, entries=())
    view = ranges_view(dataclasses.replace(empty, plan=plan))
    assert "There is no artifact: nothing was compiled." in blocks_text(view)
    assert_same_facts(view)

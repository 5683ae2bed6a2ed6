"""The view of running: before anything was measured, after, and the last recorded call."""

from __future__ import annotations

import dataclasses

import pytest

from explorer.artifacts import PieceKind, RunRecord
from explorer.artifacts.cuda_graphs import ServedByGraph
from explorer.artifacts.measured import Execution, PieceTiming, Timing, Timings
from explorer.compilation import Compilation
from explorer.config import CUDAGraphMode
from explorer.report.blocks_text import blocks_text
from explorer.report.replay_view import (
    AT,
    MEASURE,
    MOST_BARS,
    panels,
    replay_view,
    sizes_to_measure,
)
from explorer.size_range import SizeRange
from tests.explorer.report.block_facts import assert_same_facts, column, of_kind

HOSTILE = 'x"><script>alert(1)</script>\u202e\x1b[0m'


def timings_of(toy: Compilation, note: str = "a note") -> Timings:
    """Made-up times of the toy: eager and ranges at two sizes, one refused, pieces at each."""

    def timing(size: int, execution: Execution, base: float, served_by: str = "") -> Timing:
        return Timing({"n": size}, execution, served_by, (base, base + 1.0, base + 2.0) * 3, 5)

    def pieces(size: int, served_by: str) -> list[PieceTiming]:
        return [
            PieceTiming(
                {"n": size},
                served_by,
                piece.index,
                piece.kind,
                piece.unique_id,
                ", ".join(piece.splitting_names),
                (float(piece.index + 1),) * 3,
            )
            for piece in toy.pieces
        ]

    return Timings(
        name="toy",
        timings=(
            timing(4, Execution.EAGER, 900.0),
            timing(4, Execution.RANGE, 400.0, "1–8"),
            timing(64, Execution.EAGER, 1900.0),
            timing(64, Execution.RANGE, 800.0, "33–2048"),
            Timing({"n": 64}, Execution.EXACT, "exactly 64", problem=note),
        ),
        pieces=(*pieces(4, "1–8"), *pieces(64, "exactly 64")),
        compile_costs=(),
        costs_at={("n = 4", Execution.RANGE): 1.5},
        dispatch="n",
        threads=2,
        devices=("cpu",),
        notes=(note,),
    )


@pytest.fixture
def timings(toy: Compilation) -> Timings:
    return timings_of(toy)


def test_before_anything_was_measured_there_is_a_sentence_and_a_button(toy: Compilation) -> None:
    view = replay_view(toy)
    assert "Nothing was measured yet" in blocks_text(view)
    assert "No call was recorded yet" in blocks_text(view)
    (action,) = of_kind(view, "action")
    assert action["name"] == MEASURE
    assert action["enabled"]
    assert action["value"].split() == [str(size) for size in sizes_to_measure(toy)]
    assert {16, 64, 8, 32} <= set(sizes_to_measure(toy))
    assert_same_facts(view)


def test_while_something_runs_the_button_says_why_it_waits(toy: Compilation) -> None:
    (action,) = of_kind(replay_view(toy, busy="A compile is running."), "action")
    assert not action["enabled"]
    assert action["why_not"] == "A compile is running."


def test_latency_is_drawn_over_size_with_its_numbers_in_words(
    toy: Compilation, timings: Timings
) -> None:
    (plot,) = of_kind(replay_view(toy, timings), "lines")
    assert [each["name"] for each in plot["series"]] == ["eager", "range artifacts"]
    assert plot["x_label"] == "size n, logarithmic"
    assert [point["text"] for point in plot["series"][0]["points"]] == [
        "n = 4: 901 ± 1.0 µs",
        "n = 64: 1,900 ± 1.0 µs",
    ]
    eager, ranges = (each["points"][0]["y"] for each in plot["series"])
    assert eager > ranges


def test_the_table_says_what_served_each_size(toy: Compilation, timings: Timings) -> None:
    table = of_kind(replay_view(toy, timings), "table")[0]
    assert column(table, "served by") == ["", "1–8", "", "33–2048", "exactly 64"]
    assert column(table, "of eager")[1] == "0.45"
    assert column(table, "runs")[-1] == "not timed: a note"


def test_break_even_is_said_in_sentences(toy: Compilation, timings: Timings) -> None:
    assert "the range artifacts (1–8) pay back 1.50 s after 3,000 calls" in blocks_text(
        replay_view(toy, timings)
    )


def test_pieces_are_drawn_at_the_chosen_size(toy: Compilation, timings: Timings) -> None:
    known = panels(timings)
    assert known == ("n = 4, artifacts for 1–8", "n = 64, artifacts for exactly 64")
    view = replay_view(toy, timings, at=known[0])
    (choices,) = of_kind(view, "choices")
    assert choices["choices"][0]["name"] == AT
    assert choices["choices"][0]["value"] == known[0]
    (bars,) = of_kind(view, "bars")
    assert len(bars["bars"]) == 25
    assert bars["bars"][0]["target"] == {"kind": "piece", "key": 0}
    assert bars["bars"][1]["colour"] is None
    assert bars["bars"][24]["share"] == 1.0
    groups = of_kind(view, "table")[1]
    assert "B" in column(groups, "piece")
    assert "demo::attention" in column(groups, "splits at")
    unknown = of_kind(replay_view(toy, timings, at="nowhere"), "choices")[0]["choices"][0]
    assert unknown["value"] == known[-1]


def test_many_pieces_are_drawn_in_part_and_counted(toy: Compilation, timings: Timings) -> None:
    many = tuple(
        PieceTiming({"n": 4}, "1–8", index, PieceKind.COMPILED, "A", "", (1.0,))
        for index in range(MOST_BARS + 3)
    )
    view = replay_view(toy, dataclasses.replace(timings, pieces=many))
    assert len(of_kind(view, "bars")[0]["bars"]) == MOST_BARS
    assert "3 more pieces not drawn." in blocks_text(view)


def test_a_recorded_call_says_what_served_it(toy: Compilation) -> None:
    record = RunRecord()
    own = [toy.compiled.artifact_for("B", 4), toy.compiled.artifact_for("C", 4)]
    record.fill({"n": 4}, SizeRange(1, 8), 0, tuple(own), 412.5, (1.0,) * 25)
    view = replay_view(toy, None, record)
    (facts,) = of_kind(view, "facts")
    said = {each["label"]: each["text"] for each in facts["pairs"]}
    assert said["sizes"] == "n = 4"
    assert said["served by"] == "1–8"
    assert said["artifacts"] == "B 1–8, compiled, C 1–8, compiled"
    assert said["pieces in all"] == "412.5 µs"
    assert len(of_kind(view, "bars")[0]["bars"]) == 25
    assert_same_facts(view)


def test_a_call_that_eager_or_a_graph_or_another_variant_served(toy: Compilation) -> None:
    eager = RunRecord()
    eager.fill({"n": 0}, None, None, (), 2_500.0, ())
    assert "Eager served the call, in 2.50 ms." in blocks_text(replay_view(toy, None, eager))
    graph = RunRecord()
    served = ServedByGraph(CUDAGraphMode.FULL, 8, 8)
    graph.fill({"n": 5}, SizeRange(1, 8), 0, (), 10.0, (), served)
    assert "FULL, padded to 8" in blocks_text(replay_view(toy, None, graph))
    other = RunRecord()
    other.fill({"n": 5}, SizeRange(1, 8), 1, (), 10.0, (1.0,) * 25)
    view = replay_view(toy, None, other)
    assert of_kind(view, "bars") == []  # its pieces are not these
    assert "#1" in blocks_text(view)
    for record in (eager, graph, other):
        assert_same_facts(replay_view(toy, None, record))


def test_all_forms_say_the_same_also_of_hostile_texts(toy: Compilation, timings: Timings) -> None:
    assert_same_facts(replay_view(toy, timings))
    assert_same_facts(replay_view(toy, timings_of(toy, HOSTILE)))


def test_without_a_dynamic_size_there_is_no_plot_and_no_field(
    toy: Compilation, timings: Timings
) -> None:
    single = dataclasses.replace(
        timings,
        dispatch="",
        timings=(Timing({}, Execution.EAGER, "", (1.0, 2.0), 1),),
        pieces=(),
        costs_at={},
    )
    view = replay_view(toy, single)
    assert of_kind(view, "lines") == []
    assert "The pieces were not timed one by one." in blocks_text(view)
    assert_same_facts(view)

"""What is said of times: what pays, what the noise hides; and the pictures, drawn headless."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from explorer import ConfigError, PieceKind
from explorer.artifacts.measured import CompileCost, Execution, PieceTiming, Timing, Timings
from explorer.report import timings_view

EAGER, CALL, RANGE, EXACT = Execution.EAGER, Execution.CALL, Execution.RANGE, Execution.EXACT
SERVED_BY = {EAGER: "", CALL: "exactly 16", RANGE: "9–64", EXACT: "exactly 16"}
DRIFT = (0.0, 40.0, 10.0, 30.0, 20.0, 50.0, 60.0, 5.0, 15.0, 25.0)


def timing(execution: Execution, microseconds: Sequence[float], size: int = 16) -> Timing:
    return Timing({"n": size}, execution, SERVED_BY[execution], tuple(microseconds), 3)


def drifting(base: float) -> list[float]:
    """A time in ten rounds, of a machine that drifts by more than what is compared differs."""
    return [base + each for each in DRIFT]


def piece(index: int, unique_id: str | None, microseconds: float) -> PieceTiming:
    kind = PieceKind.COMPILED if unique_id else PieceKind.SPLITTING
    at = "" if unique_id else "demo::attention"
    values = (microseconds, microseconds + 2, microseconds + 4)
    return PieceTiming({"n": 16}, "exactly 16", index, kind, unique_id, at, values)


def timings(*found: Timing, exact_seconds: float | None = 3.1) -> Timings:
    return Timings(
        name="toy",
        timings=found,
        pieces=(piece(0, "A", 10), piece(1, None, 20), piece(2, "B", 30), piece(3, "A", 8)),
        compile_costs=(
            CompileCost("A", "9–64", 2.0, "compiled"),
            CompileCost("A", "exactly 16", 3.1, "store"),
            CompileCost("B", "9–64", None, "compiled"),
        ),
        costs_at={("n = 16", EXACT): exact_seconds, ("n = 16", RANGE): 10.0},
        dispatch="n",
        threads=1,
        devices=("cpu",),
        notes=("a note of $5$",),
    )


def sentences(found: Timings) -> list[str]:
    return [each.text for each in timings_view.break_evens(found)]


def test_what_saves_pays_back_after_so_many_calls() -> None:
    found = timings(timing(RANGE, drifting(420)), timing(EXACT, drifting(405.2)))
    (row,) = found.break_even().to_dict("records")
    assert row["calls"] == 209_460  # 3.1 s / 14.8 µs
    assert row["saved_microseconds"] == pytest.approx(14.8)
    assert sentences(found) == [
        "n = 16: the exact-size artifacts (exactly 16) pay back 3.10 s after 210,000 calls: "
        "428 ± 13 against 442 ± 13 µs with range artifacts"
    ]


def test_what_is_slower_never_pays_back() -> None:
    found = timings(timing(RANGE, drifting(400)), timing(EXACT, drifting(410)))
    assert "never pay back 3.10 s" in sentences(found)[0]
    assert [each.calls for each in timings_view.break_evens(found)] == [None]


def test_noise_that_hides_the_difference_is_said() -> None:
    first = [412, 380, 450, 405, 420, 390, 440, 410, 400, 430]
    second = [405, 400, 420, 430, 390, 410, 415, 440, 380, 425]
    found = timings(timing(RANGE, second), timing(EXACT, first))
    assert "cost 3.10 s; no difference can be told: " in sentences(found)[0]
    (sentence,) = timings_view.difference_sentences(found)
    assert sentence.startswith(
        "n = 16: no difference can be told between exact-size artifacts and range artifacts: "
    )


def test_compile_seconds_that_are_not_known_are_said_to_be() -> None:
    found = timings(timing(RANGE, drifting(420)), timing(EXACT, drifting(405)), exact_seconds=None)
    assert "save 15 µs a call and cost compile seconds that are not known" in sentences(found)[0]


def test_a_range_pays_back_over_eager() -> None:
    found = timings(timing(EAGER, drifting(1000)), timing(RANGE, drifting(500)))
    assert sentences(found) == [
        "n = 16: the range artifacts (9–64) pay back 10.00 s after 20,000 calls: "
        "522 ± 13 against 1,020 ± 13 µs with eager"
    ]
    assert timings_view.difference_sentences(found) == [
        "n = 16: range artifacts, 1.96 times as fast as eager: 522 ± 13 against 1,020 ± 13 µs"
    ]


def test_what_was_not_timed_is_compared_with_nothing() -> None:
    untimed = dataclasses.replace(timing(EXACT, ()), problem="differs from eager")
    found = timings(timing(RANGE, drifting(420)), untimed)
    assert (sentences(found), timings_view.difference_sentences(found)) == ([], [])
    assert "not timed: differs from eager" in found.report()
    assert found.frame()["median_microseconds"].isna().tolist() == [False, True]


def test_groups_add_up_their_pieces() -> None:
    rows = timings_view.group_rows(timings())
    assert [(row["piece"], row["occurs"], row["median_microseconds"]) for row in rows] == [
        ("B", 1, 32.0),
        ("A", 2, 22.0),
        ("▨ demo::attention", 1, 22.0),
    ]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)


def complete() -> Timings:
    own = [timing(EAGER, drifting(900)), timing(CALL, drifting(430)), timing(RANGE, drifting(420))]
    larger = [dataclasses.replace(each, sizes={"n": 2048}) for each in own[:2]]
    refused = dataclasses.replace(timing(CALL, ()), sizes={"n": 4096}, problem="no range")
    return timings(*own, timing(EXACT, drifting(405)), *larger, refused)


def test_latency_is_drawn_over_size_with_markers() -> None:
    figure = complete().figure()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "size n",
        "wall time of a call, µs (bars: quartiles)",
    )
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    legend = axes.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {
        "eager",
        "CompiledModel call",
        "range artifacts",
        "exact-size artifacts",
        "something not timed, see the table",
    }
    containers: list[Any] = axes.containers
    markers = [container.lines[0].get_marker() for container in containers]
    assert len(set(markers)) == len(markers) == 4
    assert lines[0].get_marker() == "x"


def _bars(axes: Any) -> list[Any]:
    return list(axes.patches)


def test_pieces_are_drawn_with_hatches_of_their_own() -> None:
    figure = complete().figure("pieces")
    bars = _bars(figure.axes[0])
    assert sorted(bar.get_height() for bar in bars) == [10, 12, 22, 32]
    by_hatch = {bar.get_hatch(): bar.get_facecolor() for bar in bars}
    assert len(by_hatch) == 3
    assert figure.axes[0].get_ylabel() == "wall time, µs"


def test_compile_seconds_are_drawn_and_the_unknown_is_named() -> None:
    (axes,) = complete().figure("compile").axes
    assert sorted(bar.get_height() for bar in _bars(axes)) == [0.0, 2.0, 3.1]
    assert "not known" in [text.get_text() for text in axes.texts]
    assert axes.get_ylabel() == "wall time of the compile, s"


def test_every_picture_can_be_saved_whatever_a_model_is_called() -> None:
    named = dataclasses.replace(complete(), name="a $x_{$ b <script>")
    figures = named.figures()
    assert list(figures) == ["latency", "pieces", "compile"]
    for figure in figures.values():
        stream = io.BytesIO()
        figure.savefig(stream, format="svg")
        assert b"<script>" not in stream.getvalue()
    empty = dataclasses.replace(named, timings=(), pieces=(), compile_costs=(), costs_at={})
    for figure in empty.figures().values():
        figure.savefig(io.BytesIO(), format="png")


def test_there_is_no_other_picture() -> None:
    with pytest.raises(ConfigError, match="no figure 'speed'; the figures are latency, pieces"):
        complete().figure("speed")  # type: ignore[arg-type]


def test_drawing_needs_no_pyplot() -> None:
    code = (
        "import sys; from tests.explorer.report.test_timings import complete; "
        "complete().figures(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Session.measure: what is run at each size, what is refused, and what it says of the times."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from explorer import (
    Cancelled,
    CancelToken,
    CompilationConfig,
    CompilationMode,
    ConfigError,
    GuardPolicy,
    Progress,
    Session,
    StoreConfig,
)
from explorer.artifacts.measured import Execution, Timings
from explorer.counters import counters
from explorer.measure import MeasureOptions, measure
from tests.explorer.comparing import filled

CONFIG = CompilationConfig(
    backend="eager",
    splitting_ops=("Tensor.softmax",),
    compile_ranges_endpoints=(8,),
    compile_sizes=(16,),
    max_size=64,
    store=StoreConfig(enabled=False),
)
CALL, EAGER, EXACT, RANGE = Execution.CALL, Execution.EAGER, Execution.EXACT, Execution.RANGE


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(3, 3)

    def forward(self, x):
        if x.size(0) > 20:
            return x - 1
        for _ in range(2):
            x = x + self.proj(x).softmax(-1)
        return {"out": x, "rows": x.size(0)}


def make_session(config: CompilationConfig = CONFIG, **rest: Any) -> Session:
    return Session(Model(), (filled(5, 3),), config=config, **rest)


class CountingClock:
    """A millisecond passes each time somebody looks."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks * 1e-3


@pytest.fixture(scope="module")
def session() -> Session:
    return make_session()


@pytest.fixture(scope="module")
def timings(session: Session) -> Timings:
    return measure(session, [4, 16, 30], MeasureOptions(rounds=8))


def executions(timings: Timings, size: int) -> dict[Execution, str]:
    return {
        each.execution: each.served_by
        for each in timings.timings
        if each.is_timed and each.sizes["x_0"] == size
    }


def test_each_way_to_run_a_size_is_timed(timings: Timings) -> None:
    assert executions(timings, 4) == {EAGER: "", CALL: "1–8", RANGE: "1–8"}
    assert executions(timings, 16) == {
        EAGER: "",
        CALL: "exactly 16",
        RANGE: "9–64",
        EXACT: "exactly 16",
    }
    assert all(len(each.microseconds) == 8 for each in timings.timings if each.is_timed)
    assert all(min(each.microseconds) > 0 for each in timings.timings if each.is_timed)


def test_a_size_that_the_graph_is_not_right_for_is_not_timed(timings: Timings) -> None:
    assert list(executions(timings, 30)) == [EAGER]
    refused = timings.of(CALL, x_0=30)
    assert refused is not None
    assert "x.size(0)" in refused.problem
    assert "not timed: " in timings.report()


def test_a_size_outside_the_ranges_is_not_timed() -> None:
    found = make_session(CONFIG.replace(max_size=18)).measure([19], rounds=1)
    assert list(executions(found, 19)) == [EAGER]
    assert "in no compiled range" in getattr(found.of(CALL), "problem", "")


def test_pieces_are_timed_row_by_row(session: Session, timings: Timings) -> None:
    pieces = session.compilation.pieces
    rows = {(each.sizes["x_0"], each.served_by) for each in timings.pieces}
    assert rows == {(4, "1–8"), (16, "9–64"), (16, "exactly 16")}
    own = [each for each in timings.pieces if each.served_by == "exactly 16"]
    assert [each.index for each in own] == [piece.index for piece in pieces]
    assert [each.unique_id for each in own] == [piece.unique_id for piece in pieces]
    assert {each.splits_at for each in own if each.unique_id is None} == {"Tensor.softmax"}
    assert all(len(each.microseconds) == 8 for each in own)


def test_range_and_exact_rows_run_their_own_artifacts() -> None:
    ran: list[str] = []

    class Watching:
        name = "watching"

        def identity(self) -> str:
            return self.name

        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            def run(*arguments: Any) -> Any:
                ran.append(str(size_range))
                return graph.forward(*arguments)

            return run

    session = make_session(CONFIG.replace(backend=Watching()))
    session.update()
    point: list[int] = [16]
    found = measure(session, point, MeasureOptions(rounds=1, pieces=False))
    assert {each.execution for each in found.timings} == {EAGER, CALL, RANGE, EXACT}
    assert set(ran) == {"16", "9–64"}
    ran.clear()
    measure(session, [4], MeasureOptions(rounds=1, pieces=False))
    assert set(ran) == {"1–8"}


def test_a_wrong_result_is_said_and_not_timed() -> None:
    class Wrong:
        name = "wrong"

        def identity(self) -> str:
            return self.name

        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            def run(*arguments: Any) -> Any:
                first, *rest = graph.forward(*arguments)
                is_exact = size_range is not None and size_range.is_single_size
                return (first + 1 if is_exact else first, *rest)

            return run

    found = make_session(CONFIG.replace(backend=Wrong())).measure([16], rounds=1)
    assert executions(found, 16) == {EAGER: "", RANGE: "9–64"}
    for execution in (CALL, EXACT):
        timing = found.of(execution)
        assert timing is not None
        assert "differs from eager: output['out'] differs in 48 of 48 elements" in timing.problem
    assert not [each for each in found.pieces if each.served_by == "exactly 16"]


def test_dropped_guards_are_not_timed_where_they_give_another_result() -> None:
    found = make_session(CONFIG.replace(guard_policy=GuardPolicy.DROP)).measure([30], rounds=1)
    assert list(executions(found, 30)) == [EAGER]
    assert found.of(RANGE) is not None


@pytest.mark.filterwarnings("ignore::explorer.SplittingOpWarning")
def test_variants_are_timed_through_the_graph_that_serves() -> None:
    session = make_session(CONFIG.replace(guard_policy=GuardPolicy.VARIANTS, compile_sizes=()))
    found = session.measure([4, 30], rounds=1)
    assert set(executions(found, 30)) == {EAGER, CALL, RANGE}
    assert {each.index for each in found.pieces if each.sizes["x_0"] == 30} == {0}


def test_size_one_has_artifacts_of_its_own(session: Session) -> None:
    assert executions(session.measure([1], rounds=1), 1) == {
        EAGER: "",
        CALL: "exactly 1",
        EXACT: "exactly 1",
    }


def test_stock_torch_compile_only_when_it_is_asked_for() -> None:
    session = make_session(CONFIG.replace(compile_sizes=()))
    with counters.expect(stock_compiled=0):
        session.measure([4], rounds=1)
    with counters.expect(stock_compiled=1):
        found = session.measure([4, 6], rounds=1, stock=True)
    assert Execution.STOCK in executions(found, 4)
    assert Execution.STOCK in executions(found, 6)


def test_measuring_leaves_the_model_and_the_example_alone() -> None:
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = torch.nn.Buffer(torch.zeros(()))

        def forward(self, x):
            self.seen.add_(1)
            x.add_(1)
            return x * 2 + torch.rand(3) * 0

    model, example = Counting(), filled(5, 3)
    before, random_state = example.clone(), torch.random.get_rng_state()
    found = Session(model, (example,), config=CONFIG.replace(splitting_ops=())).measure(
        [5, 16], rounds=2
    )
    assert set(executions_of(found)) == {EAGER, CALL, RANGE, EXACT}
    assert torch.equal(example, before)
    assert float(model.seen) == 0
    assert torch.equal(torch.random.get_rng_state(), random_state)


def executions_of(timings: Timings) -> list[Execution]:
    return [each.execution for each in timings.timings if each.is_timed]


def test_a_model_without_dynamic_sizes_is_measured_at_its_example() -> None:
    session = Session(Model(), (filled(5, 3),), config=CONFIG, dynamic_arg_dims={})
    found = session.measure(rounds=1)
    assert set(executions_of(found)) == {EAGER, CALL, RANGE}
    assert [each.sizes for each in found.timings] == [{}] * 3
    with pytest.raises(ConfigError, match="Nothing is dynamic"):
        session.measure([4])


def test_an_artifact_that_both_rows_share_is_no_cost_of_the_exact_size() -> None:
    class Sharing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(filled(3, 3))

        def forward(self, x):
            return x @ (self.weight * 2).softmax(-1).relu()

    session = Session(Sharing(), (filled(5, 3),), config=CONFIG)
    found = session.measure([16], rounds=1)
    ranges = {each.unique_id: [] for each in found.compile_costs}
    for each in found.compile_costs:
        ranges[each.unique_id].append(each.served_by)
    assert ["any size"] in ranges.values()
    costs = [(each.served_by, each.seconds or 0.0) for each in found.compile_costs]
    own = [seconds for served_by, seconds in costs if served_by == "exactly 16"]
    assert found.costs_at["x_0 = 16", EXACT] == pytest.approx(sum(own))
    used = [seconds for served_by, seconds in costs if served_by in ("9–64", "any size")]
    assert found.costs_at["x_0 = 16", RANGE] == pytest.approx(sum(used))


def test_seconds_of_what_was_compiled_before_are_those_of_then() -> None:
    session = make_session()
    first = session.measure([16], rounds=1).costs_at
    session.update(compile_sizes=(16, 4))
    assert {each.origin.value for each in session.compilation.artifacts} == {"compiled", "memory"}
    again = session.measure([16], rounds=1).costs_at
    assert again == first
    assert (again["x_0 = 16", EXACT] or 0) > 0


def test_default_sizes_are_the_exact_ones_and_the_example(session: Session) -> None:
    found = session.measure(rounds=1)
    assert list(dict.fromkeys(each.sizes["x_0"] for each in found.timings)) == [5, 16]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([0], "x_0 = 0 is no size"),
        ([True], "x_0 = True is no size"),
        ([-3], "at least 1"),
        (["4"], "x_0 = '4' is no size"),
        ([{"m": 4}], "no size named 'm'; the sizes are x_0"),
        (16, r"must be a list, as \[16\]"),
        ([], "sizes is empty"),
    ],
)
def test_sizes_that_are_none_are_refused(session: Session, sizes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session.measure(sizes)


def test_modes_without_a_graph_are_refused() -> None:
    session = make_session(CONFIG.replace(mode=CompilationMode.NONE))
    with pytest.raises(ConfigError, match="mode=NONE captures no graph"):
        session.measure([4])


def test_progress_and_cancel(session: Session) -> None:
    told: list[Progress] = []
    session.measure([4, 16], rounds=1, progress=told.append)
    assert [each.done for each in told] == list(range(7))
    assert {each.total for each in told} == {6}
    assert told[0].what == "x_0 = 4: comparing with eager"
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        session.measure([4, 16], progress=stop, cancel=token)


def test_times_are_those_of_the_clock(session: Session) -> None:
    clock = CountingClock()
    found = measure(session, [16], MeasureOptions(rounds=3, clock=clock))
    for each in found.pieces:
        assert each.microseconds == pytest.approx((1000.0, 1000.0, 1000.0))
    whole = found.of(EXACT)
    assert whole is not None
    assert [each * whole.calls_per_run for each in whole.microseconds] == pytest.approx(
        [1000.0] * 3
    )


# ------------------------------------------------------------------------------- frames and words


def test_frames_have_a_row_for_each_size_and_way(timings: Timings) -> None:
    frame = timings.frame()
    assert len(frame) == len(timings.timings)
    own = frame[(frame["size"] == 16) & (frame["execution"] == "range artifacts")].iloc[0]
    assert own["served_by"] == "9–64"
    assert own["runs"] == 8
    low, high = own["lower_quartile_microseconds"], own["upper_quartile_microseconds"]
    assert low <= own["median_microseconds"] <= high
    assert own["iqr_microseconds"] == pytest.approx(high - low)
    rows = timings.pieces_frame().to_dict("records")
    assert len(rows) == len(timings.pieces)
    assert sum(row["share"] for row in rows) == pytest.approx(3.0)  # of three rows of the table


def test_report_has_everything_that_the_pictures_show(timings: Timings) -> None:
    text = timings.report()
    for words in ("µs a call", "Differences", "What pays", "Pieces, by group", "Compile time"):
        assert words in text
    assert "▨ Tensor.softmax" in text
    assert "Wall time, which is not CPU time" in text
    assert re.search(r"x_0 = 16 +range artifacts +9–64 +[\d,.]+ ± [\d,.]+", text)


def test_html_escapes_what_a_model_says(timings: Timings) -> None:
    import dataclasses

    bad = "<img src=x onerror=alert(1)>"
    timing = dataclasses.replace(timings.timings[0], microseconds=(), problem=bad)
    piece = dataclasses.replace(timings.pieces[0], unique_id=None, splits_at=bad)
    page = dataclasses.replace(timings, name=bad, timings=(timing,), pieces=(piece,))._repr_html_()
    assert "<img" not in page
    assert page.count("&lt;img") == 3

"""Session: a step runs again only when what it reads has changed, and a failure loses nothing."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import torch

import explorer
from explorer import (
    ArtifactOrigin,
    Cancelled,
    CancelToken,
    CaptureError,
    CompilationConfig,
    CompileError,
    ConfigError,
    ExplorerError,
    GuardPolicy,
    PlannedCompilation,
    Progress,
    Session,
    SizeRange,
    UnknownSplittingOp,
)
from explorer.counters import counters
from explorer.stages.backends import EagerBackend
from tests.explorer.comparing import filled

NOTHING = {"captured": 0, "normalised": 0, "split": 0, "deduped": 0, "compiled": 0}
CONFIG = CompilationConfig(
    backend="eager",
    splitting_ops=("Tensor.softmax",),
    compile_ranges_endpoints=(8,),
    compile_sizes=(16,),
    max_size=64,
)


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = torch.nn.Linear(3, 3)

    def forward(self, x):
        return x + self.proj(x).softmax(-1)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer() for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x.relu()


def make_session(config: CompilationConfig = CONFIG, **rest: Any) -> Session:
    return Session(Model(), (filled(5, 3),), config=config, **rest)


class FailingBackend:
    """The eager backend, failing at the artifact of a given number."""

    name = "failing"

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def identity(self) -> str:
        return f"failing at {self.at}"

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        self.count += 1
        if 0 < self.at <= self.count:
            raise ValueError("no such instruction\nand a second line")
        return graph.forward


def test_nothing_happens_before_it_is_asked_for() -> None:
    with counters.expect(**NOTHING):
        session = make_session()
        assert session.history == ()
        assert session.config == CONFIG


def test_first_look_compiles_once() -> None:
    session = make_session()
    with counters.expect(captured=1, normalised=1, split=1, deduped=1):
        first = session.compilation
        assert session.compilation is first
        assert session.run(filled(7, 3)).shape == (7, 3)
    assert session.history == (first,)
    assert len(first.pieces) == 7


def test_plan_compiles_nothing_and_changes_nothing() -> None:
    session = make_session()
    with counters.expect(compiled=0, reused=0):
        plan = session.plan()
    assert session.history == ()
    assert (len(plan.unique.pieces), len(plan.unique.unique_pieces)) == (7, 3)
    assert (len(plan.to_compile), len(plan.to_reuse)) == (9, 0)
    assert plan.estimated_seconds is None
    assert plan.summary() == ("7 pieces, 3 unique compiled, 9 artifacts: 0 reused, 9 to compile")
    first = session.update()
    with counters.expect(**NOTHING):
        again = session.plan()
    assert (len(again.to_compile), len(again.to_reuse)) == (0, 9)
    wider = session.plan(compile_sizes=(16, 32))
    assert (len(wider.to_compile), len(wider.to_reuse)) == (3, 9)
    assert wider.estimated_seconds is not None and wider.estimated_seconds >= 0
    assert session.config == CONFIG
    assert session.compilation is first


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"compile_sizes": (16, 32)}, id="sizes"),
        pytest.param({"splitting_ops": ("Tensor.relu",)}, id="splitting op"),
        pytest.param({"max_size": 32}, id="max size"),
        pytest.param({"dynamic_arg_dims": {"x": {0: "n"}}}, id="dims"),
        pytest.param({"dedupe": False}, id="dedupe"),
        pytest.param({}, id="nothing"),
    ],
)
def test_update_does_what_was_planned(changes: Any) -> None:
    session = make_session()
    session.update()
    plan = session.plan(**changes)
    before = counters.snapshot()
    session.update(**changes)
    after = counters.snapshot()
    assert after["compiled"] - before["compiled"] == len(plan.to_compile)
    assert after["reused"] - before["reused"] == len(plan.to_reuse)


EDITS = [
    pytest.param({}, {**NOTHING, "reused": 9}, id="no change"),
    pytest.param(
        {"compile_sizes": (16, 32)}, {**NOTHING, "compiled": 3, "reused": 9}, id="a size more"
    ),
    pytest.param({"compile_sizes": ()}, {**NOTHING, "reused": 6}, id="a size less"),
    pytest.param(
        {"compile_ranges_endpoints": (8, 32)},
        {**NOTHING, "compiled": 6, "reused": 6},
        id="an endpoint more",
    ),
    pytest.param({"max_size": 128}, {**NOTHING, "compiled": 3, "reused": 6}, id="max_size"),
    pytest.param(
        {"splitting_ops": ("Tensor.softmax", "Tensor.relu")},
        {"captured": 0, "normalised": 0, "split": 1, "deduped": 1},
        id="a splitting op more",
    ),
    pytest.param(
        {"dedupe": False}, {"captured": 0, "normalised": 0, "split": 0, "deduped": 1}, id="dedupe"
    ),
    pytest.param({"guard_policy": "drop"}, {"captured": 0, "split": 0, "deduped": 0}, id="policy"),
    pytest.param({"out_of_range": "eager"}, {**NOTHING, "reused": 9}, id="out of range"),
    pytest.param({"grad": "eager"}, {**NOTHING, "reused": 9}, id="grad"),
    pytest.param(
        {"dynamic_arg_dims": {"x": {0: "n"}}},
        {"captured": 1, "normalised": 1, "split": 1, "deduped": 1},
        id="dims",
    ),
    pytest.param({"mark_unbacked_dims": {"x": 0}}, {"captured": 1, "split": 1}, id="unbacked dims"),
    pytest.param(
        {"dynamic_shapes": explorer.DynamicShapesConfig(type="unbacked")},  # type: ignore[arg-type]
        {"captured": 1, "split": 1},
        id="kind of mark",
    ),
]


@pytest.mark.parametrize(("changes", "counted"), EDITS)
def test_edit_runs_only_the_steps_that_read_it(changes: Any, counted: Any) -> None:
    session = make_session()
    first = session.update()
    with counters.expect(**counted):
        second = session.update(**changes)
    assert session.history == (first, second)
    assert torch.equal(session.run(filled(7, 3)), session.model()._model(filled(7, 3)).detach())


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ({"splitting_ops": ("Tensor.relu",)}, {"splitting_ops": ("Tensor.softmax",)}),
        ({"compile_sizes": (32,)}, {"compile_sizes": (16,)}),
        ({"compile_ranges_endpoints": ()}, {"compile_ranges_endpoints": (8,)}),
        ({"max_size": 20}, {"max_size": 64}),
        ({"dedupe": False}, {"dedupe": True}),
        ({"dynamic_arg_dims": {"x": 1}}, {"dynamic_arg_dims": None}),
        ({"dynamic_arg_dims": {"x": {0: "n"}}}, {"dynamic_arg_dims": None}),
        ({"mark_unbacked_dims": {"x": 0}}, {"mark_unbacked_dims": None}),
    ],
    ids=["splitting op", "size", "endpoint", "max_size", "dedupe", "dims", "name", "unbacked"],
)
def test_edit_and_back_compiles_nothing(there: Any, back: Any) -> None:
    def model(x):
        return (x * 2).softmax(-1).relu() + 1

    session = Session(model, (filled(5, 3),), config=CONFIG)
    session.update()
    session.update(**there)
    with counters.expect(**NOTHING):
        third = session.update(**back)
    assert {artifact.origin for artifact in third.artifacts} == {ArtifactOrigin.MEMORY}
    assert [a.size_range for a in third.artifacts] == [
        a.size_range for a in session.history[0].artifacts
    ]
    assert torch.equal(session.run(filled(7, 3)), model(filled(7, 3)))


def test_cut_and_back_still_compiles_nothing_after_an_error_between() -> None:
    session = make_session()
    session.update()
    with pytest.raises(UnknownSplittingOp, match="softmaxx"):
        session.update(splitting_ops=("Tensor.softmaxx",))
    with counters.expect(**NOTHING):
        session.update()


# ------------------------------------------------------------ errors and cancel

FAILURES = [
    pytest.param({"splitting_ops": ("no::such",)}, UnknownSplittingOp, "no::such", id="split"),
    pytest.param({"max_size": 0}, ConfigError, "max_size holds 0", id="config"),
    pytest.param({"dispatch_dim": "k"}, ConfigError, "dispatch_dim names 'k'", id="dispatch dim"),
    pytest.param({"dynamic_arg_dims": {"z": 0}}, ConfigError, "names 'z'", id="dims"),
    pytest.param({"dynamic_arg_dims": {"x": 1}}, CaptureError, r"x\.size\(1\)", id="capture"),
    pytest.param({"backend": FailingBackend(2)}, CompileError, "no such instruction", id="backend"),
    pytest.param({"no_such_field": 1}, TypeError, "no_such_field", id="unknown field"),
    pytest.param({"history_limit": 1}, TypeError, "history_limit", id="no config field"),
]


@pytest.mark.parametrize(("changes", "error", "message"), FAILURES)
def test_error_keeps_the_last_good_compilation(changes: Any, error: Any, message: str) -> None:
    session = make_session()
    good = session.update()
    expected = session.run(filled(7, 3))
    for attempt in (session.update, session.update):
        with pytest.raises(error, match=message):
            attempt(**changes)
        assert session.compilation is good
        assert session.config == CONFIG
        assert session.history == (good,)
        assert torch.equal(session.run(filled(7, 3)), expected)
    with counters.expect(**NOTHING):
        session.update()


def test_failed_backend_names_piece_range_and_place() -> None:
    session = make_session(CONFIG.replace(backend=FailingBackend(2)))
    with pytest.raises(CompileError, match="no such instruction") as caught:
        session.update()
    text = str(caught.value)
    assert "'failing' failed on piece_0 (unique A) for sizes 9–64" in text
    assert "test_session.py:" in text
    assert "backend='eager'" in text
    assert "\n" not in text
    assert isinstance(caught.value.__cause__, ValueError)
    assert session.history == ()


def test_cancel_from_progress_keeps_the_last_good_compilation() -> None:
    session = make_session()
    good = session.update()
    token = CancelToken()
    seen: list[Progress] = []

    def progress(step: Progress) -> None:
        seen.append(step)
        if step.done == 2:
            token.cancel()

    with pytest.raises(Cancelled, match="cancelled; the last good compilation stays"):
        session.update(compile_sizes=(20, 30, 40), progress=progress, cancel=token)
    assert [step.done for step in seen] == [0, 1, 2]
    assert session.compilation is good
    assert session.config == CONFIG
    assert session.plan(compile_sizes=(20, 30, 40)).to_reuse != ()
    assert session.update(compile_sizes=(20,)).config.compile_sizes == (20,)


def test_token_that_is_already_cancelled_stops_before_the_first_artifact() -> None:
    token = CancelToken()
    token.cancel()
    assert token.is_cancelled
    session = make_session()
    with counters.expect(compiled=0), pytest.raises(Cancelled, match="cancelled"):
        session.update(cancel=token)
    assert session.history == ()
    with pytest.raises(Cancelled, match="cancelled"):
        explorer.compile_model(Model(), (filled(5, 3),), config=CONFIG, cancel=token)


def test_progress_counts_every_artifact() -> None:
    seen: list[Progress] = []
    session = make_session()
    session.update(progress=seen.append)
    assert [step.done for step in seen] == list(range(10))
    assert {step.total for step in seen} == {9}
    assert seen[0].what == "piece A 1–8"
    seen.clear()
    session.update(progress=seen.append)
    assert seen[-1].done == seen[-1].total == 9


def test_progress_says_where_finished_artifacts_came_from() -> None:
    seen: list[Progress] = []
    session = make_session()
    session.update(progress=seen.append)
    assert [dict(each.origins) for each in seen[:2]] == [{}, {"compiled": 1}]
    made = sum(seen[-1].origins.values())
    assert made == len(session.compilation.artifacts)
    seen.clear()
    session.update(progress=seen.append)
    assert seen[-1].origins == {"memory": made}


def test_the_plan_is_told_before_anything_is_compiled() -> None:
    told: list[tuple[PlannedCompilation, int]] = []
    steps: list[Progress] = []
    session = make_session()

    def tell(planned: PlannedCompilation) -> None:
        told.append((planned, len(steps)))

    session.update(planned=tell, progress=steps.append)
    ((planned, steps_before),) = told
    assert steps_before == 0
    assert len(planned.to_compile) == 9
    assert planned.unique is session.compilation.unique
    session.update(planned=tell, compile_sizes=(16, 20))
    assert len(told[1][0].to_reuse) == 9
    assert {each.size_range for each in told[1][0].to_compile} == {SizeRange(20, 20)}


def test_progress_that_raises_keeps_the_last_good_compilation() -> None:
    session = make_session()
    good = session.update()

    def progress(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.update(compile_sizes=(20,), progress=progress)
    assert session.compilation is good
    session.update(compile_sizes=(20,))


def test_plan_while_another_thread_compiles() -> None:
    session = make_session()
    session.update()
    plans: list[Any] = []

    def progress(step: Progress) -> None:
        if step.done == 1:
            thread = threading.Thread(target=lambda: plans.append(session.plan(max_size=32)))
            thread.start()
            thread.join(timeout=20)

    session.update(compile_sizes=(20,), progress=progress)
    assert len(plans) == 1


# ------------------------------------------------------------ history, diff


def test_history_keeps_the_latest() -> None:
    session = make_session(history_limit=3)
    made = [session.update(compile_sizes=(size,)) for size in (10, 11, 12, 13)]
    assert session.history == tuple(made[1:])
    assert session.compilation is made[-1]


def test_diff_says_what_changed() -> None:
    session = make_session()
    session.update()
    session.update(splitting_ops=("Tensor.relu",), compile_sizes=(20,))
    diff = session.diff()
    assert diff.config["splitting_ops"] == (("Tensor.softmax",), ("Tensor.relu",))
    assert diff.config["compile_sizes"] == ((16,), (20,))
    assert "pieces: 7 -> 2" in diff.pieces or any("pieces: 7 ->" in text for text in diff.pieces)
    assert diff.artifacts
    assert diff.guards == ((), ())
    assert set(diff.timings) >= {"capture", "split", "compile", "plan"}
    assert "splitting_ops: ('Tensor.softmax',) -> ('Tensor.relu',)" in str(diff)


def test_diff_of_two_equal_compilations_is_empty() -> None:
    session = make_session()
    session.update()
    session.update()
    diff = session.diff()
    assert (dict(diff.config), diff.pieces, dict(diff.artifacts)) == ({}, (), {})
    assert str(diff) == "no difference"


def test_diff_of_guards() -> None:
    def model(x):
        return x + 1 if x.shape[0] > 4 else x - 1

    session = Session(model, (filled(5, 3),), config=CONFIG.replace(splitting_ops=()))
    session.update()
    session.update(dynamic_arg_dims={})
    gone, new = session.diff().guards
    assert "x_0 > 4" in gone
    assert new == ()


@pytest.mark.parametrize("pair", [(-2, -1), (0, 5), (-9, 0)])
def test_diff_without_two_compilations_is_refused(pair: Any) -> None:
    session = make_session()
    session.update()
    with pytest.raises(ConfigError, match="The history has 1 compilations"):
        session.diff(*pair)


def test_runner_of_an_older_compilation_still_runs() -> None:
    session = make_session()
    session.update()
    old = session.model()
    session.update(max_size=16, compile_sizes=())
    assert old(filled(40, 3)).shape == (40, 3)
    with pytest.raises(explorer.SizeOutOfRange, match="1–8, 9–16"):
        session.run(filled(40, 3))


def test_older_runner_recompiles_with_its_own_settings() -> None:
    session = make_session()
    session.update()
    old = session.model()
    session.update(max_size=16, compile_sizes=())
    session.model()._model.requires_grad_(False)  # type: ignore[attr-defined]
    assert old(filled(40, 3)).shape == (40, 3)
    with pytest.raises(explorer.SizeOutOfRange, match="1–8, 9–16"):
        session.run(filled(40, 3))


def test_timings_name_every_step() -> None:
    session = make_session()
    first = session.update()
    assert set(first.timings) == {"capture", "normalise", "split", "dedupe", "compile", "plan"}
    assert first.timings["capture"] > 0
    second = session.update(compile_sizes=(20,))
    assert second.timings["capture"] == 0.0
    assert second.timings["compile"] > 0


def test_edit_of_the_model_is_captured_again_when_it_is_run() -> None:
    session = make_session()
    session.update()
    model: Any = session.model()._model
    with torch.no_grad():
        model.layers[0].proj.weight.fill_(3.0)
        assert torch.equal(session.run(filled(7, 3)), model(filled(7, 3)))


def test_list_of_inputs_is_taken_as_a_tuple() -> None:
    session = Session(Model(), [filled(5, 3)], config=CONFIG)  # type: ignore[arg-type]
    assert session.run(filled(7, 3)).shape == (7, 3)


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, None])
def test_history_limit_must_hold_something(limit: Any) -> None:
    with pytest.raises(ExplorerError, match="history_limit"):
        make_session(history_limit=limit)


def test_backend_object_with_equal_identity_is_reused() -> None:
    class Named(FailingBackend):
        def identity(self) -> str:
            return "named"

    session = make_session(CONFIG.replace(backend=Named(-1)))
    session.update()
    with counters.expect(compiled=0, reused=9):
        session.update(backend=Named(-2))
    assert EagerBackend().name == "eager"


def test_seconds_of_a_step_that_ran_for_a_plan_count_in_the_update_that_takes_it() -> None:
    session = make_session()
    session.plan()
    first = session.update()
    assert first.timings["capture"] > 0
    assert session.update(max_size=50).timings["capture"] == 0


def test_artifacts_and_requests_that_left_the_history_are_forgotten() -> None:
    session = make_session(history_limit=2)
    session.update()
    gone = [weakref.ref(artifact) for artifact in session.compilation.artifacts]
    for size in (65, 66, 67):
        session.update(max_size=size)
    session.update(compile_sizes=(), max_size=68)
    session.update(dynamic_arg_dims={"x": {0: "rows"}})
    session.update(max_size=69)
    gc.collect()
    # The lower range is the same in all of them; the upper one and the exact size are not.
    assert sum(each() is not None for each in gone) < len(gone)
    kept = {artifact.key for each in session.history for artifact in each.artifacts}
    with counters.expect(compiled=0):
        session.update(max_size=68)
    assert {artifact.key for artifact in session.compilation.artifacts} <= kept
    with counters.expect(captured=0):
        session.update(dynamic_arg_dims={"x": {0: "rows"}})


def test_artifacts_of_variants_stay_while_a_model_runs_them() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x.sin() if x.size(0) > 10 else x.cos()

    config = CONFIG.replace(guard_policy=GuardPolicy.VARIANTS, splitting_ops=(), compile_sizes=())
    session = Session(Branching(), (filled(5, 3),), config=config, history_limit=1)
    model = session.model()
    model(filled(20, 3))
    own = {artifact.key for artifact in model.variants[1].artifacts}
    session.update(max_size=80)
    assert own <= set(session._memory)
    again = session.update(max_size=64)
    with counters.expect(compiled=0):
        session.model()(filled(20, 3))
    assert again is session.compilation
    del model
    session.update(max_size=81)
    session.update(max_size=82)
    gc.collect()
    session.update(max_size=83)
    assert not own <= set(session._memory)

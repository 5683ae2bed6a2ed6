"""The strip, the tabs and the line of the running job: what they hand to the front end."""

from __future__ import annotations

import json

import pytest

from explorer import CompileTarget, ConfigError, Progress, Session
from explorer.report.strip_view import strip_view
from widgets.job_view import JobView
from widgets.strip_view import StripView
from widgets.tabs import Tabs


@pytest.fixture(scope="module")
def session(llama: CompileTarget) -> Session:
    config = llama.compilation_config().replace(backend="eager", compile_sizes=())
    session = Session(
        llama.model, llama.example_inputs, dynamic_arg_dims=llama.dynamic_arg_dims, config=config
    )
    session.update()
    return session


def test_the_strip_of_a_compilation_and_of_a_plan(session: Session) -> None:
    strip = StripView()
    assert repr(strip) == "StripView(no pieces)"
    strip.show(session.compilation)
    assert strip.view == strip_view(session.compilation)
    assert repr(strip) == "StripView(5 pieces, 3 compiled (3 unique), 2 splitting)"
    strip.marks = {1: "n != 4 was dropped\n\u202e"}
    strip.microseconds = [4.21, None, 412.3, 3120.0, 2.5e6]
    assert strip.marks == {"1": "n != 4 was dropped "}
    assert strip.times == ["4.2 µs", "", "412 µs", "3.1 ms", "2.50 s"]
    strip.show_plan(session.plan(splitting_ops=("F.silu",)))
    assert strip.view["planned"]
    assert (strip.marks, strip.microseconds, strip.times) == ({}, [], [])


def test_what_a_strip_sends_is_json(session: Session) -> None:
    strip = StripView()
    strip.show(session.compilation)
    strip.marks = {0: "x"}
    state = {name: value for name, value in strip.get_state().items() if name[0] != "_"}
    state = {name: value for name, value in state.items() if not str(value).startswith("IPY_")}
    assert json.loads(json.dumps(state))["marks"] == {"0": "x"}


def test_a_tab_that_is_not_there_cannot_be_chosen() -> None:
    tabs = Tabs({"graph": "Graph", "guards": "Guards"}, pair=("graph",))
    assert tabs.value == "graph"
    tabs.value = "guards"
    with pytest.raises(ConfigError, match="There is no tab 'nothing': choose one of graph, guards"):
        tabs.value = "nothing"
    assert repr(tabs) == "Tabs('guards')"
    tabs.badges = {"guards": "1 line is wrong\n", "graph": ""}
    assert tabs.badges == {"guards": "1 line is wrong "}


def test_the_job_line_says_what_would_be_done_and_how_far_it_is(session: Session) -> None:
    job = JobView()
    job.show_plan(session.plan())
    assert job.plan.startswith("plan: 5 pieces · 3 unique compiled · ")
    assert repr(job) == f"JobView({job.plan})"
    job.begin()
    assert (job.running, job.can_cancel) == (True, True)
    job.show_progress(Progress(1, 3, "piece A 1–8"), 2.5, {"store": 1})
    assert job.seconds == 2.5
    assert job.progress == {
        "done": 1,
        "total": 3,
        "what": "piece A 1–8",
        "text": "1/3 piece A 1–8 · compiled 0, from memory 0, store 1",
    }
    job.cancelling()
    assert not job.can_cancel
    assert job.progress["text"].startswith("stopping after the artifact")
    job.end()
    assert (job.running, job.can_cancel, job.progress) == (False, False, {})
    job.show_plan("")
    assert job.plan == ""


def test_buttons_are_intents_that_code_can_hear() -> None:
    heard = []
    job = JobView()
    job.on_intent(lambda _view, intent: heard.append(intent["intent"]))
    job.act("recompile")
    job.act("cancel")
    assert heard == ["recompile", "cancel"]

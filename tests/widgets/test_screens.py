"""What the views of a panel do when somebody uses them: audits, tries, measurements, questions."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from explorer import ConfigError, GuardPolicy
from sample_models import branching
from tests.widgets.test_panel import TWO_OPS, alert, recompile, set_ops, shown
from widgets.block_view import BlockView
from widgets.guard_view import GuardView
from widgets.panel import Panel

SECONDS = 60.0


def act(panel: Panel, tab: str, intent: str, **details: Any) -> Any:
    """Does what a click in a tab does, and waits until nothing goes on."""
    view = panel.open_tab(tab)
    panel.wait(SECONDS)
    view.act(intent, **details)
    panel.wait(SECONDS)
    return view


def words(panel: Panel, tab: str) -> str:
    view = panel.open_tab(tab)
    panel.wait(SECONDS)
    return str(view.view)


# ------------------------------------------------------------------------------------------- guards


def test_opening_the_guards_audits_once(branching_panel: Panel) -> None:
    panel = branching_panel
    view = panel.open_tab("Guards")
    panel.wait(SECONDS)
    assert isinstance(view, GuardView)
    assert view.view["audited"]
    assert view.busy == ""
    assert panel.viewer.strip.warning == "guards: 1 line, 1 of 64 sizes wrong"
    assert panel.viewer.tabs.badges == {"Guards": panel.viewer.strip.warning}
    found = panel.viewer.findings[shown(panel)].diagnosis
    panel.open_tab("Graph")
    panel.open_tab("Guards")
    panel.wait(SECONDS)
    assert panel.viewer.findings[shown(panel)].diagnosis is found


def test_a_size_is_tried_and_the_status_says_what_the_policy_did(branching_panel: Panel) -> None:
    panel = branching_panel
    view = act(panel, "Guards", "try", sizes={"n": 4})
    assert len(view.trials) == 1
    assert panel.viewer.status.text.startswith("last call n = 4: CHECK refused the call")
    act(panel, "Guards", "try", sizes={"n": 5})
    assert len(view.trials) == 2
    assert "CHECK: every condition holds" in panel.viewer.status.text
    assert alert(panel) == ""


@pytest.mark.parametrize(
    "sizes", [None, 4, {"n": "4"}, {"n": True}, {"n": 2.5}, {"m": 4}, {"n": -1}, {"n": 10**12}]
)
def test_sizes_that_are_none_are_errors_in_words(branching_panel: Panel, sizes: Any) -> None:
    view = act(branching_panel, "Guards", "try", sizes=sizes)
    assert alert(branching_panel)
    assert view.trials == []
    assert view.busy == ""


@pytest.mark.parametrize("domain", ["4-1", "m=1-4", "n=1-", "__import__('os')", "1-64; rm"])
def test_a_domain_that_is_none_is_an_error_in_words(branching_panel: Panel, domain: str) -> None:
    act(branching_panel, "Guards", "audit", domain=domain)
    assert alert(branching_panel)


def test_another_domain_is_audited(branching_panel: Panel) -> None:
    act(branching_panel, "Guards", "audit", domain="5-20")
    assert branching_panel.viewer.strip.warning == ""
    act(branching_panel, "Guards", "audit", domain="1-20")
    assert branching_panel.viewer.strip.warning == "guards: 1 line, 1 of 20 sizes wrong"


def test_cover_needs_variants_and_then_fills_the_axis(open_panel: Callable[..., Panel]) -> None:
    panel = open_panel(target=branching.sample())
    panel.wait(SECONDS)
    act(panel, "Guards", "cover", domain="2-64")
    assert "GuardPolicy.VARIANTS" in alert(panel)
    panel.controls.guard_policy.value = GuardPolicy.VARIANTS
    panel.wait(SECONDS)
    recompile(panel)
    view = panel.open_tab("Guards")
    panel.wait(SECONDS)
    told: list[int] = []
    view.observe(lambda change: told.append(len(change["new"].get("regions", ()))), "coverage")
    view.act("cover", domain="2-64")
    panel.wait(SECONDS)
    assert told[0] == 1 and told[-1] == 2, "the regions came one by one"
    coverage = panel.viewer.findings[shown(panel)].coverage
    assert coverage is not None and coverage.is_complete and coverage.graphs == 2


def test_fixes_are_tried_and_shown(branching_panel: Panel) -> None:
    act(branching_panel, "Guards", "fixes")
    found = branching_panel.viewer.findings[shown(branching_panel)].diagnosis
    assert found is not None and any(trial.outcome.value == "works" for trial in found.trials)


# ------------------------------------------------------------------------------------------- blocks


def test_calls_are_measured_and_times_go_into_strip_and_graph(panel: Panel) -> None:
    graph = panel.open_tab("Graph")
    assert graph.get_state()["overlay"] == {}
    view = act(panel, "Replay", "measure", value="2 4")
    assert isinstance(view, BlockView)
    timings = panel.viewer.findings[shown(panel)].timings
    assert timings is not None
    assert {dict(each.sizes)["n"] for each in timings.timings} == {2, 4}
    assert len([each for each in panel.viewer.strip.microseconds if each]) == 5
    panel.open_tab("Graph")
    assert set(graph.get_state()["overlay"]["values"]) == {"0", "1", "2", "3", "4"}
    assert alert(panel) == ""


def test_a_call_through_the_panel_is_under_replay(panel: Panel) -> None:
    assert "No call was recorded yet" in words(panel, "Replay")
    panel.run(*panel.session.request.args)
    assert "No call was recorded yet" not in words(panel, "Replay")
    assert panel.viewer.status.text.startswith("last call n = 16: range 1–32")


@pytest.mark.parametrize("value", ["two", "-1", "2; 4", "<b>"])
def test_what_is_no_size_is_not_measured(panel: Panel, value: str) -> None:
    act(panel, "Replay", "measure", value=value)
    assert "is no size" in alert(panel)
    assert panel.viewer.findings[shown(panel)].timings is None


def test_a_measurement_is_cancelled(panel: Panel) -> None:
    view = panel.open_tab("Replay")
    view.act("measure", value="2 4 8 16 32 64 128")
    panel.viewer.status.act("cancel")
    panel.wait(SECONDS)
    assert panel.viewer.findings[shown(panel)].timings is None
    assert panel.viewer.status.doing == ""
    assert alert(panel) == ""


def test_two_pieces_are_compared(panel: Panel) -> None:
    act(panel, "Dedupe", "compare_first", value=2)
    act(panel, "Dedupe", "compare_second", value=4)
    assert panel.viewer.findings[shown(panel)].pair == (2, 4)
    for value in (5, -1, "2", None, True):
        act(panel, "Dedupe", "compare_first", value=value)
        assert f"There is no piece {value}" in alert(panel)
    assert panel.viewer.findings[shown(panel)].pair == (2, 4)


def test_the_store_is_asked_when_its_tab_is_opened(panel: Panel) -> None:
    panel.open_tab("Store")
    panel.wait(SECONDS)
    answers = panel.viewer.findings[shown(panel)].answers
    assert answers is not None and len(answers) == len(shown(panel).artifacts)


def test_findings_belong_to_their_compilation(branching_panel: Panel) -> None:
    panel = branching_panel
    act(panel, "Guards", "try", sizes={"n": 4})
    set_ops(panel, ["torch.nn.functional.linear"])
    recompile(panel)
    view = panel.open_tab("Guards")
    assert view.get_state()["trials"] == []
    panel.go_to(0)
    assert len(view.get_state()["trials"]) == 1
    act(panel, "Guards", "try", sizes={"n": 5})
    assert "#0 is in the picture, and calls go to #1" in alert(panel)


def test_a_look_that_ends_leaves_the_preview_of_an_edit(branching_panel: Panel) -> None:
    panel = branching_panel
    panel.open_tab("Guards")
    panel.wait(SECONDS)
    set_ops(panel, ["torch.nn.functional.linear"])
    assert panel.viewer.strip.view["planned"]
    act(panel, "Guards", "try", sizes={"n": 5})
    assert panel.viewer.strip.view["planned"]


def test_there_is_no_such_tab(panel: Panel) -> None:
    with pytest.raises(ConfigError, match="There is no tab Nothing: there are Graph, Source"):
        panel.open_tab("Nothing")
    panel.viewer.header.act("open", tab="<b>")
    assert "There is no tab <b>" in alert(panel)


def test_a_view_that_cannot_be_drawn_says_so_and_the_others_stay(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such view")

    monkeypatch.setattr("explorer.report.ranges_view.ranges_view", fail)
    panel.open_tab("Ranges")
    assert alert(panel) == "ZeroDivisionError: no such view"
    assert "Groups of equal pieces" in words(panel, "Dedupe")
    set_ops(panel, TWO_OPS)
    recompile(panel)
    assert len(shown(panel).pieces) == 9


# ------------------------------------------------------------------------------------------ exports


@pytest.mark.parametrize(
    ("form", "file", "begins"),
    [
        ("html", "toy_llama.html", "<!DOCTYPE html>"),
        ("text", "toy_llama.txt", "== Summary =="),
        ("svg", "toy_llama.svg", "<svg"),
    ],
)
def test_what_is_shown_is_saved(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, form: str, file: str, begins: str
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(panel.viewer.header, "send", sent.append)
    panel.viewer.header.act("export", form=form)
    assert alert(panel) == ""
    ((saved),) = sent
    assert saved["file"] == file
    assert saved["text"].lstrip().startswith(begins)


def test_an_unknown_form_is_an_error_in_words(panel: Panel) -> None:
    panel.viewer.header.act("export", form="../etc")
    assert alert(panel).startswith("There is no export ../etc: there are html, text, svg")


def test_a_panel_is_written_as_one_page(branching_panel: Panel, tmp_path: Any) -> None:
    act(branching_panel, "Guards", "try", sizes={"n": 4})
    page = branching_panel.to_html(tmp_path / "panel.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "CHECK refused the call" in page


# ------------------------------------------------------------------------------ what is not kept


def test_views_out_of_sight_do_not_keep_an_old_compilation(
    open_panel: Callable[..., Panel],
) -> None:
    panel = open_panel(history_limit=1)
    panel.wait(SECONDS)
    for tab in panel.viewer.screens:
        panel.open_tab(tab)
    panel.wait(SECONDS)
    first = weakref.ref(shown(panel))
    set_ops(panel, TWO_OPS)
    recompile(panel)
    gc.collect()
    assert first() is None


def test_an_audit_that_fails_is_not_begun_again_by_itself(
    branching_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []

    def fail(*_: object, **__: object) -> None:
        calls.append(None)
        raise ZeroDivisionError("no audit")

    monkeypatch.setattr("explorer.compilation.Compilation.diagnose", fail)
    view = branching_panel.open_tab("Guards")
    branching_panel.wait(SECONDS)
    assert len(calls) == 1
    assert alert(branching_panel) == "ZeroDivisionError: no audit"
    assert isinstance(view, GuardView)
    assert view.problem == "no audit"

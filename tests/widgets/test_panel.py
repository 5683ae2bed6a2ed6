"""Handlers show what goes wrong and do not raise: look at ``panel.error`` and at the alert."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from explorer import (
    Compilation,
    CompilationConfig,
    CompileTarget,
    ConfigError,
    GuardPolicy,
    PlannedCompilation,
    UnknownSplittingOp,
    counters,
)
from tests.widgets.markup_reading import Read
from tests.widgets.slow_backend import SlowBackend
from widgets import explore
from widgets.controls import UnreadableBox
from widgets.panel import STALE, Panel

SECONDS = 60.0
HOSTILE = "<img src=x onerror=alert(1)>"
TWO_OPS = ["demo::attention", "F.silu"]


def shown(panel: Panel) -> Compilation:
    """What is in the picture."""
    assert panel.compilation is not None
    return panel.compilation


def alert(panel: Panel) -> str:
    return panel.viewer.status.alert


def set_ops(panel: Panel, names: list[str]) -> None:
    """As a person does it in the front end; returns when the plan is there."""
    panel.controls.splitting_ops.draft = names
    panel.wait(SECONDS)


def set_dims(panel: Panel, **names: str) -> None:
    """Makes dim 0 of the named inputs dynamic, with these names of sizes."""
    panel.controls.dims.draft = {
        path: {"0": {"mode": "dynamic", "name": name}} for path, name in names.items()
    }
    panel.wait(SECONDS)


def press(panel: Panel) -> None:
    panel.controls.job.act("recompile")
    panel.wait(SECONDS)


def recompile(panel: Panel) -> None:
    """Presses Recompile and waits for the end; the test fails when the panel shows an error."""
    press(panel)
    assert panel.error is None, alert(panel)
    assert alert(panel) == ""


def cells(panel: Panel) -> int:
    return len(panel.viewer.strip.view["cells"])


def test_the_first_compile_needs_no_press(panel: Panel) -> None:
    assert panel.compilation is panel.session.compilation
    assert len(shown(panel).pieces) == cells(panel) == 5
    assert panel.controls.dims.value == {
        "input_ids": {"0": {"mode": "dynamic", "name": "n"}},
        "positions": {"0": {"mode": "dynamic", "name": "n"}},
    }
    assert panel.controls.splitting_ops.value == ["demo::attention"]
    assert panel.viewer.status.text.startswith("split into 5 pieces, 3 compiled, 2 splitting")
    assert "nothing to compile" in panel.controls.job.plan
    assert not panel.controls.job.running
    assert not panel.viewer.strip.view["planned"]


def test_an_edited_splitting_op_is_planned_then_compiled(panel: Panel) -> None:
    first = panel.compilation
    set_ops(panel, TWO_OPS)
    assert panel.compilation is first
    assert panel.controls.job.plan == (
        "plan: 9 pieces · 4 unique compiled · 8 artifacts: 2 reused, 6 to compile (under 1 s)"
    )
    assert panel.controls.job.stale == STALE
    assert cells(panel) == 9, "the new split is on screen before anything is compiled"
    assert panel.viewer.strip.view["planned"]
    with counters.expect(captured=0, split=0, compiled=6, reused=2):
        recompile(panel)
    assert len(shown(panel).pieces) == cells(panel) == 9
    assert not panel.viewer.strip.view["planned"]
    assert panel.controls.job.stale == ""


def test_an_edit_that_is_taken_back_ends_the_preview(panel: Panel) -> None:
    set_ops(panel, TWO_OPS)
    set_ops(panel, ["demo::attention"])
    assert cells(panel) == 5
    assert not panel.viewer.strip.view["planned"]
    assert "nothing to compile" in panel.controls.job.plan
    assert panel.controls.job.stale == ""


def test_edited_dims_are_captured_again_and_an_edit_back_is_not(panel: Panel) -> None:
    with counters.expect(captured=1):
        set_dims(panel, input_ids="tokens", positions="tokens")
        recompile(panel)
    assert [size.name for size in shown(panel).captured.sizes] == ["tokens"]
    with counters.expect(captured=0, split=0, compiled=0):
        set_dims(panel, input_ids="n", positions="n")
        recompile(panel)
    assert [size.name for size in shown(panel).captured.sizes] == ["n"]


def test_ranges_policy_and_backend_are_settings_too(panel: Panel) -> None:
    panel.controls.ranges.draft = {"ranges": "8, 32", "sizes": "16", "max_size": "512"}
    panel.controls.guard_policy.value = GuardPolicy.DROP
    panel.wait(SECONDS)
    recompile(panel)
    config = shown(panel).config
    assert config.compile_ranges_endpoints == (8, 32)
    assert config.compile_sizes == (16,)
    assert config.max_size == 512
    assert config.guard_policy is GuardPolicy.DROP
    assert [str(each) for each in shown(panel).size_ranges] == ["1–8", "9–32", "33–512"]


def test_an_unknown_op_is_answered_with_the_nearest_names(panel: Panel) -> None:
    first = panel.compilation
    set_ops(panel, ["demo::atention"])
    assert "not possible" in panel.controls.job.plan
    press(panel)
    assert isinstance(panel.error, UnknownSplittingOp)
    assert "No op is called 'demo::atention': the nearest names are demo::attention" in alert(panel)
    assert panel.compilation is first is panel.session.compilation
    assert cells(panel) == 5
    assert panel.controls.job.stale == STALE
    set_ops(panel, ["demo::attention"])
    assert panel.error is None
    assert alert(panel) == panel.controls.job.stale == ""
    assert len(panel.viewer.status.errors) == 2, "of the plan and of the compile; the list keeps it"


def test_a_box_that_cannot_be_read_says_so_and_nothing_is_compiled(panel: Panel) -> None:
    first = panel.compilation
    panel.controls.ranges.draft = {"ranges": f"8, {HOSTILE}", "sizes": "", "max_size": "2048"}
    with counters.expect(captured=0, compiled=0):
        press(panel)
    assert "is no size" in panel.controls.ranges.message
    assert "cannot be read" in panel.viewer.status.text
    assert panel.compilation is first
    with pytest.raises(UnreadableBox, match="is no size"):
        panel.recompile_now()
    panel.controls.ranges.draft = {"ranges": "8", "sizes": "", "max_size": "2048"}
    panel.wait(SECONDS)
    assert panel.controls.ranges.message == ""
    recompile(panel)
    assert shown(panel).config.compile_ranges_endpoints == (8,)


@pytest.mark.parametrize("name", [HOSTILE, "a\nb", '"', "\u202e::x"])
def test_hostile_names_of_ops_are_errors_in_words(panel: Panel, name: str) -> None:
    set_ops(panel, [name])
    assert isinstance(panel.error, ConfigError)
    assert alert(panel)
    assert not set(alert(panel)) & {"\r", "\u202e"}


def test_a_model_whose_capture_fails_leaves_an_alert(open_panel: Callable[..., Panel]) -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print(x.sum().item())
            raise ZeroDivisionError(HOSTILE)

    panel = explore(Breaks(), (torch.ones(3, 2),), config=CompilationConfig(backend="eager"))
    assert panel.wait(SECONDS) is None
    assert panel.error is not None
    assert "test_panel.py" in alert(panel)
    assert not panel.controls.job.running
    panel.close()


def test_an_error_that_nobody_foresaw_is_shown_with_its_traceback(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError(f"division of {HOSTILE}")

    monkeypatch.setattr(panel.session, "update", fail)
    press(panel)
    assert isinstance(panel.error, ZeroDivisionError)
    latest = panel.viewer.status.errors[-1]
    assert latest["text"] == f"ZeroDivisionError: division of {HOSTILE}"
    assert "in _compile" in latest["trace"]
    with pytest.raises(ZeroDivisionError, match="division of"):
        panel.recompile_now()
    assert not panel.controls.job.running


def test_cancel_keeps_the_last_good_compilation(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    backend.go_on(6)
    panel = open_panel(backend)
    first = panel.wait(SECONDS)
    assert backend.made == 6
    for _ in range(6):
        backend.wait_until_reached()
    set_ops(panel, TWO_OPS)
    panel.controls.job.act("recompile")
    backend.wait_until_reached()
    job = panel.controls.job
    assert job.running and job.can_cancel
    assert job.progress["text"].startswith("2/8 piece B 1–32 · ")
    assert "from memory 2" in job.progress["text"]
    assert cells(panel) == 9
    job.act("cancel")
    assert not job.can_cancel
    backend.go_on()
    assert panel.wait(SECONDS) is first
    assert panel.session.history == (first,)
    assert backend.made == 7, "one artifact was being made, no other was begun"
    assert panel.viewer.status.text == "Cancelled; the picture is the last good compilation."
    assert panel.error is None
    assert not job.running
    assert cells(panel) == 5
    backend.go_on(6)
    recompile(panel)
    assert len(shown(panel).pieces) == 9


def test_a_cancel_during_the_last_artifact_counts(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.go_on(5)
    for _ in range(6):
        backend.wait_until_reached()
    panel.controls.job.act("cancel")
    backend.go_on()
    assert panel.wait(SECONDS) is None
    assert panel.session.history == ()


def test_a_newer_recompile_supersedes_the_running_one(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    panel.controls.splitting_ops.draft = ["F.silu"]
    panel.controls.job.act("recompile")
    panel.controls.splitting_ops.draft = []
    panel.controls.job.act("recompile")
    backend.go_on(20)
    panel.wait(SECONDS)
    assert panel.error is None
    assert [len(each.pieces) for each in panel.session.history] == [1]
    assert len(shown(panel).pieces) == cells(panel) == 1
    assert backend.made == 1 + 2, "the first one stopped, the second never began"


def test_an_edit_is_planned_while_a_compile_goes_on(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    planned = threading.Event()
    panel.controls.job.observe(lambda change: "9 pieces" in change["new"] and planned.set(), "plan")
    panel.controls.splitting_ops.draft = TWO_OPS
    assert planned.wait(SECONDS)
    backend.go_on(6)
    panel.wait(SECONDS)
    assert len(shown(panel).pieces) == 5
    assert panel.controls.job.stale == STALE
    assert "9 pieces" in panel.controls.job.plan


def test_the_first_split_is_on_screen_before_anything_is_compiled(
    open_panel: Callable[..., Panel],
) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    assert panel.compilation is None
    assert cells(panel) == 5
    assert "6 to compile" in panel.controls.job.plan
    backend.go_on(6)
    panel.wait(SECONDS)


def test_wait_says_when_it_takes_too_long(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    with pytest.raises(TimeoutError, match=r"still works after 0\.01 seconds"):
        panel.wait(0.01)
    backend.go_on(6)
    panel.wait(SECONDS)


def test_recompile_now_returns_the_compilation_or_raises(panel: Panel) -> None:
    first = panel.compilation
    panel.controls.splitting_ops.value = []
    assert panel.recompile_now() is panel.compilation is panel.session.compilation
    assert len(shown(panel).pieces) == 1
    panel.controls.splitting_ops.value = ["no::such"]
    with pytest.raises(UnknownSplittingOp, match="No op is called 'no::such'"):
        panel.recompile_now()
    assert len(panel.session.history) == 2
    assert panel.compilation is not first


def test_the_background_has_the_grad_mode_of_the_cell() -> None:
    class Modes(SlowBackend):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[bool] = []

        def compile(self, graph: Any, example_inputs: Any, **_: Any) -> Any:
            self.seen.append(torch.is_grad_enabled())
            return lambda *values: graph(*values)

    for mode, enabled in ((torch.no_grad, False), (torch.enable_grad, True)):
        backend = Modes()
        with mode():
            config = CompilationConfig(backend=backend)
            panel = explore(nn.Linear(2, 2), (torch.ones(3, 2),), config=config)
        panel.wait(SECONDS)
        assert panel.error is None, alert(panel)
        assert set(backend.seen) == {enabled}
        panel.close()


def test_without_dims_dim_0_is_dynamic_until_somebody_says_otherwise() -> None:
    panel = explore(nn.Linear(2, 2), (torch.ones(3, 2),), config=CompilationConfig(backend="eager"))
    panel.wait(SECONDS)
    assert panel.controls.dims.value is None
    assert [size.name for size in shown(panel).captured.sizes] == ["input_0"]
    panel.controls.dims.draft = {}
    panel.wait(SECONDS)
    recompile(panel)
    assert shown(panel).captured.sizes == ()
    panel.close()


def test_dims_of_a_wrong_type_are_refused_at_once(llama: CompileTarget) -> None:
    with pytest.raises(ConfigError, match="must be a dict of argument name -> dims"):
        explore(llama.model, llama.example_inputs, dynamic_arg_dims=["x"])  # pyright: ignore


def test_the_repr_is_short(panel: Panel) -> None:
    assert repr(panel).startswith("Panel(<Compilation toy_llama: split into 5 pieces")
    assert len(repr(panel)) < 200


def test_a_page_without_widgets_has_the_static_form(panel: Panel) -> None:
    bundle = panel._repr_mimebundle_()
    Read(bundle["text/html"]).assert_passive()
    assert "application/vnd.jupyter.widget-view+json" in bundle


# ------------------------------------------------------------------------------------- the history


def test_the_history_is_gone_through_and_settings_come_along(panel: Panel) -> None:
    first = panel.compilation
    set_ops(panel, TWO_OPS)
    recompile(panel)
    history = panel.viewer.header.view["history"]
    assert [(each["number"], each["is_shown"]) for each in history] == [(0, False), (1, True)]
    panel.viewer.header.act("show", number=0)
    assert panel.compilation is first
    assert panel.controls.splitting_ops.value == ["demo::attention"]
    assert panel.controls.job.stale == ""
    assert cells(panel) == 5
    with pytest.raises(ConfigError, match="#0 is in the picture, and calls go to #1"):
        panel.run(torch.zeros(4, dtype=torch.int64), torch.arange(4))
    with counters.expect(captured=0, split=0, compiled=0):
        recompile(panel)
    panel.run(torch.zeros(4, dtype=torch.int64), torch.arange(4))
    assert panel.viewer.status.text.startswith("last call n = 4: range 1–32, artifacts A 1–32")


def test_a_number_that_is_not_there_is_an_error_in_words(panel: Panel) -> None:
    for number in (7, None, "0", HOSTILE):
        panel.viewer.header.act("show", number=number)
        assert alert(panel).startswith("There is no compilation #")
    with pytest.raises(ConfigError, match="the history has #0"):
        panel.go_to(3)


def test_old_compilations_leave_the_history_and_keep_their_numbers(
    open_panel: Callable[..., Panel],
) -> None:
    panel = open_panel(history_limit=2)
    panel.wait(SECONDS)
    for names in (["F.silu"], [], ["demo::attention"]):
        set_ops(panel, names)
        recompile(panel)
    assert [each["number"] for each in panel.viewer.header.view["history"]] == [2, 3]


def test_two_compilations_are_compared(panel: Panel) -> None:
    screen = panel.viewer.screens["Diff"]
    panel.open_tab("Diff")
    assert "one compilation so far" in str(screen.widget.view)
    set_ops(panel, TWO_OPS)
    recompile(panel)
    text = str(screen.widget.view)
    assert "#0 against #1" in text
    assert "F.silu" in text
    screen.widget.act("compare_before", value=1)
    assert alert(panel) == ""
    assert "#1 against #1" in str(screen.widget.view)
    screen.widget.act("compare_before", value=9)
    assert alert(panel).startswith("There is no compilation #9")


# --------------------------------------------------------------------------------- what is selected


def test_what_is_selected_in_one_view_is_selected_in_all(panel: Panel) -> None:
    graph, source = panel.open_tab("Graph"), panel.open_tab("Source")
    panel.viewer.strip.act("select", kind="unique", key="B")
    for view in (panel.viewer.strip, panel.viewer.status, graph, source):
        assert view.selection["uniques"] == ["B"]
        assert view.selection["pieces"] == [2]
    graph.act("select", kind="none", key=None)
    assert panel.viewer.strip.selection == {}


def test_a_selection_outlives_a_recompile_where_it_can(panel: Panel) -> None:
    panel.select("piece", 4)
    set_ops(panel, TWO_OPS)
    recompile(panel)
    assert panel.viewer.strip.selection["key"] == 4
    set_ops(panel, [])
    recompile(panel)
    assert panel.viewer.strip.selection == {}


@pytest.mark.parametrize("kind", ["piece", "node", "__class__", HOSTILE, None, 3])
def test_a_selection_that_is_not_there_is_an_error_in_words(panel: Panel, kind: Any) -> None:
    panel.viewer.strip.act("select", kind=kind, key=HOSTILE)
    assert "in this compilation: select one that its views show" in alert(panel)
    assert panel.viewer.strip.selection == {}


# -------------------------------------------------------------------------------- messages, the end


@pytest.mark.parametrize(
    "content", [None, 3, "recompile", [], {"intent": 3}, {"intent": "no such thing"}, {}]
)
def test_messages_that_nobody_understands_do_nothing(panel: Panel, content: Any) -> None:
    first = panel.compilation
    for view in (panel.controls.job, panel.viewer.header, panel.viewer.strip, panel.viewer.status):
        view._handle_custom_msg(content, [])
    panel.wait(SECONDS)
    assert panel.compilation is first
    assert alert(panel) == ""


def test_a_plan_is_told_what_it_would_do(panel: Panel) -> None:
    planned = panel.session.plan(splitting_ops=("F.silu",))
    assert isinstance(planned, PlannedCompilation)
    panel.viewer.preview(planned)
    assert panel.viewer.strip.view["planned"]
    panel.viewer.end_preview()
    assert not panel.viewer.strip.view["planned"]

"""Handlers show what goes wrong and do not raise: look at ``panel.error`` and at the status."""

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
    UnknownSplittingOp,
    counters,
)
from tests.widgets.markup_reading import Read
from tests.widgets.slow_backend import SlowBackend
from widgets import explore
from widgets.panel import Panel, UnreadableBox

SECONDS = 60.0
HOSTILE = "<img src=x onerror=alert(1)>"


def text(widget: object) -> str:
    return Read(getattr(widget, "value")).text  # noqa: B009


def roles(widget: object) -> list[str]:
    return Read(getattr(widget, "value")).roles  # noqa: B009


def shown(panel: Panel) -> Compilation:
    """What is in the picture."""
    assert panel.compilation is not None
    return panel.compilation


def click(panel: Panel) -> None:
    """Presses Recompile and waits for the end; the test fails when the panel shows an error."""
    panel.recompile.click()
    panel.wait(SECONDS)
    assert panel.error is None, text(panel.status)


def test_the_first_compile_needs_no_click(panel: Panel) -> None:
    assert panel.compilation is panel.session.compilation
    assert len(shown(panel).pieces) == 5
    assert panel.dims.value == "input_ids[0]=n, positions[0]=n"
    assert panel.splitting_ops.value == "demo::attention"
    assert text(panel.status).startswith("split into 5 pieces, 3 compiled, 2 splitting")
    assert "nothing to compile" in text(panel.controls.plan)
    assert panel.cancel.disabled
    assert panel.progress.value == panel.progress.max == 6
    assert panel.progress.layout.visibility == "hidden"


def test_the_picture_has_strip_tables_and_graph(panel: Panel) -> None:
    seen = Read(panel.controls.picture.value)
    seen.assert_passive()
    assert "A▨B▨C" in seen.text.replace(" ", "")
    assert {"table", "ol"} <= seen.tags
    assert "33–2048" in seen.text


def test_an_edited_splitting_op_is_planned_then_compiled(panel: Panel) -> None:
    first = panel.compilation
    panel.splitting_ops.value = "demo::attention, F.silu"
    panel.wait(SECONDS)
    assert panel.compilation is first
    assert text(panel.controls.plan) == (
        "plan: 9 pieces, 4 unique compiled, 8 artifacts: 2 reused, 6 to compile (about 0 s)"
    )
    assert "changed after this picture" in text(panel.controls.stale)
    with counters.expect(captured=0, split=0, compiled=6, reused=2):
        click(panel)
    assert len(shown(panel).pieces) == 9
    assert panel.controls.stale.value == ""
    assert "9 pieces" in text(panel.controls.picture)


def test_edited_dims_are_captured_again_and_an_edit_back_is_not(panel: Panel) -> None:
    with counters.expect(captured=1):
        panel.dims.value = "input_ids[0]=tokens, positions[0]=tokens"
        click(panel)
    assert [size.name for size in shown(panel).captured.sizes] == ["tokens"]
    with counters.expect(captured=0, split=0, compiled=0):
        panel.dims.value = " input_ids [0]=n,positions[0] = n "
        click(panel)
    assert [size.name for size in shown(panel).captured.sizes] == ["n"]


def test_an_unknown_op_is_answered_with_the_nearest_names(panel: Panel) -> None:
    first = panel.compilation
    panel.splitting_ops.value = "demo::atention"
    panel.wait(SECONDS)
    panel.recompile.click()
    panel.wait(SECONDS)
    assert isinstance(panel.error, UnknownSplittingOp)
    assert roles(panel.status) == ["alert"]
    assert "No op is called 'demo::atention': the nearest names are demo::attention" in text(
        panel.status
    )
    assert panel.compilation is first is panel.session.compilation
    assert "changed after this picture" in text(panel.controls.stale)
    panel.splitting_ops.value = "demo::attention"
    panel.wait(SECONDS)
    assert panel.error is None
    assert panel.status.value == panel.controls.stale.value == ""


def test_dims_that_cannot_be_read_get_a_sentence_below_the_box(panel: Panel) -> None:
    first = panel.compilation
    panel.dims.value = f"input_ids[0]=n, {HOSTILE}"
    panel.recompile.click()
    panel.wait(SECONDS)
    assert isinstance(panel.error, UnreadableBox)
    assert roles(panel.controls.dims_message) == ["alert"]
    assert "the name of an input is missing" in text(panel.controls.dims_message)
    assert "a box above cannot be read" in text(panel.status)
    assert panel.compilation is first
    with pytest.raises(UnreadableBox, match="the name of an input is missing"):
        panel.recompile_now()
    panel.dims.value = "input_ids[0]=n, positions[0]=n"
    panel.wait(SECONDS)
    assert panel.controls.dims_message.value == ""
    assert panel.error is None


def test_dims_of_an_unknown_input_name_the_inputs(panel: Panel) -> None:
    panel.dims.value = "input_idz[0]=n"
    panel.wait(SECONDS)
    assert isinstance(panel.error, ConfigError)
    assert "which is no argument; tensors are at input_ids, positions" in text(panel.status)
    assert text(panel.controls.plan) == "plan: not possible with these settings"


@pytest.mark.parametrize("box", ["splitting_ops", "dims"])
def test_hostile_text_is_shown_as_it_was_typed(panel: Panel, box: str) -> None:
    hostile = HOSTILE if box == "splitting_ops" else f"input_ids['{HOSTILE}'][0]=n"
    getattr(panel, box).value = hostile
    panel.wait(SECONDS)
    assert isinstance(panel.error, ConfigError)
    seen = Read(panel.status.value)
    seen.assert_passive()
    assert HOSTILE in seen.text


def test_a_hostile_name_is_shown_as_it_was_given(open_panel: Callable[..., Panel]) -> None:
    panel = open_panel(name=HOSTILE)
    panel.wait(SECONDS)
    seen = Read(panel.controls.picture.value)
    seen.assert_passive()
    assert HOSTILE in seen.text


def test_an_error_that_nobody_foresaw_is_shown_with_its_traceback(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError(f"division of {HOSTILE}")

    monkeypatch.setattr(panel.session, "update", fail)
    panel.recompile.click()
    panel.wait(SECONDS)
    assert isinstance(panel.error, ZeroDivisionError)
    seen = Read(panel.status.value)
    seen.assert_passive()
    assert f"ZeroDivisionError: division of {HOSTILE}" in seen.text
    assert "in _compile" in seen.text
    with pytest.raises(ZeroDivisionError, match="division of"):
        panel.recompile_now()
    assert panel.cancel.disabled


def test_cancel_keeps_the_last_good_compilation(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    backend.go_on(6)
    panel = open_panel(backend)
    first = panel.wait(SECONDS)
    assert backend.made == 6
    for _ in range(6):
        backend.wait_until_reached()
    panel.splitting_ops.value = "demo::attention, F.silu"
    panel.recompile.click()
    backend.wait_until_reached()
    assert not panel.cancel.disabled
    assert panel.progress.layout.visibility == "visible"
    assert Read(panel.controls.progress_text.value).text.endswith("piece B 1–32")
    panel.cancel.click()
    assert "Stopping" in text(panel.status)
    backend.go_on()
    assert panel.wait(SECONDS) is first
    assert panel.session.history == (first,)
    assert backend.made == 7, "one artifact was being made, no other was begun"
    assert text(panel.status) == "Cancelled; the picture is the last good compilation."
    assert panel.error is None
    assert panel.cancel.disabled
    backend.go_on(6)
    click(panel)
    assert len(shown(panel).pieces) == 9


def test_a_cancel_during_the_last_artifact_counts(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.go_on(5)
    for _ in range(6):
        backend.wait_until_reached()
    panel.cancel.click()
    backend.go_on()
    assert panel.wait(SECONDS) is None
    assert panel.session.history == ()


def test_a_newer_recompile_supersedes_the_running_one(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    panel.splitting_ops.value = "F.silu"
    panel.recompile.click()
    panel.splitting_ops.value = ""
    panel.recompile.click()
    backend.go_on(20)
    panel.wait(SECONDS)
    assert panel.error is None
    assert [len(each.pieces) for each in panel.session.history] == [1]
    assert len(shown(panel).pieces) == 1
    assert backend.made == 1 + 2, "the first one stopped, the second never began"


def test_an_edit_is_planned_while_a_compile_goes_on(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    planned = threading.Event()
    panel.controls.plan.observe(
        lambda change: "9 pieces" in change["new"] and planned.set(), "value"
    )
    panel.splitting_ops.value = "demo::attention, F.silu"
    assert planned.wait(SECONDS)
    backend.go_on(6)
    panel.wait(SECONDS)
    assert len(shown(panel).pieces) == 5
    assert "changed after this picture" in text(panel.controls.stale)
    assert "9 pieces" in text(panel.controls.plan)


def test_wait_says_when_it_takes_too_long(open_panel: Callable[..., Panel]) -> None:
    backend = SlowBackend()
    panel = open_panel(backend)
    with pytest.raises(TimeoutError, match=r"still works after 0\.01 seconds"):
        panel.wait(0.01)
    backend.go_on(6)
    panel.wait(SECONDS)


def test_recompile_now_returns_the_compilation_or_raises(panel: Panel) -> None:
    first = panel.compilation
    panel.splitting_ops.value = ""
    assert panel.recompile_now() is panel.compilation is panel.session.compilation
    assert len(shown(panel).pieces) == 1
    panel.splitting_ops.value = "no::such"
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
        assert panel.error is None, text(panel.status)
        assert set(backend.seen) == {enabled}


def test_without_dims_the_box_is_empty_and_dim_0_is_dynamic() -> None:
    panel = explore(nn.Linear(2, 2), (torch.ones(3, 2),), config=CompilationConfig(backend="eager"))
    panel.wait(SECONDS)
    assert panel.dims.value == ""
    assert [size.name for size in shown(panel).captured.sizes] == ["input_0"]
    panel.dims.value = "none"
    click(panel)
    assert shown(panel).captured.sizes == ()


def test_dims_of_a_wrong_type_are_refused_at_once(llama: CompileTarget) -> None:
    with pytest.raises(ConfigError, match="must be a dict of argument name -> dims"):
        explore(llama.model, llama.example_inputs, dynamic_arg_dims=["x"])  # pyright: ignore


def test_the_repr_is_short(panel: Panel) -> None:
    assert repr(panel).startswith("Panel(<Compilation toy_llama: split into 5 pieces")
    assert len(repr(panel)) < 200

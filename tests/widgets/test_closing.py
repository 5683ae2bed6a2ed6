"""A closed panel leaves nothing behind; an open one keeps its history and no more."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from explorer import CompileTarget, Session
from tests.widgets.test_soak import SPLITS, assert_flat, soak
from widgets import explore, show
from widgets.panel import Panel
from widgets.viewer import SCREENS

SECONDS = 60.0


def visit(panel: Any) -> None:
    """Opens every tab once."""
    for screen in SCREENS:
        panel.open_tab(screen.name)


def new_panel(target: CompileTarget, **options: Any) -> Panel:
    config = target.compilation_config().replace(backend="eager", compile_sizes=())
    return explore(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=config,
        **options,
    )


def test_a_closed_panel_leaves_no_widget_thread_or_compilation(llama: CompileTarget) -> None:
    before, threads = set(_instances), threading.active_count()
    panel = new_panel(llama)
    panel.wait(SECONDS)
    visit(panel)
    panel.wait(SECONDS)
    assert len(_instances) > len(before) + 20
    watched = [weakref.ref(panel.session), weakref.ref(panel.session.compilation)]
    watched += [weakref.ref(screen) for screen in panel.viewer.screens.values()]
    panel.close()
    panel.close()
    assert set(_instances) == before, "every part has closed its connection"
    panel.wait(SECONDS)
    assert threading.active_count() <= threads
    assert panel.compilation is None
    del panel
    gc.collect()
    assert [each() for each in watched] == [None] * len(watched)


def test_a_closed_read_only_panel_leaves_nothing_either(llama: CompileTarget) -> None:
    session = Session(
        llama.model,
        llama.example_inputs,
        dynamic_arg_dims=llama.dynamic_arg_dims,
        config=llama.compilation_config().replace(backend="eager"),
    )
    compilation = session.update()
    before = set(_instances)
    panel: Any = show(compilation)
    visit(panel)
    panel.viewer.looking.wait(SECONDS)
    watched = weakref.ref(compilation)
    panel.close()
    assert set(_instances) == before
    del panel, compilation, session
    gc.collect()
    assert watched() is None


def test_closing_while_it_compiles_stops_the_compile(
    open_panel: Callable[..., Panel], llama: CompileTarget
) -> None:
    from tests.widgets.slow_backend import SlowBackend

    backend = SlowBackend()
    panel = open_panel(backend)
    backend.wait_until_reached()
    panel.close()
    backend.go_on(6)
    panel.wait(SECONDS)
    assert backend.made == 1
    assert panel.compilation is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_recompiles_leave_no_more_than_the_history(llama: CompileTarget) -> None:
    panel = new_panel(llama, history_limit=3)
    panel.wait(SECONDS)
    widgets: list[int] = []

    def step(number: int) -> None:
        panel.controls.splitting_ops.value = [*SPLITS[number % len(SPLITS)]]
        panel.controls.job.act("recompile")
        panel.open_tab(SCREENS[number % len(SCREENS)].name)
        panel.wait(SECONDS)
        assert panel.error is None, panel.viewer.status.alert
        panel.select("piece", 0)
        widgets.append(len(_instances))

    before, after = soak(step, 100, warm=40)
    assert_flat(before, after)
    assert widgets[-1] <= widgets[39], "no view makes widgets again and again"
    assert len(panel.session.history) == 3
    panel.close()

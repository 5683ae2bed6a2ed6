"""A closed panel leaves nothing behind; an open one keeps its history and no more."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from ipywidgets.widgets.widget import _instances

from explorer import CompileTarget, ConfigError, GuardPolicy, Session, compile_model
from tests.widgets.test_soak import SPLITS, assert_flat, soak
from widgets import explore, show
from widgets.panel import Panel
from widgets.viewer import SCREENS

SECONDS = 60.0
ROOT = Path(__file__).parents[2]


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


ASKED_OF_A_CLOSED_PANEL: dict[str, Callable[[Any], Any]] = {
    "start": lambda panel: panel.start(),
    "recompile_now": lambda panel: panel.recompile_now(),
    "run": lambda panel: panel.run(torch.ones(2)),
    "to_html": lambda panel: panel.to_html("panel.html"),
    "go_to": lambda panel: panel.go_to(0),
    "open_tab": lambda panel: panel.open_tab("Guards"),
    "select": lambda panel: panel.select("unique", "A"),
    "session": lambda panel: panel.session,
    "splitting_ops": lambda panel: setattr(panel.splitting_ops, "value", ["torch.relu"]),
    "a chip": lambda panel: setattr(panel.splitting_ops, "draft", ["torch.sin"]),
    "dims": lambda panel: panel.dims.set_dims({}),
    "ranges": lambda panel: setattr(panel.ranges, "value", {**panel.ranges.value, "max_size": 99}),
    "guard_policy": lambda panel: setattr(
        panel.controls.guard_policy, "value", GuardPolicy.VARIANTS
    ),
}


@pytest.fixture(scope="module")
def closed_panel(llama: CompileTarget) -> Panel:
    panel = new_panel(llama)
    panel.wait(SECONDS)
    panel.close()
    return panel


@pytest.mark.parametrize("asked", ASKED_OF_A_CLOSED_PANEL)
def test_a_closed_panel_says_that_it_is_closed(asked: str, closed_panel: Panel) -> None:
    with pytest.raises(
        ConfigError, match=r"^The panel is closed: open another one with widgets\.explore\.$"
    ):
        ASKED_OF_A_CLOSED_PANEL[asked](closed_panel)
    assert closed_panel.error is None


def test_a_closed_panel_can_be_waited_for_stopped_closed_and_printed(closed_panel: Panel) -> None:
    assert closed_panel.wait(SECONDS) is None
    closed_panel.stop()
    closed_panel.close()
    assert repr(closed_panel) == "Panel(closed)"
    assert DisplayFormatter().format(closed_panel)[0] == {"text/plain": "Panel(closed)"}


def test_a_closed_read_only_panel_says_so_too(llama: CompileTarget) -> None:
    compilation = compile_model(
        llama.model,
        llama.example_inputs,
        dynamic_arg_dims=llama.dynamic_arg_dims,
        config=llama.compilation_config().replace(backend="eager"),
    ).compilation
    panel: Any = show(compilation)
    panel.close()
    assert repr(panel) == "ReadOnlyPanel(closed)"
    for asked in (lambda: panel.open_tab("Guards"), lambda: panel.select("unique", "A")):
        with pytest.raises(ConfigError, match=r"is closed: open another one with widgets\.show\.$"):
            asked()


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


OPEN = """
import threading, time
import explorer, torch, widgets

inside = threading.Event()


@torch.library.custom_op("at_exit::plus", mutates_args=())
def plus(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@plus.register_fake
def _(x):
    inside.set()
    time.sleep(0.3)  # called by torch's C++ code
    return torch.empty_like(x)


class Plus(torch.nn.Module):
    def forward(self, x):
        return plus(x)


config = explorer.CompilationConfig(backend="eager", max_size=64)
panel = widgets.explore(Plus(), (torch.ones(6),), dynamic_arg_dims={"x": {0: "n"}}, config=config)
"""
AUDIT = """
panel.wait(100)
inside.clear()
panel.open_tab("Guards")
"""
INSIDE = """
assert inside.wait(60)
"""
CLOSED = """
panel.to_html("panel.html")
panel.close()
"""
AT_WORK = {
    "the first compile": OPEN + INSIDE,
    "an audit": OPEN + AUDIT + INSIDE,
    "an audit of a closed panel": OPEN + AUDIT + CLOSED + INSIDE,
}


@pytest.mark.parametrize("at_work", AT_WORK)
def test_a_process_that_ends_while_a_panel_works_ends_well(at_work: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(AT_WORK[at_work], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

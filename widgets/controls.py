"""The settings above the views: what is dynamic, where the graph is cut, ranges, policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import ipywidgets

from explorer import (
    Compilation,
    ConfigError,
    CUDAGraphMode,
    GuardPolicy,
    PlannedCompilation,
    Progress,
    Session,
)
from explorer.report.job_text import plan_text
from widgets.control_view import ControlView
from widgets.dims_editor import DimsEditor
from widgets.job_view import JobView
from widgets.ops_editor import OpsEditor
from widgets.ranges_editor import RangesEditor

Settings: TypeAlias = dict[str, Any]
"""Changes for ``Session.update``."""

BACKENDS = ("inductor", "eager")

_ROW = {
    "width": "100%",
    "flex_flow": "row wrap",
    "align_items": "flex-start",
    "grid_gap": "0 12px",
    "overflow": "visible",
}


class UnreadableBox(ConfigError):
    """A box cannot be read; the sentence stands below it."""


class Controls:
    """Every control, by what it sets.

    Attributes:
        dims: which dims are static, dynamic or unbacked, and which are one size.
        splitting_ops: where the graph is cut.
        ranges: size ranges, exact sizes, the largest size.
        guard_policy: what a call gets that the graph is not right for.
        backend: what compiles the pieces.
        cudagraph_mode: what is replayed on a CUDA device.
        job: plan line, progress, Recompile and Cancel.
    """

    def __init__(self, session: Session) -> None:
        config = session.config
        self.dims = DimsEditor()
        self.dims.show(session.request)
        self.splitting_ops = OpsEditor(value=[*config.splitting_ops])
        self.ranges = RangesEditor(config)
        self.guard_policy = _dropdown(
            "guards", [(each.name, each) for each in GuardPolicy], config.guard_policy
        )
        backends: list[tuple[str, Any]] = [(name, name) for name in BACKENDS]
        if not isinstance(config.backend, str):
            backends.append((str(config.backend.name), config.backend))
        self.backend = _dropdown("backend", backends, config.backend)
        self.cudagraph_mode = _dropdown(
            "cuda graphs",
            [(each.name.replace("_", " "), each) for each in CUDAGraphMode],
            config.cudagraph_mode,
        )
        self.job = JobView()
        self._began = 0.0
        self._choices = (self.guard_policy, self.backend, self.cudagraph_mode)
        self._editors: tuple[ControlView, ...] = (self.dims, self.splitting_ops, self.ranges)

    def rows(self) -> tuple[ipywidgets.Widget, ...]:
        """The controls in the order in which they are read."""
        first = [_flexible(self.dims, "1 1 420px"), _flexible(self.splitting_ops, "1 1 340px")]
        choices = ipywidgets.HBox(
            list(self._choices),
            layout=ipywidgets.Layout(flex="0 1 auto", flex_flow="row wrap", overflow="visible"),
        )
        second = [_flexible(self.ranges, "1 1 420px"), choices]
        return (
            ipywidgets.HBox(first, layout=ipywidgets.Layout(**_ROW)),
            ipywidgets.HBox(second, layout=ipywidgets.Layout(**_ROW)),
            self.job,
        )

    # ------------------------------------------------------------------------------------- settings

    def settings(self) -> Settings:
        """What the controls say.

        Raises:
            UnreadableBox: a box holds what cannot be read.
        """
        for editor in self._editors:
            if editor.message:
                raise UnreadableBox(editor.message)
        return {
            "dynamic_arg_dims": self.dims.dynamic_arg_dims,
            "mark_unbacked_dims": self.dims.mark_unbacked_dims,
            "splitting_ops": self.splitting_ops.splitting_ops,
            **self.ranges.changes,
            "guard_policy": self.guard_policy.value,
            "backend": self.backend.value,
            "cudagraph_mode": self.cudagraph_mode.value,
        }

    def on_edit(self, handler: Callable[[], None]) -> None:
        """Calls the handler after each edit, also one that cannot be read."""

        def edited(_change: object) -> None:
            handler()

        for editor in self._editors:
            editor.observe(edited, ["value", "message"])
        for choice in self._choices:
            choice.observe(edited, "value")

    def use(self, compilation: Compilation) -> None:
        """Offers what occurs in a compilation; the settings stay as they are."""
        self.dims.refresh(compilation)
        self.splitting_ops.offer(compilation)

    def fill(self, compilation: Compilation) -> None:
        """Takes the settings of a compilation."""
        config = compilation.config
        self.dims.show(compilation)
        self.splitting_ops.show(compilation)
        self.ranges.show(config)
        self.guard_policy.value = config.guard_policy
        self.backend.value = config.backend
        self.cudagraph_mode.value = config.cudagraph_mode

    # ------------------------------------------------------------------------------------- compiles

    def begin(self) -> None:
        """Shows that a compile goes on."""
        self._began = time.monotonic()
        self.job.plan = ""
        self.job.begin()

    def draw(self, progress: Progress) -> None:
        """Shows how far it is."""
        self.job.show_progress(progress, time.monotonic() - self._began, progress.origins)

    def end(self) -> None:
        """Shows that no compile goes on."""
        self.job.end()

    def say_plan(self, planned: PlannedCompilation | str) -> None:
        """What a recompile would do, with the warnings of the new cut."""
        if isinstance(planned, str):
            self.job.show_plan(planned)
            return
        notes = "".join(f" · {note}" for note in planned.unique.split.notes)
        self.job.show_plan(plan_text(planned) + notes)


def _dropdown(label: str, options: list[tuple[str, Any]], value: Any) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(
        description=label,
        options=options,
        value=value,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="auto", min_width="130px"),
    )


def _flexible(view: ControlView, flex: str) -> ControlView:
    view.layout.flex = flex
    view.layout.width = "auto"
    return view

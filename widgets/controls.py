"""The controls of the panel and where they stand: two boxes, two buttons, a bar, lines of text."""

from __future__ import annotations

from dataclasses import dataclass, field

import ipywidgets

from explorer import Progress
from widgets.markup import escaped, quiet

PLANNING = quiet("plan: …")
"""What the plan line shows until the plan is there."""

_ROW = {"width": "100%", "flex_flow": "row wrap", "align_items": "center"}
_BOXES = {
    "width": "100%",
    "flex_flow": "row wrap",
    "align_items": "flex-start",
    "grid_gap": "0 1em",
}


def _text(label: str, hint: str) -> ipywidgets.Text:
    return ipywidgets.Text(
        description=label,
        placeholder=hint,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="auto"),
    )


def _line() -> ipywidgets.HTML:
    return ipywidgets.HTML(layout=ipywidgets.Layout(width="auto", margin="0 4px"))


@dataclass(frozen=True, eq=False)
class Controls:
    """Every part of the panel, by what it is for.

    Attributes:
        dims: dynamic dims, as ``parse_dims`` reads them.
        dims_message: what is wrong with them.
        splitting_ops: names with commas between them.
        splitting_ops_message: what is wrong with them.
        plan: what a recompile would do.
        recompile: starts one.
        progress: how many artifacts are made.
        progress_text: which one is being made.
        cancel: stops at the next artifact.
        status: the last result or error.
        stale: says that the picture is older than the settings.
        picture: strip, tables and graph of the last good compilation.
    """

    dims: ipywidgets.Text = field(
        default_factory=lambda: _text("dynamic dims", "input[0]=n; empty: dim 0 of every tensor")
    )
    dims_message: ipywidgets.HTML = field(default_factory=_line)
    splitting_ops: ipywidgets.Text = field(
        default_factory=lambda: _text(
            "split at", "ns::op, module:layers.*.attention; empty: no cut"
        )
    )
    splitting_ops_message: ipywidgets.HTML = field(default_factory=_line)
    plan: ipywidgets.HTML = field(default_factory=_line)
    recompile: ipywidgets.Button = field(
        default_factory=lambda: ipywidgets.Button(
            description="Recompile",
            button_style="primary",
            tooltip="Compile what the settings need and is not there yet",
        )
    )
    progress: ipywidgets.IntProgress = field(
        default_factory=lambda: ipywidgets.IntProgress(
            value=0, max=1, layout=ipywidgets.Layout(width="160px", visibility="hidden")
        )
    )
    progress_text: ipywidgets.HTML = field(default_factory=_line)
    cancel: ipywidgets.Button = field(
        default_factory=lambda: ipywidgets.Button(
            description="Cancel",
            disabled=True,
            tooltip="Stop after the artifact that is being made",
        )
    )
    status: ipywidgets.HTML = field(default_factory=_line)
    stale: ipywidgets.HTML = field(default_factory=_line)
    picture: ipywidgets.HTML = field(
        default_factory=lambda: ipywidgets.HTML(layout=ipywidgets.Layout(width="auto"))
    )

    def rows(self) -> tuple[ipywidgets.Widget, ...]:
        """The controls in the order in which they are read."""
        boxes = [
            ipywidgets.VBox([box, message], layout=ipywidgets.Layout(flex="1 1 320px"))
            for box, message in (
                (self.dims, self.dims_message),
                (self.splitting_ops, self.splitting_ops_message),
            )
        ]
        action = [self.recompile, self.cancel, self.progress, self.progress_text]
        return (
            ipywidgets.HBox(boxes, layout=ipywidgets.Layout(**_BOXES)),
            self.plan,
            ipywidgets.HBox(action, layout=ipywidgets.Layout(**_ROW)),
            self.status,
            self.stale,
            self.picture,
        )

    def begin(self) -> None:
        """Shows that a compile goes on."""
        if self.plan.value == PLANNING:
            self.plan.value = ""
        self.progress.value, self.progress.max = 0, 1
        self.progress.layout.visibility = "visible"
        self.progress_text.value = escaped("capture and cut")
        self.cancel.disabled = False

    def draw(self, progress: Progress) -> None:
        """Shows how far it is."""
        self.progress.max, self.progress.value = max(progress.total, 1), progress.done
        self.progress_text.value = escaped(f"{progress.done}/{progress.total} {progress.what}")

    def end(self) -> None:
        """Shows that no compile goes on."""
        self.progress.layout.visibility = "hidden"
        self.progress_text.value = ""
        self.cancel.disabled = True

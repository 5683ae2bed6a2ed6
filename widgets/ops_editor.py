"""Where the graph is cut: names of ops and globs of modules, each a chip, with completion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import traitlets

from explorer import Compilation, ConfigError
from explorer.report.op_choices import op_choices
from widgets.control_view import ControlView
from widgets.settings_text import LONGEST_TEXT
from widgets.view import script, style

MOST_NAMES = 200


class OpsEditor(ControlView):
    """Chips with the splitting ops, and a box that completes what occurs in the graph.

    A name that is not offered may be written as well; who compiles says whether it means something.

    Attributes:
        value: the names, each once, in order.
        draft: the names as the chips have them.
        choices: what the box offers: ``name label kind count text`` of each.
    """

    _esm = script("controls", "ops_editor")
    _css = style("controls", "ops_editor")

    value: Any = traitlets.List(traitlets.Any()).tag(sync=True)
    draft: Any = traitlets.List(traitlets.Any()).tag(sync=True)
    choices: Any = traitlets.List(traitlets.Dict()).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.draft = list(self.value)
        self.observe(self._on_draft, "draft")
        self.observe(self._on_value, "value")

    def show(self, compilation: Compilation) -> None:
        """Offers what occurs in a compilation's graph, and has its splitting ops as value."""
        self.offer(compilation)
        self.value = list(compilation.config.splitting_ops)
        self.message = ""

    def offer(self, compilation: Compilation) -> None:
        """Offers what occurs in a compilation's graph; the value stays."""
        self.choices = op_choices(compilation)

    @property
    def splitting_ops(self) -> tuple[str, ...]:
        """The setting of a session that the value stands for."""
        return tuple(self.value)

    @traitlets.validate("value")
    def _checked_value(self, proposal: traitlets.Bunch) -> list[str]:
        return _checked(proposal["value"])

    def _on_draft(self, _change: object) -> None:
        try:
            names = _checked(self.draft)
        except ConfigError as error:
            self.draft = list(self.value)
            self.message = str(error)
            return
        self.message = ""
        self.value = names
        if self.draft != names:
            self.draft = list(names)

    def _on_value(self, _change: object) -> None:
        if self.draft != self.value:
            self.draft = list(self.value)

    def __repr__(self) -> str:
        return f"OpsEditor({len(self.value)} splitting ops)"


def _checked(names: Iterable[object]) -> list[str]:
    """The names without space around them, each once.

    Raises:
        ConfigError: too many, or one that is too long to be a name.
    """
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"A splitting op is named by a string, not a {type(name).__name__}.")
        if len(name) > LONGEST_TEXT:
            raise ConfigError(
                f"The name of a splitting op has {len(name):,} characters: that is no op."
            )
        if name.strip():
            found[name.strip()] = None
    if len(found) > MOST_NAMES:
        raise ConfigError(f"{len(found):,} splitting ops are more than {MOST_NAMES}: use a glob.")
    return list(found)


__all__ = ["OpsEditor"]

"""The row of tabs above the chosen view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from explorer import ConfigError
from explorer.report.wording import label_of
from widgets.view import View, script, style

_LONGEST = 80


class Tabs(View):
    """One tab is chosen; two may stand side by side.

    Attributes:
        tabs: ``name`` and ``label`` of each, in order.
        value: name of the chosen one.
        badges: name -> what a mark beside the label says; names without a mark are left out.
        pair: names of the two that can stand side by side; empty for none.
        side_by_side: whether they do.
    """

    _esm = script("controls", "tabs")
    _css = style("controls", "tabs")

    tabs: Any = traitlets.List(traitlets.Dict()).tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)
    badges: Any = traitlets.Dict().tag(sync=True)
    pair: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    side_by_side = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, labels: Mapping[str, str], *, pair: tuple[str, ...] = (), **traits: Any
    ) -> None:
        """Args: labels: name -> label of each tab, in order; pair: see the class."""
        tabs = [{"name": name, "label": label_of(text, _LONGEST)} for name, text in labels.items()]
        super().__init__(tabs=tabs, pair=list(pair), **traits)
        if not self.value and tabs:
            self.value = tabs[0]["name"]

    @traitlets.validate("value")
    def _checked(self, proposal: traitlets.Bunch) -> str:
        names = [each["name"] for each in self.tabs]
        if names and proposal["value"] not in names:
            raise ConfigError(
                f"There is no tab {label_of(proposal['value'], _LONGEST)!r}: choose one of "
                f"{', '.join(names)}."
            )
        return proposal["value"]

    @traitlets.validate("badges")
    def _clean(self, proposal: traitlets.Bunch) -> dict[str, str]:
        return {name: label_of(text, _LONGEST) for name, text in proposal["value"].items() if text}

    def __repr__(self) -> str:
        return f"Tabs({self.value!r})"

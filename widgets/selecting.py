"""Selecting one thing in one view selects what belongs to it in all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from explorer import Compilation, ConfigError
from explorer.report.selection import Links, Selected
from widgets.view import Intent, View

NOTHING = "none"
"""The kind that ends a selection."""


class Selecting:
    """Knows what is selected, and tells the views.

    Attributes:
        selected: what is selected, or None.
    """

    def __init__(self, show_error: Callable[[BaseException], None]) -> None:
        self.selected: Selected | None = None
        self._show_error = show_error
        self._links: Links | None = None
        self._views: list[View] = []

    def attach(self, view: View) -> None:
        """Makes a view show the selection, and choose it."""
        self._views.append(view)
        view.selection = self._view()
        view.on_intent(self._on_intent)

    def use(self, compilation: Compilation) -> None:
        """Looks things up in another compilation; a selection that is there as well stays."""
        self._links = Links(compilation)
        before, self.selected = self.selected, None
        if before is not None:
            with contextlib.suppress(ConfigError):  # the other one may have no such thing
                self.selected = self._links.select(before.kind, before.key)
        self._tell()

    def select(self, kind: str, key: Any) -> Selected | None:
        """Selects one thing, or nothing.

        Args:
            kind: as in ``Selected``, or ``none``.
            key: as in ``Selected``.

        Raises:
            ConfigError: there is no such thing.
        """
        if kind == NOTHING or self._links is None:
            self.selected = None
        else:
            self.selected = self._links.select(kind, key)
        self._tell()
        return self.selected

    def close(self) -> None:
        """Forgets the views and the compilation."""
        self._views.clear()
        self._links = self.selected = None

    def _on_intent(self, _view: View, intent: Intent) -> None:
        if intent["intent"] != "select":
            return
        try:
            self.select(str(intent.get("kind")), intent.get("key"))
        except ConfigError as error:
            self._show_error(error)

    def _view(self) -> dict[str, Any]:
        return {} if self.selected is None else self.selected.view()

    def _tell(self) -> None:
        view = self._view()
        for each in self._views:
            each.selection = view

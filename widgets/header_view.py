"""The first line of the panel: what is shown, the history, exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from widgets.view import View, script, style


class HeaderView(View):
    """Says what is shown; asks for another compilation of the history, a file, or the end.

    Intents: ``show`` with ``number``, ``open`` with ``tab``, ``export`` with ``form``, ``close``.
    """

    _esm = script("header_view")
    _css = style("header_view")

    def show(self, title: str, facts: Sequence[str], history: Sequence[dict[str, Any]]) -> None:
        """Replaces what it says.

        Args:
            title: name of the model.
            facts: short texts.
            history: ``number title is_shown`` of each compilation, oldest first.
        """
        new = {"title": title, "facts": [*facts], "history": [*history]}
        self.view = dict(self.view or {}) | new

    def offer(self, forms: dict[str, str], *, closes: bool) -> None:
        """Says what can be asked for.

        Args:
            forms: of an export: its name -> what it is.
            closes: whether there is something to close.
        """
        offered = [{"form": form, "label": label} for form, label in forms.items()]
        self.view = dict(self.view or {}) | {"forms": offered, "closes": closes}

    def download(self, file: str, kind: str, text: str) -> None:
        """Hands a file to the browser, which saves it where downloads go.

        Args:
            file: its name.
            kind: its media type.
            text: what is in it.
        """
        self.send({"file": file, "kind": kind, "text": text})

    def __repr__(self) -> str:
        return f"HeaderView({(self.view or {}).get('title', '')})"

"""The base of every live view: one frozen view goes down, small intents come back.

A view's script is ``static/<name>.js`` and its style ``static/<name>.css``. The front end loads a
script as one module without neighbours, so ``static/common.js`` is put before each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anywidget
import traitlets

Intent: TypeAlias = Mapping[str, Any]
"""What a person did: ``intent`` is its name (``select``, ``try`` ...), the rest says with what."""

IntentHandler: TypeAlias = Callable[["View", Intent], None]

_STATIC = Path(__file__).parent / "static"


def script(*names: str) -> str:
    """The module of a view: what all views share, then its own parts, in order."""
    return "\n".join(_text(f"{each}.js") for each in ("common", *names))


def style(*names: str) -> str:
    """The style sheet of a view: the colours that all views share, then its own parts."""
    return "\n".join(_text(f"{each}.css") for each in ("common", *names))


def _text(file: str) -> str:
    return (_STATIC / file).read_text(encoding="utf-8")


class View(anywidget.AnyWidget):
    """Shows plain data and says what a person wants; it computes nothing.

    Attributes:
        view: plain data, replaced as a whole. What changes often has a small trait of its own.
        selection: ``Selected.view()`` of what is selected in all views; empty for nothing.
    """

    view = traitlets.Dict().tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._intent_handlers: list[IntentHandler] = []
        self.on_msg(_hear)

    def on_intent(self, handler: IntentHandler) -> None:
        """Calls the handler with this view and each intent that comes from it."""
        self._intent_handlers.append(handler)

    def act(self, intent: str, **details: Any) -> None:
        """Does what a person's click does: hands an intent to the handlers.

        Args:
            intent: its name.
            details: plain data.
        """
        for handler in self._intent_handlers:
            handler(self, {"intent": intent, **details})

    def forget(self) -> None:
        """Lets go of what it holds besides its data; it is not in sight, and is drawn again."""

    def close(self) -> None:
        """Ends the connection to the front end and forgets the handlers and the data."""
        self._intent_handlers.clear()
        self.forget()
        super().close()
        self.set_trait("view", {})

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _hear(view: View, content: object, _buffers: object) -> None:
    """A message of the front end, which anybody who can reach the kernel may have written."""
    if isinstance(content, Mapping) and isinstance(content.get("intent"), str):
        details = {str(name): value for name, value in content.items() if name != "intent"}
        view.act(content["intent"], **details)

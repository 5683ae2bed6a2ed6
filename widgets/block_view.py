"""Blocks in, alive: tables that sort, choices and buttons that say what a person wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from explorer.report.blocks import Block, Sentence, views_of
from widgets.view import View, script, style

NOTHING_YET = "Nothing was compiled yet."


class BlockView(View):
    """Shows the blocks of one view.

    A row, a bar or a letter sends ``select`` with ``kind`` and ``key``. A choice or a button sends
    the intent of its own name with ``value``: of the chosen option, or the text of the field beside
    the button, or None.

    Attributes:
        label: what a screen reader calls the view.
    """

    _esm = script("block_table", "block_pictures", "blocks")
    _css = style("blocks")

    label = traitlets.Unicode("").tag(sync=True)

    def __init__(self, label: str = "", **traits: Any) -> None:
        super().__init__(label=label, **traits)
        if not self.view:
            self.show((Sentence(NOTHING_YET),))

    def show(self, blocks: Sequence[Block]) -> None:
        """Shows these blocks in the place of those before.

        Args:
            blocks: of a function in ``explorer.report``, such as ``dedupe_view``.
        """
        self.view = {"blocks": views_of(blocks)}

    def __repr__(self) -> str:
        name = f"{self.label!r}, " if self.label else ""
        return f"BlockView({name}{len(self.view.get('blocks', ()))} blocks)"

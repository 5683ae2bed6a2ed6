"""What the controls above the views have in common: a message below them, and being disabled."""

from __future__ import annotations

import traitlets

from explorer.report.wording import label_of
from widgets.view import View

LONGEST_MESSAGE = 600
"""Characters of a message that are shown."""


class ControlView(View):
    """A control with a ``value``: the last good one, whatever stands in its boxes.

    What stands in the boxes is the trait ``draft``. A draft that cannot be used leaves the value as
    it is, and ``message`` says why.

    Attributes:
        message: what is wrong, in one sentence; empty when nothing is.
        disabled: whether it can be used.
    """

    message = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("message")
    def _clean_message(self, proposal: traitlets.Bunch) -> str:
        return label_of(proposal["value"], LONGEST_MESSAGE)

"""What the store has to say, on the logger ``explorer``: one line at a time, some lines once."""

from __future__ import annotations

import logging

logger = logging.getLogger("explorer")


class Notices:
    """Remembers what was said already."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """One line, now."""
        logger.warning("%s", " ".join(text.splitlines()))

    def say_once(self, topic: str, text: str) -> None:
        """One line, unless this topic had its line already."""
        if topic not in self._said:
            self._said.add(topic)
            self.say(text)

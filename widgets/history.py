"""The compilations of a session under numbers that stay, also when old ones leave the history."""

from __future__ import annotations

from typing import Any

from explorer import Compilation, ConfigError, Session
from explorer.report import views
from explorer.report.wording import clean, counted, listed, shortened


class History:
    """Numbers the compilations of a session from 0, in the order in which they appear.

    Attributes:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._numbers: dict[int, Compilation] = {}
        self._next = 0

    def compilations(self) -> dict[int, Compilation]:
        """Number -> compilation, oldest first, of those that the session still has."""
        there = self.session.history
        kept = {
            number: each
            for number, each in self._numbers.items()
            if any(each is one for one in there)
        }
        for each in there:
            if not any(each is one for one in kept.values()):
                kept[self._next] = each
                self._next += 1
        self._numbers = kept
        return dict(kept)

    def compilation(self, number: object) -> Compilation:
        """The compilation of a number.

        Raises:
            ConfigError: there is none, or none any longer.
        """
        found = self.compilations()
        if type(number) is int and number in found:
            return found[number]
        known = ", ".join(f"#{each}" for each in found) or "none"
        raise ConfigError(f"There is no compilation #{clean(number)}; the history has {known}.")

    def number_of(self, compilation: Compilation) -> int | None:
        """The number of a compilation; None when it is in no history."""
        found = self.compilations().items()
        return next((number for number, each in found if each is compilation), None)

    def rows(self, shown: Compilation | None) -> list[dict[str, Any]]:
        """``number title is_shown`` of each, oldest first."""
        return [
            {"number": number, "title": title_of(each), "is_shown": each is shown}
            for number, each in self.compilations().items()
        ]

    def close(self) -> None:
        """Forgets the compilations."""
        self._numbers.clear()


def title_of(compilation: Compilation) -> str:
    """What tells a compilation from others, in a short line."""
    names = listed(views.splitting_names(compilation), 2) or "nothing"
    sizes = ", ".join(size.name for size in compilation.captured.sizes) or "no size"
    return shortened(
        clean(
            f"{counted(len(compilation.pieces), 'piece')}, split at {names}, {sizes} dynamic, "
            f"{compilation.config.guard_policy.name}, {views.backend_name(compilation)}"
        ),
        200,
    )

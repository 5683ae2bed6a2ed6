"""Progress of a long job, and the wish to stop it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from explorer.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        done: finished parts, 0..total.
        total: all parts.
        what: what is being done, or was done last.
        origins: of a compile: value of an ``ArtifactOrigin`` -> finished artifacts from there.
    """

    done: int
    total: int
    what: str
    origins: Mapping[str, int] = field(default_factory=dict)


ProgressCallback: TypeAlias = Callable[[Progress], None]


class CancelToken:
    """A wish to stop, set by one thread; the job reads it between artifacts and while it waits."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Asks the job to stop at the next safe point."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Ends the job here when somebody asked.

        Raises:
            Cancelled: somebody did.
        """
        if self.is_cancelled:
            raise Cancelled("The job was cancelled; the last good compilation stays.")

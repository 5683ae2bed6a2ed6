"""How often each step really ran: what was captured, cut, compiled, reused.

For tests and for the explorer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Counters:
    """Running counts of one process. All fields only grow.

    Attributes:
        captured: Dynamo traces, probes of size 1 included.
        normalised: step 2 runs.
        split: step 3 runs.
        deduped: step 4 runs.
        compiled: artifacts that a backend made.
        reused: artifacts taken from memory instead.
    """

    captured: int = 0
    normalised: int = 0
    split: int = 0
    deduped: int = 0
    compiled: int = 0
    reused: int = 0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)

    def add(self, name: str, amount: int = 1) -> None:
        """Counts something that happened."""
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)

    def snapshot(self) -> dict[str, int]:
        """The counts now."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "_lock"]
        return {name: getattr(self, name) for name in names}

    @contextlib.contextmanager
    def expect(self, **deltas: int) -> Iterator[None]:
        """Asserts by how much each named count grows inside the block.

        Raises:
            AssertionError: a count grew by another amount.
            TypeError: there is no such count.
        """
        before = self.snapshot()
        unknown = set(deltas) - set(before)
        if unknown:
            raise TypeError(
                f"there is no counter {sorted(unknown)[0]!r}; there are {', '.join(before)}"
            )
        yield
        after = self.snapshot()
        grown = {name: after[name] - before[name] for name in deltas}
        if grown != deltas:
            raise AssertionError(f"expected the counters to grow by {deltas}, they grew by {grown}")


counters = Counters()
"""The counts of this process."""

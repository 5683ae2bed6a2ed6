"""A backend that waits at every artifact until a test lets it go on: order is no matter of luck."""

from __future__ import annotations

import threading
from typing import Any

SECONDS = 30.0


class SlowBackend:
    """Runs pieces as they are, each compiled when the test says so; ``made`` counts them."""

    name = "slow"

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self.made = 0

    def identity(self) -> str:
        return f"slow {id(self)}"

    def compile(self, graph: Any, example_inputs: Any, **_: Any) -> Any:
        self._reached.release()
        assert self._allowed.acquire(timeout=SECONDS), "the test never let the backend go on"
        self.made += 1
        return lambda values: graph(*values)

    def wait_until_reached(self) -> None:
        """Blocks until one more artifact was begun."""
        assert self._reached.acquire(timeout=SECONDS), "no artifact was begun"

    def go_on(self, artifacts: int = 1) -> None:
        """Lets so many artifacts finish."""
        self._allowed.release(artifacts)

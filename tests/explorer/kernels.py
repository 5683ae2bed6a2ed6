"""Real notebook kernels, driven by what is typed into their cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 120


class Kernel:
    """A notebook kernel and one client of it."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(cwd=str(REPOSITORY), startup_timeout=SECONDS)

    def run(self, cell: str) -> str:
        """What a cell prints."""
        printed: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed.append(content["text"])

        reply = self.client.execute_interactive(cell, timeout=SECONDS, output_hook=take)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextmanager
def new_kernel() -> Iterator[Kernel]:
    """A kernel that is stopped at the end."""
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.stop()

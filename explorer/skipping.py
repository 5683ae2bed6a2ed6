"""A switch that makes decorated models run as they are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_LOCAL = threading.local()


def is_skipped() -> bool:
    """Whether this thread is inside ``skip_compiled``."""
    return getattr(_LOCAL, "skipped", False)


@contextlib.contextmanager
def skip_compiled() -> Iterator[None]:
    """Inside, this thread's calls of decorated models run eagerly and compile nothing.

    For calls whose inputs no captured graph can serve, such as those of an encoder-decoder that
    take other types from step to step.
    """
    before = is_skipped()
    _LOCAL.skipped = True
    try:
        yield
    finally:
        _LOCAL.skipped = before

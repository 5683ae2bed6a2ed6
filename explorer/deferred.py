"""What is made when somebody reads it, and made without stops."""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")


def deferred(
    kind: type[_T], known: Mapping[str, Any], later: Mapping[str, Callable[[], Any]]
) -> _T:
    """A record of a dataclass whose other fields are made at the first look, once.

    Args:
        kind: the dataclass; its ``__init__`` does not run.
        known: field -> value.
        later: field -> what makes the value.
    """
    fields = {name: functools.cached_property(_maker(make)) for name, make in later.items()}
    record: Any = object.__new__(type(kind.__name__, (kind,), fields))
    vars(record).update(known)
    return record


def _maker(make: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda record: make()


class Once:
    """A function of nothing that runs once, whoever asks first."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._lock = threading.RLock()
        self._value: Any = None

    def __call__(self) -> Any:
        """The value; threads that ask meanwhile wait."""
        with self._lock:
            if self._make is not None:
                self._value = self._make()
                self._make = None
            return self._value


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Inside, Python does not look for garbage.

    Reading makes thousands of objects and no garbage, and each look goes through all of torch's.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

"""Guards of a capture that end with it, instead of living as long as the model does.

Private names used (torch 2.13.0): ``torch._dynamo.guards.CheckFunctionManager.id_ref`` and its
``_weakrefs``.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from torch._dynamo.guards import CheckFunctionManager


@contextlib.contextmanager
def ending_with_the_capture() -> Iterator[None]:
    """Inside, guards that this thread builds leave no finalizer on the model.

    Torch 2.13 registers one for each object whose identity is tested. It belongs to a cache entry,
    which the guards of a capture have none of, and it holds the guards, and all that they know of
    the trace, until the model goes: 0.2 MB for each capture of a small model. To be removed when
    torch's finalizer holds its manager weakly.
    """
    thread, original = threading.get_ident(), CheckFunctionManager.id_ref

    def id_ref(self: Any, obj: object, obj_str: str) -> int:
        if threading.get_ident() != thread:
            return original(self, obj, obj_str)
        with contextlib.suppress(TypeError):  # not everything can be referred to weakly
            self._weakrefs.setdefault(id(obj), weakref.ref(obj))
        return id(obj)

    with patch.object(CheckFunctionManager, "id_ref", id_ref):
        yield


__all__ = ["ending_with_the_capture"]

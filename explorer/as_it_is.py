"""The model itself, without anything that was compiled for it or for a part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer.skipping import skip_compiled
from explorer.torch_private.capture import undecorated


def as_it_is(model: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does what the compiled model stands for, eagerly.

    Args:
        model: of a decorated one, without its own hooks, which run outside of what is compiled.
    """
    plain = undecorated(model)

    def run(*args: Any, **kwargs: Any) -> Any:
        with skip_compiled():
            return plain(*args, **kwargs)

    return run

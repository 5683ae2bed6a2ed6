"""A function in, the same function out: in another thread it runs under this thread's settings.

Torch keeps grad mode, inference mode, autocast and the default device per thread: a job that a
notebook hands to a background thread would otherwise run under other settings than the cell that
started it. The default dtype belongs to the process and needs no help.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

_T = TypeVar("_T")
_AUTOCAST_DEVICES = ("cpu", "cuda")


def thread_state() -> tuple[tuple[str, Any], ...]:
    """What outside a model decides how its ops compute, as (name, value).

    That is autocast and the default dtype.
    """
    autocast = tuple(
        str(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else None
        for kind in _AUTOCAST_DEVICES
    )
    return (("autocast", autocast), ("default dtype", torch.get_default_dtype()))


def with_settings_of_this_thread(function: Callable[..., _T]) -> Callable[..., _T]:
    """The function, to be called once or more in other threads, one call at a time.

    Args:
        function: what to run; its arguments are passed on.
    """
    grad = torch.is_grad_enabled()
    inference = torch.is_inference_mode_enabled()
    device = torch.get_default_device()
    autocast = {
        kind: torch.get_autocast_dtype(kind)
        for kind in _AUTOCAST_DEVICES
        if torch.is_autocast_enabled(kind)
    }
    context = contextvars.copy_context()

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> _T:
        with contextlib.ExitStack() as settings:
            if inference:
                settings.enter_context(torch.inference_mode())
            settings.enter_context(torch.set_grad_enabled(grad))
            if torch.get_default_device() != device:  # a needless mode would be traced as well
                settings.enter_context(device)
            for kind, dtype in autocast.items():
                settings.enter_context(torch.autocast(kind, dtype=dtype))
            return context.run(function, *args, **kwargs)

    return run

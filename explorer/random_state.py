"""Somebody else's code is run without a trace in the caller's random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Inside, torch draws the same numbers each time; after it the states are the caller's again.

    They are those of Python, NumPy and torch, of the processor and of accelerators in use.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = _devices_in_use()
    try:
        with torch.random.fork_rng(devices):
            if devices == []:
                torch.default_generator.manual_seed(0)  # the other one seeds CUDA at its first use
            else:
                torch.manual_seed(0)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _devices_in_use() -> list[int] | None:
    """CUDA devices, none before the first use, which asking for a state would be.

    None where torch is to choose: there is no CUDA.
    """
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or accelerator.type != "cuda":
        return None
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []

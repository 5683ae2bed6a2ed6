"""Inductor's graph partition: who runs the parts into which it cuts one compiled piece.

Private names used (torch 2.13.0): ``torch._inductor.utils.set_customized_partition_wrappers`` and
the ``_unstable_customized_partition_wrapper`` behind it, ``torch._inductor.config.patch``. Torch
asks for the wrapper where code is compiled or loaded, once for each partition, and calls what it
made at every call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch._inductor.config
from torch._inductor import utils

PartitionRunner = Callable[["Partition", list[Any]], Any]

_RUNNER: ContextVar[PartitionRunner | None] = ContextVar("partition_runner", default=None)
"""Runs the partitions of the calls of this thread; None where they run by themselves."""


class Partition:
    """One partition of a compiled piece: a function of the list of its inputs.

    Attributes:
        function: runs it.
        index: among those of its piece.
    """

    def __init__(self, function: Callable[..., Any], index: int) -> None:
        self.function = function
        self.index = index

    def __call__(self, arguments: list[Any]) -> Any:
        """Its outputs, from who runs partitions now."""
        run = _RUNNER.get()
        return self.function(arguments) if run is None else run(self, arguments)


def partition_settings(names: Sequence[str]) -> dict[str, Any]:
    """Inductor settings that cut at some ops.

    Args:
        names: ``ns::op`` or ``ns::op.overload``.
    """
    return {"graph_partition": True, "custom_should_partition_ops": sorted(names)}


@contextlib.contextmanager
def wrapped_partitions() -> Iterator[None]:
    """Inside, code that is compiled or loaded gets its partitions as ``Partition``."""
    state = utils._unstable_customized_partition_wrapper
    before = state.wrapper
    utils.set_customized_partition_wrappers(
        lambda function, metadata: Partition(function, metadata.partition_index)
    )
    try:
        with torch._inductor.config.patch(graph_partition=True):
            yield
    finally:
        state.wrapper = before


@contextlib.contextmanager
def partitions_run_by(runner: PartitionRunner) -> Iterator[None]:
    """Inside, the partitions of calls of this thread are handed to a runner."""
    token = _RUNNER.set(runner)
    try:
        yield
    finally:
        _RUNNER.reset(token)


__all__ = ["Partition", "partition_settings", "partitions_run_by", "wrapped_partitions"]

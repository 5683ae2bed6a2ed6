"""A layer that is called again and again is traced once; its nodes are written again for the rest.

``layers`` finds them, ``calls`` decides, ``arguments`` compares two calls, ``conditions`` what the
trace relied on, ``nodes`` writes, ``places`` and ``logs`` say where each stands, ``results`` what
it returns.
"""

from __future__ import annotations

import contextlib
from typing import Any

from explorer.torch_private.repeats.layers import (
    RepeatCounts,
    RepeatsFailedError,
    repeated_layers,
)


def writing_repeats(
    model: Any, calls: Any, recording: Any, counts: RepeatCounts
) -> contextlib.AbstractContextManager[None]:
    """Inside, this thread's traces of a model look into each of its repeated layers once.

    It does nothing where this torch lacks a name that it needs, which a canary tells.

    Args:
        model: what is traced.
        calls: the ``TracedCalls`` of the trace.
        recording: the ``Recording`` of it.
        counts: filled.

    Raises:
        RepeatsFailedError: a layer could not be written again, for a reason that is not known.
    """
    layers = repeated_layers(model)
    if not layers:
        return contextlib.nullcontext()
    try:
        from explorer.torch_private.repeats.calls import repeats_written
        from explorer.torch_private.repeats.logs import logs_of
    except ImportError:
        return contextlib.nullcontext()
    return repeats_written(layers, logs_of(calls, recording), counts)


__all__ = ["RepeatCounts", "RepeatsFailedError", "writing_repeats"]

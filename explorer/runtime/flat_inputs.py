"""A call in, the flat inputs of the captured graph out; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


class _Values(Exception):
    """Carries the flat inputs of a call out of it."""


def flat_inputs(raw: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a call gives the inputs of the captured graph, parameters included.

    Args:
        raw: what torch made of the capture.
        args: positional arguments.
        kwargs: keyword arguments.
    """

    def stop(*values: Any) -> NoReturn:
        raise _Values(values)

    first = () if raw.receiver is None else (raw.receiver,)
    try:
        raw.bind(stop)(*first, *args, **kwargs)
    except _Values as error:
        (values,) = error.args
        return values
    return ()  # a graph without operations is not called

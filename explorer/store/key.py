"""A configuration in, the factors of a key that come from it out.

A factor is a name and a text. Two artifacts of equal factors may stand for one another; where there
is none of equal factors, the names say why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

NOT_OF_A_PIECE: Mapping[str, str] = {
    "mode": "a piece is compiled the same way whatever it was cut from",
    "backend": "counts by the backend's own identity, as factor 'backend'",
    "splitting_ops": "where the graph is cut shows in the piece's fingerprint",
    "compile_sizes": "the sizes of an artifact are factor 'size range'",
    "compile_ranges_endpoints": "the sizes of an artifact are factor 'size range'",
    "max_size": "the sizes of an artifact are factor 'size range'",
    "dispatch_dim": "which size picks the range shows in the piece's fingerprint",
    "out_of_range": "decides what calls get, not what a piece computes",
    "grad": "decides what calls get, not what a piece computes",
    "variants_limit": "decides how many graphs there may be, not what a piece computes",
    "dedupe": "decides which pieces share an artifact, not what it computes",
    "cudagraph_mode": "decides how a piece is called, not what it computes",
    "cudagraph_capture_sizes": "decides how a piece is called, not what it computes",
    "cudagraph_num_of_warmups": "decides how a piece is called, not what it computes",
    "cudagraph_copy_inputs": "decides how a piece is called, not what it computes",
    "use_inductor_graph_partition": "counts as settings, in the backend's identity",
    "inductor_config": "counts by value, passes by uuid, in the backend's identity",
    "store": "decides where artifacts are kept",
    "compile_workers": "decides how fast artifacts are made, not what they are",
    "debug_dump_path": "decides where copies for reading go",
}
"""Fields of the configuration that are no factor of a piece's artifact -> why not."""


def config_factors(config: Any, left_out: Mapping[str, str]) -> dict[str, str]:
    """Every field of a configuration as a factor, but for those that are left out with a reason.

    Args:
        config: a dataclass.
        left_out: field -> why it is no factor.

    Raises:
        TypeError: a field holds something without a text, so it has to be left out, and counted
            in another way.
    """
    factors: dict[str, str] = {}
    for field in dataclasses.fields(config):
        if field.name not in left_out:
            _add(factors, f"config.{field.name}", getattr(config, field.name))
    return factors


def _add(factors: dict[str, str], name: str, value: Any) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _add(factors, f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Enum):
        factors[name] = value.name
    elif _is_plain(value):
        factors[name] = repr(value)
    else:
        raise TypeError(f"{name} is a {type(value).__name__}, which has no text that says all")


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, bool | int | float | str | None)

"""The model and its captured graph beside each other at every point of a domain."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import torch

from explorer import Compilation, CompilationConfig, GuardAudit, SizeRange, compile_model
from tests.explorer.comparing import filled

EAGER = CompilationConfig(backend="eager", max_size=64)
WIDTH = 16

Point = tuple[int, ...]


def compilation_of(
    model: Callable[..., Any], sizes: Mapping[str, int], *, config: CompilationConfig = EAGER
) -> Compilation:
    """A model whose first arguments are (size, 16) tensors and the others ints, all named.

    Args:
        model: its parameters stand in the order of ``sizes``; a tensor's is annotated so.
        sizes: name -> size of the example, or value of an int argument.
        config: of the compilation.
    """
    named = zip(inspect.signature(model).parameters, sizes, strict=True)
    dims = {path: {0: name} for path, name in named if path != name}
    return compile_model(
        model, inputs_of(model, sizes), dynamic_arg_dims=dims, config=config
    ).compilation


def inputs_of(model: Callable[..., Any], sizes: Mapping[str, int]) -> tuple[Any, ...]:
    """Arguments of these sizes; an argument called like its value is an int."""
    pairs = zip(inspect.signature(model).parameters, sizes.items(), strict=True)
    return tuple(value if path == name else filled(value, WIDTH) for path, (name, value) in pairs)


def points_of(domain: Mapping[str, SizeRange]) -> Iterator[Point]:
    """Every point, the last dimension fastest."""
    return product(*(range(each.start, each.end + 1) for each in domain.values()))


def compare(
    compilation: Compilation, domain: Mapping[str, SizeRange]
) -> tuple[set[Point], set[Point]]:
    """The points at which the captured graph gives eager's result, and those where eager fails.

    The graph is called without any check of its conditions.
    """
    captured = compilation.captured
    run = captured.raw.bind(captured.raw.graph_module.forward)  # type: ignore[union-attr]
    right, failing = set(), set()
    for point in points_of(domain):
        sizes = dict(zip(domain, point, strict=True))
        arguments = inputs_of(captured.model, sizes)
        with torch.no_grad():
            try:
                expected = captured.model(*arguments)
            except Exception:
                failing.add(point)
                continue
            try:
                given = run(*arguments)
            except Exception:
                continue
        if expected.shape == given.shape and torch.equal(expected, given):
            right.add(point)
    return right, failing


def sizes_in(intervals: tuple[tuple[int, int], ...]) -> list[int]:
    """Every size of some intervals."""
    return [size for first, last in intervals for size in range(first, last + 1)]


def valid_points(audit: GuardAudit, domain: Mapping[str, SizeRange]) -> set[Point]:
    """The points that an audit calls valid when it is asked one by one."""
    return {
        point
        for point in points_of(domain)
        if audit.is_valid(**dict(zip(domain, point, strict=True)))
    }

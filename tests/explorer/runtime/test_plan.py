"""Step 6: which artifact serves which row of the dispatch table."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.explorer.comparing import EAGER, compiled, filled


def doubles(x):
    return x * 2 + x.shape[0]


ENDS = [
    pytest.param((8, 32), (8, 16, 32), 64, id="at an endpoint"),
    pytest.param((), (64,), 64, id="at the largest size"),
    pytest.param((8, 9), (9,), 64, id="a range of one size"),
]


@pytest.mark.parametrize(("endpoints", "sizes", "largest"), ENDS)
def test_a_range_that_ends_with_a_compiled_size_keeps_its_own_artifact(
    endpoints: tuple[int, ...], sizes: tuple[int, ...], largest: int
) -> None:
    settings = {"compile_ranges_endpoints": endpoints, "compile_sizes": sizes, "max_size": largest}
    compilation = compiled(doubles, filled(5, 3), config=EAGER.replace(**settings)).compilation
    rows = compilation.plan.entries
    assert len(rows) == len(sizes) + len(compilation.size_ranges)
    for row in rows:
        assert row.size_range is not None
        for artifact in row.artifacts.values():
            assert str(artifact.size_range) == str(row.size_range)


class Exact:
    """Refuses a call of another size than the one that it compiled for."""

    name = "exact"

    def identity(self) -> str:
        return "exact"

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        def run(*values: Any) -> Any:
            first = next(value for value in values if isinstance(value, torch.Tensor))
            assert size_range is None or len(first) in size_range, len(first)
            return graph.forward(*values)

        return run


@pytest.mark.parametrize("m", [1, 3])
def test_a_call_with_another_size_of_one_keeps_the_artifact_of_its_range(m: int) -> None:
    def model(x, y):
        first = torch.sigmoid(x * 2)  # the cut: what is before it depends on n alone
        return first + y.sum(0)

    settings = {"compile_sizes": (64,), "max_size": 64, "splitting_ops": ("torch.sigmoid",)}
    fast = compiled(
        model,
        filled(5, 3),
        filled(6, 3),
        dynamic_arg_dims={"x": {0: "n"}, "y": {0: "m"}},
        config=EAGER.replace(backend=Exact(), **settings),
    )
    assert torch.equal(fast(filled(33, 3), filled(m, 3)), model(filled(33, 3), filled(m, 3)))

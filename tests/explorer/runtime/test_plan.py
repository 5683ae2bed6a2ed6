"""Step 6: which artifact serves which row of the dispatch table."""

from __future__ import annotations

import pytest

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

"""explain_ranges: artifacts of neighbouring ranges, their code compared without names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import Compilation, CompilationConfig, ConfigError, Session, StoreConfig
from explorer.report import html, views
from tests.explorer.comparing import filled


class WritingBackend:
    """The eager backend, saying that it wrote a loop whose text depends on the range."""

    name = "writing"

    def identity(self) -> str:
        return self.name

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        def run(*arguments: Any) -> Any:
            return graph.forward(*arguments)

        is_long = size_range is not None and size_range.end > 16
        width = "long" if is_long else "int"
        run.code = f"# for {size_range}\nloop over s{size_range.end}\n{width} <i>\n"  # type: ignore[attr-defined]
        return run

    def generated_code(self, function: Any) -> str:
        return function.code


def model(x: torch.Tensor) -> torch.Tensor:
    return x.sin() * 2


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    config = CompilationConfig(
        backend=WritingBackend(),
        compile_ranges_endpoints=(8, 16),
        compile_sizes=(4,),
        max_size=64,
        store=StoreConfig(enabled=False),
    )
    return Session(model, (filled(5, 3),), config=config).update()


def test_each_range_is_compared_with_the_next_one(compilation: Compilation) -> None:
    same, other = compilation.explain_ranges()
    assert (str(same.first), str(same.second), str(other.first), str(other.second)) == (
        "1–8",
        "9–16",
        "9–16",
        "17–64",
    )
    assert str(same) == "piece A: the code for 1–8 and 9–16 is the same"
    assert other.diff.splitlines() == [
        "--- A for 9–16",
        "+++ A for 17–64",
        "@@ -1,2 +1,2 @@",
        " loop over s",
        "-int <i>",
        "+long <i>",
    ]
    assert str(other) == (
        "piece A: the code for 9–16 and 17–64 differs, in 1 lines of the one against 1 of the other"
    )


def test_unknown_piece_is_refused(compilation: Compilation) -> None:
    assert len(compilation.explain_ranges("A")) == 2
    with pytest.raises(ConfigError, match="no unique piece 'Z'; the unique pieces are A"):
        compilation.explain_ranges("Z")


def test_report_shows_the_difference_escaped(compilation: Compilation) -> None:
    page = html.page(compilation)
    assert "What the ranges change" in page
    assert "+long &lt;i&gt;" in page
    assert "<i>" not in page
    assert "piece A: the code for 9–16 and 17–64 differs, in" in compilation.summary()


def test_what_runs_uncompiled_is_not_compared_in_reports() -> None:
    config = CompilationConfig(backend="eager", compile_ranges_endpoints=(8,), max_size=64)
    compilation = Session(model, (filled(5, 3),), config=config).update()
    assert views.range_differences(compilation) == ()
    assert "What the ranges change" not in html.page(compilation)

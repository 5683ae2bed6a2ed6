"""docs/extending.md: what it shows can be added, and what it says of a backend is so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

import explorer
from tests.docs_pages.pages import (
    ROOT,
    PageRunner,
    files_of,
    names_of_files,
    sections_of,
    steps_of,
    text_of,
)

PAGE = text_of("extending.md")
SECTIONS = sections_of(PAGE)

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="Inductor needs a C++ compiler"
)


def test_files_that_are_named_exist() -> None:
    named = names_of_files(PAGE) - set(files_of(PAGE))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_functions_that_are_named_are_where_the_page_says() -> None:
    split = (ROOT / "explorer" / "stages" / "split.py").read_text(encoding="utf-8")
    for name in ("find_splitting_nodes", "_nodes_of_op", "_nodes_of_modules", "present_ops"):
        assert name in PAGE
        assert f"def {name}(" in split
    assert "SCREENS:" in (ROOT / "widgets" / "viewer.py").read_text(encoding="utf-8")


@pytest.mark.slow
@needs_compiler
def test_commands_print_what_the_page_shows(folder: Path) -> None:
    runner = PageRunner(folder, files_of(PAGE))
    commands = [step for step in steps_of(PAGE) if step.is_command]
    assert len(commands) == 4
    for step in commands:
        runner.assert_shows(step)


@pytest.mark.parametrize(
    ("heading", "shown"),
    [
        pytest.param("A graph pass", 1, marks=[pytest.mark.slow, needs_compiler]),
        ("A view", 2),
        ("A rule for where to cut", 3),
    ],
)
def test_blocks_print_what_the_page_shows(heading: str, shown: int, folder: Path) -> None:
    before = "A view" if heading.startswith("A rule") else heading  # its session is used on
    steps = steps_of("".join(SECTIONS[each] for each in dict.fromkeys((before, heading))))
    runner = PageRunner(folder, {})
    with torch.no_grad():
        for step in steps:
            runner.assert_shows(step)
    assert sum(step.shown is not None for step in steps_of(SECTIONS[heading])) == shown


class Noting:
    """A backend that runs the graph, and notes what it was given."""

    name = "noting"
    boxed = False

    def __init__(self) -> None:
        self.given: list[tuple[fx.GraphModule, Sequence[Any], Any, Mapping[str, Any]]] = []

    def identity(self) -> str:
        return "noting"

    def compile(
        self,
        graph: fx.GraphModule,
        example_inputs: Sequence[Any],
        *,
        size_range: explorer.SizeRange | None,
        options: Mapping[str, Any],
    ) -> Any:
        self.given.append((graph, example_inputs, size_range, options))
        return self.made(graph)

    def made(self, graph: fx.GraphModule) -> Any:
        return graph.forward


class Boxed(Noting):
    def made(self, graph: fx.GraphModule) -> Any:
        def run(arguments: list[Any]) -> Any:
            given = list(arguments)
            arguments.clear()
            return graph.forward(*given)

        run.boxed = True  # pyright: ignore[reportFunctionMemberAccess]
        return run


class Failing(Noting):
    def made(self, graph: fx.GraphModule) -> Any:
        raise ValueError("no such instruction")


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight


INPUTS = (torch.ones(6, 4), torch.ones(4, 3))
DIMS = {"x": {0: "n"}}


def compiled_by(backend: Any) -> explorer.CompiledModel:
    with torch.no_grad():
        config = explorer.CompilationConfig(backend=backend, compile_ranges_endpoints=(32,))
        return explorer.compile_model(linear, INPUTS, dynamic_arg_dims=DIMS, config=config)


def test_what_a_backend_is_given() -> None:
    backend = Noting()
    compilation = compiled_by(backend).compilation
    assert isinstance(backend, explorer.Backend)
    assert [str(each[2]) for each in backend.given] == ["1–32", "33–8192"]
    for graph, inputs, _, options in backend.given:
        placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
        assert len(inputs) == len(placeholders)
        assert isinstance(graph.graph.output_node().args[0], tuple)
        assert set(options) == {"fake_mode", "cache_tag", "settings"}
        for node in list(graph.graph.nodes):  # what a backend does to its graph stays with it
            node.name = f"changed_{node.name}"
    assert "changed" not in compilation.pieces[0].readable()


def test_a_boxed_function_may_empty_its_list() -> None:
    with torch.no_grad():
        torch.testing.assert_close(compiled_by(Boxed())(*INPUTS), linear(*INPUTS))


def test_without_serialize_each_process_compiles_again() -> None:
    backend = Noting()
    compiled_by(backend)
    counts = compiled_by(backend).compilation.counts
    assert (counts.get("compiled"), counts.get("loaded", 0)) == (2, 0)


def test_what_a_backend_raises_becomes_a_compile_error() -> None:
    with pytest.raises(explorer.CompileError) as raised:
        compiled_by(Failing())
    message = str(raised.value)
    for part in ("'noting'", "no such instruction", "1–32"):
        assert part in message
    assert Path(__file__).name in message

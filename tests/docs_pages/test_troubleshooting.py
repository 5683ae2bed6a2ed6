"""docs/troubleshooting.md: every symptom is provoked, and what is quoted is what is said."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import explorer
from explorer.doctor import examine
from tests.docs_pages.pages import DOCS, PageRunner, files_of, sections_of, steps_of, text_of
from tests.explorer.runtime.graph_models import ADD_UP, TwoToyOps
from tests.explorer.runtime.recording_graphs import RecordingGraphs, graphed

PAGE = text_of("troubleshooting.md")
SECTIONS = sections_of(PAGE)
SYMPTOMS = [heading for heading in SECTIONS if heading]
COMPILES = "It compiles again in every process"
"""The one symptom for which something is compiled with Inductor."""


def runner_of(folder: Path) -> PageRunner:
    runner = PageRunner(folder, files_of(PAGE))
    for step in steps_of(SECTIONS[""]):
        runner.run(step)
    return runner


def provoke(heading: str, folder: Path, *, commands: bool) -> int:
    """Does what a section says; returns how many of its steps show something."""
    runner = runner_of(folder)
    steps = [step for step in steps_of(SECTIONS[heading]) if step.is_command is commands]
    for step in steps:
        runner.assert_shows(step)
    return sum(step.shown is not None for step in steps)


@pytest.mark.parametrize("heading", [each for each in SYMPTOMS if each != COMPILES])
def test_symptom_is_what_the_page_shows(heading: str, folder: Path) -> None:
    shown = provoke(heading, folder, commands=False)
    without = {
        "The result differs slightly from eager",
        "The panel does not show, or is blank",
        "The store grows, or the disk is full",
    }
    assert (shown == 0) is (heading in without)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_unsafe_store_is_what_the_page_shows(folder: Path) -> None:
    assert provoke(COMPILES, folder, commands=False) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "heading",
    [each for each in SYMPTOMS if "```console" in SECTIONS[each]],
)
def test_commands_print_what_the_page_shows(heading: str, folder: Path) -> None:
    assert provoke(heading, folder, commands=True) > 0


def test_there_is_a_section_for_each_symptom() -> None:
    assert len(SYMPTOMS) == 16
    for heading in SYMPTOMS:
        for word in ("**You see**", "**Why", "**F"):
            assert word in SECTIONS[heading], f"{heading}: {word}"


def quoted_in(heading: str) -> list[str]:
    """The blocks of text of a section, each in one line."""
    blocks = re.findall(r"^```text\n(.*?)^```$", SECTIONS[heading], re.DOTALL | re.MULTILINE)
    return [" ".join(block.split()) for block in blocks]


def test_panel_without_anywidget(monkeypatch: pytest.MonkeyPatch) -> None:
    import widgets

    for name in [each for each in sys.modules if each.startswith("widgets.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError) as raised:
        widgets.explore(torch.relu, (torch.ones(2),))
    (quoted,) = quoted_in("The panel does not show, or is blank")
    assert quoted == f"ImportError: {raised.value}"


def test_changed_code(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tests.explorer.keeping import GraphKeeping

    source = """
def act(x):
    return x * {}


class Net(__import__("torch").nn.Module):
    def forward(self, x):
        return act(x)
"""
    path = folder / "net.py"
    for factor in (2, 3):
        path.write_text(source.format(factor), encoding="utf-8")
        sys.modules.pop("net", None)
        importlib.invalidate_caches()
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        net = importlib.import_module("net")
        config = explorer.CompilationConfig(backend=GraphKeeping())
        with torch.no_grad():
            compiled = explorer.compile_model(net.Net(), (torch.ones(6, 8),), config=config)
    assert compiled.compilation.counts["compiled"] == 1
    said = [each.getMessage() for each in caplog.records if each.name == "explorer"]
    assert said == [quoted_in(COMPILES)[0]]


def test_full_disk(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from tests.explorer.keeping import session

    monkeypatch.setattr("explorer.store.artifact_store._SPARE_BYTES", 2**62)
    session().update()
    (quoted,) = quoted_in("The store grows, or the disk is full")
    pattern = re.escape(quoted).replace(r"\.\.\.", r".*").replace("1–64", r"[\d–]+")
    assert re.search(pattern, caplog.text), caplog.text


def test_calls_without_a_cuda_graph() -> None:
    section = SECTIONS["No CUDA graph is used"]
    notes = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    fast = graphed(
        TwoToyOps(),
        torch.ones(5),
        api=RecordingGraphs(),
        mode="piecewise",
        sizes=(1, 2),
        splitting_ops=(ADD_UP,),
        config=explorer.CompilationConfig(backend="eager", max_size=128),
    )
    with torch.no_grad(), fast.record() as run:
        fast(torch.ones(9))
    assert fast.cuda_graph_notes == (notes[0],)
    assert run.cuda_graph.note == notes[0]
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (DOCS.parent / "explorer" / "runtime").glob("*.py")
    )
    for note in notes[1:]:
        assert note.partition("2: ...")[0] in code


def test_doctor_has_the_lines_that_are_named() -> None:
    named = re.findall(r"`explorer doctor` has a line `([^`]+)`", PAGE)
    assert len(named) == 2
    assert set(named) <= {each.what for each in examine()}


def test_marks_of_torch_are_not_read() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    marked = torch.ones(6, 8)
    torch._dynamo.mark_dynamic(marked, 1)
    config = explorer.CompilationConfig(backend="eager")
    captured = explorer.compile_model(doubled, (marked,), config=config).compilation.captured
    assert [each.label for each in captured.sizes] == ["x.size(0)"]


def test_which_dims_are_dynamic_where_none_is_named() -> None:
    def annotated(x: torch.Tensor, y) -> torch.Tensor:
        return x.sum(0) + y.sum(0)

    def bare(x, y):
        return x.sum(0) + y.sum(0)

    found = []
    for function in (annotated, bare):
        config = explorer.CompilationConfig(backend="eager")
        inputs = (torch.ones(6, 8), torch.ones(6, 8))
        captured = explorer.compile_model(function, inputs, config=config).compilation.captured
        found.append([each.label for each in captured.sizes])
    assert found == [["x.size(0)"], ["x.size(0)", "y.size(0)"]]

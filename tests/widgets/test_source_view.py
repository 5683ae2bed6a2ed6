"""The source view carries what the pure views say, and answers when a pane is opened."""

from __future__ import annotations

import re
from typing import Any

import pytest
import traitlets

import widgets.source_view
from explorer import CompileTarget
from explorer.compilation import Compilation
from explorer.report.code_view import code_view, fx_view, generated_view
from explorer.session import session_of
from widgets.source_view import SourceView


@pytest.fixture(scope="module")
def compilation(llama: CompileTarget) -> Compilation:
    config = llama.compilation_config().replace(backend="eager", compile_sizes=())
    return session_of(llama, config).update()


def test_it_shows_the_code_of_a_compilation(compilation: Compilation) -> None:
    view = SourceView(compilation)
    assert view.view == code_view(compilation)
    assert (view.fx, view.generated) == ({}, {})
    assert repr(view) == "SourceView(1 files)"


def test_it_can_wait_for_a_compilation(compilation: Compilation) -> None:
    view = SourceView()
    view.act("open", pane="fx", index=0)
    assert (view.view, view.fx) == ({}, {})
    view.show(compilation)
    assert view.view["rows"]


def test_a_pane_gets_its_code_when_it_is_opened(compilation: Compilation) -> None:
    view = SourceView(compilation)
    view.act("open", pane="fx", index=2)
    view.act("open", pane="generated", index=1)
    assert view.fx == fx_view(compilation, 2)
    assert view.generated == generated_view(compilation, 1)


def test_another_compilation_empties_the_other_panes(compilation: Compilation) -> None:
    view = SourceView(compilation)
    view.fill("fx", 2)
    view.show(compilation)
    assert view.fx == {}


@pytest.mark.parametrize(
    "intent",
    [
        {"pane": "fx", "index": "0"},
        {"pane": "fx", "index": True},
        {"pane": "fx"},
        {"pane": "view", "index": 0},
        {"pane": ["fx"], "index": 0},
        {},
    ],
)
def test_an_intent_that_means_nothing_changes_nothing(
    compilation: Compilation, intent: dict[str, Any]
) -> None:
    view = SourceView(compilation)
    view.act("open", **intent)
    assert (view.fx, view.generated) == ({}, {})


def test_a_piece_that_is_not_there_is_told_in_its_pane(compilation: Compilation) -> None:
    view = SourceView(compilation)
    view.act("open", pane="fx", index=99)
    assert view.fx["problem"].startswith("There is no piece 99 in this compilation")
    assert view.fx["rows"] == []


def test_other_intents_reach_whoever_listens(compilation: Compilation) -> None:
    view, heard = SourceView(compilation), []
    view.on_intent(lambda _, intent: heard.append(intent))
    view.act("select", kind="piece", key=2)
    assert heard == [{"intent": "select", "kind": "piece", "key": 2}]


def test_only_its_own_panes_can_be_open() -> None:
    view = SourceView()
    view.panes = ["generated"]
    with pytest.raises(traitlets.TraitError):
        view.panes = ["graph"]


def test_a_closed_view_forgets_the_compilation(compilation: Compilation) -> None:
    view = SourceView(compilation)
    view.fill("fx", 0)
    view.close()
    assert (view.view, view.fx) == ({}, {})
    view.fill("fx", 0)
    assert view.fx == {}


def test_its_script_loads_nothing_and_puts_no_markup_into_the_page() -> None:
    script = str(SourceView._esm)
    own = script.split("// One pane of code")[1]
    assert not re.search(r"\bimport\b|innerHTML|insertAdjacent|fetch\(|eval\(|https?:", own)
    assert script.count("export default") == 1
    own = str(SourceView._css).split("Panes of code beside each other")[1]
    assert own.count("{") == own.count("}")
    selectors = re.findall(r"^([.\w\[][^{;]*)\{", own, re.MULTILINE)
    assert selectors
    assert all(".pwx-source" in each for each in selectors)


def test_the_module_needs_no_torch() -> None:
    assert not hasattr(widgets.source_view, "torch")

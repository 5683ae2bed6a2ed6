"""The widget of blocks on the side of Python: what travels, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.report.blocks import Choice, Heading, Sentence
from widgets import block_view
from widgets.block_view import NOTHING_YET, BlockView
from widgets.view import View


def test_before_it_is_given_anything_it_says_so() -> None:
    assert BlockView().view["blocks"] == [Sentence(NOTHING_YET).view()]


def test_showing_replaces_the_blocks_as_a_whole() -> None:
    widget = BlockView("Dedupe")
    seen: list[Any] = []
    widget.observe(lambda change: seen.append(change["new"]), "view")
    blocks = (Heading("Groups"), Choice("pick", "piece", ((0, "A"), (1, "B")), 1))
    widget.show(blocks)
    assert seen == [{"blocks": [each.view() for each in blocks]}]
    assert repr(widget) == "BlockView('Dedupe', 2 blocks)"


def test_intents_reach_the_handlers() -> None:
    widget = BlockView()
    heard: list[Mapping[str, Any]] = []

    def hear(_view: View, intent: Mapping[str, Any]) -> None:
        heard.append(intent)

    widget.on_intent(hear)
    widget.act("compare_first", value=3)
    assert heard == [{"intent": "compare_first", "value": 3}]


def test_the_script_is_one_module_that_loads_nothing() -> None:
    script, style = str(BlockView._esm), str(BlockView._css)
    assert script.count("export default") == 1
    for forbidden in ("import ", "import(", "innerHTML", "fetch(", "eval(", "http://cdn", "https:"):
        assert forbidden not in script
    assert "url(" not in style
    assert "@import" not in style


def test_every_rule_of_the_style_is_of_this_view_and_takes_its_colours_from_variables() -> None:
    own = (Path(block_view.__file__).parent / "static" / "blocks.css").read_text(encoding="utf-8")
    selectors = [
        part.strip()
        for line in own.splitlines()
        if "{" in line and not line.lstrip().startswith(("@", "/*"))
        for part in line.partition("{")[0].split(",")
        if part.strip()
    ]
    assert len(selectors) > 50
    assert [each for each in selectors if ".pwx-blocks" not in each] == []
    assert "#" not in own.replace("#pwx", "")  # no colour of its own

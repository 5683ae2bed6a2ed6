"""Whatever things are called, a report shows their names as text and does nothing else.

Each payload is the name of a model, a module, a parameter, an input, a file, a comment and a
message, one model each; one more model has all of them.
"""

from __future__ import annotations

import ast
import functools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.bisect import bisect
from explorer.check import check_target
from explorer.cli import main
from explorer.compilation import Compilation
from explorer.errors import ConfigError, ExplorerError
from explorer.guards.diagnosis import Wishes
from explorer.report import graph_svg, html, markup
from explorer.report.job_text import plan_text
from explorer.report.selection import Links
from explorer.report.wording import LONGEST_TEXT, clean, label_of
from explorer.session import Session, session_of
from tests import hostile_outputs as outputs
from tests.hostile_names import (
    LONG_PAYLOADS,
    PAYLOADS,
    attribute_name,
    hostile_model,
    hostile_target,
    words,
)
from tests.hostile_reading import Page, assert_clean, read_dot, read_svg
from widgets.status_view import error_view

ALL = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)

_KINDS = (
    *("image", "image-single-quote", "image-null", "script-end", "style-brace-end", "title-end"),
    *("comment", "cdata-end", "entity-numbers", "quotes", "event-double", "dot-html-open"),
    *("dot-backslash-end", "json-proto", "format-brace", "python-end", "python-statement"),
    *("path-up", "terminal-colour", "terminal-c1", "newlines", "tabs", "separators"),
    *("right-to-left", "surrogate", "noncharacters", "blank"),
)
KINDS = pytest.mark.parametrize("payload", [PAYLOADS[each] for each in _KINDS], ids=_KINDS)
"""One of each kind, for what takes long; the others are in the model that has all."""

_FEW = ("image", "style-brace-end", "terminal-colour", "surrogate", "noncharacters")
FEW = pytest.mark.parametrize("payload", [PAYLOADS[each] for each in _FEW], ids=_FEW)
MOST_CHARACTERS = 300_000
"""Of a page about a small model, whatever its names are."""


def session_with(target: Any, **changes: Any) -> Session:
    config = target.compilation_config().replace(backend="eager", max_size=64, **changes)
    return session_of(target, config)


def everywhere(payload: str, **changes: Any) -> Session:
    """A session on a model with the payload in every place that takes it."""
    target = hostile_target([payload], comment=payload, file=payload, name=payload)
    return session_with(target, **changes)


@functools.cache
def compiled(payload: str) -> Compilation:
    """That model, compiled once."""
    return everywhere(payload).update()


@pytest.fixture(scope="module")
def whole() -> Compilation:
    """A model with all names at once."""
    return session_with(hostile_target()).update()


def assert_said(payload: str, text: str) -> None:
    """The payload stands in the text, as far as it can be seen."""
    assert words(clean(payload)) in words(text)


# ----------------------------------------------------------------------------------------- payloads


def test_payloads_are_many_and_different() -> None:
    assert len(PAYLOADS) >= 100
    assert len(set(PAYLOADS.values())) == len(PAYLOADS)


@ALL
def test_a_module_with_the_name_is_in_the_model(payload: str) -> None:
    model = hostile_model([payload], comment="c", file="f")
    assert attribute_name(payload) in dict(model.named_children())


# --------------------------------------------------------------------------------------------- HTML


@KINDS
def test_pages_show_a_name_as_text(payload: str) -> None:
    compilation = compiled(payload)
    problem = ValueError(payload)
    for made in outputs.pages(compilation, payload).values():
        page = Page(made)
        assert_said(payload, page.text)
        assert page.styles == [html.styles("report.css", "page.css")]
        assert made.encode()
    for name, made in outputs.fragments(compilation, problem).items():
        page = Page(made)
        if name in ("fragment", "show", "table"):
            assert_said(payload, page.text)


@ALL
def test_text_and_attributes_say_what_was_given(payload: str) -> None:
    page = Page(markup.letter(payload, 0, payload))
    assert page.text == page.hints[0] == clean(payload)
    column = markup.Column(payload, payload)
    assert Page(markup.table([{payload: payload}], [column])).text == 2 * clean(payload)
    assert Page(markup.fact_list({payload: payload})).text == 2 * clean(payload)
    assert Page(markup.details(payload, markup.paragraph(payload))).text == 2 * clean(payload)
    assert Page(markup.bullets([payload])).text == clean(payload)
    code = Page(markup.code_block(payload)).text
    assert words(code) == words(clean(payload, keep="\n\t"))


def test_a_page_of_all_names_is_inert(whole: Compilation) -> None:
    for made in outputs.pages(whole, "".join(PAYLOADS.values())).values():
        page = Page(made)
        assert_said(PAYLOADS["title-end"], page.text)
        assert_said(PAYLOADS["code-end"], page.text)  # a comment in the source
    for made in outputs.fragments(whole, ValueError("".join(PAYLOADS.values()))).values():
        Page(made)


@pytest.mark.parametrize("name", LONG_PAYLOADS)
def test_a_name_of_a_million_characters_is_cut_off(name: str) -> None:
    payload = LONG_PAYLOADS[name]
    target = hostile_target(["a"], comment=payload, name=payload)
    session = session_with(target)
    compilation = session.update()
    for made in (
        *outputs.pages(compilation, payload).values(),
        *outputs.fragments(compilation, ValueError(payload)).values(),
    ):
        assert len(made) < MOST_CHARACTERS
        Page(made)
    assert "…" in Page(html.fragment(compilation)).text
    assert len(repr(compilation)) < 400
    assert len(outputs.lines(compilation)["summary"]) < 4_000


def test_a_module_with_a_name_of_a_million_characters_is_cut_off() -> None:
    compilation = session_with(hostile_target([LONG_PAYLOADS["long-markup"]])).update()
    for made in (*outputs.pages(compilation, "").values(), html.fragment(compilation)):
        assert len(made) < MOST_CHARACTERS
        Page(made)
    assert all(len(each["title"]) < 1_000 for each in outputs.data(compilation)["strip"])


# ------------------------------------------------------------------------------------- SVG and DOT


@ALL
def test_graphviz_reads_a_label_as_it_is_written(payload: str) -> None:
    view = {
        "nodes": [
            {"id": payload, "kind": "op", "lines": [payload]},
            {"id": "b", "kind": "op", "lines": ["b", payload]},
        ],
        "edges": [{"source": payload, "target": "b", "values": [payload], "kind": "flow"}],
        "folds": [],
        "cut": [{"value": payload}],
    }
    labels = read_dot(graph_svg.dot_source(view))
    assert len(labels) == 3
    picture = graph_svg.pieces_picture(view)
    assert picture.svg is not None, picture.text
    drawn = read_svg(picture.svg)
    assert words(label_of(payload, 60)) in words(drawn)


def test_drawings_of_all_names_are_harmless(whole: Compilation) -> None:
    for source in outputs.dot_sources(whole).values():
        assert read_dot(source)
    for picture in outputs.pictures(whole).values():
        assert picture.svg is not None, picture.text
        assert read_svg(picture.svg)
        Page(picture.svg)


# ----------------------------------------------------------------------------------- text and code


@KINDS
def test_terminal_text_has_no_control_characters(payload: str) -> None:
    compilation = compiled(payload)
    for made in outputs.lines(compilation).values():
        assert_clean(made)
    assert_said(label_of(payload, 40).rstrip("…"), outputs.lines(compilation)["summary"])
    for line in outputs.lines(compilation)["summary"].splitlines():
        assert len(line) <= 110


@KINDS
def test_sources_are_python_without_anything_added(payload: str) -> None:
    compilation = compiled(payload)
    for made in outputs.sources(compilation).values():
        tree = ast.parse(made)
        assert all(isinstance(each, ast.FunctionDef) for each in tree.body), made


@FEW
def test_an_audit_says_names_in_clean_text(payload: str) -> None:
    assert_clean(compiled(payload).audit().report())


def test_text_about_all_names_is_clean(whole: Compilation) -> None:
    for made in outputs.lines(whole).values():
        assert_clean(made)


# --------------------------------------------------------------------------------------------- data


@KINDS
def test_data_is_json_that_reads_back_equal(payload: str) -> None:
    data = outputs.data(compiled(payload))
    assert outputs.round_trip(data) == data


def test_data_of_all_names_is_json_that_reads_back_equal(whole: Compilation) -> None:
    data = outputs.data(whole)
    assert outputs.round_trip(data) == data


@ALL
def test_pointing_at_what_is_not_there_says_so_in_clean_words(
    payload: str, whole: Compilation
) -> None:
    for kind, key in (
        (payload, 0),
        ("node", payload),
        ("unique", payload),
        ("piece", payload),
        ("guard", {"a": payload}),
    ):
        with pytest.raises(ConfigError) as caught:
            Links(whole).select(kind, key)
        assert_clean(str(caught.value))


# ------------------------------------------------------------------------------- checks and timings


@FEW
def test_timings_show_a_name_as_text(payload: str) -> None:
    made = outputs.of_timings(everywhere(payload).measure([3], rounds=1))
    for each in ("page", "fragment"):
        assert_said(payload, Page(made[each]).text)
    assert_clean(made["text"])
    assert_said(payload, made["text"])
    assert outputs.round_trip(made["data"]) == made["data"]


@FEW
def test_a_check_shows_a_name_as_text(payload: str) -> None:
    target = hostile_target([payload], comment=payload, file=payload, name=payload)
    config = target.compilation_config().replace(backend="eager", max_size=64)
    made = outputs.of_check(check_target(target, config, Wishes(allow=(payload,), try_fixes=False)))
    assert_clean(made["text"])
    assert_said(payload, made["text"])
    assert outputs.round_trip(made["data"]) == made["data"]


@FEW
def test_a_bisection_shows_a_name_as_text(payload: str) -> None:
    target = hostile_target([payload], comment=payload, file=payload, name=payload)
    config = target.compilation_config().replace(backend="eager", max_size=64)
    made = outputs.of_bisection(bisect(target, config, sizes=[{"n": 3}]))
    assert_clean(made["text"])
    assert_said(payload, made["text"])
    assert outputs.round_trip(made["data"]) == made["data"]


# -------------------------------------------------------------------------------------------- files


@KINDS
def test_a_dump_stays_in_its_folder_and_is_python(payload: str, tmp_path: Path) -> None:
    root = tmp_path / "dump"
    everywhere(payload, debug_dump_path=root).update()
    assert [each.name for each in tmp_path.iterdir()] == ["dump"]
    (folder,) = root.iterdir()
    assert folder.name.isascii()
    assert folder.name.replace("_", "").replace("-", "").isalnum()
    files = outputs.files_below(folder)
    assert {"00_index.md", "01_captured.py", "03_split.py", "guards.txt"} <= set(files)
    for name, text in files.items():
        if name.endswith(".py"):
            kinds = {type(each) for each in ast.parse(text).body}
            allowed = {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.If}
            assert kinds <= allowed, name
            assert sum(isinstance(each, ast.If) for each in ast.parse(text).body) == 1
        else:
            json.loads(text) if name.endswith(".json") else assert_clean(text)
    assert "could not be made" not in files["00_index.md"]


def test_the_dump_of_a_hostile_model_runs_and_does_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("python-end", "python-statement", "python-expression"):
        everywhere(PAYLOADS[each], debug_dump_path=tmp_path).update()
    for file in tmp_path.rglob("03_split.py"):
        scope = {"__name__": "__main__"}
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), scope)


# ------------------------------------------------------------------------------------------ errors


class Raising(torch.nn.Module):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError(self.text)


@ALL
def test_the_text_of_an_exception_of_the_model_is_shown_as_text(payload: str) -> None:
    session = Session(Raising(payload), (torch.ones(8, 4),), name=payload)
    with pytest.raises(Exception) as caught:
        session.update(backend="eager")
    shown = error_view(caught.value)
    assert_clean(shown["text"])
    assert_clean(shown["trace"])


TYPED = {
    "op": lambda text: {"splitting_ops": (text,)},
    "module": lambda text: {"splitting_ops": (f"module:{text}",)},
    "path": lambda text: {"dynamic_arg_dims": {text: 0}},
    "backend": lambda text: {"backend": text},
    "dispatch": lambda text: {"dispatch_dim": text},
    "setting": lambda text: {"inductor_config": {text: 1}},
}


@pytest.mark.parametrize("change", TYPED.values(), ids=TYPED)
def test_what_somebody_types_is_looked_up_and_never_run(
    change: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = session_with(hostile_target(["a"]))
    # A name that is like one that there is takes long to look for.
    chosen = [PAYLOADS[each] for each in _KINDS] if change is TYPED["op"] else PAYLOADS.values()
    for payload in chosen:
        try:
            planned = session.plan(**change(payload))
        except ExplorerError as error:
            assert_clean(error_view(error)["text"])
        else:  # a new name of a size, or a glob that matches nothing, which is a note
            assert_clean(plan_text(planned))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------ command line


@FEW
def test_the_command_line_says_names_in_clean_text(
    payload: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = types.ModuleType("hostile_module")
    module.make = lambda: hostile_target(  # type: ignore[attr-defined]
        [payload], comment=payload, file=payload, name=payload
    )
    monkeypatch.setitem(sys.modules, "hostile_module", module)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "report.html"
    assert main(["report", "hostile_module:make", "-o", str(page), "--backend", "eager"]) in (0, 1)
    said = capsys.readouterr()
    assert_clean(said.out)
    assert_clean(said.err)
    assert_said(payload, Page(page.read_text(encoding="utf-8")).text)


@FEW
def test_a_wrong_argument_of_the_command_line_is_said_in_clean_text(
    payload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", payload]) == 2
    said = capsys.readouterr()
    assert_clean(said.out + said.err)


def test_long_names_are_known_to_be_longer_than_what_is_shown() -> None:
    assert all(len(each) > 100 * LONGEST_TEXT for each in LONG_PAYLOADS.values())

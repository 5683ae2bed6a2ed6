"""docs/reference.py: the generated parts of the reference pages are those of today's code."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest

import explorer
from explorer import config as config_module

DOCS = Path(__file__).resolve().parents[1] / "docs"
SETTINGS = (
    explorer.CompilationConfig,
    explorer.DynamicShapesConfig,
    explorer.StoreConfig,
)
CHOICES = [
    each
    for each in vars(config_module).values()
    if isinstance(each, type) and issubclass(each, Enum) and each is not Enum
]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_pages_are_up_to_date(reference: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_is_out_of_date_is_told_and_left_alone(
    reference: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in reference.PAGES:
        (tmp_path / name).write_text(page(name).replace("8192", "8193"), encoding="utf-8")
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    monkeypatch.setattr(reference, "SOURCES", DOCS.parent)
    assert reference.main(["--check"]) == 1
    assert "docs/configuration.md is out of date" in capsys.readouterr().out
    assert "8193" in (tmp_path / "configuration.md").read_text(encoding="utf-8")
    assert reference.main([]) == 0
    assert (tmp_path / "configuration.md").read_text("utf-8") == page("configuration.md")


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_every_setting_has_a_row_with_its_default(kind: type) -> None:
    section = page("configuration.md").partition(f"begin: settings {kind.__name__} ")[2]
    rows = re.findall(
        r"^\| `(\w+)` \| `.+?` \| `(.+?)` \| \S", section.partition("end -->")[0], re.M
    )
    assert [name for name, _ in rows] == [each.name for each in dataclasses.fields(kind)]
    defaults = dict(rows)
    for name in ("max_size", "compile_workers", "enabled", "root", "evaluate_guards"):
        if name in defaults:
            assert defaults[name] == repr(getattr(kind(), name))


@pytest.mark.parametrize("kind", CHOICES, ids=lambda kind: kind.__name__)
def test_every_choice_has_a_row(kind: type[Enum]) -> None:
    rows = re.findall(
        rf"^\| `{kind.__name__}\.(\w+)` \| `'(\w+)'` \| \S", page("configuration.md"), re.M
    )
    assert rows == [(member.name, member.value) for member in kind]


def test_command_line_shows_what_each_command_takes() -> None:
    text = page("command_line.md")
    for name in ("report", "check", "bisect", "bench", "cache", "doctor"):
        assert f"| `explorer {name}` | " in text
        assert f"\n## explorer {name}\n" in text
    assert "| `--allow WHAT` | what is meant to be so" in text
    assert "| `--max-bytes SIZE` | what may stay, as 500M or 2G; required |" in text
    assert "runs of each execution, at most (default: 40)" in text
    assert "|  |" not in text, "an option without help"


def test_part_is_filled_anew(reference: ModuleType) -> None:
    begin = "<!-- begin: settings StoreConfig -->\n"
    stale = f"by hand\n{begin}of yesterday\n<!-- end -->\nby hand too\n"
    filled = reference.fill(stale)
    assert "of yesterday" not in filled
    assert filled.startswith("by hand\n<!-- begin: settings StoreConfig -->\n\n| field |")
    assert "| `require_hit` | `bool` | `False` |" in filled
    assert filled.endswith("<!-- end -->\nby hand too\n")
    assert reference.fill(filled) == filled

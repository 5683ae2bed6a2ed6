"""Numbers with units, clean text, short places."""

import pkgutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from explorer.artifacts import SourceLocation
from explorer.artifacts.common import file_name
from explorer.report.wording import (
    bytes_text,
    clean,
    counted,
    duration_text,
    label_of,
    lines_text,
    listed,
    place_text,
    seconds_text,
    short_path,
    shortened,
    with_short_paths,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("two\nlines\tand\ra return", "two lines and a return"),
        ("bell\x07 escape\x1b[31m null\x00", "bell escape[31m null"),
        ("turned \u202etxt.exe\u202c and \u2066more\u2069", "turned txt.exe and more"),
        ("half a pair \ud800 of surrogates", "half a pair  of surrogates"),
        ("separators \u2028 \u2029 \x85", "separators      "),
        ("Grüße, 世界, ▨", "Grüße, 世界, ▨"),
        (17, "17"),
    ],
)
def test_clean_text_has_no_control_characters(text: object, expected: str) -> None:
    assert clean(text) == expected


def test_clean_text_keeps_what_is_asked_for() -> None:
    assert clean("a\n\tb\x00\x0c", keep="\n\t") == "a\n\tb "


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("short", 8, "short"),
        ("just fits", 9, "just fits"),
        ("a long name", 8, "a long …"),
        ("\u202ea\nb", 8, "a b"),
        ("\x00" * 1000, 8, "…"),
        (17, 8, "17"),
        ("x" * 10**7, 4, "xxx…"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_label_is_clean_and_no_wider_than_asked(text: object, width: int, expected: str) -> None:
    assert label_of(text, width) == expected


@pytest.mark.parametrize(
    ("microseconds", "expected"),
    [
        (0.04, "0.0 µs"),
        (4.21, "4.2 µs"),
        (9.96, "10 µs"),
        (412.4, "412 µs"),
        (999.6, "1.0 ms"),
        (3120.0, "3.1 ms"),
        (2.5e6, "2.50 s"),
    ],
)
def test_times_of_a_call_carry_a_unit(microseconds: float, expected: str) -> None:
    assert duration_text(microseconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 ms"), (0.0004, "<1 ms"), (0.0123, "12 ms"), (1.234, "1.23 s"), (123.4, "123 s")],
)
def test_seconds_carry_a_unit(seconds: float, expected: str) -> None:
    assert seconds_text(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (4_500_000, "4.5 MB")],
)
def test_bytes_carry_a_unit(count: int | None, expected: str) -> None:
    assert bytes_text(count) == expected


def test_small_words() -> None:
    assert (counted(1, "piece"), counted(2, "piece")) == ("1 piece", "2 pieces")
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a", "b"], 2) == "a, b"
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("{cwd}/models/mine.py", "models/mine.py"),
        ("/opt/lib/python3/site-packages/pack/deep/file.py", "pack/deep/file.py"),
        ("/usr/lib/python3/dist-packages/file.py", "file.py"),
        ("/somewhere/ipykernel_4711/123456.py", "notebook cell"),
        ("/elsewhere/file.py", "/elsewhere/file.py"),
        ("<string>", "<string>"),
    ],
)
def test_paths_are_as_short_as_a_reader_knows_them(file: str, expected: str) -> None:
    assert short_path(file.format(cwd=Path.cwd())) == expected


@pytest.mark.parametrize(
    "compiler",
    ["IPython.core.compilerop:CachingCompiler", "ipykernel.compiler:XCachingCompiler"],
)
def test_a_cell_has_the_number_that_it_ran_with(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = pkgutil.resolve_name(compiler)()
    in_cell = SourceLocation(cells.cache("a = 1\nb = 2\n", 3), 2)
    elsewhere = SourceLocation("/elsewhere/a.py", 2)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(compile=cells))
    assert str(in_cell) == place_text(in_cell) == "cell In[3]:2"
    assert file_name(in_cell.file) == short_path(in_cell.file) == "cell In[3]"
    assert str(elsewhere) == "/elsewhere/a.py:2"
    again = SourceLocation(cells.cache("a = 1\nb = 2\n", 7), 2)
    assert str(again) == "cell In[7]:2"


def test_a_path_below_home_begins_with_a_tilde(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert short_path(str(tmp_path / "models" / "mine.py")) == "~/models/mine.py"


def test_places() -> None:
    assert place_text(None) == ""
    assert place_text(SourceLocation("/elsewhere/a.py", 7)) == "/elsewhere/a.py:7"
    in_cell = SourceLocation("/tmp/ipykernel_4711/123456.py", 7)
    assert str(in_cell) == place_text(in_cell) == "notebook cell:7"
    assert file_name(in_cell.file) == "notebook cell"
    assert file_name("/elsewhere/a.py") == "a.py"
    lines = [SourceLocation("/x/a.py", line) for line in (9, 3, 4, 5, 12)]
    lines.append(SourceLocation("/x/b.py", 1))
    assert lines_text(lines) == "/x/a.py:3–5, 9, 12; /x/b.py:1"


def test_paths_inside_a_sentence_are_shortened() -> None:
    text = f"fixed at {Path.cwd()}/models/mine.py:3: x, and ({Path.cwd()}/other.py:4)"
    assert with_short_paths(text) == "fixed at models/mine.py:3: x, and (other.py:4)"


def test_a_file_is_named_as_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "src"
    monkeypatch.setattr("sys.path", [str(tmp_path), str(inner), "", *sys.path])
    assert short_path(str(inner / "models" / "llama.py")) == "models/llama.py"
    assert short_path(str(tmp_path / "other.py")) == "other.py"
    assert short_path(f"{inner}_2/x.py") == "src_2/x.py"

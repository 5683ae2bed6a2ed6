"""``explorer bench``: exit codes, text, JSON, the page; no time is asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from explorer import ConfigError, cli
from explorer.cli_bench import sizes_of
from tests.explorer.targets import SMALL, write_module

WRONG = """

class Wrong:
    name = "wrong"

    def identity(self):
        return self.name

    def compile(self, graph, example_inputs, *, size_range, options):
        return lambda *arguments: tuple(each + 1 for each in graph.forward(*arguments))


def wrong():
    return make(backend=Wrong())
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("benched")
    sys.path.insert(0, str(folder))
    yield write_module(folder, SMALL + WRONG)
    sys.path.remove(str(folder))


def bench(module: str, *options: str, name: str = "make") -> int:
    backend = [] if name == "wrong" else ["--backend", "eager"]
    return cli.main(["bench", f"{module}:{name}", *backend, "--rounds", "1", *options])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 0),
        (["--sizes", "2,7"], 0),
        (["--sizes", "n=2"], 0),
        (["--at-most-ratio-to-eager", "1e9"], 0),
        (["--at-most-ratio-to-eager", "1e-9"], 1),
        (["--at-most-microseconds", "1e12"], 0),
        (["--at-most-microseconds", "1e-6"], 1),
        (["--sizes", "5"], 0),  # refused there, and nothing was asked of it
        (["--sizes", "2,5", "--at-most-ratio-to-eager", "1e9"], 1),
        (["--at-most-ratio-to-eager", "0"], 2),
        (["--at-most-ratio-to-eager", "nan"], 2),
        (["--at-most-ratio-to-eager", "fast"], 2),
        (["--sizes", "two"], 2),
        (["--sizes", "0"], 2),
        (["--sizes", "m=2"], 2),
        (["--sizes", ""], 2),
        (["--rounds", "0"], 2),
        (["-o", "/no/such/folder/bench.html"], 2),
        (["--no-such-option"], 2),
    ],
)
def test_exit_code(module: str, options: list[str], code: int) -> None:
    assert bench(module, *options) == code


def test_text_has_the_tables_and_progress_goes_to_the_error_stream(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(module, "--sizes", "2,5", "--at-most-ratio-to-eager", "1e-9") == 1
    captured = capsys.readouterr()
    for words in ("small on cpu", "µs a call", "range artifacts", "Pieces, by group", "not timed"):
        assert words in captured.out
    assert "MISSED  n = 2: a call takes" in captured.out
    assert "MISSED  n = 5: there is no ratio to eager: not both were timed" in captured.out
    assert "n = 2: comparing with eager" in captured.err


def test_json_is_plain_data(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(module, "--sizes", "2", "--json", "--at-most-microseconds", "1e-6") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert {row["execution"] for row in found["timings"]} == {
        "eager",
        "CompiledModel call",
        "range artifacts",
    }
    assert len(found["missed"]) == 1
    assert "MISSED" in captured.err
    assert [row["index"] for row in found["pieces"]] == [0, 1, 2, 3]
    assert found["break_even"][0]["saved_at_least_microseconds"] is None  # one round tells nothing


def test_stock_is_timed_when_a_target_needs_it(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(module, "--sizes", "2", "--at-most-ratio-to-stock", "1e9") == 0
    assert "torch.compile" in capsys.readouterr().out


def test_a_result_that_is_not_eagers_fails(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(module, "--sizes", "2", name="wrong") == 1
    assert "MISSED  n = 2: CompiledModel call differs from eager" in capsys.readouterr().out


def test_page_has_the_pictures_and_loads_nothing(module: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.html"
    assert bench(module, "--sizes", "2", "-o", str(file)) == 0
    text = file.read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 3
    assert "http://" not in text and "https://" not in text
    assert "default-src 'none'" in text


def test_sizes_are_numbers_or_names() -> None:
    assert sizes_of(None) is None
    assert sizes_of("1,2, 16") == [1, 2, 16]
    assert sizes_of("n=1,m=2") == [{"n": 1}, {"m": 2}]
    with pytest.raises(ConfigError, match="'x' is not a size"):
        sizes_of("1,x")
    with pytest.raises(ConfigError, match="'=3' is not a size"):
        sizes_of("=3")

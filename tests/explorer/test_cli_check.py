"""``explorer check``: exit codes, text, JSON, and what is said about a wrong call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from explorer import ConfigError, SizeRange, cli
from explorer.cli_check import domain_of
from tests.explorer.checked_targets import CHECKED
from tests.explorer.targets import write_module


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checked")
    sys.path.insert(0, str(folder))
    yield write_module(folder, CHECKED)
    sys.path.remove(str(folder))


def _check(module: str, name: str, *options: str) -> int:
    return cli.main(["check", f"{module}:{name}", *options])


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("plain", [], 0),
        ("branch", ["--no-try"], 1),
        ("branch", ["--allow", "n != 4"], 0),
        ("branch", ["--allow", "x.size(0)"], 0),
        ("branch", ["--allow", "{module}.py:17"], 0),
        ("branch", ["--allow", "n != 5", "--no-try"], 1),
        ("branch", ["--domain", "n=5-40"], 0),
        ("branch", ["--domain", "n=3-5", "--no-try"], 1),
        ("fixed", ["--no-try"], 1),
        ("fixed", ["--allow", "n == 4"], 0),
        ("scaled", [], 1),
        ("scaled", ["--allow", "k"], 0),
        ("scaled", ["--domain", "k=5-5"], 0),
        ("scaled", ["--domain", "k=4-6", "--no-try"], 1),
        ("variants", [], 0),
        ("few_variants", [], 1),
        ("dropping", ["--no-try"], 1),
        ("no_graph", [], 2),
        ("unbacked", [], 2),
        ("no_such", [], 2),
        ("plain", ["--domain", "m=1-4"], 2),
        ("plain", ["--domain", "n=1"], 2),
        ("plain", ["--domain", "n=4-1"], 2),
        ("plain", ["--domain", "n=1-4", "--domain", "n=1-5"], 2),
        ("plain", ["--fix", "nothing"], 2),
        ("plain", ["--no-such-option"], 2),
        ("plain", ["--backend", "tensorrt"], 2),
    ],
)
def test_exit_codes(
    module: str, name: str, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [each.format(module=module) for each in options]
    assert _check(module, name, *options) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if code == 2:
        assert said.out == ""
    else:
        assert said.out.splitlines()[-1].endswith("passed" if code == 0 else "FAILED: see above")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_graph", [], "does not trace into one graph at"),
        (
            "unbacked",
            [],
            ":17: if x.shape[0] == 4: - the test `x.shape[0] == 4` asks whether n == 4",
        ),
        ("unbacked", [], "Use torch.cond with both sides as functions;"),
        ("no_such", [], "has no function 'no_such'"),
        ("plain", ["--domain", "m=1-4"], "domain names 'm', which does not vary; the names are n"),
        ("plain", ["--domain", "n=1"], "--domain 'n=1' is not of the form NAME=FIRST-LAST"),
        ("plain", ["--fix", "nothing"], "the colon is missing"),
    ],
)
def test_wrong_use_is_said_in_a_sentence(
    module: str,
    name: str,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _check(module, name, *options) == 2
    assert message in capsys.readouterr().err


def test_fixes_are_tried_and_said_line_by_line(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(module, "branch") == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "  1/3 trying torch.cond",
        "  2/3 trying variants",
        "  3/3 trying unbacked",
    ]
    marks = [line[2:4] for line in said.out.splitlines() if line[2:4] in ("ok", "!!", "no")]
    assert marks == ["ok", "ok", "!!", "no"]
    assert max(map(len, said.out.splitlines())) <= 110


def test_only_finding_tries_nothing(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(module, "branch", "--no-try") == 1
    said = capsys.readouterr()
    assert said.err == ""
    assert "tried: " not in said.out.replace("not tried: ", "")
    assert "FIX   (none was tried here: `explorer check` does, without --no-try)" in said.out


def test_an_allowed_thing_that_is_not_there_is_said(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(module, "plain", "--allow", "n != 5") == 0
    assert "nothing of that name was found: n != 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fix", "said"), [("right", "  ok  your own version"), ("wrong", "  no  your own version")]
)
def test_the_authors_version(
    module: str, fix: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(module, "branch", "--no-try", "--fix", f"{module}:{fix}") == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ["branch", "fixed", "scaled", "variants", "plain"])
def test_json_has_the_verdict_and_nothing_else_on_the_stream(
    module: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _check(module, name, "--json", "--no-try", "--allow", "ü\u202e\x1b")
    text = capsys.readouterr().out
    view = json.loads(text)
    assert view["passed"] is (code == 0)
    assert text.isascii()
    assert "\\u202e" not in text
    assert "\\u001b" not in text


def test_json_and_text_agree(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    _check(module, "branch", "--no-try")
    text = " ".join(capsys.readouterr().out.split())
    _check(module, "branch", "--no-try", "--json")
    view = json.loads(capsys.readouterr().out)
    (finding,) = view["findings"]
    (answer,) = finding["returns"]
    assert f":{finding['line']} " in text
    assert finding["code"] in text
    assert f"it {finding['frozen_side']}. The other side {finding['other_side']}." in text
    assert f"at n = {answer['sizes']['n']} {answer['problem']}" in text
    assert f"by up to {answer['largest_difference']:.3g}" in text
    assert "right for 2-3, 5-40" in text
    assert view["valid"] == [[2, 3], [5, 40]]


def test_a_model_of_a_notebook_cell_and_a_file_give_the_same_in_a_process_of_their_own(
    module: str, tmp_path: Path
) -> None:
    folder = Path(sys.modules[module].__file__ or "").parent if module in sys.modules else None
    assert folder is not None
    command = [sys.executable, "-m", "explorer.cli", "check", f"{module}:branch", "--no-try"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "Model: FAILED: see above"
    assert f"BAKED BRANCH   {module}.py:17   if x.shape[0] == 4:" in done.stdout


@pytest.mark.slow
def test_under_inductor_the_same_is_found(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(module, "branch", "--backend", "inductor") == 1
    marks = [line[2:4] for line in capsys.readouterr().out.splitlines() if line[2:4] == "ok"]
    assert marks == ["ok", "ok"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], None),
        (["n=1-64"], {"n": SizeRange(1, 64)}),
        ([" n = 1 .. 64 ", "k=3–5"], {"n": SizeRange(1, 64), "k": SizeRange(3, 5)}),
    ],
)
def test_domains(texts: list[str], expected: Any) -> None:
    assert domain_of(texts) == expected


@pytest.mark.parametrize("text", ["", "n", "n=", "n=1", "n=1-", "n=-1-4", "n=a-b", "n=1-4x"])
def test_a_domain_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form NAME=FIRST-LAST"):
        domain_of([text])


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names n twice"):
        domain_of(["n=1-4", "n=1-5"])

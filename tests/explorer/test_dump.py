"""What a compilation leaves in ``debug_dump_path``: every stage, to read and to run."""

from __future__ import annotations

import json
import linecache
import logging
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explorer
from explorer import CompilationConfig, CompileError, ConfigError
from explorer.report.importing import Importing
from tests.explorer import cutting, dumped_ops

assert dumped_ops  # registers dumped::step


class Net(nn.Module):
    """Integers, bools, parameters, a buffer, a branch on values, a size in the result."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.linear = nn.Linear(4, 4)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        x = self.embedding(ids)
        for _ in range(3):
            x = torch.ops.dumped.step(self.linear(x).relu())
            x = torch.where(mask[:, None], x * self.scale, x)
        y = torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))
        return {"rows": y.view(-1, 2), "count": ids.shape[0] * 2}


def config_for(folder: Path | str, **settings: Any) -> CompilationConfig:
    settings = {
        "backend": "eager",
        "splitting_ops": ("dumped::step",),
        "compile_sizes": (8,),
        "max_size": 64,
    } | settings
    return CompilationConfig(debug_dump_path=folder, **settings)  # type: ignore[arg-type]


def session_of_net(folder: Path | str, **settings: Any) -> explorer.Session:
    torch.manual_seed(0)
    example = (torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.bool))
    dims = {"ids": {0: "n"}, "mask": {0: "n"}}
    config = config_for(folder, **settings)
    return explorer.Session(Net(), example, dynamic_arg_dims=dims, config=config)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def run_file(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that ``python file`` prints."""
    capsys.readouterr()
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out.splitlines()


STAGES = [
    "00_index.md",
    "01_captured.py",
    "02_normalised.py",
    "03_split.py",
    "04_unique/A.py",
    "04_unique/B.py",
    "04_unique/C.py",
    "05_compiled/A_1-64.py",
    "05_compiled/A_8.py",
    "05_compiled/B_1-64.py",
    "05_compiled/B_8.py",
    "05_compiled/C_1-64.py",
    "05_compiled/C_8.py",
    "06_stitching.py",
    "config.json",
    "guards.txt",
]
ROWS = ["output[0]: (12, 2) torch.float32 cpu", "output[1]: 12"]
FOUR = ["output[0]: (6, 4) torch.float32 cpu"]
EIGHT = ["output[0]: (8, 4) torch.float32 cpu"]
PRINTED = {
    "01_captured.py": ROWS,
    "02_normalised.py": ROWS,
    "03_split.py": ROWS,
    "04_unique/A.py": FOUR,
    "04_unique/B.py": FOUR,
    "04_unique/C.py": ["output[0]: (12, 2) torch.float32 cpu"],
    "05_compiled/A_1-64.py": FOUR,
    "05_compiled/A_8.py": EIGHT,
    "05_compiled/B_1-64.py": FOUR,
    "05_compiled/B_8.py": EIGHT,
    "05_compiled/C_1-64.py": ["output[0]: (12, 2) torch.float32 cpu"],
    "05_compiled/C_8.py": ["output[0]: (16, 2) torch.float32 cpu"],
    "06_stitching.py": ROWS,
}


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory) -> tuple[explorer.Compilation, Path]:
    root = tmp_path_factory.mktemp("dump")
    return session_of_net(root).compilation, root / "Net_000"


def test_every_stage_is_there(dumped: tuple[explorer.Compilation, Path]) -> None:
    assert files_in(dumped[1]) == STAGES


@pytest.mark.parametrize("file", PRINTED)
def test_every_python_file_runs_and_prints_its_outputs(
    dumped: tuple[explorer.Compilation, Path], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_file(dumped[1] / file, capsys) == PRINTED[file]


def test_a_file_runs_in_a_process_of_its_own(
    dumped: tuple[explorer.Compilation, Path], tmp_path: Path
) -> None:
    command = [sys.executable, str(dumped[1] / "03_split.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout.splitlines()) == (0, ROWS), done.stderr


def test_every_stage_computes_the_same(dumped: tuple[explorer.Compilation, Path]) -> None:
    compilation, folder = dumped
    scopes = {
        name: runpy.run_path(str(folder / f"{file}.py"))
        for name, file in (
            ("captured", "01_captured"),
            ("normalised", "02_normalised"),
            ("forward", "03_split"),
        )
    }
    captured = compilation.captured
    values = [v if isinstance(v, torch.Tensor) else int(v) for v in captured.example_values]
    with torch.no_grad():
        results = [scopes[name][name](*values) for name in scopes]
        expected = Net.forward(captured.model, *captured.request.args)  # type: ignore[arg-type]
    for rows, count in results:
        assert torch.equal(rows, expected["rows"]) and count == 12


def test_a_unique_piece_computes_what_the_piece_does(
    dumped: tuple[explorer.Compilation, Path],
) -> None:
    compilation, folder = dumped
    for unique in compilation.unique_pieces:
        piece = unique.representative
        scope = runpy.run_path(str(folder / "04_unique" / f"{unique.unique_id}.py"))
        values = scope["make_inputs"]()
        [given] = scope[piece.name](*values)
        [expected] = piece.graph_module()(*values)
        assert torch.equal(given, expected)


def test_the_index_lists_steps_and_files(dumped: tuple[explorer.Compilation, Path]) -> None:
    text = (dumped[1] / "00_index.md").read_text()
    steps = re.findall(r"^\| (\w+) \| (.*) \|$", text, re.M)
    assert [name for name, _ in steps if name not in ("step", "file")] == [
        "capture",
        "normalise",
        "split",
        "dedupe",
        "compile",
        "plan",
    ]
    assert dict(steps)["dedupe"] == "deduped 4 compiled pieces to 3 unique"
    listed = re.findall(r"^\| (\S+\.\w+) \| (.+) \|$", text, re.M)
    assert ["00_index.md", *(file for file, _ in listed)] == STAGES
    assert "it stands for 2 pieces" in dict(listed)["04_unique/B.py"]


def test_the_configuration_and_the_conditions_are_there(
    dumped: tuple[explorer.Compilation, Path],
) -> None:
    found = json.loads((dumped[1] / "config.json").read_text())
    assert found["compile_sizes"] == [8] and found["guard_policy"] == "CHECK"
    text = (dumped[1] / "guards.txt").read_text()
    assert "n = ids.size(0), 6 in the example" in text
    assert "    n >= 2  (zero_one)" in text and "ids.dtype == torch.int64  (value)" in text


def test_sizes_are_variables_that_can_be_edited(
    dumped: tuple[explorer.Compilation, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (dumped[1] / "04_unique/A.py").read_text()
    assert "\nsize_n = 6\n" in text and 'ids: "i64[n]"' in text
    file = tmp_path / "edited.py"
    file.write_text(text.replace("size_n = 6", "size_n = 11"))
    assert run_file(file, capsys) == ["output[0]: (11, 4) torch.float32 cpu"]


# ------------------------------------------------------------------------------------------ folders


def test_each_compilation_has_a_folder_of_its_own(tmp_path: Path) -> None:
    session = session_of_net(tmp_path)
    session.update()
    before = (tmp_path / "Net_000/01_captured.py").stat().st_mtime_ns
    session.update(compile_sizes=())
    session_of_net(tmp_path).update()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Net_000", "Net_001", "Net_002"]
    assert (tmp_path / "Net_000/01_captured.py").stat().st_mtime_ns == before
    assert (
        len(files_in(tmp_path / "Net_001")) == len(STAGES) - 3
    )  # steps that were reused are there


NAMES = ["../../up", "a/b", "", "con\nfig", "…", "x" * 500]


@pytest.mark.parametrize("name", NAMES)
def test_a_models_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "dump"
    config = config_for(root, splitting_ops=())
    explorer.Session(nn.ReLU(), (torch.ones(6, 4),), config=config, name=name).update()
    [folder] = root.iterdir()
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,70}", folder.name)
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]
    assert "06_stitching.py" in files_in(folder)


def test_a_folder_that_cannot_be_written_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "explorer"):
        compilation = session_of_net(tmp_path / "file" / "dump").update()
    found = [each.getMessage() for each in caplog.records if "debug_dump_path" in each.getMessage()]
    assert len(found) == 1 and "cannot be written to (Not a directory)" in found[0]
    assert len(compilation.artifacts) == 6


def test_a_file_that_cannot_be_made_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: Any) -> str:
        raise ZeroDivisionError("no text")

    monkeypatch.setattr("explorer.dump.split_file", breaks)
    session_of_net(tmp_path).update()
    assert files_in(tmp_path / "Net_000") == [each for each in STAGES if each != "03_split.py"]
    assert "ZeroDivisionError: no text" in (tmp_path / "Net_000/00_index.md").read_text()
    assert "03_split.py of the dump could not be made" in caplog.text


# ------------------------------------------------------------------------------------- failed steps


class Broken:
    name = "broken"

    def identity(self) -> str:
        return "broken"

    def compile(self, *args: Any, **rest: Any) -> Any:
        raise RuntimeError("out of ideas")


def test_a_failed_compile_leaves_the_stages_before_it(tmp_path: Path) -> None:
    with pytest.raises(CompileError):
        session_of_net(tmp_path, backend=Broken()).update()
    found = files_in(tmp_path / "Net_000")
    assert found == [each for each in STAGES if not each.startswith(("05", "06"))]
    index = (tmp_path / "Net_000/00_index.md").read_text()
    assert re.search(r"^\| compile \| failed: CompileError: .*out of ideas", index, re.M)


def test_a_failed_capture_leaves_configuration_and_error(tmp_path: Path) -> None:
    def breaks(x: torch.Tensor) -> torch.Tensor:
        print(x)
        return x

    with pytest.raises(explorer.CaptureError):
        explorer.compile_model(breaks, (torch.ones(6, 4),), config=config_for(tmp_path))
    [folder] = tmp_path.iterdir()
    assert files_in(folder) == ["00_index.md", "config.json"]
    assert "| capture | failed: CaptureError: " in (folder / "00_index.md").read_text()


# ----------------------------------------------------------------------------------- other contents


def test_the_dump_is_no_part_of_keys(tmp_path: Path) -> None:
    session = session_of_net(tmp_path)
    first = session.update()
    with explorer.counters.expect(captured=0, split=0, deduped=0, compiled=0):
        second = session.update(debug_dump_path=None)
        third = session.update(debug_dump_path=tmp_path / "other")
    assert {a.key for a in first.artifacts} == {a.key for a in second.artifacts}
    assert len(list((tmp_path / "other").iterdir())) == 1
    assert third.config.debug_dump_path == tmp_path / "other"


def test_what_the_backend_wrote_is_kept(tmp_path: Path) -> None:
    class Writes:
        name = "writes"

        def identity(self) -> str:
            return "writes"

        def compile(self, graph: Any, *args: Any, **rest: Any) -> Any:
            return graph.forward

        def generated_code(self, function: Any) -> str:
            return "print('generated')\n"

    session_of_net(tmp_path, backend=Writes()).update()
    text = (tmp_path / "Net_000/05_compiled/A_8.py").read_text()
    assert text.startswith("# Net: piece A for exactly 8, by writes")
    assert text.endswith("\nprint('generated')\n")


def test_an_op_that_no_module_registers_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_for(tmp_path, splitting_ops=(cutting.STEP,))
    model = lambda x: torch.ops.demo.step(x * 2)  # noqa: E731
    explorer.compile_model(model, (torch.ones(6, 4),), config=config)
    text = next(tmp_path.rglob("03_split.py")).read_text()
    assert "There is no op demo::step: import what registers it above." in text


def outer(x: torch.Tensor) -> torch.Tensor:
    return x * 3


def test_functions_are_imported_or_stand_as_missing(tmp_path: Path) -> None:
    def local(x: torch.Tensor) -> torch.Tensor:
        return x

    imports = Importing()
    imports.add_value("renamed", outer)
    imports.add_value("local", local)
    imports.add_value("inf", float("inf"))
    imports.add_value("mean", torch.mean)
    source = imports.source()
    assert f"from {__name__} import outer as renamed" in source
    assert "from math import inf" in source and "mean = torch.mean" in source
    assert re.search(
        r"def local\(.*\n    no_value\('local, a function that no module holds'\)", source
    )


@pytest.mark.parametrize("line_break", ["\n", "\r", "\u2028", "\x0c"])
def test_a_file_name_with_a_line_break_adds_no_code(tmp_path: Path, line_break: str) -> None:
    scope: dict[str, Any] = {}
    text = "def model(x):\n    return x * 2 + 1\n"
    name = line_break.join(["a", "    raise SystemExit('from a file name')", "    #.py"])
    exec(compile(text, name, "exec"), scope)
    lines = [str(line) for line in text.splitlines(True)]
    linecache.cache[name] = (len(text), None, lines, name)  # as notebooks do
    config = config_for(tmp_path, splitting_ops=())
    explorer.compile_model(scope["model"], (torch.ones(6, 4),), config=config)
    for path in tmp_path.rglob("*.py"):
        runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("value", [7, b"x", ["a"], ""])
def test_what_is_no_path_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="debug_dump_path must be the path of a folder"):
        CompilationConfig(debug_dump_path=value)


def test_a_text_becomes_a_path() -> None:
    config = config_for("some/folder")
    assert config.debug_dump_path == Path("some/folder")

"""The ``explorer`` command: what it prints, what it writes, and its exit codes."""

import subprocess
import sys

import pytest

from explorer import cli
from tests.explorer.targets import SMALL, write_module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, from which a TARGET is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def small(folder) -> str:
    """The name of a module with the factories of ``targets.SMALL``."""
    return write_module(folder, SMALL)


def test_report_writes_a_page_and_says_where(folder, small, capsys) -> None:
    assert cli.main(["report", f"{small}:make_eager", "-o", "out.html"]) == 0
    said = capsys.readouterr()
    assert "small: 4 pieces" in said.out
    assert "equal at" in said.out
    assert said.out.splitlines()[-1] == "report     out.html"
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert "It branches on 5 rows." in page
    assert "Equal to eager?" in page


def test_report_shows_progress_line_by_line_where_there_is_no_terminal(small, capsys) -> None:
    cli.main(["report", f"{small}:make_eager", "--no-check"])
    said = capsys.readouterr().err
    assert "small: capturing one graph" in said
    assert "1/2 piece A 1–8" in said
    assert "2/2 piece A 9–16" in said


def test_report_draws_a_bar_on_a_terminal(small, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["report", f"{small}:make_eager"]) == 0
    said = capsys.readouterr().err
    assert "piece A 9–16" in said
    assert "comparing with eager at n = 16" in said


def test_report_names_the_sizes_that_are_refused(small, capsys) -> None:
    assert cli.main(["report", f"{small}:make_eager"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "n = 5: refused:" in said


def test_report_without_check_says_so(folder, small, capsys) -> None:
    assert cli.main(["report", f"{small}:make_eager", "--no-check"]) == 0
    assert "not compared" in capsys.readouterr().out
    assert "Equal to eager?" not in (folder / "report.html").read_text(encoding="utf-8")


def test_report_of_a_wrong_result_exits_1_and_still_writes_the_page(folder, small, capsys) -> None:
    assert cli.main(["report", f"{small}:make_wrong", "-o", "out.html"]) == 1
    assert "NOT EQUAL" in capsys.readouterr().out
    assert "different:" in (folder / "out.html").read_text(encoding="utf-8")


def test_backend_option_wins(folder, small, capsys) -> None:
    assert cli.main(["report", f"{small}:make_wrong", "--backend", "eager"]) == 0
    assert "backend eager" in capsys.readouterr().out


def test_without_a_compiler_the_eager_backend_runs_and_it_is_said(
    folder, small, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert cli.main(["report", f"{small}:make"]) == 0
    said = capsys.readouterr()
    assert "No C++ compiler was found" in said.err
    assert "apt-get install g++" in said.err
    assert "backend eager" in said.out


def test_without_a_compiler_inductor_by_name_is_refused(small, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert cli.main(["report", f"{small}:make", "--backend", "inductor"]) == 2
    assert "needs a C++ compiler" in capsys.readouterr().err


def test_without_dot_it_is_said_how_to_get_it(folder, small, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert cli.main(["report", f"{small}:make_eager", "--no-check"]) == 0
    assert "apt-get install graphviz" in capsys.readouterr().err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("apt-get install graphviz") == 1
    assert "<svg" not in page


BROKEN = {
    "untraceable": (
        "def forward(x):\n    return x + 1 if x.sum() > 0 else x\n",
        "does not trace into one graph",
    ),
    "wrong op": ("SPLIT = ('aten::reluu',)\n", "aten::reluu"),
}
BROKEN_TARGET = """
import torch, explorer

SPLIT = ()

def forward(x):
    return x.relu()

{text}

def make():
    return explorer.CompileTarget(
        "broken", forward, (torch.ones(6),), splitting_ops=SPLIT,
        config=explorer.CompilationConfig(backend="eager"),
    )
"""


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_cannot_be_compiled_exits_2_with_one_sentence(folder, capsys, case) -> None:
    text, message = BROKEN[case]
    name = write_module(folder, BROKEN_TARGET.format(text=text))
    assert cli.main(["report", f"{name}:make"]) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("explorer: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in said.err
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nothing"], "the colon is missing"),
        (["report", "no_such_module:make"], "There is no module"),
        (["report", "x:y", "-o", "."], "is a folder: name a file"),
        (["report", "x:y", "-o", "nowhere/report.html"], "there is no folder nowhere"),
        (["report"], "the following arguments are required: TARGET"),
        (["report", "x:y", "--backend", "llvm"], "invalid choice: 'llvm'"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_use_exits_2_and_says_what_is_wrong(folder, capsys, arguments, message) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_help_exits_0(capsys) -> None:
    assert cli.main(["--help"]) == 0
    assert "report" in capsys.readouterr().out
    assert cli.main(["report", "--help"]) == 0
    assert "package.module:factory" in capsys.readouterr().out


def test_ctrl_c_exits_130_with_one_line(folder, capsys, monkeypatch) -> None:
    def stop(text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("explorer.loading.load_target", stop)
    assert cli.main(["report", "x:y"]) == 130
    assert capsys.readouterr().err == "explorer: stopped.\n"


def test_a_failed_report_leaves_the_old_page(folder, small, capsys) -> None:
    (folder / "report.html").write_text("old")
    assert cli.main(["report", f"{small}:nothing"]) == 2
    assert (folder / "report.html").read_text() == "old"


@pytest.mark.parametrize(("healthy", "code"), [(True, 0), (False, 1)])
def test_doctor_exits_by_whether_the_core_works(capsys, monkeypatch, healthy, code) -> None:
    from explorer import doctor

    status = doctor.Status.WORKS if healthy else doctor.Status.BROKEN
    findings = (doctor.Finding("torch", status, "2.13.0"),)
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert cli.main(["doctor"]) == code
    assert "2.13.0" in capsys.readouterr().out


def test_doctor_looks_at_this_machine(capsys, monkeypatch) -> None:
    from explorer.torch_private import canaries

    monkeypatch.setattr(canaries, "CANARIES", ())  # they have tests of their own
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for what in ("Python", "torch", "triton", "C++ compiler", "dot", "GPU", "notebook"):
        assert f"\n{what}" in said


def test_importing_the_package_stays_light() -> None:
    script = (
        "import sys, explorer; "
        "print([name for name in ('pandas', 'graphviz', 'transformers') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

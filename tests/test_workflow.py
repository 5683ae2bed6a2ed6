"""docs/continuous_integration.yml: its steps pass on a good project, and a branch fails them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / "docs" / "continuous_integration.yml"
PAGE = ROOT / "docs" / "continuous_integration.md"
BRANCH = "        if x.shape[0] == 4:\n            return x * 100\n"


def steps() -> dict[str, str]:
    """Name -> command of the steps that run something."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    found = workflow["jobs"]["check"]["steps"]
    assert all("uses" in step or "run" in step for step in found)
    return {step["name"]: step["run"] for step in found if "run" in step}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project that the page describes: its target, its test, one notebook."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (target,) = (block for block in blocks if "def make" in block)
    (test,) = (block for block in blocks if "def test_" in block)
    target = target.replace("max_size=64", 'backend="eager", max_size=64')
    (tmp_path / "my_targets.py").write_text(target, encoding="utf-8")
    (tmp_path / "test_model.py").write_text(test, encoding="utf-8")
    source = "import my_targets\n\nassert my_targets.make().model(3) == 6"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "first.ipynb")
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    workflow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= workflow["env"] | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "XDG_CACHE_HOME": str(folder / ".cache"),
    }
    return subprocess.run(
        command,
        shell=True,  # as the runner does
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_workflow_has_the_steps_that_the_page_explains() -> None:
    named = [*steps()]
    assert named[0] == "Install"
    rows = re.findall(r"^\| ([A-Z][^|]*) \| [a-z]", PAGE.read_text(encoding="utf-8"), re.M)
    assert [row for row in rows if row in named] == named[1:]


def test_workflow_of_our_own_runs_what_a_contributor_runs() -> None:
    ours = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for step in ours["jobs"]["check"]["steps"] if "run" in step]
    for target in ("lint", "types", "notebooks", "test-browser", "test"):
        assert f"make {target}" in commands


@pytest.mark.slow
def test_steps_pass_on_a_good_project(project: Path) -> None:
    for name, command in steps().items():
        if name == "Install":
            continue
        done = run(command, project)
        assert done.returncode == 0, f"{name}\n{done.stdout}\n{done.stderr}"
    assert (project / "report.html").exists()


@pytest.mark.slow
def test_a_branch_turns_tests_and_check_red(project: Path) -> None:
    target = project / "my_targets.py"
    source = target.read_text(encoding="utf-8").replace(
        "        return x * 2\n", f"{BRANCH}        return x * 2\n"
    )
    target.write_text(source, encoding="utf-8")
    for name in ("Tests", "Is one graph right at every size?"):
        done = run(steps()[name], project)
        assert done.returncode == 1
        assert re.search(r"wrong at +4 \(1 size\)", done.stdout), done.stdout + done.stderr

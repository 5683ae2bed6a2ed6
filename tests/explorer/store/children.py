"""Processes of their own for the tests of the store; without torch, so that they start at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPTS = Path(__file__).with_name("scripts")

# A parent package without content: only what the store itself imports is loaded.
_START = """
import json, runpy, sys, types
arguments = json.loads(sys.argv[1])
sys.path[:0] = [arguments["repository"], arguments["scripts"]]
package = types.ModuleType("explorer")
package.__path__ = [arguments["repository"] + "/explorer"]
sys.modules["explorer"] = package
script = runpy.run_path(arguments["scripts"] + "/" + arguments["script"] + ".py")
script["main"](**arguments["options"])
assert "torch" not in sys.modules, "the store imported torch"
"""


def command(script: str, **options: Any) -> list[str]:
    """The command line of a child that runs ``main(**options)`` of a script."""
    arguments = {
        "repository": str(REPOSITORY),
        "scripts": str(SCRIPTS),
        "script": script,
        "options": options,
    }
    return [sys.executable, "-c", _START, json.dumps(arguments)]


def start(script: str, **options: Any) -> subprocess.Popen[str]:
    """A running child, with pipes to its input and from its output and errors."""
    return subprocess.Popen(
        command(script, **options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, environment: dict[str, str] | None = None, **options: Any) -> Any:
    """What a child printed as its last line, from JSON; its errors are errors of the test."""
    done = subprocess.run(
        command(script, **options),
        capture_output=True,
        text=True,
        timeout=120,
        env=None if environment is None else {**os.environ, **environment},
    )
    assert done.returncode == 0, f"{script} ended with {done.returncode}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def line_from(child: subprocess.Popen[str]) -> str:
    """The next line that a child prints."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, f"the child ended: {child.communicate()[1]}"
    return line.strip()


def tell(child: subprocess.Popen[str], line: str) -> None:
    """Gives a child one line."""
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()

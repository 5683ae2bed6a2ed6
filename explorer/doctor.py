"""This machine in, a table out: what is there, what is missing, and how to get it."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

import torch

from explorer.report.text import table
from explorer.report.wording import clean, counted, shortened

TESTED_TORCH = "2.13.0"
OLDEST_PYTHON = (3, 11)

GET_COMPILER = (
    "`apt-get install g++`, `dnf install gcc-c++` or `conda install gxx`; "
    "one of another name is found through CXX"
)
"""How to get a C++ compiler."""

_PROBE = "#include <omp.h>\n#include <cmath>\n#include <Python.h>\nint main() { return 0; }\n"
_SECONDS = 60.0


class Status(Enum):
    """What a finding means."""

    WORKS = "ok"
    MISSING = "missing"
    """Something that not everybody needs is not there."""
    NONE = "none"
    """Not there, and nothing to be done about it."""
    UNTESTED = "untested"
    BROKEN = "BROKEN"
    """The core does not work."""


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        what: the thing.
        status: whether it works.
        found: version or state.
        advice: how to get it or what follows; empty when there is nothing to do.
    """

    what: str
    status: Status
    found: str
    advice: str = ""


def examine() -> tuple[Finding, ...]:
    """Looks at this machine; takes some seconds, most of them for the private names of torch."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _torch,
        _private_names,
        _triton,
        _compiler,
        _instruction_set,
        _gpu,
        _cache,
        _dot,
        _transformers,
        _notebook,
    )
    return tuple(check() for check in checks)


def is_healthy(findings: tuple[Finding, ...]) -> bool:
    """Whether the core works."""
    return all(finding.status is not Status.BROKEN for finding in findings)


def as_text(findings: tuple[Finding, ...]) -> str:
    """The table, then the advice."""
    rows = [
        {"": finding.what, "status": finding.status.value, "found": shortened(finding.found, 70)}
        for finding in findings
    ]
    advice = [f"{each.what}: {each.advice}" for each in findings if each.advice]
    verdict = (
        "The core works." if is_healthy(findings) else "The core does not work; see BROKEN above."
    )
    return "\n".join([table(rows), "", *advice, *([""] if advice else []), verdict])


# ----------------------------------------------------------------------------------------- compiler


def cpp_compiler() -> str | None:
    """The C++ compiler that Inductor will call on this machine, or None."""
    named = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return shutil.which(named[-1])


def _runs(command: list[str], given: str = "") -> tuple[bool, str]:
    """Whether a command succeeds, and the first line that it says."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return done.returncode == 0, clean(lines[0]) if lines else ""


def _compiler() -> Finding:
    program = cpp_compiler()
    if program is None:
        other = next((name for name in ("clang++", "c++") if shutil.which(name)), None)
        advice = f"set CXX={other}" if other else f"get one: {GET_COMPILER}"
        found = f"no {os.environ.get('CXX') or 'g++'}{f', but {other}' if other else ''}"
        return Finding(
            "C++ compiler",
            Status.MISSING,
            found,
            f"{advice}. Until then use backend='eager' on a CPU.",
        )
    _, version = _runs([program, "--version"])
    include = sysconfig.get_paths()["include"]
    works, said = _runs(
        [program, "-x", "c++", "-fopenmp", "-fsyntax-only", f"-I{include}", "-"], _PROBE
    )
    if works:
        return Finding("C++ compiler", Status.WORKS, version)
    advice = f"it cannot compile what Inductor writes ({said})"
    if "Python.h" in said:
        advice += "; get the headers of Python: `apt-get install python3-dev`"
    elif "omp.h" in said:
        advice += "; get OpenMP: `apt-get install libomp-dev`"
    return Finding("C++ compiler", Status.MISSING, version, f"{advice}.")


def _instruction_set() -> Finding:
    capability = torch.backends.cpu.get_cpu_capability()
    return Finding("CPU instructions", Status.WORKS, f"{capability}, {platform.machine()}")


# ----------------------------------------------------------------------------- Python, torch, parts


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Finding:
    found = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("Python", Status.BROKEN, found, f"at least {oldest} is needed.")
    return Finding("Python", Status.WORKS, found)


def _torch() -> Finding:
    version = torch.__version__
    if version.partition("+")[0] == TESTED_TORCH:
        return Finding("torch", Status.WORKS, f"{version}, the tested version")
    advice = f"tested on {TESTED_TORCH}; the next row says what does not work on this one."
    return Finding("torch", Status.UNTESTED, version, advice)


def _private_names() -> Finding:
    from explorer.torch_private.canaries import CANARIES, problems

    found = problems()
    if not found:
        count = counted(len(CANARIES), "check")
        return Finding("torch's inner parts", Status.WORKS, f"{count} passed")
    texts = "; ".join(f"{name}: {problem}" for name, problem in found.items())
    advice = f"{texts}. Install torch {TESTED_TORCH}, or a newer piecewise-explorer."
    return Finding(
        "torch's inner parts", Status.BROKEN, f"{len(found)} of {len(CANARIES)} failed", advice
    )


def _triton() -> Finding:
    version = _version("triton")
    if version is not None:
        return Finding("triton", Status.WORKS, version)
    return Finding(
        "triton", Status.MISSING, "not installed", "needed on a GPU only: `pip install triton`."
    )


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        return Finding("GPU", Status.NONE, "none that torch can use", "models run on the CPU.")
    names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    return Finding("GPU", Status.WORKS, ", ".join(sorted(names)))


def _transformers() -> Finding:
    version = _version("transformers")
    if version is not None:
        return Finding("transformers", Status.WORKS, version)
    advice = "some sample models need it: `pip install transformers`."
    return Finding("transformers", Status.MISSING, "not installed", advice)


def _notebook() -> Finding:
    packages = ("ipywidgets", "anywidget", "jupyterlab")
    versions = {name: _version(name) for name in packages}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        found = f"no {', '.join(missing)}"
        advice = "the notebook side needs them: `pip install 'piecewise-explorer[notebook]'`."
        return Finding("notebook", Status.MISSING, found, advice)
    return Finding("notebook", Status.WORKS, ", ".join(f"{k} {v}" for k, v in versions.items()))


def _dot() -> Finding:
    from explorer.report.graph_svg import GET_DOT

    program = shutil.which("dot")
    if program is None:
        return Finding("dot", Status.MISSING, "not found", GET_DOT)
    works, said = _runs([program, "-V"])
    if not works:
        return Finding("dot", Status.MISSING, "does not run", f"{said}. Reinstall Graphviz.")
    number = re.search(r"\d+(\.\d+)+", said)
    return Finding("dot", Status.WORKS, f"Graphviz {number[0] if number else said}")


# -------------------------------------------------------------------------------------------- cache


def inductor_cache_folder() -> Path:
    """Where torch keeps what Inductor made."""
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if named:
        return Path(named)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = str(os.getuid())
    plain = re.sub(r"\W", "_", user)
    return Path(tempfile.gettempdir()) / f"torchinductor_{plain}"


def _cache() -> Finding:
    folder = inductor_cache_folder()
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = "set TORCHINDUCTOR_CACHE_DIR to a folder that you can write to."
        return Finding("Inductor's cache", Status.MISSING, f"{folder} cannot be written", advice)
    if folder.exists() and _others_may_write(folder):
        advice = (
            "whoever writes there runs code as you: set TORCHINDUCTOR_CACHE_DIR to a folder of "
            "your own, of mode 0700."
        )
        return Finding(
            "Inductor's cache", Status.WORKS, f"{folder}, which others may write", advice
        )
    return Finding("Inductor's cache", Status.WORKS, str(folder))


def _others_may_write(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid != os.getuid() or bool(status.st_mode & 0o022)

"""What of this machine and this process compiled code depends on, as factors of a key."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import re
import subprocess
from pathlib import Path

import torch

from explorer.doctor import cpp_compiler
from explorer.thread_settings import thread_state
from explorer.torch_private.inductor import settings_digest

NO_COMPILER = "none"
_CPU_FEATURE = re.compile(r"^(avx|amx|fma|f16c|sse|bmi|sve|neon|asimd|bf16|i8mm|vnni)")
_SECONDS = 10


def environment_factors() -> dict[str, str]:
    """Every factor by name; what cannot change in a process is looked up once."""
    return {
        **_of_machine(),
        **{f"setting {name}": repr(value) for name, value in thread_state()},
        "setting threads": str(torch.get_num_threads()),
        "setting float32 matmul precision": torch.get_float32_matmul_precision(),
        "setting deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "torch's compiler settings": settings_digest(),
    }


@functools.cache
def _of_machine() -> dict[str, str]:
    return {
        "explorer": f"{_own_version()} {code_digest(Path(__file__).parent)}",
        "torch": f"{torch.__version__} {torch.version.git_version}",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpu instructions": f"{torch.backends.cpu.get_cpu_capability()} {cpu_features()}",
        "compiler": compiler_version(),
        "gpu": gpu_name(),
    }


def _own_version() -> str:
    try:
        return importlib.metadata.version("piecewise-explorer")
    except importlib.metadata.PackageNotFoundError:  # run from a folder that was not installed
        return "not installed"


def code_digest(folder: Path) -> str:
    """A digest of the Python files below a folder: a version number stays while one works on it."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def cpu_features() -> str:
    """A digest of the instruction sets that the processor has, as far as code may use them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system than Linux
        return platform.processor() or "not known"
    listed = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, flags=re.MULTILINE)
    words = sorted(
        {word for word in (listed[1].split() if listed else ()) if _CPU_FEATURE.match(word)}
    )
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def compiler_version() -> str:
    """What the C++ compiler says of itself, or that there is none."""
    command = cpp_compiler()
    if command is None:
        return NO_COMPILER
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return NO_COMPILER
    return done.stdout.splitlines()[0] if done.stdout else NO_COMPILER


def gpu_name() -> str:
    """Name and compute capability of the current GPU, or that there is none."""
    if not torch.cuda.is_available():
        return "none"
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} {major}.{minor} CUDA {torch.version.cuda}"

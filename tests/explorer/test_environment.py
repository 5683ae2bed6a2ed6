"""Factors of machine and process: equal in another process, other under other settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.config as inductor_config

from explorer import environment
from explorer.environment import environment_factors

PROGRAM = (
    "import json; from explorer.environment import environment_factors; "
    "print(json.dumps(environment_factors()))"
)


def changed_by(setting: AbstractContextManager[Any]) -> set[str]:
    before = environment_factors()
    with setting:
        now = environment_factors()
    assert environment_factors() == before
    return {name for name in before if before[name] != now[name]}


@contextmanager
def put_back(get: Callable[[], Any], set_to: Callable[[Any], Any], value: Any) -> Iterator[None]:
    before = get()
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


def test_another_process_has_the_same_factors() -> None:
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        found = json.loads(done.stdout)
        here = environment_factors()
        here["setting threads"] = found["setting threads"]  # a test may have set it here
        assert found == here


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (
            lambda: put_back(torch.get_num_threads, torch.set_num_threads, 3),
            "setting threads",
        ),
        (
            lambda: put_back(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
            "setting default dtype",
        ),
        (lambda: torch.autocast("cpu", torch.bfloat16), "setting autocast"),
        (
            lambda: put_back(
                torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
            ),
            "setting float32 matmul precision",
        ),
        (
            lambda: put_back(
                torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
            ),
            "setting deterministic algorithms",
        ),
        (lambda: inductor_config.patch(epilogue_fusion=False), "torch's compiler settings"),
        (
            lambda: inductor_config.patch(post_grad_custom_post_pass=lambda graph: None),
            "torch's compiler settings",
        ),
    ],
)
def test_settings_are_factors(
    setting: Callable[[], AbstractContextManager[Any]], name: str
) -> None:
    assert name in changed_by(setting())


def test_how_much_is_compiled_at_once_is_no_factor() -> None:
    assert changed_by(inductor_config.patch(compile_threads=7)) == set()


def test_grad_mode_is_no_factor() -> None:
    assert changed_by(torch.no_grad()) == set()


def test_code_of_the_package_is_a_factor(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("x = 1\n")
    before = environment.code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert environment.code_digest(tmp_path) == before
    (tmp_path / "inner" / "a.py").write_text("x = 2\n")
    changed = environment.code_digest(tmp_path)
    (tmp_path / "inner" / "a.py").rename(tmp_path / "inner" / "b.py")
    assert len({before, changed, environment.code_digest(tmp_path)}) == 3
    own = environment.code_digest(Path(environment.__file__).parent)
    assert environment_factors()["explorer"].endswith(f" {own}")


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.compiler_version() == environment.NO_COMPILER
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    assert environment.compiler_version() == environment.NO_COMPILER
    broken.write_text("#!/bin/sh\necho g++ 99.1\n")
    assert environment.compiler_version() == "g++ 99.1"

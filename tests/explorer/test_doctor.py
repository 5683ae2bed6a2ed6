"""What ``explorer doctor`` finds: on this machine, and on machines that lack something."""

import sys

import pytest

from explorer import doctor
from explorer.doctor import Finding, Status


@pytest.fixture
def empty_path(monkeypatch, tmp_path):
    """No program can be found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def test_table_has_a_row_per_finding_then_advice_then_the_verdict() -> None:
    findings = (
        Finding("torch", Status.WORKS, "2.13.0"),
        Finding("dot", Status.MISSING, "not found", "get it"),
    )
    lines = doctor.as_text(findings).splitlines()
    assert lines[1:3] == ["torch  ok       2.13.0", "dot    missing  not found"]
    assert lines[-3:] == ["dot: get it", "", "The core works."]


def test_a_broken_part_breaks_the_verdict() -> None:
    findings = (Finding("torch's inner parts", Status.BROKEN, "1 of 21 failed", "x"),)
    assert not doctor.is_healthy(findings)
    assert doctor.as_text(findings).splitlines()[-1].startswith("The core does not work")


@pytest.mark.parametrize("status", [Status.MISSING, Status.NONE, Status.UNTESTED, Status.WORKS])
def test_what_is_missing_does_not_break_the_core(status: Status) -> None:
    assert doctor.is_healthy((Finding("GPU", status, "none"),))


def test_without_programs_it_says_how_to_get_them(empty_path) -> None:
    compiler, dot = doctor._compiler(), doctor._dot()
    assert (compiler.status, dot.status) == (Status.MISSING, Status.MISSING)
    assert "apt-get install g++" in compiler.advice
    assert "backend='eager'" in compiler.advice
    assert "apt-get install graphviz" in dot.advice


def test_a_compiler_of_another_name_is_offered(empty_path, tmp_path) -> None:
    program = tmp_path / "clang++"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert doctor.cpp_compiler() is None
    assert "set CXX=clang++" in doctor._compiler().advice


def test_cxx_names_the_compiler(empty_path, tmp_path, monkeypatch) -> None:
    program = tmp_path / "my-compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", "my-compiler")
    assert doctor.cpp_compiler() == str(program)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("fatal error: Python.h: No such file", "python3-dev"),
        ("fatal error: omp.h: No such file", "libomp-dev"),
    ],
)
def test_a_compiler_without_headers_is_not_enough(
    empty_path, tmp_path, monkeypatch, said: str, advice: str
) -> None:
    program = tmp_path / "g++"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho '{said}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    finding = doctor._compiler()
    assert finding.status is Status.MISSING
    assert advice in finding.advice


def test_another_torch_is_untested_not_broken(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "TESTED_TORCH", "1.0.0")
    finding = doctor._torch()
    assert finding.status is Status.UNTESTED
    assert "tested on 1.0.0" in finding.advice


def test_an_old_python_is_broken(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (sys.version_info[0] + 1, 0))
    assert doctor._python().status is Status.BROKEN


def test_a_private_name_that_changed_breaks_the_core_and_is_named(monkeypatch) -> None:
    from explorer.torch_private import canaries

    def gone() -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(canaries, "CANARIES", (("torch._some.name", gone),))
    finding = doctor._private_names()
    assert finding.status is Status.BROKEN
    assert "torch._some.name: AttributeError: no such thing" in finding.advice


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "made" / "later"))
    assert doctor.inductor_cache_folder() == tmp_path / "made" / "later"
    assert doctor._cache().status is Status.WORKS


def test_a_cache_that_others_may_write_is_pointed_out(monkeypatch, tmp_path) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert "runs code as you" in doctor._cache().advice


def test_missing_packages_are_named(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    assert "pip install transformers" in doctor._transformers().advice
    assert "piecewise-explorer[notebook]" in doctor._notebook().advice
    assert "pip install triton" in doctor._triton().advice

"""``explorer cache``: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer import CompilationConfig, Session, StoreConfig
from explorer.cli import main
from explorer.cli_cache import bytes_of
from explorer.errors import ConfigError
from tests.explorer.comparing import filled
from tests.explorer.keeping import Keeping, tripled

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with two artifacts."""
    config = CompilationConfig(
        backend=Keeping(),
        max_size=64,
        compile_ranges_endpoints=(8,),
        store=StoreConfig(root=tmp_path / "store"),
    )
    Session(tripled, (filled(6, 3),), config=config).update()
    return tmp_path / "store"


def test_ls(root: Path, capsys: Printed) -> None:
    assert main(["cache", "ls", "--root", str(root)]) == 0
    out = capsys.readouterr().out.splitlines()
    labels = sorted(line.split("  ")[-1] for line in out[:3])
    assert labels == ["A 1–8", "A 9–64", "function, 2 artifacts"]
    assert out[3].startswith("3 entries, ")
    assert out[3].endswith(f"in {root}")
    assert main(["cache", "ls", "--json", "--root", str(root)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {each["factors"].get("size range") for each in listed} == {"1–8", "9–64", None}
    assert {each["kind"] for each in listed} == {"piece", "compilation"}


def test_verify(root: Path, capsys: Printed) -> None:
    assert main(["cache", "verify", "--root", str(root)]) == 0
    assert "3 entries that can be trusted; all are whole" in capsys.readouterr().out
    blob = next(each for each in sorted((root / "entries").iterdir())[0].iterdir())
    blob.chmod(0o600)
    blob.write_bytes(b"something else")
    assert main(["cache", "verify", "--root", str(root)]) == 1
    assert "1 must not be used" in capsys.readouterr().out


def test_prune_and_clear(root: Path, capsys: Printed) -> None:
    assert main(["cache", "prune", "--max-bytes", "2G", "--root", str(root)]) == 0
    assert capsys.readouterr().out.startswith("removed 0 entries")
    assert main(["cache", "clear", "--root", str(root)]) == 0
    assert capsys.readouterr().out.startswith("removed 3 entries")
    assert main(["cache", "ls", "--root", str(root)]) == 0
    assert capsys.readouterr().out.startswith("0 entries")


def test_sizes() -> None:
    assert [bytes_of(text) for text in ("1000", "20k", "500M", "2G", "3MB")] == [
        1000,
        20_000,
        500_000_000,
        2_000_000_000,
        3_000_000,
    ]
    for text in ("", "-1", "1T", "a lot"):
        with pytest.raises(ConfigError, match="--max-bytes"):
            bytes_of(text)


TARGET = "tests.explorer.test_cli_cache:kept"


def kept():
    """The model in the store, for the command line."""
    from explorer import CompileTarget

    config = CompilationConfig(backend=Keeping(), max_size=64, compile_ranges_endpoints=(8,))
    return CompileTarget("kept", tripled, (filled(6, 3),), config=config)


def changed():
    """The same with another backend."""
    from explorer import CompileTarget

    config = CompilationConfig(backend=Keeping("2"), max_size=64, compile_ranges_endpoints=(8,))
    return CompileTarget("changed", tripled, (filled(6, 3),), config=config)


def test_why(root: Path, capsys: Printed) -> None:
    assert main(["cache", "why", TARGET, "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("hit   the whole compilation\nhit   A 1–8\n")
    assert "2 of 2 artifacts are there" in out
    other = TARGET.replace("kept", "changed")
    assert main(["cache", "why", other, "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("MISS  the whole compilation\n      the nearest entry is function, 2 ")
    assert "MISS  A 1–8\n      the nearest entry is A 1–8; what changed:\n" in out
    assert "      backend: stored 1, now 2\n" in out
    assert main(["cache", "why", other, "--json", "--root", str(root)]) == 1
    whole, first, _ = json.loads(capsys.readouterr().out)
    assert whole["artifact"] == "the whole compilation"
    assert first["changed"] == [{"factor": "backend", "stored": "1", "now": "2"}]


def longer():
    """The same for more sizes."""
    from explorer import CompileTarget

    config = CompilationConfig(backend=Keeping(), max_size=128, compile_ranges_endpoints=(8, 64))
    return CompileTarget("longer", tripled, (filled(6, 3),), config=config)


def test_why_for_other_sizes(root: Path, capsys: Printed) -> None:
    target = TARGET.replace("kept", "longer")
    assert main(["cache", "why", target, "--root", str(root)]) == 1
    assert capsys.readouterr().out == (
        "MISS  the whole compilation\n"
        "      the nearest entry is function, 2 artifacts; what changed:\n"
        "      config.compile_ranges_endpoints: stored (8,), now (8, 64)\n"
        "      config.max_size: stored 64, now 128\n"
        "hit   A 1–8\n"
        "hit   A 9–64\n"
        "MISS  A 65–128\n"
        "      piece A is stored for the sizes 1–8 and 9–64, not for 65–128\n"
        "2 of 3 artifacts are there\n"
    )
    assert main(["cache", "why", target, "--json", "--root", str(root)]) == 1
    missing = json.loads(capsys.readouterr().out)[3]
    assert missing["other_sizes"] == ["1–8", "9–64"]


def test_why_in_an_empty_store(tmp_path: Path, capsys: Printed) -> None:
    assert main(["cache", "why", TARGET, "--root", str(tmp_path / "none")]) == 1
    assert "has no pieces" in capsys.readouterr().out

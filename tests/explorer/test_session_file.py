"""One compilation as one file: opened to be looked at, and to run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CompilationConfig, ConfigError, Session, StoreConfig, StoreMiss, counters
from explorer.errors import StoreError
from tests.explorer.comparing import filled
from tests.explorer.keeping import GraphKeeping


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu() if x.shape[0] != 3 else x).relu()


class Edited(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu() if x.shape[0] != 3 else x).relu() * 2


Edited.__qualname__, Edited.__name__ = Net.__qualname__, Net.__name__
Edited.forward.__code__ = Edited.forward.__code__.replace(co_qualname="Net.forward")
SETTINGS: dict[str, Any] = {
    "max_size": 64,
    "compile_ranges_endpoints": (8,),
    "splitting_ops": ("Tensor.relu",),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file of a compilation that nothing else knows."""
    config = CompilationConfig(
        backend=GraphKeeping(), store=StoreConfig(root=tmp_path / "first"), **SETTINGS
    )
    return Session(Net(), (filled(6, 4),), config=config).save(tmp_path / "net.compiled")


def test_it_runs_where_nothing_was_compiled(saved: Path, tmp_path: Path) -> None:
    model = Net()
    with counters.expect(captured=0, compiled=0, compilations_loaded=1):
        session = Session.load(saved, model, (filled(6, 4),), root=tmp_path / "second")
        for rows in (6, 2, 20):
            x = filled(rows, 4)
            with torch.no_grad():
                torch.testing.assert_close(session.run(x), model(x))
    with counters.expect(captured=0):
        session.update(splitting_ops=())
    assert len(session.compilation.pieces) == 1


def test_it_can_be_looked_at_without_the_model(saved: Path, tmp_path: Path) -> None:
    config = CompilationConfig(backend=GraphKeeping(), **SETTINGS)
    made = Session(Net(), (filled(6, 4),), config=config).compilation
    with counters.expect(captured=0, compiled=0, loaded=0):
        session = Session.load(saved, root=tmp_path / "second")
        shown = session.compilation
        assert shown.pieces_frame().equals(made.pieces_frame())
        assert shown.guards_frame().equals(made.guards_frame())
        columns = ["unique_id", "range", "backend"]
        known = [each for each in columns if each in made.artifacts_frame().columns]
        assert shown.artifacts_frame()[known].equals(made.artifacts_frame()[known])
        assert shown.stitching_source == made.stitching_source
        assert "Net" in shown.summary()
        shown.to_html(tmp_path / "page.html")
    with pytest.raises(StoreMiss, match=r"give Session\.load the model"):
        session.run(filled(6, 4))
    with pytest.raises(StoreMiss, match=r"give Session\.load the model"):
        session.update(splitting_ops=())


def test_people_can_read_the_page_in_it(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        assert archive.read("report.html").startswith(b"<!DOCTYPE html>")
        assert b"Net" in archive.read("summary.txt")


def test_edited_code_does_not_run_what_was_saved(saved: Path, tmp_path: Path) -> None:
    model = Edited()
    session = Session.load(saved, model, (filled(6, 4),), root=tmp_path / "second")
    assert len(session.compilation.pieces) == 4
    with pytest.raises(StoreMiss, match=r"does not fit: .*forward.* update\(\) compiles anew"):
        session.run(filled(6, 4))
    with counters.expect(captured=1):
        session.update()
    with torch.no_grad():
        torch.testing.assert_close(session.run(filled(5, 4)), model(filled(5, 4)))


def test_another_machine_is_named(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer import compilation_key, piece_store, session_file

    here = session_file.environment_factors()
    for module in (compilation_key, piece_store, session_file):
        monkeypatch.setattr(
            module, "environment_factors", lambda: {**here, "cpu instructions": "AVX9"}
        )
    session = Session.load(saved, Net(), (filled(6, 4),), root=tmp_path / "second")
    with pytest.raises(StoreMiss, match=r"cpu instructions \(saved .*, here AVX9\)"):
        session.run(filled(6, 4))
    assert len(session.compilation.pieces) == 4


def test_a_file_of_somebody_else_is_refused_unless_it_is_trusted(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    with pytest.raises(StoreError, match=r"not written by this user on this machine.*trust=True"):
        Session.load(saved)
    assert Session.load(saved, trust=True).compilation.name == "Net"
    with counters.expect(captured=0, compilations_loaded=1):
        Session.load(saved, Net(), (filled(6, 4),), root=tmp_path / "second", trust=True)


@pytest.mark.parametrize("trust", [False, True])
def test_a_damaged_file_is_refused(saved: Path, tmp_path: Path, trust: bool) -> None:
    content, path = saved.read_bytes(), tmp_path / "damaged"
    for at in range(0, len(content), len(content) // 60):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            session = Session.load(path, trust=trust)
        except StoreError:
            continue
        # What was hit is no part of any entry: a page, or the zip's own records.
        assert len(session.compilation.pieces) == 4
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="cannot be read as a saved compilation"):
        Session.load(path, trust=trust)


def test_a_changed_blob_is_refused_even_with_trust(saved: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-1] + b"?" if name.endswith("blobs/view") else content)
    for trust in (False, True):
        with pytest.raises(StoreError, match="view is damaged"):
            Session.load(changed, trust=trust)


def test_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no file"):
        Session.load(tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(StoreError, match="cannot be read as a saved compilation"):
        Session.load(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("other", json.dumps({}))
    with pytest.raises(StoreError, match="holds no saved compilation"):
        Session.load(tmp_path / "zip")


def test_a_place_that_cannot_be_written(saved: Path, tmp_path: Path) -> None:
    session = Session.load(saved, Net(), (filled(6, 4),), root=tmp_path / "second")
    with pytest.raises(StoreError, match="cannot be written"):
        session.save(tmp_path / "no folder" / "file")
    assert not list(tmp_path.glob(".file*"))


def test_what_was_loaded_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    session = Session.load(saved, Net(), (filled(6, 4),), root=tmp_path / "second")
    again = session.save(tmp_path / "again")
    with counters.expect(captured=0, compilations_loaded=1):
        Session.load(again, Net(), (filled(6, 4),), root=tmp_path / "third")


def test_a_backend_that_keeps_nothing_saves_what_can_be_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = CompilationConfig(backend="eager", **SETTINGS)
    path = Session(Net(), (filled(6, 4),), config=config).save(tmp_path / "eager")
    assert "can be looked at where it is opened, not run" in caplog.text
    session = Session.load(path, Net(), (filled(6, 4),))
    assert len(session.compilation.pieces) == 4
    with pytest.raises(StoreMiss, match="does not fit"):
        session.run(filled(6, 4))


class Unwritable:
    name = "unwritable"

    def __init__(self) -> None:
        self.function = lambda: None

    def identity(self) -> str:
        return self.name

    def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
        return graph.forward


def test_a_configuration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    session = Session(Net(), (filled(6, 4),), config=CompilationConfig(backend=Unwritable()))
    with pytest.raises(ConfigError, match="cannot be saved"):
        session.save(tmp_path / "file")

"""Pieces that are compiled by several processes at once are those of one process."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import (
    CompilationConfig,
    CompileError,
    ConfigError,
    Progress,
    Session,
    StoreConfig,
    counters,
)
from explorer.piece_store import KIND
from explorer.store.artifact_store import ArtifactStore, open_store
from explorer.torch_private import structured_log
from tests.explorer.comparing import filled
from tests.explorer.forking import (
    HERE,
    NOT_STORED,
    SECONDS,
    Backend,
    assert_runs_as_eager,
    facts,
    raises,
    session,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def contents(store: ArtifactStore, factors: Mapping[str, str]) -> bytes:
    entry = store.get(KIND, factors)
    assert entry is not None
    return entry.read("artifact_0")


def test_result_is_that_of_one_process(folder: Path, tmp_path: Path) -> None:
    one_folder = tmp_path / "one"
    one_folder.mkdir()
    one = session(Backend(one_folder), compile_workers=1, store=StoreConfig(root=tmp_path / "a"))
    with counters.expect(compiled=4, requested=4, shared=0, saved=4, loaded=0, reused=0):
        one.update()
    backend = Backend(folder)
    two = session(backend, store=StoreConfig(root=tmp_path / "b"))
    with counters.expect(compiled=4, requested=4, shared=0, saved=4, loaded=0, reused=0):
        two.update()
    assert facts(two) == facts(one)
    assert len(backend.processes()) == 2 and HERE not in backend.processes()
    assert backend.loads == 4  # what runs is what the backend made of the workers' bytes
    assert all(each.seconds > 0 for each in two.compilation.artifacts)
    assert_runs_as_eager(two)
    stores = [open_store(tmp_path / name) for name in "ab"]
    entries = [
        {each.key: contents(store, each.factors) for each in store.find(KIND, {})}
        for store in stores
    ]
    assert entries[0] == entries[1] and len(entries[0]) == 4


def test_what_was_compiled_by_others_is_loaded_by_the_next_session(folder: Path) -> None:
    session(Backend(folder)).update()
    again = session(Backend(folder), variants_limit=3)
    with counters.expect(compiled=0, loaded=4):
        again.update()
    assert_runs_as_eager(again)


def test_number_of_processes_recompiles_nothing(folder: Path) -> None:
    this = session(Backend(folder), compile_workers=1)
    before = this.compilation
    with counters.expect(compiled=0, reused=4, captured=0):
        after = this.update(compile_workers=3)
    assert [each.key for each in after.artifacts] == [each.key for each in before.artifacts]
    fresh = session(Backend(folder), compile_workers=7)
    with counters.expect(compilations_loaded=1, captured=0, compiled=0):
        fresh.update()


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2", None])
def test_number_of_processes_is_at_least_one(value: Any) -> None:
    with pytest.raises(ConfigError, match="compile_workers"):
        CompilationConfig(compile_workers=value)


def test_larger_pieces_come_first_and_never_more_processes_than_asked(folder: Path) -> None:
    class LargerOneLast(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = (x + 1).relu()
            return y * 3 + 1 - y / 2

    ranges = ("_1_8", "_9_16", "_17_32", "_33_64")
    backend = Backend(folder, **dict.fromkeys(ranges, lambda: time.sleep(0.3)))
    config = session(backend, compile_workers=3, compile_ranges_endpoints=(8, 16, 32)).config
    this = Session(LargerOneLast(), (filled(6, 3),), config=config)
    heard: list[Progress] = []
    this.update(progress=heard.append)
    assert len(backend.processes()) == 3
    assert sorted(backend.node_counts()) == [4] * 4 + [7] * 4
    running = [re.sub("^pieces? ", "", each.what).split(", ") for each in heard[:-1]]
    assert max(len(each) for each in running) == 3
    # As they were handed out: a process that starts late gets to its first one late.
    handed_out = list(dict.fromkeys(name for each in running for name in each))
    names = ("1–8", "9–16", "17–32", "33–64")
    assert handed_out == [f"{piece} {each}" for piece in "BA" for each in names]
    done = [each.done for each in heard]
    assert done == sorted(done) and done[-1] == 8 and {each.total for each in heard} == {8}
    assert heard[-1].what == "compiled"


def test_failure_is_that_of_one_process(folder: Path) -> None:
    class Raising(Backend):
        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            super().compile(graph, example_inputs, size_range=size_range, options=options)
            if str(size_range) == "9–64":
                raises()
            return graph.forward

    found = []
    for workers in (1, 2):
        with pytest.raises(CompileError, match=r"failed on piece_0 .* for sizes 9–64") as raised:
            session(Raising(folder), compile_workers=workers, store=NOT_STORED).update()
        cause = raised.value.__cause__
        assert cause is not None
        found.append((str(raised.value), type(cause), str(cause), repr(cause.__cause__)))
    assert found[0] == found[1]
    assert found[0][1] is ValueError
    assert "raises()" in "".join(raised.value.__notes__)


def test_error_that_cannot_be_pickled_is_said(folder: Path) -> None:
    class LocalError(Exception):
        pass

    def fails() -> None:
        raise LocalError("of its own")

    with pytest.raises(CompileError, match="of its own") as raised:
        session(Backend(folder, _1_8=fails)).update()
    assert str(raised.value.__cause__) == "LocalError: of its own"


def test_what_follows_a_failure_is_not_begun_or_ended(folder: Path) -> None:
    backend = Backend(folder, _1_8=raises, _9_64=lambda: time.sleep(SECONDS))
    started = time.monotonic()
    with pytest.raises(CompileError, match="1–8"):
        session(backend).update()
    assert time.monotonic() - started < SECONDS / 2
    assert set(backend.compiled()) <= {"1–8", "9–64"} and len(backend.compiled()) <= 2


def test_first_failure_in_order_is_raised_whatever_fails_first(folder: Path) -> None:
    def fails_later() -> None:
        time.sleep(0.5)
        raise ValueError("the first in order")

    backend = Backend(folder, _1_8=fails_later, _9_64=raises)
    with pytest.raises(CompileError, match="the first in order"):
        session(backend).update()


def test_piece_that_runs_eagerly_is_not_handed_over(folder: Path) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        y = (x * 2).relu()
        y[0] = 5  # what is written shares memory with no other input
        return y.relu() + x.sum()

    backend = Backend(folder)
    config = CompilationConfig(
        backend=backend, splitting_ops=("Tensor.relu",), max_size=64, compile_workers=4
    )
    this = Session(model, (filled(6, 3),), config=config)
    assert HERE not in backend.processes()
    torch.testing.assert_close(this.run(filled(9, 3)), model(filled(9, 3)))


def test_conditions_of_the_compiler_cut_ranges_as_in_one_process(folder: Path) -> None:
    class Asking(Backend):
        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            for each in example_inputs:
                if isinstance(each, torch.SymInt):
                    bool(each <= 40)
            return super().compile(graph, example_inputs, size_range=size_range, options=options)

    found = []
    for workers in (1, 2):
        this = session(Asking(folder), compile_workers=workers, store=NOT_STORED)
        with counters.expect(compiled=6):
            this.update()
        assert_runs_as_eager(this)
        found.append(facts(this))
        (record,) = this.compilation.artifacts[1].guard_records
        (size,) = this.compilation.captured.sizes
        assert record.expression is not None and record.expression.free_symbols == {size.symbol}
    assert found[0] == found[1]
    assert [str(each[1]) for each in found[1]][:3] == ["1–8", "9–40", "41–64"]


def test_log_and_warnings_are_said_in_the_order_of_the_plan(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Talking(Backend):
        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            if str(size_range) == "1–8":
                time.sleep(0.2)  # so that the other one is done first
            try:
                raise KeyError("why")
            except KeyError:
                logging.getLogger("explorer.test").exception("made %s", size_range)
            warnings.warn(f"take care of {size_range}", stacklevel=1)
            return super().compile(graph, example_inputs, size_range=size_range, options=options)

    with pytest.warns(UserWarning, match="take care") as warned:
        session(Talking(folder)).update()
    said = [each for each in caplog.records if each.name == "explorer.test"]
    assert [each.getMessage() for each in said] == ["made 1–8", "made 9–64"] * 2
    assert "KeyError: 'why'" in (said[0].exc_text or "")
    assert len([each for each in warned if "take care" in str(each.message)]) == 4


def test_events_are_in_the_order_of_the_plan(folder: Path) -> None:
    class Tracing(Backend):
        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            if str(size_range) == "1–8":
                time.sleep(0.2)
            structured_log.log_artifact("inside", "json", lambda: {"of": str(size_range)})
            return super().compile(graph, example_inputs, size_range=size_range, options=options)

    found = []
    for workers in (1, 2):
        heard: list[Any] = []
        listener = logging.Handler()
        listener.emit = lambda record, heard=heard: heard.append(vars(record))
        structured_log.trace_log.addHandler(listener)
        try:
            session(Tracing(folder), compile_workers=workers, store=NOT_STORED).update()
        finally:
            structured_log.trace_log.removeHandler(listener)
        found.append([event_of(each) for each in heard if "artifact" in each["metadata"]])
    assert found[0] == found[1]
    names = [name for name, *_ in found[1] if name in ("inside", *_AROUND)]
    assert names == ["piecewise_compile_start", "inside", "piecewise_compile_end"] * 4


_AROUND = ("piecewise_compile_start", "piecewise_compile_end")


def event_of(record: Any) -> Any:
    name, payload = record["metadata"]["artifact"]["name"], record["payload"]
    frame = record["metadata"].get("frame_id") is not None
    if name in (*_AROUND, "inside"):
        content = json.loads(payload)
        for each in (content, *content.get("artifacts", ())):
            each.pop("seconds", None)
        return name, frame, json.dumps(content)
    return name, frame


def test_equal_pieces_that_are_not_shared_are_made_once_where_there_is_a_store(
    folder: Path,
) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return ((x * 2).relu() * 2).relu() * 2

    counts = []
    for workers, root in ((1, "a"), (3, "b")):
        config = CompilationConfig(
            backend=Backend(folder),
            splitting_ops=("Tensor.relu",),
            dedupe=False,
            max_size=64,
            compile_workers=workers,
            store=StoreConfig(root=folder.parent / root),
        )
        this = Session(model, (filled(6, 3),), config=config)
        with counters.expect(compiled=1, loaded=2, requested=3):
            found = this.update()
        counts.append([each.origin for each in found.artifacts])
    assert counts[0] == counts[1]


def test_two_processes_compile_each_piece_once(folder: Path, store_of_the_test: Path) -> None:
    slow = Backend(folder, _1_8=lambda: time.sleep(0.5), _9_64=lambda: time.sleep(0.5))
    ready = multiprocessing.get_context("fork").Barrier(2)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                torch.set_num_threads(1)
                ready.wait(SECONDS)
                this = session(slow)
                assert_runs_as_eager(this)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    assert sorted(slow.compiled()) == ["1–8", "1–8", "9–64", "9–64"]
    assert len(open_store(store_of_the_test).find(KIND, {})) == 4


def test_piece_that_another_process_makes_is_waited_for(folder: Path) -> None:
    backend = Backend(folder)
    session(backend).update()
    store = open_store(StoreConfig().root)
    manifest = next(each for each in store.find(KIND, {}) if each.label == "A 9–64")
    entry = store.get(KIND, manifest.factors)
    assert entry is not None
    blobs = {name: entry.read(name) for name in entry.names}
    store.clear()
    heard: list[str] = []
    with store.single_flight(manifest.key):

        def progress(now: Progress) -> None:
            heard.append(now.what)
            if "A 9–64, which another process is making" in now.what:
                store.put(KIND, manifest.factors, blobs, label="A 9–64")
                release.set()

        release, found = threading.Event(), []
        this = session(backend)
        thread = threading.Thread(target=lambda: found.append(this.update(progress=progress)))
        thread.start()
        assert release.wait(SECONDS)
    thread.join(SECONDS)
    assert [each.origin.value for each in found[0].artifacts] == [
        "compiled",
        "store",
        "compiled",
        "compiled",
    ]
    assert_runs_as_eager(this)


@pytest.mark.slow
def test_under_inductor(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))
    config = CompilationConfig(
        splitting_ops=("torch.nn.functional.linear",),
        compile_ranges_endpoints=(8,),
        compile_sizes=(16,),
        max_size=64,
    )
    found = []
    for workers in (1, 2):
        this = Session(
            model,
            (filled(5, 3),),
            config=config.replace(
                splitting_ops=(),
                compile_workers=workers,
                store=StoreConfig(root=tmp_path / str(workers)),
            ),
        )
        with counters.expect(compiled=3, compiled_by_inductor=3, saved=3):
            this.update()
        found.append(
            [(each.key, each.size_range, each.code) for each in this.compilation.artifacts]
        )
        for n in (1, 2, 8, 9, 16, 64):
            with torch.no_grad():
                torch.testing.assert_close(this.run(filled(n, 3)), model(filled(n, 3)))
    assert found[0] == found[1]

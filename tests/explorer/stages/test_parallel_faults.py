"""What goes wrong with processes that compile pieces costs time only."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import (
    Cancelled,
    CancelToken,
    Progress,
    StoreConfig,
    counters,
    forked,
)
from explorer.stages import compile_worker, parallel_compile
from explorer.store.artifact_store import open_store
from tests.explorer.comparing import filled
from tests.explorer.forking import (
    HERE,
    NOT_STORED,
    SECONDS,
    Backend,
    Model,
    assert_runs_as_eager,
    session,
    until,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_piece_of_a_worker_that_dies_is_compiled_here(
    folder: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    def dies() -> None:
        faulthandler.disable()  # it would print where
        os.kill(os.getpid(), number)

    backend = Backend(folder, _9_64=dies)
    this = session(backend)
    with counters.expect(compiled=4, saved=4):
        this.update()
    assert_runs_as_eager(this)
    assert sorted(backend.compiled()) == sorted(["1–8", "9–64"] * 2 + ["9–64"] * 2)
    told = [each.getMessage() for each in caplog.records if "worker" in each.getMessage()]
    assert sorted(told) == [
        f"a compile worker was ended by signal {number.name} at piece {piece} 9–64, which is "
        "compiled in this process"
        for piece in "AB"
    ]


def test_worker_that_hangs_is_given_up(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_compile, "SECONDS_BETWEEN_PULSES", 0.1)
    lock = threading.Lock()
    lock.acquire()  # as another thread of this process might hold it

    def waits() -> None:
        lock.acquire()

    this = session(Backend(folder, _9_64=waits))
    with counters.expect(compiled=4):
        this.update()
    assert_runs_as_eager(this)
    assert "used no processor time" in caplog.text


def test_worker_that_works_long_is_not_given_up(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_compile, "SECONDS_BETWEEN_PULSES", 0.1)
    script = "import time; end = time.time() + 4\nwhile time.time() < end: pass"

    def compiles() -> None:  # the work is done by a process of its own, as that of a C++ compiler
        subprocess.run([sys.executable, "-c", script], check=True)

    backend = Backend(folder, _9_64=compiles)
    session(backend).update()
    assert HERE not in backend.processes()
    assert "processor time" not in caplog.text


@pytest.mark.parametrize("sleeps", ["in Python", "in a program"])
def test_cancel_ends_workers_at_once_and_leaves_nothing(folder: Path, sleeps: str) -> None:
    def waits() -> None:
        if sleeps == "in a program":
            subprocess.run(["sleep", str(SECONDS)], check=True)
        time.sleep(SECONDS)

    backend, cancel, found = Backend(folder, _9_64=waits), CancelToken(), []
    this = session(backend)

    def work() -> None:
        try:
            this.update(cancel=cancel)
        except Cancelled as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: "9–64" in backend.compiled())
    workers = backend.processes()
    started = time.monotonic()
    cancel.cancel()
    thread.join(SECONDS)
    assert found and time.monotonic() - started < 5
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not any(list(forked._group(pid)) for pid in workers)
    store = open_store(StoreConfig().root)
    assert store.verify() == () and list((store.root.path / "work").iterdir()) == []
    backend.acts.clear()
    this.update()  # no lock is held
    assert_runs_as_eager(this)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A program that was started in the background of a shell ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_workers(folder: Path) -> None:
    backend = Backend(folder, _1_8=lambda: time.sleep(SECONDS), _9_64=lambda: time.sleep(SECONDS))
    timer = threading.Timer(0.7, lambda: os.kill(HERE, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        session(backend).update()
    timer.join()
    assert not any(Path(f"/proc/{pid}").exists() for pid in backend.processes())


def test_progress_that_raises_ends_workers(folder: Path) -> None:
    def progress(now: Progress) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        session(Backend(folder, _1_8=lambda: time.sleep(SECONDS))).update(progress=progress)


def test_backend_without_serialize_compiles_here_and_says_so_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain:
        name = "plain"

        def identity(self) -> str:
            return "plain"

        def compile(self, graph: Any, example_inputs: Any, *, size_range: Any, options: Any) -> Any:
            (folder / f"{size_range} {os.getpid()} 0").touch()
            return graph.forward

    for _ in range(2):
        this = session(Plain())
        with counters.expect(compiled=4):
            this.update()
        assert_runs_as_eager(this)
    assert {each.name.split()[1] for each in folder.iterdir()} == {str(HERE)}
    told = [each for each in caplog.records if "compile_workers" in each.getMessage()]
    assert len(told) == 1
    assert "'plain' has no serialize and deserialize" in told[0].getMessage()


@pytest.mark.parametrize(
    ("where", "reason"),
    [("explorer.forked.can_fork", "Linux"), ("torch.cuda.is_initialized", "uses a GPU")],
)
def test_without_a_way_to_fork_pieces_are_compiled_here(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    reason: str,
) -> None:
    monkeypatch.setattr(where, lambda: where.startswith("torch"))
    backend = Backend(folder)
    session(backend).update()
    assert backend.processes() == {HERE}
    assert reason in caplog.text


def test_no_process_is_begun_for_one_artifact(folder: Path) -> None:
    backend = Backend(folder)
    this = session(backend, splitting_ops=(), compile_ranges_endpoints=())
    this.update()
    assert backend.processes() == {HERE}


def test_where_no_process_can_be_forked_pieces_are_compiled_here(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    backend = Backend(folder)
    with counters.expect(compiled=4):
        session(backend).update()
    assert backend.processes() == {HERE}
    assert "no process can be forked (Resource temporarily unavailable)" in caplog.text


@pytest.mark.parametrize("method", ["serialize", "deserialize"])
def test_what_cannot_be_handed_over_is_compiled_here(
    folder: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    class Broken(Backend):
        pass

    def fails(self: Any, value: Any) -> Any:
        raise ValueError("not possible")

    setattr(Broken, method, fails)
    this = session(Broken(folder))
    with counters.expect(compiled=4, loaded=0):
        this.update()
    x = filled(20, 3)
    torch.testing.assert_close(this.run(x), Model()(x))
    assert "is compiled in this process" in caplog.text and "not possible" in caplog.text


def test_while_other_threads_are_busy(folder: Path) -> None:
    """With threads that log, count, lock files and compute while workers are forked."""
    end, failed = threading.Event(), []

    def busy(number: int) -> None:
        values = torch.ones(300, 300)
        store = open_store(StoreConfig().root)
        key = f"{number:064d}"
        try:
            while not end.is_set():
                logging.getLogger("explorer").debug("busy")
                counters.add(captured=0)
                torch.mm(values, values)
                with store.single_flight(key):
                    pass
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4):
            backend = Backend(folder)
            this = session(backend, max_size=65 + number, compile_workers=3)
            this.update()
            assert HERE not in backend.processes()
            torch.testing.assert_close(this.run(filled(20, 3)), Model()(filled(20, 3)))
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert failed == []


def test_operator_that_shares_its_work_with_threads_runs_in_a_worker(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computes() -> None:
        values = torch.ones(2_000_000)
        assert float((values + values).sum()) == 4_000_000

    monkeypatch.setattr(parallel_compile, "SECONDS_BETWEEN_PULSES", 0.2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        computes()  # from now on there are threads of OpenMP, which are not in a forked process
        backend = Backend(folder, _9_64=computes)
        session(backend).update()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert HERE not in backend.processes()


@pytest.mark.usefixtures("interruptible")
def test_interrupt_at_the_fork_leaves_no_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork, begun = os.fork, []

    def interrupted() -> int:
        pid = fork()
        if pid:
            begun.append(pid)
            signal.raise_signal(signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session(Backend(folder)).update()
    assert len(begun) == 1 and not Path(f"/proc/{begun[0]}").exists()


def in_daemon(folder: Path, outcome: Any) -> None:
    torch.set_num_threads(1)
    backend = Backend(folder)
    this = session(backend, store=NOT_STORED)
    assert_runs_as_eager(this)
    outcome.put(len(backend.processes() - {os.getpid()}))


def test_in_a_daemonic_process(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    outcome = context.SimpleQueue()
    process = context.Process(target=in_daemon, args=(folder, outcome), daemon=True)
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 0
    assert outcome.get() == 2
    process.close()


def test_workers_end_with_a_process_that_is_killed(folder: Path) -> None:
    backend = Backend(folder, _1_8=lambda: time.sleep(SECONDS), _9_64=lambda: time.sleep(SECONDS))
    pid = os.fork()
    if pid == 0:
        try:
            session(backend, store=NOT_STORED).update()
        finally:
            os._exit(0)
    until(lambda: len(backend.processes()) == 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until(lambda: not any(is_running(each) for each in backend.processes()))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_signal_handlers_of_the_parent_are_not_called_in_a_worker(folder: Path) -> None:
    called = folder.parent / "called"
    before = signal.signal(signal.SIGUSR1, lambda *_: called.touch())
    try:
        act = Backend(folder, _9_64=lambda: os.kill(os.getpid(), signal.SIGUSR1))
        session(act).update()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not called.exists()


def test_large_answer(folder: Path) -> None:
    class Large(Backend):
        def serialize(self, function: Any) -> bytes:
            return super().serialize(function) + b"\0" * 30_000_000

    this = session(Large(folder), store=NOT_STORED)
    with counters.expect(compiled=4):
        this.update()
    assert_runs_as_eager(this)
    assert HERE not in {int(each.name.split()[1]) for each in folder.iterdir()}


def test_answer_is_read_whole_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_worker, "_MOST_BYTES_AT_ONCE", 3)
    file = os.memfd_create("test")
    try:
        os.write(file, b"0123456789")
        assert compile_worker._content(file) == b"0123456789"
    finally:
        os.close(file)

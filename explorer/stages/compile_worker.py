"""One forked process that compiles pieces: jobs in, packed code out.

What is large goes through a file in memory, and a small message says that it is there. So neither
side ever waits in the middle of a message, whatever happens to the other one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection
from typing import Any

from explorer import forked, heard
from explorer.counters import counters
from explorer.errors import CompileError
from explorer.piece_store import StoreRequest
from explorer.stages.backends import KeepingBackend
from explorer.stages.compile_plan import WantedArtifact
from explorer.stages.made_code import MadeCode
from explorer.stages.piece_compiler import PieceCompiler
from explorer.torch_private import inductor, structured_log
from explorer.torch_private.beside import alone

_MOST_BYTES_AT_ONCE = 2**30
_MOST_CAUSES = 10
_SECONDS_TO_END = 1.0  # its end of the connection is closed a moment before it is gone


@dataclass(frozen=True, eq=False)
class Job:
    """A request that has to be compiled.

    Attributes:
        position: among all requests of the compilation.
        wanted: the request.
        request: what the store is asked for; None when it does not matter.
        node_count: of the piece, for how long it may take.
    """

    position: int
    wanted: WantedArtifact
    request: StoreRequest | None
    node_count: int


class _Word(Enum):
    """What the two sides say to each other, besides positions of jobs."""

    WAITS = "another process makes the same"
    ANSWERED = "the answer is in the file"
    GO_ON = "the answer was taken"


@dataclass(frozen=True, eq=False)
class Made:
    """Code without its functions, each as the backend wrote it down.

    Attributes:
        made: all code for the request.
        counts: what was counted meanwhile.
        heard: what was logged meanwhile.
    """

    made: tuple[MadeCode, ...]
    counts: Mapping[str, int]
    heard: heard.Heard


@dataclass(frozen=True)
class Found:
    """Another process made it meanwhile: it is in the store."""


@dataclass(frozen=True)
class NotSent:
    """It was made, or not, in a way that cannot be handed over.

    Attributes:
        reason: in words that end a sentence.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Failed:
    """The backend failed.

    Attributes:
        text: of the error.
        causes: of the errors behind it, nearest first, each as bytes or as a text.
        trace: where it happened, for people.
        heard: what was logged meanwhile.
    """

    text: str
    causes: tuple[bytes | str, ...]
    trace: str
    heard: heard.Heard

    def error(self) -> CompileError:
        """The error, to be raised in this process."""
        found = CompileError(self.text)
        found.add_note(f"In a compile worker:\n{self.trace}")
        at: BaseException = found
        for each in self.causes:
            cause = pickle.loads(each) if isinstance(each, bytes) else CompileError(each)
            at.__cause__, at = cause, cause
        return found


Answer = Made | Found | NotSent | Failed


class Worker:
    """A forked process, seen from the one that forked it.

    Attributes:
        job: what it does; None while it has nothing to do.
        is_broken: whether it can say no more.
    """

    def __init__(self, process: forked.ForkedProcess, file: int) -> None:
        self.job: Job | None = None
        self.is_broken = False
        self._process = process
        self._file = file
        self._waits = False
        self._pulse = _Pulse()

    @classmethod
    def forked(cls, compiler: PieceCompiler, jobs: Mapping[int, Job]) -> Worker:
        """A new one.

        Args:
            compiler: of the compilation.
            jobs: all that it may be asked to do, by position.

        Raises:
            OSError: there is no room for another process.
        """
        file = os.memfd_create("compile-worker")
        try:
            with alone():  # else another thread may hold torch's lock, in the new process for ever
                process = forked.fork(
                    lambda connection: _Inside(compiler, connection, file).serve(jobs)
                )
        except BaseException:
            os.close(file)
            raise
        return cls(process, file)

    @property
    def connection(self) -> Connection:
        """Something can be read here when it has something to say."""
        return self._process.connection

    @property
    def position(self) -> int:
        """Of its job."""
        assert self.job is not None
        return self.job.position

    @property
    def label(self) -> str:
        """What it does, in words."""
        assert self.job is not None
        return self.job.wanted.label + (", which another process is making" * self._waits)

    def begin(self, job: Job) -> bool:
        """Gives it a job; false when it cannot take one any more."""
        self.job, self._waits, self._pulse = job, False, _Pulse()
        return self._send(job.position)

    def go_on(self) -> None:
        """Lets it go on after an answer: what it made is stored."""
        self._send(_Word.GO_ON)

    def _send(self, what: Any) -> bool:
        try:
            self.connection.send(what)
        except OSError:
            self.is_broken = True
            return False
        return True

    def answer(self) -> Answer | None:
        """What it answers, if it did; None too when it is broken."""
        try:
            if not self.connection.poll():
                self.is_broken = self.has_ended()
                return None
            word = self.connection.recv()
        except (OSError, EOFError):
            self.is_broken = True
            return None
        if word is _Word.WAITS:
            self._waits = True
            return None
        return pickle.loads(_content(self._file))

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.has_ended()

    def is_stuck(self, seconds: float, most_missed: int) -> bool:
        """Whether it did nothing for so long.

        Args:
            seconds: between two looks.
            most_missed: looks in a row that find no processor time used.
        """
        return self._pulse.missed(self._process, seconds) >= most_missed

    def how_it_ended(self) -> str:
        """``was ended by signal SIGKILL``."""
        code = self._process.ended_with(_SECONDS_TO_END)
        if code is not None and code < 0:
            return f"was ended by signal {signal.Signals(-code).name}"
        return "ended"

    def end(self) -> None:
        """Ends the process with all that it started."""
        self._process.end()
        with contextlib.suppress(OSError):
            os.close(self._file)


class _Pulse:
    """How long a process has used no processor time."""

    def __init__(self) -> None:
        self._ticks: int | None = None
        self._looked_seconds = time.monotonic()
        self._missed = 0

    def missed(self, process: forked.ForkedProcess, seconds: float) -> int:
        """How many looks in a row found nothing new; there is one in so many seconds."""
        now = time.monotonic()
        if now - self._looked_seconds >= seconds:
            ticks = process.cpu_ticks()
            is_still = ticks is not None and ticks == self._ticks
            self._missed = self._missed + 1 if is_still else 0
            self._ticks, self._looked_seconds = ticks, now
        return self._missed


class _Inside:
    """What a worker does in its own process."""

    def __init__(self, compiler: PieceCompiler, connection: Connection, file: int) -> None:
        self._compiler = compiler
        self._connection = connection
        self._file = file
        self._has_said_that_it_waits = False

    def serve(self, jobs: Mapping[int, Job]) -> None:
        """Does jobs until nobody is there to give one."""
        inductor.settle_in_forked_process()
        counters.renew_lock()
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._do(jobs[self._connection.recv()])

    def _do(self, job: Job) -> None:
        store, request = self._compiler.store, job.request
        self._has_said_that_it_waits = False
        with heard.listening() as said, contextlib.ExitStack() as flight:
            if request is not None:
                flight.enter_context(store.single_flight(request, self._say_that_it_waits))
                if store.has(request):
                    self._say(Found())
                    return
            answer = self._answer(job, said)
            if self._say(answer) and isinstance(answer, Made):
                self._connection.recv()  # it is stored now, and the lock may go

    def _answer(self, job: Job, said: heard.Heard) -> Answer:
        compile_id = structured_log.compile_id_of(self._compiler.captured.raw.graph_module)
        before = counters.snapshot()
        try:
            with structured_log.as_part_of(compile_id):
                made = self._compiler.compile(job.wanted)
        except CompileError as error:
            return _failed(error, said)
        except Exception as error:  # it is raised where the piece is compiled again
            return NotSent(f"{type(error).__name__} in a compile worker")
        counts = {
            name: count - before[name]
            for name, count in counters.snapshot().items()
            if count != before[name]
        }
        try:
            return Made(tuple(self._packed(each) for each in made), counts, said)
        except Exception as error:  # it runs, it only cannot be written down
            return NotSent(f"a compile worker cannot hand it over ({error})")

    def _packed(self, made: MadeCode) -> MadeCode:
        backend = self._compiler.backend
        assert isinstance(backend, KeepingBackend)
        content = None if made.note else backend.serialize(made.function)
        return dataclasses.replace(made, function=None, content=content)

    def _say_that_it_waits(self) -> None:
        if not self._has_said_that_it_waits:
            self._has_said_that_it_waits = True
            self._connection.send(_Word.WAITS)

    def _say(self, answer: Answer) -> bool:
        """Gives an answer; false when another one had to be given."""
        is_sent = True
        try:
            content = pickle.dumps(answer)
        except Exception as error:  # whatever a part of it raises that cannot be written down
            content = pickle.dumps(NotSent(f"a compile worker cannot hand it over ({error})"))
            is_sent = False
        os.ftruncate(self._file, 0)
        at = 0
        while at < len(content):
            at += os.pwrite(self._file, content[at : at + _MOST_BYTES_AT_ONCE], at)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._connection.send(_Word.ANSWERED)
        return is_sent


def unpacked(made: Sequence[MadeCode], compiler: PieceCompiler, job: Job) -> tuple[MadeCode, ...]:
    """Code with its functions, ready to run; nothing is compiled.

    Args:
        made: what a worker answered.
        compiler: of the compilation.
        job: what it was for.
    """
    backend = compiler.backend
    assert isinstance(backend, KeepingBackend)
    eager = compiler.pieces[job.wanted.unique_id].representative.graph_module().forward
    return tuple(
        dataclasses.replace(
            each,
            function=eager if each.content is None else backend.deserialize(each.content),
            content=None,
        )
        for each in made
    )


def _failed(error: CompileError, said: heard.Heard) -> Failed:
    causes: list[bytes | str] = []
    cause = error.__cause__
    while cause is not None and len(causes) < _MOST_CAUSES:
        causes.append(_sent(cause))
        cause = cause.__cause__
    trace = "".join(traceback.format_exception(error))
    return Failed(str(error), tuple(causes), trace, said)


def _sent(error: BaseException) -> bytes | str:
    """An error as bytes where it can be made again of them, else what it is and says."""
    try:
        content = pickle.dumps(error)
        again = pickle.loads(content)
    except Exception:  # whatever the class raises
        return f"{type(error).__name__}: {error}"
    if type(again) is type(error) and str(again) == str(error):
        return content
    return f"{type(error).__name__}: {error}"


def _content(file: int) -> bytes:
    parts, at, size = [], 0, os.fstat(file).st_size
    while at < size:
        part = os.pread(file, min(size - at, _MOST_BYTES_AT_ONCE), at)
        if not part:
            raise EOFError("the file is shorter than it was")
        parts.append(part)
        at += len(part)
    return b"".join(parts)

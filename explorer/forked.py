"""Processes forked from this one: a function in, a process that runs it on what it inherits.

A forked process has all that this one has, models and modules included, so nothing has to be
written down on the way in. It has one thread only: a lock that another thread held at the fork
stays held in it for ever. So whoever waits for such a process looks whether it still does something
(``cpu_ticks``), and can do the work itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LINKERS = ("ld", "collect2", "mold", "lld", "gold")
_SECONDS_TO_END = 2.0


def can_fork() -> bool:
    """Whether this system has what is needed: Linux, with /proc."""
    return (
        sys.platform == "linux" and hasattr(os, "memfd_create") and Path("/proc/self/stat").exists()
    )


class ForkedProcess:
    """One process, in a process group of its own.

    Attributes:
        pid: its number.
        connection: to it, for small messages: one that is cut off in the middle would be waited
            for.
    """

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self.connection = connection
        self._exit_code: int | None = None  # None too when another part of the program took it
        self._has_ended = False

    def has_ended(self) -> bool:
        """Whether it is gone; does not wait."""
        self._wait(os.WNOHANG)
        return self._has_ended

    def ended_with(self, seconds: float) -> int | None:
        """Its exit code, negative for a signal; None where it is not known after so long."""
        deadline = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self._exit_code

    def cpu_ticks(self) -> int | None:
        """Processor time of it and of what it started and waits for; None where it is not known."""
        try:
            return sum(ticks for _, _, ticks in _group(self.pid))
        except OSError:
            return None

    def end(self) -> None:
        """Ends it at once with all that it started, and waits for that.

        A linker may finish the file that it writes: a compiler's cache takes one that is there for
        a whole one.
        """
        self.connection.close()
        if not self._has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._end_others()
        self._wait(0)

    def _end_others(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_END
        others = self._others()
        for pid, name in others:
            if not any(name.startswith(each) for each in _LINKERS):
                _send(pid, signal.SIGTERM)  # a compiler removes its temporary files
        while others and time.monotonic() < deadline:
            time.sleep(0.01)
            others = self._others()
        for pid, _ in others:
            _send(pid, signal.SIGKILL)

    def _others(self) -> list[tuple[int, str]]:
        return [(pid, name) for pid, name, _ in _group(self.pid) if pid != self.pid]

    def _wait(self, options: int) -> None:
        if self._has_ended:
            return
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # another part of the program waits for every child
            self._has_ended = True
            return
        if pid:
            self._has_ended = True
            self._exit_code = os.waitstatus_to_exitcode(status)


def fork(serve: Callable[[Connection], None]) -> ForkedProcess:
    """A process that runs ``serve`` and ends with it, or with the thread that called this.

    Args:
        serve: is given the other end of the connection. Nothing that it changes is seen here.

    Raises:
        OSError: there is no room for another process.
    """
    ours, theirs = Pipe()
    parent, death_signal = os.getpid(), ctypes.CDLL(None).prctl
    for stream in (sys.stdout, sys.stderr):  # what waits to be written would be written twice
        with contextlib.suppress(Exception):
            stream.flush()
    # No signal may reach the new process while it has this one's handlers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process = None
    try:
        pid = _fork()
        if pid == 0:
            try:
                death_signal(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
                os.setpgid(0, 0)
                if os.getppid() == parent:
                    _forget_handlers()
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                    gc.freeze()  # what the parent left as garbage is for the parent to collect
                    serve(theirs)
            finally:
                os._exit(0)  # neither exit handlers nor finalizers: they are the parent's
        process = ForkedProcess(pid, ours)
        theirs.close()
        with contextlib.suppress(OSError):  # both sides do, so that the first one has done it
            os.setpgid(pid, pid)
    finally:
        _let_signals_in(mask, process)
    assert process is not None  # the other process never comes here
    return process


def _let_signals_in(mask: Collection[int], process: ForkedProcess | None) -> None:
    """Handlers of signals that came meanwhile run here; what they raise ends the new process."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    except BaseException:
        if process is not None:
            process.end()
        raise


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later: "This process is multi-threaded, use of fork() may lead to
        # deadlocks in the child". See the head of this module.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        return os.fork()


def _forget_handlers() -> None:
    """Takes the parent's signal handlers away: they act on what belongs to the parent."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group(group: int) -> Iterator[tuple[int, str, int]]:
    """Number, name and processor time of the living processes of a group.

    Raises:
        OSError: /proc cannot be read.
    """
    for folder in os.scandir("/proc"):
        if not folder.name.isdecimal():
            continue
        try:
            text = Path(folder.path, "stat").read_text(errors="replace")
        except OSError:  # it ended
            continue
        # The name is in parentheses and may hold some itself.
        start, _, rest = text.rpartition(")")
        fields = rest.split()
        state, its_group = fields[0], int(fields[2])
        if its_group == group and state not in "ZX":
            ticks = sum(int(each) for each in fields[11:15])
            yield int(folder.name), start.partition("(")[2], ticks


__all__ = ["ForkedProcess", "can_fork", "fork"]

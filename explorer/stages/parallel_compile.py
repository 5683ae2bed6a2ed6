"""Step 5 in several processes: requests in, what forked workers made of them out.

A worker inherits the pieces, compiles one request after the other, and hands over what the backend
writes down for the store. All else is done in this process: counting, storing, telling. While a
worker compiles it holds the store's lock of what it makes, so that no other process makes the same.

Whatever goes wrong with a worker costs time only: what it did not hand over is compiled here.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait

import torch

from explorer import forked
from explorer.artifacts import Artifact
from explorer.counters import counters
from explorer.errors import CompileError
from explorer.heard import Heard, say
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.stages.backends import KeepingBackend
from explorer.stages.compile_plan import WantedArtifact
from explorer.stages.compile_worker import Failed, Job, Made, NotSent, Worker, unpacked
from explorer.stages.eager_pieces import backend_for
from explorer.stages.made_code import MadeAhead, MadeCode
from explorer.stages.piece_compiler import PieceCompiler
from explorer.torch_private import inductor

logger = logging.getLogger("explorer")

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_PULSES = 5.0
MOST_PULSES_MISSED = 12
"""A worker that used no processor time for so many pulses is given up: it may wait for a lock that
another thread of this process held when the worker was forked."""


@dataclass(frozen=True, eq=False)
class FromWorker:
    """What a worker made of one request.

    Attributes:
        made: the code, ready to run; empty where it failed.
        failure: what it failed with, or None.
        heard: what it logged and warned of.
    """

    made: tuple[MadeCode, ...]
    failure: CompileError | None
    heard: Heard


class CompiledAhead:
    """What workers made of the requests of one compilation, by position.

    Attributes:
        results: position of a request -> what came of it; the others are made in this process.
    """

    def __init__(self) -> None:
        self.results: dict[int, FromWorker] = {}
        self._stored: dict[int, frozenset[str]] = {}

    def add(self, job: Job, result: FromWorker) -> None:
        """Takes the result of a job, whose code is stored by now."""
        self.results[job.position] = result
        self._stored[job.position] = frozenset() if job.request is None else job.request.keys

    def of(self, position: int) -> MadeAhead:
        """What is known of a request; what its worker logged and warned of is said now.

        Raises:
            CompileError: the backend failed on it.
        """
        result = self.results.get(position)
        if result is not None:
            say(result.heard)
            if result.failure is not None:
                raise result.failure
        later = (keys for other, keys in self._stored.items() if other >= position)
        made = None if result is None else result.made
        return MadeAhead(made, frozenset[str]().union(*later))


def compile_ahead(
    compiler: PieceCompiler,
    wanted: Sequence[WantedArtifact],
    memory: Mapping[str, Sequence[Artifact]],
    *,
    progress: ProgressCallback | None,
    cancel: CancelToken | None,
) -> CompiledAhead:
    """Compiles in ``compile_workers`` processes at once what is neither in memory nor stored.

    Nothing is made where the configuration asks for one process, where there is one thing to make,
    and where work cannot be handed over; the last is said once.

    Args:
        compiler: of the compilation.
        wanted: all requests.
        memory: artifacts by ``WantedArtifact.key``.
        progress: told of what is being made, whenever that changes.
        cancel: looked at several times a second.

    Raises:
        Cancelled: somebody asked to stop.
    """
    ahead = CompiledAhead()
    config = compiler.config
    if config.compile_workers == 1 or config.store.require_hit:
        return ahead
    jobs = _jobs(compiler, wanted, memory)
    if len(jobs) < 2:
        return ahead
    if reason := _why_not(compiler):
        _say_that_they_do_nothing(reason)
        return ahead
    inductor.prepare_to_fork()
    crew = _Crew(compiler, jobs, ahead, len(wanted), progress)
    try:
        crew.work(min(config.compile_workers, len(jobs)), cancel)
    finally:
        crew.end()
    return ahead


def _jobs(
    compiler: PieceCompiler,
    wanted: Sequence[WantedArtifact],
    memory: Mapping[str, Sequence[Artifact]],
) -> list[Job]:
    """What has to be compiled, what takes longest first: an entry of the store is made once."""
    jobs: list[Job] = []
    asked: set[frozenset[str]] = set()
    for position, each in enumerate(wanted):
        if memory.get(each.key) or memory.get(each.own_key):
            continue
        piece = compiler.pieces[each.unique_id].representative
        is_concrete = each.size_range is not None and each.size_range.is_single_size
        if backend_for(piece, compiler.backend, concrete=is_concrete)[1]:
            continue  # it runs eagerly
        request = compiler.request(each)
        if request is not None:
            if request.keys in asked or compiler.store.has(request):
                continue
            asked.add(request.keys)
        jobs.append(Job(position, each, request, piece.node_count))
    return sorted(jobs, key=lambda job: (-job.node_count, job.position))


def _why_not(compiler: PieceCompiler) -> str:
    """Why pieces cannot be compiled by other processes; empty when they can."""
    backend = compiler.backend
    if not isinstance(backend, KeepingBackend):
        return (
            f"the backend {backend.name!r} has no serialize and deserialize, so that other "
            "processes could not hand over what it makes"
        )
    if not forked.can_fork():
        return "processes are forked on Linux only"
    if torch.cuda.is_initialized() or torch.xpu.is_initialized():
        return "this process uses a GPU, and such a process cannot be forked"
    return ""


@functools.cache
def _say_that_they_do_nothing(reason: str) -> None:
    logger.warning("compile_workers has no effect, one piece is compiled at a time: %s", reason)


class _Crew:
    """The workers of one compile step; it lives as long as that."""

    def __init__(
        self,
        compiler: PieceCompiler,
        jobs: list[Job],
        ahead: CompiledAhead,
        total: int,
        progress: ProgressCallback | None,
    ) -> None:
        self._compiler = compiler
        self._waiting = jobs
        self._ahead = ahead
        self._total = total
        self._progress = progress
        self._workers: list[Worker] = []
        self._jobs = {job.position: job for job in jobs}
        self._first_failure = len(self._jobs) and max(self._jobs) + 1
        self._told = ""

    def work(self, most_workers: int, cancel: CancelToken | None) -> None:
        """Has every job done, or given up; all of them are told in ``ahead``."""
        while True:
            if cancel is not None:
                cancel.raise_if_cancelled()
            self._hand_out(most_workers)
            self._tell()
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy], SECONDS_BETWEEN_LOOKS)
            for worker in busy:
                # What a worker sent before it ended counts.
                has_ended = worker.has_ended()
                if worker.connection in ready or has_ended:
                    self._hear(worker)
                elif worker.is_stuck(SECONDS_BETWEEN_PULSES, MOST_PULSES_MISSED):
                    self._give_up(worker, "used no processor time for a minute")

    def end(self) -> None:
        """Ends every worker, whatever it does."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _hand_out(self, most_workers: int) -> None:
        for worker in list(self._workers):
            # Compiled one after the other, a piece after the first that fails would not be begun.
            if worker.job is not None and worker.job.position > self._first_failure:
                self._dismiss(worker)
        self._waiting = [job for job in self._waiting if job.position < self._first_failure]
        for worker in list(self._workers):
            if worker.job is None and self._waiting and not worker.begin(self._waiting.pop(0)):
                self._give_up(worker, "ended")
        while self._waiting and len(self._workers) < most_workers:
            try:
                worker = Worker.forked(self._compiler, self._jobs)
            except OSError as error:
                _say_that_they_do_nothing(f"no process can be forked ({error.strerror})")
                if not self._workers:
                    self._waiting.clear()
                return
            self._workers.append(worker)
            if not worker.begin(self._waiting.pop(0)):
                self._give_up(worker, "ended")

    def _hear(self, worker: Worker) -> None:
        """Takes what a worker has to say."""
        job, answer = worker.job, worker.answer()
        assert job is not None
        if answer is None:
            if worker.is_broken:
                self._give_up(worker, worker.how_it_ended())
            return
        worker.job = None
        if isinstance(answer, Failed):
            self._first_failure = min(self._first_failure, job.position)
            self._ahead.add(job, FromWorker((), answer.error(), answer.heard))
        elif isinstance(answer, NotSent):
            logger.warning(
                "piece %s is compiled in this process: %s", job.wanted.label, answer.reason
            )
        elif isinstance(answer, Made):
            self._take(worker, job, answer)

    def _take(self, worker: Worker, job: Job, answer: Made) -> None:
        """Stores what was made, lets the worker go on, and loads it."""
        if job.request is not None:
            self._compiler.store.save(job.request, answer.made)
        worker.go_on()
        if self._waiting and not worker.begin(self._waiting.pop(0)):
            self._give_up(worker, "ended")
        try:
            made = unpacked(answer.made, self._compiler, job)
        except Exception as error:  # whatever a backend raises for bytes that do not fit
            logger.warning(
                "piece %s is compiled in this process: what another one made cannot be loaded (%s)",
                job.wanted.label,
                error,
            )
            return
        counters.add(**answer.counts)
        self._ahead.add(job, FromWorker(made, None, answer.heard))

    def _give_up(self, worker: Worker, why: str) -> None:
        """Leaves the job of a worker to this process."""
        job = worker.job
        self._dismiss(worker)
        if job is not None:
            logger.warning(
                "a compile worker %s at piece %s, which is compiled in this process",
                why,
                job.wanted.label,
            )

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.end()

    def _tell(self) -> None:
        """Says what runs now, when that is something new."""
        busy = [worker for worker in self._workers if worker.job is not None]
        labels = [worker.label for worker in sorted(busy, key=lambda each: each.position)]
        what = f"{'pieces' if len(labels) > 1 else 'piece'} {', '.join(labels)}"
        now = Progress(len(self._ahead.results), self._total, what)
        if self._progress is not None and labels and str(now) != self._told:
            self._told = str(now)
            self._progress(now)

"""Session: one model, compiled again and again as its settings change.

``compile_model`` is the short way.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    CapturedGraph,
    UniquePieces,
)
from explorer.artifacts.measured import Timings
from explorer.compilation import Compilation
from explorer.compilation_entry import Found
from explorer.compilation_store import CompilationStore
from explorer.config import CompilationConfig
from explorer.counters import Counts, counters, grown
from explorer.current import DEFAULT_TAG
from explorer.deferred import without_collections
from explorer.diff import CompilationDiff, compare
from explorer.errors import ConfigError, StoreMiss
from explorer.pipeline import STEPS, capture_reads, compile_and_plan, cut
from explorer.planned_compilation import PlannedCompilation, planned_compilation
from explorer.progress import CancelToken, Progress, ProgressCallback
from explorer.runtime.compiled_model import CompiledModel
from explorer.runtime.uncompiled_model import UncompiledModel
from explorer.session_file import open_file, write_session
from explorer.stages.capture import CaptureRequest
from explorer.stages.compile_plan import plan_compile
from explorer.stages.piece_compiler import PieceCompiler
from explorer.step_cache import StepCache
from explorer.stored_answer import StoredAnswer
from explorer.target import CompileTarget, MakeInputs
from explorer.watching import show_to, watched, watchers_of

logger = logging.getLogger("explorer")

_REQUEST_FIELDS = ("dynamic_arg_dims", "mark_unbacked_dims")


class Session:
    """A model with its example inputs, and the history of its compilations.

    Nothing is compiled before the first ``update``, ``run`` or look at ``compilation``.

    Args:
        model: see ``compile_model``.
        example_inputs: see ``compile_model``.
        example_kwargs: see ``compile_model``.
        dynamic_arg_dims: see ``compile_model``.
        mark_unbacked_dims: see ``compile_model``.
        make_inputs: see ``compile_model``.
        config: the first configuration.
        shape_invariants: called at the beginning of a capture with the arguments of the call; its
            ``torch._check`` calls say how sizes are related.
        name: a short name for titles.
        tag: of the part of a model that it is; see ``set_model_tag``.
        history_limit: compilations that are kept.
    """

    def __init__(  # noqa: PLR0913 (a user names what is needed; all but two are keywords)
        self,
        model: Callable[..., Any],
        example_inputs: tuple[Any, ...],
        *,
        example_kwargs: Mapping[str, Any] | None = None,
        dynamic_arg_dims: Mapping[str, Any] | None = None,
        mark_unbacked_dims: Mapping[str, Any] | None = None,
        make_inputs: MakeInputs | None = None,
        config: CompilationConfig | None = None,
        shape_invariants: Callable[..., Any] | None = None,
        name: str | None = None,
        tag: str = DEFAULT_TAG,
        history_limit: int = 20,
    ) -> None:
        if isinstance(example_inputs, list):
            example_inputs = tuple(example_inputs)
        if not isinstance(example_inputs, tuple):
            raise ConfigError(
                "example_inputs must be a tuple of positional arguments, not "
                f"{type(example_inputs).__name__}: write (x,)."
            )
        self._request = CaptureRequest(
            model,
            example_inputs,
            dict(example_kwargs or {}),
            dynamic_arg_dims,
            mark_unbacked_dims,
            make_inputs,
            shape_invariants,
            tag=tag,
        )
        if config is not None and not isinstance(config, CompilationConfig):
            raise ConfigError(f"config must be a CompilationConfig, not {type(config).__name__}.")
        if (
            isinstance(history_limit, bool)
            or not isinstance(history_limit, int)
            or history_limit < 1
        ):
            raise ConfigError(f"history_limit must be an int of at least 1, not {history_limit!r}.")
        self._config = config or CompilationConfig()
        counters.add(models_seen=1)
        self._requests: list[CaptureRequest] = [self._request]
        self._name = name or type(model).__name__
        self._cache = StepCache(history_limit)
        self._memory: dict[str, Sequence[Artifact]] = {}
        self._variants: weakref.WeakSet[Compilation] = weakref.WeakSet()
        self._history: list[Compilation] = []
        self._history_limit = history_limit
        self._runner: CompiledModel | None = None
        self._lock = threading.RLock()
        self._refusal = ""  # why the latest compilation can only be looked at

    # -------------------------------------------------------------------------------------- looking

    @property
    def config(self) -> CompilationConfig:
        """The configuration of the latest good compilation, or the first one."""
        return self._config

    @property
    def name(self) -> str:
        """A short name for titles."""
        return self._name

    @property
    def compilation(self) -> Compilation:
        """The latest good compilation; made now when there is none."""
        if not self._history:
            self.update()
        return self._history[-1]

    @property
    def request(self) -> CaptureRequest:
        """The model and the example call that the next compilation starts from."""
        return self._request

    @property
    def history(self) -> tuple[Compilation, ...]:
        """The good compilations, oldest first, at most ``history_limit``."""
        return tuple(self._history)

    def plan(self, **changes: Any) -> PlannedCompilation:
        """The new split and what would be compiled and reused.

        Compiles nothing and changes nothing.

        Args:
            changes: as for ``update``.
        """
        with self._lock:
            unique, config = self._cut(changes)
            return planned_compilation(unique, config, self._memory)

    def stored(self, **changes: Any) -> tuple[StoredAnswer, ...]:
        """What the store has for each artifact, and else which factor changed.

        Compiles nothing and changes nothing.

        Args:
            changes: as for ``update``.
        """
        with self._lock:
            unique, config = self._cut(changes)
            compiler = PieceCompiler(unique, config)
            return tuple(compiler.stored(each) for each in plan_compile(unique, config).wanted)

    def stored_whole(self, **changes: Any) -> StoredAnswer:
        """Whether the whole compilation is stored, and else what changed; nothing is traced.

        Args:
            changes: as for ``update``.
        """
        with self._lock:
            request, wanted = self._changed(changes)
            return CompilationStore(request, _config_of_steps(wanted)).answer()

    def _cut(self, changes: Mapping[str, Any]) -> tuple[UniquePieces, CompilationConfig]:
        """The groups of pieces under other settings, for a look; the session stays as it is."""
        request, wanted = self._changed(changes)
        config = _config_of_steps(wanted)
        stored = CompilationStore(request, config)
        self._load(stored, {}, is_plan=True)  # what is there needs no trace
        with without_collections():
            return cut(request, config, self._cache.timed({}, is_plan=True)), config

    def diff(self, a: int = -2, b: int = -1) -> CompilationDiff:
        """What differs between two compilations of the history.

        Args:
            a: index into ``history``, the older by default.
            b: index into ``history``, the latest by default.

        Raises:
            ConfigError: there is no such compilation.
        """
        try:
            return compare(self._history[a], self._history[b])
        except IndexError:
            raise ConfigError(
                f"The history has {len(self._history)} compilations, so there are no {a} and {b} "
                "to compare."
            ) from None

    # ------------------------------------------------------------------------------------- changing

    def update(
        self,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
        planned: Callable[[PlannedCompilation], None] | None = None,
        **changes: Any,
    ) -> Compilation:
        """Compiles with some settings changed.

        A step runs again only when something that it reads has changed. When it fails or is
        cancelled, the session keeps its last good compilation.

        Args:
            progress: told how far it is.
            cancel: looked at between artifacts, and while another process makes one of them.
            planned: told the new split, and what will be compiled, before anything is; not called
                for a compilation that is loaded whole.
            changes: fields of ``CompilationConfig``, ``dynamic_arg_dims``, ``mark_unbacked_dims``.

        Raises:
            TypeError: a change that is no field.
            ExplorerError: what the steps raise.
        """
        counts = Counts()
        timings: dict[str, float] = {}
        with self._lock, counters.also_for(counts):
            started = time.perf_counter()
            request, wanted = self._changed(changes)
            config = _config_of_steps(wanted)
            stored = CompilationStore(request, config)
            found = self._load(stored, timings)
            if found is not None:
                if cancel is not None:
                    cancel.raise_if_cancelled()
                if progress is not None:
                    progress(Progress(1, 1, "loaded from the store"))
                compilation = Compilation(config, found.plan, timings, self._name, grown(counts))
                show_to(watchers_of(config, self._name), compilation)
                return self._now(_timed(compilation, started), request, wanted)
            looked_up = time.perf_counter()
            step = watched(self._cache.timed(timings), watchers_of(config, self._name))
            with without_collections():
                unique = cut(request, config, step)
            memory = dict(self._memory)
        if planned is not None:
            planned(planned_compilation(unique, config, memory))
        # Not under the lock: a plan for the next edit may be wanted while this compiles.
        with counters.also_for(counts):
            plan = compile_and_plan(
                unique,
                config,
                step,
                memory=memory,
                progress=progress,
                cancel=cancel,
            )
        if cancel is not None:  # wanted during the last artifact
            cancel.raise_if_cancelled()
        compilation = Compilation(
            config, plan, timings, self._name, look_up_seconds=looked_up - started
        )
        before_save = time.perf_counter()
        with counters.also_for(counts):
            stored.save(compilation)
        compilation = dataclasses.replace(
            compilation, counts=grown(counts), save_seconds=time.perf_counter() - before_save
        )
        with self._lock:
            return self._now(_timed(compilation, started), request, wanted)

    def _load(
        self, stored: CompilationStore, timings: dict[str, float], *, is_plan: bool = False
    ) -> Found | None:
        """The stored compilation that fits, where nothing was captured for it in this session.

        Args:
            stored: what to look for.
            timings: takes the seconds of a load.
            is_plan: nothing is compiled where the one that is there does not fit.
        """
        request, config = stored.request, stored.config
        if self._cache.has("capture", capture_reads(request, config)):
            return None
        started = time.perf_counter()
        found = stored.find()
        if found is not None:
            timings |= _timings_of_a_load(time.perf_counter() - started)
            self._cache.keep("capture", capture_reads(request, config), found.captured)
        elif stored.reasons:
            if is_plan:
                logger.warning("would compile %s again: %s", self._name, stored.reasons[0])
            else:
                logger.warning("compiling %s again: %s", self._name, stored.reasons[0])
        return found

    def _now(
        self, compilation: Compilation, request: CaptureRequest, config: CompilationConfig
    ) -> Compilation:
        """Makes a compilation the latest good one."""
        self._remember(compilation)
        self._request, self._config = request, config
        self._runner, self._refusal = None, ""
        return compilation

    def _remember(self, compilation: Compilation) -> None:
        self._keep_artifacts(compilation)
        self._history.append(compilation)
        if len(self._history) > self._history_limit:
            del self._history[: -self._history_limit]
            self._forget_what_nothing_uses()

    def _forget_what_nothing_uses(self) -> None:
        """Drops artifacts and requests of compilations that have left the history.

        Captured variants are no part of it; they count as long as a model runs them.
        """
        kept = [*self._history, *self._variants]
        keys = {artifact.key for compilation in kept for artifact in compilation.artifacts}
        self._memory = {key: made for key, made in self._memory.items() if key in keys}
        captured = [each.captured.request for each in kept]
        self._requests = [
            request
            for request in self._requests
            if request is self._request or any(request is each for each in captured)
        ]

    def _keep_artifacts(self, compilation: Compilation) -> None:
        made: dict[str, list[Artifact]] = {}
        for artifact in compilation.artifacts:
            if artifact.origin is not ArtifactOrigin.MEMORY:
                made.setdefault(artifact.key, []).append(artifact)
        self._memory |= made

    def _changed(self, changes: Mapping[str, Any]) -> tuple[CaptureRequest, CompilationConfig]:
        settings = {k: v for k, v in changes.items() if k not in _REQUEST_FIELDS}
        config = self._config.replace(**settings) if settings else self._config
        asked = {k: v for k, v in changes.items() if k in _REQUEST_FIELDS}
        if not asked:
            return self._request, config
        wanted = dataclasses.replace(self._request, **asked)
        for known in self._requests:
            if all(getattr(known, name) == getattr(wanted, name) for name in _REQUEST_FIELDS):
                return known, config
        self._requests.append(wanted)
        return wanted, config

    # ------------------------------------------------------------------------------------ as a file

    def save(self, path: str | Path) -> Path:
        """Writes the latest good compilation into one file, without the model's weights.

        ``Session.load`` opens it: here, and on another machine of the same kind.

        Args:
            path: of the file; one that is there is replaced.

        Returns:
            Where it is.

        Raises:
            ConfigError: the configuration holds an object that cannot be written.
            StoreError: the file cannot be written.
        """
        target = Path(path)
        compilation = self.compilation
        reason = write_session(target, compilation, self._request, _config_of_steps(self._config))
        if reason:
            logger.warning("%s can be looked at where it is opened, not run: %s", target, reason)
        return target

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: Callable[..., Any] | None = None,
        example_inputs: tuple[Any, ...] = (),
        *,
        root: str | Path | None = None,
        trust: bool = False,
        **request: Any,
    ) -> Session:
        """Opens a file that ``save`` wrote.

        Without a model its compilation can be looked at. With the model, and the example that it
        was compiled for, it runs, if this machine and the model's code are as they were; else
        ``run`` raises ``StoreMiss``, which says what differs, and ``update`` compiles anew.

        Args:
            path: of the file.
            model: the model, with weights of its own.
            example_inputs: positional arguments of the call that was compiled for.
            root: of the store that takes the artifacts; None takes the user's own.
            trust: whether to open what another user, or another machine, wrote. Code in the file
                runs then.
            request: what else ``Session`` takes of a call: ``example_kwargs``,
                ``dynamic_arg_dims``, ``mark_unbacked_dims``, ``make_inputs``, ``shape_invariants``.

        Raises:
            StoreError: it is no such file, is damaged, or was written by somebody else.
        """
        saved = open_file(Path(path), root=None if root is None else Path(root), trust=trust)
        if model is None:
            session = cls(_no_model, (), config=saved.config)
            reason = "Only views were opened: give Session.load the model and its example inputs."
        else:
            session = cls(model, example_inputs, config=saved.config, **request)
            saved.keep()
            answer = session.stored_whole()
            if answer.is_hit:
                session.update()
                return session
            why = saved.differences() or answer.reason
            reason = f"The compilation in {path} does not fit: {why}. update() compiles anew."
        compilation = saved.compilation(reason)
        session._name = compilation.name
        session._history.append(compilation)
        session._refusal = reason
        return session

    # -------------------------------------------------------------------------------------- running

    def model(self) -> CompiledModel:
        """The latest good compilation as something to call.

        In the modes NONE and STOCK_TORCH_COMPILE it is the model as it is, or ``torch.compile``'s.

        Raises:
            StoreMiss: the compilation was read from a file and can only be looked at.
        """
        if self._refusal:
            raise StoreMiss(self._refusal)
        if not self._config.mode.captures:
            if self._runner is None:
                self._runner = UncompiledModel(self._request, self._config)
            return self._runner
        compilation = self.compilation
        if self._runner is None:
            request = self._request
            rebuild = _Rebuild(self, request, compilation)
            self._runner = CompiledModel(request, compilation, rebuild)
        return self._runner

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the latest good compilation."""
        return self.model()(*args, **kwargs)

    def measure(
        self,
        sizes: Sequence[int | Mapping[str, int]] | None = None,
        *,
        stock: bool = False,
        rounds: int = 40,
        pieces: bool = True,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> Timings:
        """Times the latest good compilation beside eager, in each way that it can be run.

        At each size: the model as it is, a call, the stitching function of the range that holds the
        size, the one of that very size where there is one, and each piece. Results are compared
        with eager first; what differs or is refused is not timed, and its row says so. Times are
        wall time, under ``no_grad``, with torch's threads as they are.

        Args:
            sizes: dispatch sizes, or size name -> value; None takes the exact sizes and the
                example's. Inputs are made as ``make_inputs`` says.
            stock: whether to compile the whole model with ``torch.compile`` as well.
            rounds: runs of each, at most; slow models get fewer.
            pieces: whether to time the pieces one by one.
            progress: told what is being measured.
            cancel: looked at between rounds.

        Raises:
            ConfigError: a size that is none, or the mode captures no graph.
            Cancelled: somebody asked to stop.
        """
        from explorer.measure import MeasureOptions, measure

        options = MeasureOptions(stock, rounds, pieces, progress=progress, cancel=cancel)
        return measure(self, sizes, options)

    def load_variant(
        self, request: CaptureRequest, config: CompilationConfig
    ) -> Compilation | None:
        """A stored graph of the model, right for a call that no other one fits; None without any.

        Args:
            request: the call, with dims of size 1 as constants.
            config: of the compilation that asks.
        """
        counts, started = Counts(), time.perf_counter()
        with counters.also_for(counts):
            found = CompilationStore(request, config, is_variant=True).find()
        if found is None:
            return None
        timings = _timings_of_a_load(time.perf_counter() - started)
        compilation = Compilation(config, found.plan, timings, self._name, grown(counts))
        with self._lock:
            self._keep_artifacts(compilation)
            self._variants.add(compilation)
        return compilation

    def recompile(
        self,
        request: CaptureRequest,
        before: Compilation,
        captured: CapturedGraph | None = None,
    ) -> Compilation:
        """Compiles again for a call that no capture fits; artifacts that still fit are reused.

        It keeps the settings of the compilation that asked, which may not be the latest.

        Args:
            request: what to capture, because the model's state changed.
            before: the compilation that asked.
            captured: another graph of the same model; None captures the request.
        """
        step = StepCache(self._history_limit).timed(timings := {})
        step = watched(step, watchers_of(before.config, self._name))
        counts = Counts()
        with counters.also_for(counts):
            if captured is not None:
                counters.add(graphs_seen=1)
            unique = cut(dataclasses.replace(request), before.config, step, captured=captured)
            with self._lock:
                memory = dict(self._memory)
            plan = compile_and_plan(
                unique, before.config, step, memory=memory, progress=None, cancel=None
            )
        compilation = Compilation(before.config, plan, timings, self._name)
        stored = CompilationStore(
            compilation.captured.request or request,
            before.config,
            is_variant=captured is not None,
        )
        with counters.also_for(counts):
            stored.save(compilation)
        compilation = dataclasses.replace(compilation, counts=grown(counts))
        with self._lock:
            if captured is not None:
                self._keep_artifacts(compilation)
                self._variants.add(compilation)
            elif self._history and self._history[-1] is before:
                self._remember(compilation)
                self._cache.forget()  # captures of the model as it was
        return compilation


@dataclass(frozen=True)
class _Rebuild:
    """Compiles a session's model again, for calls that a compilation does not fit."""

    session: Session
    request: CaptureRequest
    before: Compilation

    def __call__(self, captured: CapturedGraph | None = None) -> Compilation:
        return self.session.recompile(self.request, self.before, captured)

    def stored(self, request: CaptureRequest) -> Compilation | None:
        return self.session.load_variant(request, self.before.config)


def _no_model(*args: Any, **kwargs: Any) -> Any:
    raise StoreMiss("Only views were opened: give Session.load the model and its example inputs.")


def _timed(compilation: Compilation, started: float) -> Compilation:
    """The same with the wall time of its update, which ends now."""
    return dataclasses.replace(compilation, update_seconds=time.perf_counter() - started)


def _timings_of_a_load(seconds: float) -> dict[str, float]:
    return {**dict.fromkeys(STEPS[:-1], 0.0), "load": seconds}


def _config_of_steps(config: CompilationConfig) -> CompilationConfig:
    """What the steps go by.

    Raises:
        ConfigError: the mode has no steps.
    """
    if not config.mode.captures:
        raise ConfigError(
            f"mode={config.mode.name} captures no graph, so there is nothing to cut, compile or "
            "look at: use mode=CompilationMode.PIECEWISE or DYNAMO_TRACE_ONCE, or call run()."
        )
    return config.in_force()


def session_of(target: CompileTarget, config: CompilationConfig) -> Session:
    """A session on a target's model; nothing is captured yet."""
    return Session(
        target.model,
        target.example_inputs,
        example_kwargs=target.example_kwargs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=config,
        name=target.name,
    )


def compile_model(  # noqa: PLR0913 (a user names what is needed; all but two are keywords)
    model: Callable[..., Any],
    example_inputs: tuple[Any, ...],
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    dynamic_arg_dims: Mapping[str, Any] | None = None,
    mark_unbacked_dims: Mapping[str, Any] | None = None,
    make_inputs: MakeInputs | None = None,
    config: CompilationConfig | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> CompiledModel:
    """Captures a model, cuts it, compiles each piece once per size range, returns what runs it.

    Equal pieces are compiled once.

    Args:
        model: a module, function or method.
        example_inputs: positional arguments of one call.
        example_kwargs: keyword arguments of that call.
        dynamic_arg_dims: argument name or path (``"batch['ids']"``) -> dim, list of dims, or
            {dim: name}. One name is one size. None makes dim 0 of every tensor dynamic.
        mark_unbacked_dims: dims that are marked unbacked in every mode, in the same form.
        make_inputs: makes inputs of other sizes; None repeats or slices the example.
        config: everything else.
        progress: told how far it is.
        cancel: looked at between artifacts, and while another process makes one of them.

    Returns:
        A callable with the model's signature and results.

    Raises:
        InputError: the example does not fit.
        ConfigError: a name, dim or setting that does not exist.
        CaptureError: the model does not trace into one graph.
        CompileError: the backend failed on a piece.
        Cancelled: somebody asked to stop.
    """
    session = Session(
        model,
        example_inputs,
        example_kwargs=example_kwargs,
        dynamic_arg_dims=dynamic_arg_dims,
        mark_unbacked_dims=mark_unbacked_dims,
        make_inputs=make_inputs,
        config=config,
    )
    if session.config.mode.captures:
        session.update(progress=progress, cancel=cancel)
    return session.model()

"""What compiles one piece: the Backend protocol, and the two backends of the package."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import torch
from torch import fx

from explorer import passes
from explorer.config import LARGEST_SIZE, CompilationConfig, CUDAGraphMode
from explorer.errors import CompileError, ConfigError
from explorer.size_range import SizeRange
from explorer.torch_private import inductor, kernels
from explorer.torch_private.compile_phases import PhaseReading
from explorer.torch_private.partition import partition_settings, wrapped_partitions

_ALL_SIZES = SizeRange(1, LARGEST_SIZE)


@runtime_checkable
class Backend(Protocol):
    """Turns the graph of one piece into something that runs it.

    Optional methods: ``serialize(callable) -> bytes``, ``deserialize(bytes) -> callable``,
    ``generated_code(callable) -> str``. Without ``serialize`` artifacts stay in memory.
    """

    @property
    def name(self) -> str:
        """What artifacts, messages and keys call it."""
        ...

    def identity(self) -> str:
        """A text that changes when the backend would compile otherwise; it goes into keys."""
        ...

    def compile(
        self,
        graph: fx.GraphModule,
        example_inputs: Sequence[Any],
        *,
        size_range: SizeRange | None,
        options: Mapping[str, Any],
    ) -> Callable[..., Any]:
        """Compiles one piece for one size range.

        Args:
            graph: the piece; its output is a tuple.
            example_inputs: fake tensors and sizes, one per placeholder.
            size_range: the dispatch sizes that it must be right for; None when it does not depend
                on them.
            options: ``CompileOptions`` fields by name: ``fake_mode``, ``cache_tag``, ``settings``.

        Returns:
            A function of the flat inputs that returns a sequence of outputs. One that carries a
            true attribute ``boxed`` takes a single list instead, and may empty it.
        """
        ...


@runtime_checkable
class KeepingBackend(Backend, Protocol):
    """A backend whose results can be kept between processes."""

    def serialize(self, function: Any) -> bytes:
        """What ``deserialize`` makes the function of again, in another process.

        Args:
            function: what ``compile`` returned.
        """
        ...

    def deserialize(self, content: bytes) -> Callable[..., Any]:
        """The function; nothing may be compiled.

        Args:
            content: what ``serialize`` returned, checked byte by byte.
        """
        ...


@dataclass(frozen=True)
class EagerBackend:
    """Runs the piece's FX graph as it is.

    It is right by construction, for looking at pieces and for tests.
    """

    name: str = "eager"

    def identity(self) -> str:
        """Constant: there is nothing to set."""
        return "eager"

    def compile(
        self,
        graph: fx.GraphModule,
        example_inputs: Sequence[Any],
        *,
        size_range: SizeRange | None,
        options: Mapping[str, Any],
    ) -> Callable[..., Any]:
        """The graph's own forward."""
        return graph.forward

    def generated_code(self, function: Callable[..., Any]) -> str:
        """The FX source that runs."""
        module = getattr(function, "__self__", None)
        return module.code if isinstance(module, fx.GraphModule) else ""


class Partitions(Enum):
    """Who is told of the partitions into which Inductor cuts a piece."""

    LEFT_ALONE = "left alone"
    WRAPPED = "wrapped"
    """What runs the piece, to capture each as a CUDA graph."""


class BoxedFunction:
    """A function of one list of inputs.

    Attributes:
        boxed: marks it so for the compile step.
        artifact: what the backend made.
        is_direct: whether it is Inductor's own callable, without torch's wrappers.
        from_torch_cache: whether torch's own cache had it.
        phases: phase of the compile -> its wall seconds.
    """

    boxed = True

    def __init__(
        self,
        function: Callable[[list[Any]], Any],
        artifact: Any,
        *,
        is_direct: bool,
        from_torch_cache: bool,
        phases: Mapping[str, float] | None = None,
    ) -> None:
        self.function = function
        self.artifact = artifact
        self.is_direct = is_direct
        self.from_torch_cache = from_torch_cache
        self.phases = dict(phases or {})

    def __call__(self, arguments: list[Any]) -> Any:
        """The outputs; ``arguments`` may be empty afterwards."""
        return self.function(arguments)


def boxed(function: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """What a backend returned, as a function of a single list of inputs."""
    if getattr(function, "boxed", False):
        return getattr(function, "function", function)

    def call(arguments: list[Any]) -> Any:
        return function(*arguments)

    return call


@dataclass(frozen=True)
class InductorBackend:
    """Torch's own compiler, one call per piece and size range.

    Attributes:
        settings: Inductor settings in force for each compile, graph passes among them.
        all_sizes: what a piece serves that does not depend on the dispatch size.
        partitions: who is told of the partitions, where Inductor cuts.
    """

    settings: Mapping[str, Any]
    all_sizes: SizeRange = _ALL_SIZES
    partitions: Partitions = Partitions.LEFT_ALONE
    name: str = "inductor"

    def identity(self) -> str:
        """The torch build and the settings.

        Raises:
            ConfigError: a setting, or a graph pass, has no text that says what it does.
        """
        settings = passes.settings_identity(self.settings)
        build = f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}"
        wrapped = "" if self.partitions is Partitions.LEFT_ALONE else " partitions wrapped"
        return f"inductor {build} {settings}{wrapped}"

    def _around(self) -> AbstractContextManager[None]:
        """Around whatever makes code that runs."""
        if self.partitions is Partitions.LEFT_ALONE:
            return contextlib.nullcontext()
        return wrapped_partitions()

    def identity_at(self, size_range: SizeRange | None) -> str:
        """The same with what a graph pass is told of the sizes."""
        return f"{self.identity()} {self.told_sizes(size_range)}"

    def told_sizes(self, size_range: SizeRange | None) -> str:
        """What a graph pass is told of the sizes; empty without graph passes."""
        return str(size_range or self.all_sizes) if passes.has_passes(self.settings) else ""

    def compile(
        self,
        graph: fx.GraphModule,
        example_inputs: Sequence[Any],
        *,
        size_range: SizeRange | None,
        options: Mapping[str, Any],
    ) -> Callable[..., Any]:
        """Lowers the piece with the range's bounds known.

        Raises:
            CompileError: Inductor failed.
        """
        hits = inductor.cache_hits()
        reading, started = PhaseReading(), time.perf_counter()
        try:
            with self._around():
                artifact = inductor.standalone_compile(
                    graph,
                    example_inputs,
                    fake_mode=options["fake_mode"],
                    cache_tag=options["cache_tag"],
                    settings=passes.bound_settings(self.settings, size_range or self.all_sizes),
                )
        except inductor.COMPILE_ERRORS as error:
            raise CompileError(_first_line(error)) from error
        phases = reading.seconds(time.perf_counter() - started)
        function, is_direct = inductor.boxed_runner(artifact)
        was_there = inductor.cache_hits() > hits
        return BoxedFunction(
            function, artifact, is_direct=is_direct, from_torch_cache=was_there, phases=phases
        )

    def serialize(self, function: BoxedFunction) -> bytes:
        """The artifact with the machine code of its kernels.

        Raises:
            CompileError: it holds something that cannot be saved.
        """
        if self.settings.get("force_disable_caches"):
            raise CompileError(
                "it cannot be saved: inductor_config has force_disable_caches, under which torch "
                "makes nothing that can be. To store nothing use StoreConfig(enabled=False)."
            )
        try:
            return kernels.packed(function.artifact, inductor.generated_code(function.artifact))
        except Exception as error:  # whatever the parts of an artifact raise
            raise CompileError(f"it cannot be saved: {_first_line(error)}") from error

    def deserialize(self, content: bytes) -> BoxedFunction:
        """The function of an artifact that was saved; needs no compiler.

        Args:
            content: it is unpickled and run, so it must be trusted.
        """
        with self._around():
            artifact = kernels.unpacked(content)
        function, is_direct = inductor.boxed_runner(artifact)
        return BoxedFunction(function, artifact, is_direct=is_direct, from_torch_cache=False)

    def serialized_bytes(self, function: BoxedFunction) -> int | None:
        """Size of the artifact as a file would hold it."""
        return inductor.serialised_bytes(function.artifact)

    def generated_code(self, function: BoxedFunction) -> str:
        """The Python that Inductor wrote, kernels included."""
        return inductor.generated_code(function.artifact)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def identity_at(backend: Backend, size_range: SizeRange | None) -> str:
    """What goes into the key of an artifact for these sizes."""
    if isinstance(backend, InductorBackend):
        return backend.identity_at(size_range)
    return backend.identity()


def told_sizes(backend: Backend, size_range: SizeRange | None) -> str:
    """What of ``identity_at`` depends on the sizes; empty where nothing does."""
    return backend.told_sizes(size_range) if isinstance(backend, InductorBackend) else ""


def partitioning(config: CompilationConfig) -> tuple[dict[str, Any], Partitions]:
    """Inductor settings with those for partitions, and who is told of them.

    Raises:
        ConfigError: a splitting op has no name that Inductor knows.
    """
    settings = dict(config.inductor_config)
    if not config.use_inductor_graph_partition:
        return settings, Partitions.LEFT_ALONE
    for name in config.splitting_ops:
        if not re.fullmatch(r"\w+::\w+(\.\w+)?", name):
            raise ConfigError(
                f"Inductor cannot cut at {name!r}: with use_inductor_graph_partition=True name "
                "custom ops as ns::op or ns::op.overload."
            )
    graphs = config.cudagraph_mode is not CUDAGraphMode.NONE
    settings |= partition_settings(config.splitting_ops)
    return settings, Partitions.WRAPPED if graphs else Partitions.LEFT_ALONE


def resolve_backend(config: CompilationConfig) -> Backend:
    """The backend object that a configuration asks for.

    Raises:
        ConfigError: an Inductor setting that does not exist.
    """
    if config.backend == "eager":
        return EagerBackend()
    if config.backend == "inductor":
        unknown = inductor.unknown_settings(list(config.inductor_config))
        if unknown:
            from explorer.stages.op_names import nearest

            near = ", ".join(nearest(unknown[0], inductor.setting_names()))
            raise ConfigError(f"inductor_config has no setting {unknown[0]!r}; nearest: {near}.")
        settings, partitions = partitioning(config)
        return InductorBackend(settings, SizeRange(1, config.max_size), partitions)
    assert not isinstance(config.backend, str)
    return config.backend

"""The two modes without a captured graph: the model as it is, and ``torch.compile``.

Both have the face of a ``CompiledModel``, so that a mode can be changed without changing code.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch

from explorer.artifacts import RunRecord
from explorer.as_it_is import as_it_is
from explorer.compilation import Compilation
from explorer.config import CompilationConfig, CompilationMode
from explorer.counters import counters
from explorer.errors import ConfigError
from explorer.example_inputs import Inputs
from explorer.runtime.compiled_model import CompiledModel
from explorer.stages.capture import CaptureRequest, checked_model, marked_call
from explorer.torch_private.capture import undecorated


class UncompiledModel(CompiledModel):
    """Runs the model in mode NONE or STOCK_TORCH_COMPILE."""

    def __init__(self, request: CaptureRequest, config: CompilationConfig) -> None:
        """Compiles nothing yet; ``torch.compile`` does at the first call.

        Raises:
            ConfigError: STOCK_TORCH_COMPILE with a backend that torch does not know by name.
        """
        self._request = request
        self._mode = config.mode
        self._config = config
        self._recording: RunRecord | None = None
        self._lock = threading.Lock()
        self._is_marked = False
        self.model_before_compiling = request.model
        model = checked_model(request.model)
        self._run: Callable[..., Any] = as_it_is(model)
        if config.mode is CompilationMode.STOCK_TORCH_COMPILE:
            if not isinstance(config.backend, str):
                raise ConfigError(
                    "mode=STOCK_TORCH_COMPILE takes backend='inductor' or 'eager', not "
                    f"{config.backend!r}: torch.compile cannot call a Backend of pieces."
                )
            options = dict(config.inductor_config) if config.backend == "inductor" else None
            self._run = torch.compile(
                undecorated(model), fullgraph=True, backend=config.backend, options=options or None
            )
            counters.add(stock_compiled=1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result for these arguments."""
        started = time.perf_counter()
        if self._mode is CompilationMode.NONE:
            result = self._run(*args, **kwargs)
        else:
            args, kwargs = self._with_marks(args, kwargs)
            result = self._run(*args, **kwargs)
        if self._recording is not None:
            microseconds = (time.perf_counter() - started) * 1e6
            self._recording.fill({}, None, None, (), microseconds, ())
        return result

    def _with_marks(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Inputs:
        """The first call with its dynamic dims marked, so that one graph serves all sizes."""
        with self._lock:
            if self._is_marked:
                return args, dict(kwargs)
            self._is_marked = True
        return marked_call(self._request, args, kwargs, self._config)

    @property
    def compilation(self) -> Compilation:
        """There is none.

        Raises:
            ConfigError: always.
        """
        self._no_graph("so it has no compilation")

    @property
    def variants(self) -> tuple[Compilation, ...]:
        """None."""
        return ()

    def cover(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Captures nothing.

        Raises:
            ConfigError: always.
        """
        self._no_graph("so it covers nothing")

    @contextlib.contextmanager
    def record(self) -> Iterator[RunRecord]:
        """Records the microseconds of the calls inside the block."""
        self._recording = record = RunRecord()
        try:
            yield record
        finally:
            self._recording = None

    def _no_graph(self, consequence: str) -> NoReturn:
        raise ConfigError(
            f"mode={self._mode.name} captures no graph of its own, {consequence}: use "
            "mode=CompilationMode.PIECEWISE or DYNAMO_TRACE_ONCE."
        )

    def __repr__(self) -> str:
        return f"<UncompiledModel {self._mode.name} {type(self._request.model).__name__}>"

"""Who looks on while the steps run: the structured log and the dump."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from explorer.compilation import Compilation
from explorer.config import CompilationConfig
from explorer.dump import Dump
from explorer.pipeline import StepRunner
from explorer.torch_private import structured_log
from explorer.trace import StepTrace

_T = TypeVar("_T")


class StepWatcher(Protocol):
    """Is told of every step of one compilation, those included whose result was there already."""

    def done(self, name: str, result: Any) -> None:
        """Args: the step's name and the artifact that it returned."""
        ...

    def failed(self, name: str, error: BaseException) -> None:
        """Args: the step's name and what it raised."""
        ...


def watched(runner: StepRunner, watchers: Sequence[StepWatcher]) -> StepRunner:
    """The same runner, with watchers told of each step."""

    def run(name: str, reads: tuple[Any, ...], step: Callable[[], _T]) -> _T:
        try:
            result = runner(name, reads, step)
        except BaseException as error:
            for watcher in watchers:
                watcher.failed(name, error)
            raise
        for watcher in watchers:
            watcher.done(name, result)
        return result

    return run


def show_to(watchers: Sequence[StepWatcher], compilation: Compilation) -> None:
    """Tells watchers of the steps of a compilation that was loaded whole, if somebody may look.

    The graph and the pieces are read for that.
    """
    if compilation.config.debug_dump_path is None and not structured_log.is_listening():
        return
    results = {
        "capture": compilation.captured,
        "normalise": compilation.normalised,
        "split": compilation.split,
        "dedupe": compilation.unique,
        "compile": compilation.compiled,
        "plan": compilation.plan,
    }
    for name, result in results.items():
        for watcher in watchers:
            watcher.done(name, result)


def watchers_of(config: CompilationConfig, name: str) -> tuple[StepWatcher, ...]:
    """Those of one compilation.

    Args:
        config: of the compilation.
        name: the model's short name.
    """
    log = StepTrace(config, name)
    if config.debug_dump_path is None:
        return (log,)
    return (log, Dump(config.debug_dump_path, config, name))

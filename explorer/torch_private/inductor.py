"""Inductor: compile one piece, find its generated code, and the fastest safe way to call it.

Private names used (torch 2.13.0): ``torch._inductor.standalone_compile`` (``fake_mode=``,
``aot=True``), ``torch._inductor.config`` and ``torch._functorch.config`` with ``get_config_copy``
and ``_config``, ``torch._inductor.exc.InductorError``, and of an artifact: ``inner_fn``,
``serialize().runtime_metadata``, ``CompiledFxGraph.current_callable`` and ``source_code``; of
``torch._inductor.async_compile.AsyncCompile``: ``pool``, and the setting ``compile_threads``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from inspect import signature
from typing import Any, cast

import torch
import torch._dynamo.utils
import torch._functorch.config as functorch_config
import torch._inductor
import torch._inductor.config
from torch import fx
from torch._guards import TracingContext, tracing
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.exc import InductorError, InvalidCxxCompiler

from explorer.torch_private.beside import alone

COMPILE_ERRORS = (InductorError, InvalidCxxCompiler)
"""What a failed compile raises; other exceptions may come from the piece's own ops."""

_ASKS_CONTEXT = "fake_mode" not in signature(torch._inductor.standalone_compile).parameters
"""Torch 2.11 and 2.12 have no such parameter; it can go when they no longer matter."""

_COMPILER_CONFIG = cast(Any, torch.compiler.config)  # ``patch`` is put there when it is imported


def standalone_compile(
    graph_module: fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    fake_mode: Any,
    cache_tag: str,
    settings: Mapping[str, Any],
) -> Any:
    """Compiles a module whose output is a tuple.

    Args:
        graph_module: the piece; it is not changed.
        example_inputs: fake values of its placeholders.
        fake_mode: their mode when some size is symbolic, else None.
        cache_tag: what torch's own caches do not key on, the size range above all: without it an
            artifact made for sizes up to 64 is served for sizes up to 4096. It also names the CPU's
            instruction set.
        settings: Inductor settings for this compile.
    """
    shapes = _shapes_of(fake_mode)
    cpu = torch.backends.cpu.get_cpu_capability()
    tag = f"{_COMPILER_CONFIG.cache_key_tag}|{cache_tag}|{cpu}"
    with (
        alone(),
        torch.no_grad(),
        _COMPILER_CONFIG.patch(cache_key_tag=tag),
        _around(fake_mode),
        torch._inductor.config.patch(dict(settings)),
    ):
        return torch._inductor.standalone_compile(
            graph_module,
            list(example_inputs),
            aot=True,
            options={},
            **shapes,
        )


def prepare_to_fork() -> None:
    """Imports what a compile needs, once, for all processes that are about to be forked."""
    importlib.import_module("torch._inductor.compile_fx")


def settle_in_forked_process() -> None:
    """Makes torch usable in a process that was just forked, which has one thread.

    OpenMP's threads are the parent's: an operator that wants to share its work with them waits for
    ever. So are those that Inductor hands C++ kernels to. But generated code is for as many threads
    as the parent has.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.get_num_threads = lambda: threads
    torch._inductor.config.compile_threads = 1
    AsyncCompile.pool.cache_clear()  # for settings that ask for more threads: it makes new ones


def _around(fake_mode: Any) -> AbstractContextManager[Any]:
    is_asked = _ASKS_CONTEXT and fake_mode is not None
    return tracing(TracingContext(fake_mode)) if is_asked else contextlib.nullcontext()


def _shapes_of(fake_mode: Any) -> dict[str, Any]:
    """How the compile is told where sizes come from."""
    if fake_mode is None:
        return {"dynamic_shapes": "from_example_inputs"}
    if _ASKS_CONTEXT:
        return {"dynamic_shapes": "from_tracing_context"}
    return {"dynamic_shapes": "from_example_inputs", "fake_mode": fake_mode}


def cache_hits() -> int:
    """How often torch's own cache has had an artifact in this process."""
    return torch._dynamo.utils.counters["aot_autograd"]["autograd_cache_hit"]


def boxed_runner(artifact: Any) -> tuple[Callable[[list[Any]], Any], bool]:
    """A function of one list of inputs, and whether it is Inductor's own callable.

    Inductor's own callable saves about 8 us a call. It is taken only where torch's wrappers would
    do nothing: no input is written, no output aliases an input or another output, no random state,
    no effects.
    """
    graph = _compiled_graph(artifact, set())
    if graph is not None and _wrappers_do_nothing(artifact):
        _keep_partitions(graph)
        return graph.current_callable, True

    def call(arguments: list[Any]) -> Any:
        values = tuple(arguments)
        arguments.clear()
        return artifact(*values)

    return call, False


def _keep_partitions(graph: Any) -> None:
    """Lets Inductor's own callable live as long as it can be called.

    Torch 2.11 and 2.13: a graph that dies takes the partitions from the runner of its callable,
    because nobody would call that any more.
    """
    runner = getattr(graph, "compiled_fn_runner", None)
    if runner is not None:
        runner.graph_of_partitions = graph


def generated_code(artifact: Any) -> str:
    """The Python that Inductor wrote for an artifact, kernels included.

    It is empty when it is not to be found.
    """
    graph = _compiled_graph(artifact, set())
    code = getattr(graph, "source_code", "") or getattr(graph, "inductor_code", "")
    return code if isinstance(code, str) else ""


def serialised_bytes(artifact: Any) -> int | None:
    """Size of the artifact as a file would hold it, in bytes; None when it cannot be serialised."""
    try:
        content = artifact.serialize()
    except Exception:  # an artifact that cannot be saved still runs
        return None
    return len(content) if isinstance(content, bytes | bytearray) else None


def unknown_settings(names: Sequence[str]) -> tuple[str, ...]:
    """Those names that Inductor has no setting for."""
    known = _setting_names()
    return tuple(name for name in names if name not in known)


def _setting_names() -> frozenset[str]:
    # get_config_copy of torch 2.13 leaves out settings that moved and are aliases now, such as
    # force_disable_caches; patch takes them.
    return frozenset(vars(torch._inductor.config)["_config"])


def settings_digest() -> str:
    """A digest of the compiler settings in force, of Inductor and of AOTAutograd.

    What torch's own cache leaves out, such as the number of compile processes, is left out, but for
    graph passes, which that one asks for a uuid. A setting without a text that says all, such as a
    function, makes it a digest of this process only.
    """
    ignored = tuple(torch._inductor.config._cache_config_ignore_prefix)
    found = []
    for name, config in (("inductor", torch._inductor.config), ("functorch", functorch_config)):
        for key, value in sorted(config.get_config_copy().items()):
            if "custom" in key or not key.startswith(("_", *ignored)):
                found.append(f"{name}.{key} = {_setting_text(value)}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def _setting_text(value: Any) -> str:
    text = repr(value)
    is_plain = isinstance(value, bool | int | float | str | None | tuple | list | dict)
    return text if is_plain and " at 0x" not in text else f"{text} {os.getpid()} {id(value)}"


def setting_names() -> tuple[str, ...]:
    """Every Inductor setting, for error messages."""
    return tuple(sorted(_setting_names()))


def _wrappers_do_nothing(artifact: Any) -> bool:
    serialize: Callable[[], Any] | None = getattr(artifact.inner_fn, "serialize", None)
    if not callable(serialize):
        return False
    metadata = serialize().runtime_metadata
    return (
        not metadata.mutated_inp_runtime_indices
        and not metadata.num_outputs_aliased
        and not metadata.num_intermediate_bases
        and not metadata.traced_tangents
        and not metadata.tokens
        and not metadata.num_graphsafe_rng_states
    )


def _compiled_graph(value: Any, visited: set[int]) -> Any:
    """Walks closures and wrapper attributes down to Inductor's CompiledFxGraph."""
    if id(value) in visited or len(visited) > 200:
        return None
    visited.add(id(value))
    if type(value).__name__ == "CompiledFxGraph":
        return value
    inner: list[Any] = []
    if isinstance(value, types.FunctionType):
        inner += [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        inner.append(getattr(value, "__wrapped__", None))
    else:
        fields = getattr(value, "__dict__", {})
        names = ("inner_fn", "compiled_fn", "_compiled_fn", "current_callable")
        inner += [fields.get(name) for name in names]
    for candidate in inner:
        if callable(candidate):
            found = _compiled_graph(candidate, visited)
            if found is not None:
                return found
    return None


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True

"""By what a stored compilation is found again, before anything is traced.

The factors say enough to find a few candidates. Whether one of them may be used is decided by what
it recorded: the code that was traced, and the values that it tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import torch

from explorer.config import CompilationConfig
from explorer.environment import environment_factors
from explorer.stages.backends import Backend
from explorer.stages.capture import CaptureRequest, named_dims
from explorer.store.aliases import shared_places
from explorer.store.code_text import code_parts
from explorer.store.functions import class_text, name_of_function
from explorer.store.key import config_factors
from explorer.store.source_digest import digest_of
from explorer.store.value_text import Reader, Unread

ROOT = "root function"
"""The factor that changes with the code of the function that a trace begins in."""

FORMAT = "2"
"""Goes up when what an entry holds changes."""

NOT_OF_A_COMPILATION: Mapping[str, str] = {
    "backend": "counts by the backend's own identity, as factor 'backend'",
    "inductor_config": "counts by value, passes by uuid, in the backend's identity",
    "cudagraph_mode": "decides how pieces are called; where Inductor is told, in its identity",
    "cudagraph_capture_sizes": "decides how pieces are called; as exact sizes in compile_sizes",
    "cudagraph_num_of_warmups": "decides how pieces are called",
    "cudagraph_copy_inputs": "decides how pieces are called",
    "store": "decides where artifacts are kept",
    "compile_workers": "decides how fast artifacts are made, not what they are",
    "debug_dump_path": "decides where copies for reading go",
}
"""Fields of the configuration that are no factor of a compilation -> why not."""


def compilation_factors(
    request: CaptureRequest,
    config: CompilationConfig,
    backend: Backend,
    function: FunctionType,
    receiver: Any,
    arguments: Mapping[str, Any],
    *,
    is_exact: bool = True,
) -> dict[str, str]:
    """Every factor by name.

    Args:
        request: the model and its example call.
        config: how it is compiled.
        backend: what compiles it.
        function: the function that a trace begins in.
        receiver: what it is bound to, or None.
        arguments: of the call, by name.
        is_exact: whether the sizes and values of the call count. Without, a graph says itself for
            which it is right.

    Raises:
        InputError: the example does not fit.
        ConfigError: a dim or a name that is not there.
    """
    module, qualname = name_of_function(function)
    code = digest_of(code_parts(function.__code__))
    reader = Reader(module, frozenset(), Unread.BY_CLASS)
    return {
        "format": FORMAT,
        **environment_factors(),
        **config_factors(config, NOT_OF_A_COMPILATION),
        "backend": backend.identity(),
        ROOT: f"{qualname} {code}",
        "modules": _digest(_module_lines(receiver, module)),
        "shared objects": _digest(shared_places({"receiver": receiver, **arguments})),
        "example": _digest(_example_lines(request, reader, is_exact=is_exact)),
        "invariants": reader.text(request.invariants, "invariants"),
        "make_inputs": reader.text(request.make_inputs, "make_inputs") if is_exact else "",
        "fixed dims": str(sorted(request.fixed_dims.items())) if is_exact else "",
        "rank": _rank(),
        "model tag": request.tag,
    }


def _rank() -> str:
    """Of this process in its group: a trace makes it a constant, and tests nothing."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return "none"
    return f"{distributed.get_rank()} of {distributed.get_world_size()}"


def _digest(lines: Iterator[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode() + b"\0")
    return found.hexdigest()


def _module_lines(receiver: Any, home: str) -> Iterator[str]:
    """Each module with its class, and each of its tensors with all but the content."""
    if not isinstance(receiver, torch.nn.Module):
        yield class_text(type(receiver), home)
        return
    paths: dict[int, str] = {}
    texts: dict[type, str] = {}
    for path, module in receiver.named_modules():
        kind = type(module)
        if kind not in texts:
            texts[kind] = class_text(kind, home)
        yield f"{path} {texts[kind]} {module.training}"
        for tables in (module._parameters, module._buffers):
            for name, tensor in tables.items():
                full = f"{path}.{name}"
                if tensor is None:
                    yield f"{full} None"
                    continue
                first = paths.setdefault(id(tensor), full)
                yield f"{full} {first} {_tensor_text(tensor)}"


def _tensor_text(tensor: torch.Tensor) -> str:
    return (
        f"{type(tensor).__qualname__} {tensor.dtype} {tuple(tensor.shape)} {tensor.stride()} "
        f"{tensor.device} {tensor.requires_grad}"
    )


def _example_lines(request: CaptureRequest, reader: Reader, *, is_exact: bool) -> Iterator[str]:
    leaves, dims = named_dims(request)
    for leaf in leaves:
        tensor = leaf.tensor
        loose = f"{type(tensor).__qualname__} {tensor.dtype} {tensor.dim()} {tensor.device}"
        yield f"{leaf.path} {_tensor_text(tensor) if is_exact else loose}"
    for each in dims:
        yield f"{each.path} {each.dim} {each.name} {each.unbacked}"
    if not is_exact:
        return
    for position, value in enumerate(request.args):
        yield f"{position} {reader.text(value, 'argument')}"
    for name, value in request.kwargs.items():
        yield f"{name} {reader.text(value, 'argument')}"


__all__ = ["FORMAT", "NOT_OF_A_COMPILATION", "ROOT", "compilation_factors"]

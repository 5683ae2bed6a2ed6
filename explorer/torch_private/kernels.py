"""An Inductor artifact as bytes that need no compiler to run: with the machine code of its kernels.

Torch's own bytes hold the source of the C++ kernels, which is compiled again where they are loaded,
for the processor that is there. Here the shared objects travel beside them.

Private names used (torch 2.13.0): ``torch._inductor.standalone_compile.AOTCompiledArtifact`` with
``serialize`` and ``deserialize``, ``torch._inductor.async_compile.AsyncCompile.cpp_pybinding``, and
``torch._inductor.codecache.CppPythonBindingsCodeCache`` with ``load_pybinding`` and
``_load_library_inner``.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import hashlib
import importlib
import io
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch._inductor.async_compile import AsyncCompile
from torch._inductor.codecache import CppPythonBindingsCodeCache

from explorer.store.root import FOLDER
from explorer.store.working import WorkingDirectory, working_directory

# The package has a function of the module's name.
_STANDALONE = importlib.import_module("torch._inductor.standalone_compile")
_LOADED: dict[str, Callable[..., Any]] = {}
_LOCK = threading.Lock()
_ARTIFACT, _KERNELS = "artifact", "kernels/"


@functools.cache
def _folder_of(process: int) -> WorkingDirectory:
    """A folder of this process, for shared objects on their way into memory.

    Its lock tells other processes, which sweep away what dead ones left, that it is in use.

    Args:
        process: this one; a forked child has to have its own.
    """
    folder = working_directory(Path(tempfile.gettempdir()), f"{FOLDER}-")
    atexit.register(folder.remove)
    return folder


class NoKernelError(Exception):
    """The artifact calls a kernel whose machine code is not there."""


def packed(artifact: Any, code: str) -> bytes:
    """An artifact with its kernels, as one file.

    Args:
        artifact: what Inductor made.
        code: what it generated for it.

    Raises:
        NoKernelError: a kernel is called in a way that is not known.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_ARTIFACT, artifact.serialize())
        for key, path in kernel_files(code).items():
            archive.writestr(f"{_KERNELS}{key}", path.read_bytes())
    return content.getvalue()


def unpacked(content: bytes) -> Any:
    """The artifact in such a file; nothing is compiled, and no compiler is needed.

    Args:
        content: what ``packed`` returned. It is unpickled and run, so it must be trusted.

    Raises:
        NoKernelError: a kernel that the artifact calls is not in it.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith(_KERNELS)]
        kernels = {name.removeprefix(_KERNELS): archive.read(name) for name in names}
        return deserialize(archive.read(_ARTIFACT), kernels)


def kernel_key(argument_types: list[str], source: str) -> str:
    """Names a kernel by what it is compiled from: 64 hex digits."""
    return hashlib.sha256(repr((list(argument_types), source)).encode()).hexdigest()


def kernel_files(code: str) -> dict[str, Path]:
    """Kernel key -> the shared object that runs it, for the C++ kernels in generated code.

    They have been compiled by now, so that torch only looks them up.

    Args:
        code: what Inductor generated for an artifact.

    Raises:
        NoKernelError: a kernel is called in a way that is not known.
    """
    found = {}
    for argument_types, source in cpp_kernels(code):
        function = CppPythonBindingsCodeCache.load_pybinding(argument_types, source)
        path = getattr(getattr(function, "__self__", None), "__file__", None)
        if path is None:
            raise NoKernelError("a kernel belongs to no file")
        found[kernel_key(argument_types, source)] = Path(path)
    return found


def cpp_kernels(code: str) -> Iterator[tuple[list[str], str]]:
    """Argument types and source of each C++ kernel that generated code calls.

    Raises:
        NoKernelError: one is called with something else than constants.
    """
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "cpp_pybinding":
            try:
                argument_types, source = (ast.literal_eval(each) for each in node.args)
            except ValueError as error:
                raise NoKernelError("a kernel's source is no constant") from error
            yield argument_types, source


def deserialize(content: bytes, kernels: Mapping[str, bytes]) -> Any:
    """An artifact from torch's own bytes; nothing is compiled.

    Args:
        content: they are unpickled, so they must be trusted.
        kernels: kernel key -> shared object. They are loaded, so they must be trusted.

    Raises:
        NoKernelError: one that the artifact calls is not among them.
    """
    with _kernels_from(kernels):
        return _STANDALONE.AOTCompiledArtifact.deserialize(content)


@contextlib.contextmanager
def _kernels_from(kernels: Mapping[str, bytes]) -> Iterator[None]:
    """Inside, generated code that this thread loads takes these kernels."""
    original = AsyncCompile.cpp_pybinding
    owner = threading.get_ident()

    def cpp_pybinding(self: Any, argument_types: list[str], source: str) -> Any:
        if threading.get_ident() != owner:
            return original(self, argument_types, source)
        key = kernel_key(argument_types, source)
        if key not in kernels:
            raise NoKernelError(f"the machine code of kernel {key[:12]} is not there")
        return _loaded(kernels[key])

    with patch.object(AsyncCompile, "cpp_pybinding", cpp_pybinding):
        yield


def _loaded(content: bytes) -> Callable[..., Any]:
    """The function in a shared object; one with the same bytes that is loaded already is taken.

    By its bytes and not by its kernel's key: two files may say to be the same kernel, and when one
    of them is wrong it must not matter which was loaded first.
    """
    name = hashlib.sha256(content).hexdigest()
    with _LOCK:
        if name not in _LOADED:
            path = _folder_of(os.getpid()).path / f"{name}.so"
            path.write_bytes(content)
            module = CppPythonBindingsCodeCache._load_library_inner(str(path), f"piecewise_{name}")
            path.unlink()  # it stays loaded
            _LOADED[name] = getattr(module, CppPythonBindingsCodeCache.entry_function)
        return _LOADED[name]

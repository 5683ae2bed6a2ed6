"""Generated code in, how many kernels it has out: read from the source, nothing is run.

Inductor's wrapper binds each kernel that it writes to the result of a call on ``async_compile``
(``cpp_pybinding``, ``triton`` and others) and calls ready-made ones as ``extern_kernels.mm`` or
``torch.ops.aten.sort.default``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from explorer.artifacts import Artifact
from explorer.report.wording import counted

_NOT_A_KERNEL = ("wait", "warm_pool")
_READY_MADE = ("extern_kernels.", "torch.ops.")


@dataclass(frozen=True)
class KernelCount:
    """What one call of an artifact runs.

    Attributes:
        generated: kernels that the compiler wrote.
        ready_made: calls of ready-made ones, such as matrix products.
    """

    generated: int
    ready_made: int

    def __str__(self) -> str:
        text = counted(self.generated, "kernel")
        return f"{text} + {counted(self.ready_made, 'library call')}" if self.ready_made else text

    @property
    def total(self) -> int:
        """Both."""
        return self.generated + self.ready_made


def kernels_of(artifact: Artifact) -> KernelCount | None:
    """The kernels of an artifact; None where its code does not say, as with the eager backend."""
    return kernels_in(artifact.code)


@lru_cache(maxsize=1024)
def kernels_in(code: str) -> KernelCount | None:
    """The kernels in code that Inductor generated; None for any other code."""
    if "async_compile" not in code:
        return None
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    generated = sum(_is_kernel(node) for node in ast.walk(tree))
    calls = [name for name in _names_called(tree) if name.startswith(_READY_MADE)]
    return KernelCount(generated, len(calls))


def _is_kernel(node: ast.AST) -> bool:
    """Whether it is ``name = async_compile.triton(...)`` or the like."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return False
    owner, _, method = _dotted(node.value.func).rpartition(".")
    return owner == "async_compile" and method not in _NOT_A_KERNEL


def _names_called(tree: ast.Module) -> Iterator[str]:
    """Dotted names of the calls where the pieces run; what only tests the code is left out."""
    skipped = ("get_args", "benchmark_compiled_module")
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in skipped:
            continue
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call):
                    yield _dotted(node.func)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


__all__ = ["KernelCount", "kernels_in", "kernels_of"]

"""What a failed trace knows: the question that had no answer, the names of unbacked sizes, fakes.

Private names used (torch 2.13.0): ``GuardOnDataDependentSymNode.cond``,
``ShapeEnv._shape_id_to_unbacked_symbol``, ``torch._library.custom_ops.OPDEFS`` with its
``_abstract_fn``, ``torch._library.simple_registry.singleton``, what ``torch.library`` wraps a fake
implementation in (``_check_pystubs_once``), ``torch._guards.TracingContext``, and the text of the
warning that ``torch.cond`` gives for a constant. Where one is missing, less is explained, and
nothing fails.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from torch._dynamo.variables import higher_order_ops
from torch._guards import TracingContext
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from explorer.artifacts.common import Expression

CONSTANT_PREDICATE = "Pred is a Python constant"
"""How the warning of ``torch.cond`` begins when its test was decided before."""


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def unanswered_question(error: BaseException) -> Expression | None:
    """The condition that a trace needed and could not know, or None."""
    kind = getattr(symbolic_shapes, "GuardOnDataDependentSymNode", ())
    for each in error_chain(error):
        if isinstance(each, kind):
            return getattr(each, "cond", None)
    return None


def unbacked_names(shape_env: ShapeEnv) -> dict[Expression, str]:
    """Unbacked symbol -> the name that its dim was marked with."""
    ids = getattr(shape_env, "_shape_id_to_unbacked_symbol", {})
    return {symbol: name for name, symbol in ids.items()}


def fake_implementation(operator: str) -> Callable[..., Any] | None:
    """The Python function that stands in for a custom op while tracing, or None.

    Args:
        operator: ``namespace::name``.
    """
    try:
        from torch._library.custom_ops import OPDEFS
        from torch._library.simple_registry import singleton
    except ImportError:  # another torch: `explorer doctor` says so
        return None
    definition = OPDEFS.get(operator)
    written = getattr(definition, "_abstract_fn", None)
    if written is not None:
        return written
    kernel = singleton.find(operator).fake_impl.kernel
    return None if kernel is None else _as_written(kernel.func)


def _as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's function in torch's own wrapper, and in those that say what they wrap."""
    code = getattr(function, "__code__", None)
    if code is not None and "func" in code.co_freevars and code.co_name == "inner":
        cells: tuple[Any, ...] = getattr(function, "__closure__", None) or ()
        function = cells[code.co_freevars.index("func")].cell_contents
    return inspect.unwrap(function)


@contextlib.contextmanager
def constant_predicates(found: list[traceback.StackSummary]) -> Iterator[None]:
    """Inside, a ``torch.cond`` whose test is a constant adds the user's stack to ``found``.

    Torch only warns then, at a line of its own; this thread's warning of that is not given. Filters
    of warnings belong to the process, and other threads may set them, so they are left alone.
    """
    owner = threading.get_ident()

    def warn(message: Any, category: Any = None, stacklevel: int = 1, **more: Any) -> None:
        if str(message).startswith(CONSTANT_PREDICATE) and threading.get_ident() == owner:
            found.append(TracingContext.extract_stack())
        else:
            warnings.warn(message, category, stacklevel + 1, **more)

    module = SimpleNamespace(**{**vars(warnings), "warn": warn})
    with contextlib.ExitStack() as stack:
        if getattr(higher_order_ops, "warnings", None) is warnings:
            stack.enter_context(patch.object(higher_order_ops, "warnings", module))
        yield


__all__ = [
    "CONSTANT_PREDICATE",
    "constant_predicates",
    "error_chain",
    "fake_implementation",
    "unanswered_question",
    "unbacked_names",
]

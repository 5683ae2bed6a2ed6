"""The Python functions behind a custom op: what runs, and what stands in for it while tracing.

Private names used (torch 2.13.0): ``torch._library.custom_ops.OPDEFS`` with ``_backend_fns``,
``_init_fn`` and ``_abstract_fn``, ``torch._library.simple_registry.singleton`` with
``fake_impl.kernel``, and ``torch._C._dispatch_dump``.
"""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any

import torch
from torch._library import custom_ops as library_ops
from torch._library import simple_registry

from explorer.store.functions import content, function_in, is_library, name_of_function
from explorer.torch_private import ops

_RUN_BY_A_TRACE = {"CompositeImplicitAutograd", "CompositeExplicitAutograd", "Meta"}
_IN_PYTHON = re.compile(r"^(\w+)(?:\[alias\])?: registered at .*(?:\.py|<[^>]*>):\d+", re.M)


def op_functions(name: str) -> dict[str, Any]:
    """The Python functions behind an op that is not torch's, by what they are for.

    Keys are ``on CPU`` and the like, for what runs, and ``fake``; ``schema`` is its text. A
    function that was registered in Python and cannot be had is None. Empty for an op of torch, and
    for one in C++, which is known by its name.

    Args:
        name: ``namespace::op``.
    """
    from explorer.custom_ops import functions_of_op  # it needs this folder

    namespace, _, short = name.partition("::")
    overload = ops.overload_of(getattr(getattr(torch.ops, namespace), short, None))
    if namespace in ("aten", "prims", "prim") or overload is None:
        return {}
    known = functions_of_op(name) or _of_torch_library(name)
    found = {what: _of_user(function) for what, function in known.items()}
    registered = set(_IN_PYTHON.findall(torch._C._dispatch_dump(name)))
    fake = simple_registry.singleton.find(name).fake_impl.kernel
    if "fake" not in known and fake is not None:
        found["fake"] = _of_user(fake.func)
    # Without a fake, tensors without data go through one of these, into the graph or its shapes.
    elif not known and registered & _RUN_BY_A_TRACE:
        found["fake"] = None
    return {**found, "schema": str(overload._schema)} if found else {}


def _of_torch_library(name: str) -> dict[str, Any]:
    """Of an op of ``torch.library.custom_op`` or ``triton_op``."""
    defined = library_ops.OPDEFS.get(name)
    if defined is None:
        return {}
    functions = {"on any device": defined._init_fn}
    for device, function in sorted(defined._backend_fns.items(), key=str):
        functions.setdefault(f"on {device or 'any device'}", function)
    if defined._abstract_fn is not None:
        functions["fake"] = defined._abstract_fn
    return functions


def _of_user(value: Any) -> FunctionType | None:
    """The user's function in wrappers of torch and of this package; None when it is hidden."""
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        waiting += filter(None, [getattr(each, "__wrapped__", None)])
        try:
            function = function_in(each)
        except LookupError:
            continue
        module = name_of_function(function)[0]
        if not is_library(module) and module != "explorer.custom_ops":
            return function
        waiting += [content(cell) for cell in function.__closure__ or ()]
    return None


__all__ = ["op_functions"]

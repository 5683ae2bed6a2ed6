"""Modules and their hooks: whether they are the ones that were traced.

Private names used (torch 2.13.0): ``Module._modules``, ``Module._forward_hooks``,
``Module._forward_pre_hooks``, their ``_with_kwargs`` and ``_always_called``, and the tables of
global hooks of ``torch.nn.modules.module``.

Dynamo can guard on hooks itself (``skip_nnmodule_hook_guards=False``); that took 210 us a call for
540 modules, this 40.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch.nn.modules import module as nn_module

# Hooks of the backward pass do not matter: calls run without autograd.
_HOOK_TABLES = ("_forward_pre_hooks", "_forward_hooks")
_GLOBAL_TABLES = tuple(getattr(nn_module, f"_global{name}") for name in _HOOK_TABLES)
_CODE = operator.attrgetter("__code__")

HOOKS_AS_TRACED = "the hooks of its modules are those of the capture"
SUBMODULES_AS_TRACED = "its submodules are those of the capture"


def has_forward_hooks(module: torch.nn.Module) -> bool:
    """Whether a call of the module runs hooks besides its forward."""
    own = module.__dict__
    return bool(own["_forward_hooks"] or own["_forward_pre_hooks"] or any(_GLOBAL_TABLES))


def call_with_hooks(
    module: torch.nn.Module,
    forward: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """What ``nn.Module.__call__`` does without a backward pass, around another ``forward``."""
    called: set[int] = set()
    result = None
    try:
        for number, hook in (*_global("pre_hooks").items(), *module._forward_pre_hooks.items()):
            args, kwargs = _before(module, hook, number, args, kwargs)
        result = forward(*args, **kwargs)
        for number, hook in (*_global("hooks").items(), *module._forward_hooks.items()):
            called.add(number)
            result = _after(module, hook, number, args, kwargs, result)
    except Exception:
        always = (
            *nn_module._global_forward_hooks_always_called,
            *module._forward_hooks_always_called,
        )
        hooks = {**_global("hooks"), **module._forward_hooks}
        for number in (each for each in always if each in hooks and each not in called):
            with contextlib.suppress(Exception):  # the first error is the one to show
                result = _after(module, hooks[number], number, args, kwargs, result)
        raise
    return result


def _global(name: str) -> dict[int, Any]:
    return getattr(nn_module, f"_global_forward_{name}")


def _before(
    module: torch.nn.Module,
    hook: Callable[..., Any],
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if number in module._forward_pre_hooks_with_kwargs:
        changed = hook(module, args, kwargs)
        if changed is None:
            return args, kwargs
        if not (isinstance(changed, tuple) and len(changed) == 2):
            raise RuntimeError(
                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
                f"{changed}."
            )
        return changed
    changed = hook(module, args)
    if changed is None:
        return args, kwargs
    return (changed if isinstance(changed, tuple) else (changed,)), kwargs


def _after(
    module: torch.nn.Module,
    hook: Callable[..., Any],
    number: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> Any:
    takes_kwargs = (
        number in module._forward_hooks_with_kwargs
        or number in nn_module._global_forward_hooks_with_kwargs
    )
    given = (module, args, kwargs, result) if takes_kwargs else (module, args, result)
    changed = hook(*given)
    return result if changed is None else changed


class ModuleWatch:
    """What a model's modules, their hooks and their classes' methods were when it was traced."""

    def __init__(
        self, model: Any, traced: FunctionType, *, hooks_run_outside: bool = False
    ) -> None:
        """Looks at the model as it is now.

        Args:
            model: a module, or anything else.
            traced: the function that was traced.
            hooks_run_outside: the model's own hooks are no part of what was traced.
        """
        self._traced = traced
        self._of_traced = (traced.__code__, traced.__defaults__, traced.__kwdefaults__)
        self._kwdefaults = dict(traced.__kwdefaults__ or {})
        self._own = vars(model) if isinstance(model, torch.nn.Module) else {}
        self._own_forward = self._own.get("forward")
        modules = dict(model.named_modules()) if isinstance(model, torch.nn.Module) else {}
        hooked = [each for each in modules.values() if not (hooks_run_outside and each is model)]
        tables = [getattr(each, name) for each in hooked for name in _HOOK_TABLES]
        tables += _GLOBAL_TABLES
        self._tables = tuple(
            (vars(each), name, getattr(each, name)) for each in hooked for name in _HOOK_TABLES
        )
        self._empty = tuple(table for table in tables if not table)
        self._filled = tuple((table, tuple(table.items())) for table in tables if table)
        slots = [
            (each._modules, name, child)
            for each in modules.values()
            for name, child in each._modules.items()
        ]
        functions = {
            (owner, name): value
            for kind in {type(each) for each in modules.values()}
            for owner in kind.__mro__
            if not owner.__module__.startswith(("torch.", "builtins"))
            for name, value in vars(owner).items()
            if isinstance(value, FunctionType)
        }
        self._owners = tuple(owner for owner, _ in functions)
        self._namespaces = tuple(vars(owner) for owner in self._owners)
        self._names = tuple(name for _, name in functions)
        self._functions = tuple(functions.values())
        self._codes = tuple(map(_CODE, self._functions))
        self._parents = tuple(slot[0] for slot in slots)
        self._keys = tuple(slot[1] for slot in slots)
        self._children = tuple(slot[2] for slot in slots)

    def children_tables(self) -> tuple[dict[str, Any], ...]:
        """The dicts of submodules that are not empty."""
        return tuple({id(table): table for table in self._parents}.values())

    def hook_tables(self) -> tuple[dict[int, Any], ...]:
        """The dicts of hooks, of the modules and of all modules at once."""
        return self._empty + tuple(table for table, _ in self._filled)

    @property
    def has_hooks(self) -> bool:
        """Whether there were hooks in the capture."""
        return bool(self._filled)

    def hooks_same(self) -> bool:
        """Whether hooks are as they were."""
        return not any(self._empty) and self.hook_order_same()

    def hook_order_same(self) -> bool:
        """Whether the hooks that there were are the same, in the same order."""
        return all(tuple(table.items()) == was for table, was in self._filled)

    def code_same(self) -> bool:
        """Whether methods of classes and the traced function are as they were."""
        traced = self._traced
        if self._own.get("forward") is not self._own_forward:
            return False
        if (traced.__code__, traced.__defaults__, traced.__kwdefaults__) != self._of_traced or (
            traced.__kwdefaults__ or {}
        ) != self._kwdefaults:
            return False
        try:
            functions = map(operator.getitem, self._namespaces, self._names)
            return all(map(operator.is_, functions, self._functions)) and all(
                map(operator.is_, map(_CODE, self._functions), self._codes)
            )
        except KeyError:
            return False

    def problem(self) -> str | None:
        """What has changed since, in words, or None."""
        same = self.code_same() and self.hooks_same() and self._tables_same()
        return (None if same else self._problem()) or self.children_problem()

    def children_problem(self) -> str | None:
        """Whether a submodule is another one, in words, or None."""
        try:
            children = map(operator.getitem, self._parents, self._keys)
            same = all(map(operator.is_, children, self._children))
        except KeyError:
            same = False
        return None if same else SUBMODULES_AS_TRACED

    def _tables_same(self) -> bool:
        return all(attributes.get(name) is table for attributes, name, table in self._tables)

    def _problem(self) -> str:
        if self._own.get("forward") is not self._own_forward:
            return "its forward is that of the capture"
        if not self.hooks_same() or not self._tables_same():
            return HOOKS_AS_TRACED
        functions = zip(self._owners, self._names, self._functions, self._codes, strict=True)
        for owner, name, function, code in functions:
            if vars(owner).get(name) is not function or function.__code__ is not code:
                return f"{owner.__qualname__}.{name} is the function of the capture"
        return f"{self._traced.__qualname__} has the code and defaults of the capture"

"""What a written-out graph refers to: import statements, and where custom ops are registered."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from explorer.torch_private import failures, ops

_BUILT_IN = frozenset(("aten", "prim", "prims", "higher_order", "inductor", "_c10d_functional"))
_NUMBERS = {"inf": math.inf, "nan": math.nan}


class Importing:
    """Collects what a file has to import.

    Attributes:
        lines: import statements and small definitions, in order, without repeats.
        folders: what has to be on Python's path for them.
        modules: modules that register custom ops.
        operators: custom ops that are called -> the module that registers it, None where not known.
    """

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}
        self.folders: dict[str, None] = {}
        self.operators: dict[str, str | None] = {}

    def add_value(self, name: str, value: Any) -> None:
        """Makes a name mean a value."""
        if name in _NUMBERS:
            self.lines[f"from math import {name}"] = None
        elif value is type(None):
            self.lines[f"{name} = type(None)"] = None
        elif value is torch:
            return  # every file imports it
        elif isinstance(value, ModuleType):
            self.lines[_import_of_module(name, value.__name__)] = None
        elif (text := text_of(value)) is not None:
            self.lines[f"{name} = {text}"] = None
        elif (place := self._place_of(value)) is not None:
            module, attribute = place
            renamed = "" if attribute == name else f" as {name}"
            self.lines[f"from {module} import {attribute}{renamed}"] = None
        else:
            what = f"{name}, a {type(value).__qualname__} that no module holds"
            self.lines[f"def {name}(*args, **kwargs):\n    no_value({what!r})\n"] = None

    def _place_of(self, value: Any) -> tuple[str, str] | None:
        module = getattr(value, "__module__", None)
        attribute = getattr(value, "__qualname__", "")
        if not isinstance(module, str) or not str(attribute).isidentifier():
            return None
        if getattr(sys.modules.get(module), attribute, None) is not value:
            return None
        return (module, attribute) if self._can_import(module) else None

    def _can_import(self, module: str) -> bool:
        """Whether a file could import a module; notes the folder that it is found in."""
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__" or (file is None and module not in sys.builtin_module_names):
            return False
        try:
            if importlib.util.find_spec(module) is None:
                return False
        except (ImportError, ValueError):
            return False
        if file is not None:
            path = Path(file).resolve()
            depth = module.count(".") + (path.name == "__init__.py")
            folder = str(path.parents[depth])
            if "site-packages" not in folder and not folder.startswith(sys.base_prefix):
                self.folders[folder] = None
        return True

    def add_operators(self, targets: Iterable[Any]) -> None:
        """Notes the custom ops among call targets and the modules that register them."""
        for target in targets:
            if not ops.is_operator(target):
                continue
            name = ops.operator_names(target)[0]
            if name.partition("::")[0] in _BUILT_IN or name in self.operators:
                continue
            module = getattr(failures.fake_implementation(name), "__module__", None)
            is_known = isinstance(module, str) and module.partition(".")[0] != "torch"
            is_known = is_known and self._can_import(str(module))
            self.operators[name] = module if is_known else None

    def source(self) -> str:
        """The import part of a file."""
        folders = [f"sys.path.append({folder!r})\n" for folder in self.folders]
        head = ["import sys\n\n", *folders] if folders else []
        modules = [each for each in self.operators.values() if each is not None]
        lines = [
            f"import {each}  # registers custom ops\n" for each in dict.fromkeys(sorted(modules))
        ]
        return "".join([*head, *lines, *self._checks(), *(f"{line}\n" for line in self.lines)])

    def _checks(self) -> Iterable[str]:
        for name, module in self.operators.items():
            space, _, short = name.partition("::")
            hint = f"{module} did not register it." if module else "import what registers it above."
            yield (
                f"if not hasattr(torch.ops.{space}, {short!r}):\n"
                f"    raise SystemExit({f'There is no op {name}: {hint}'!r})\n"
            )


def _import_of_module(name: str, module: str) -> str:
    return f"import {module}" if name == module else f"import {module} as {name}"


def text_of(value: Any) -> str | None:
    """An expression for a function or an operator of torch; None for anything else."""
    if ops.is_operator(value):
        overload = ops.overload_of(value)
        names = ops.operator_names(overload or value)
        return f"torch.ops.{names[-1 if overload else 0].replace('::', '.')}"
    paths = ops.public_paths().get(id(value), ()) if callable(value) else ()
    return paths[0] if paths else None

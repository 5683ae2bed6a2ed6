"""The program of one stitching function, as text and as code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True, eq=False)
class StitchedProgram:
    """Source and code of one stitching function; ``bind`` makes it callable.

    Attributes:
        source: Python text.
        name: the function's name.
        scope: constants that the text refers to.
        bound_names: input name -> name in the text, for inputs that are bound once.
        called: names of the pieces that the text calls; the others are written in place.
    """

    source: str
    name: str
    scope: Mapping[str, Any]
    bound_names: Mapping[str, str]
    called: tuple[str, ...]
    code: CodeType = field(init=False)

    def __post_init__(self) -> None:
        """Compiles the text."""
        code = compile(self.source, f"<stitched {self.name}>", "exec")
        object.__setattr__(self, "code", code)

    def named(self, name: str) -> StitchedProgram:
        """The same program under another name, one that the text keeps free."""
        if name == self.name:
            return self
        source = self.source.replace(f"def {self.name}(", f"def {name}(", 1)
        return dataclasses.replace(self, source=source, name=name)

    def bind(
        self,
        bound_values: Mapping[str, Any],
        runners: Mapping[str, Callable[[list[Any]], Any]],
        extra: Mapping[str, Any] | None = None,
    ) -> FunctionType:
        """The function with parameters and pieces in place.

        Args:
            bound_values: input name -> value.
            runners: piece name -> function of one list of inputs.
            extra: further names, for recording.
        """
        scope: dict[str, Any] = {**self.scope, **runners, **(extra or {})}
        scope |= {text: bound_values[name] for name, text in self.bound_names.items()}
        # The text holds identifiers made by runtime/stitch.py, and numbers and strings by repr:
        # nothing that a user wrote.
        exec(self.code, scope)
        return scope[self.name]

"""What several steps speak of: source lines, sizes, conditions on them, inputs."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

Expression: TypeAlias = Any
"""A sympy expression over sizes, often a symbol; sympy's annotations reject what it can do."""


_CELL_FILE = re.compile(r"[/\\]ipykernel_\d+[/\\]")


def cell_name(file: str) -> str | None:
    """``cell In[3]`` for a path that IPython made up for a cell; no such file exists.

    In another process than the one that ran the cell it is ``notebook cell``; for a file None.
    """
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    name_of = getattr(getattr(shell_of(), "compile", None), "format_code_name", lambda _: None)
    found = name_of(file)  # ("Cell", "In[3]")
    if found is not None:
        return f"cell {found[1]}"
    return "notebook cell" if _CELL_FILE.search(file) else None


def file_name(file: str) -> str:
    """The last part of a path, or which cell it is."""
    return cell_name(file) or Path(file).name


@dataclass(frozen=True)
class SourceLocation:
    """One line of the user's code.

    Attributes:
        file: path as Python knows it; a notebook cell has a made-up one.
        line: 1-based.
        function: name of the enclosing function.
        text: the line, stripped; empty when unknown.
        column: where the expression begins in that line, 0-based, in characters; None when not
            known.
        end_line: the line in which it ends.
        end_column: where it ends there, exclusive.
    """

    file: str
    line: int
    function: str = ""
    text: str = ""
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None

    def __str__(self) -> str:
        return f"{cell_name(self.file) or self.file}:{self.line}"


@dataclass(frozen=True)
class Size:
    """One independent dynamic size of the captured graph.

    Attributes:
        name: the user's name, else made from the first input: ``x_0`` for ``x.size(0)``.
        sources: (input path, dim) of every dim that has this size; the first one is read at run
            time.
        symbol: the symbol that stands for it in ``expression`` fields of this package.
        torch_symbols: the symbols torch made for it; several when the user declared equal what
            torch kept apart.
        hint: its value at capture.
        low: smallest size that the capture allows by its range.
        high: largest, or None when there is no bound.
        unbacked: whether torch made it without a value.
    """

    name: str
    sources: tuple[tuple[str, int], ...]
    symbol: Expression
    torch_symbols: tuple[Expression, ...]
    hint: int
    low: int
    high: int | None
    unbacked: bool = False

    @property
    def label(self) -> str:
        """The size in the user's words: ``x.size(0)``."""
        path, dim = self.sources[0]
        return f"{path}.size({dim})"


class InputKind(Enum):
    """What feeds one input of a captured graph."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    USER = "user"
    SIZE = "size"
    CONSTANT = "constant"
    OTHER = "other"


@dataclass(frozen=True)
class GraphInput:
    """One placeholder of the captured graph.

    Attributes:
        name: node name in the graph.
        kind: what feeds it.
        source: where its value is found, as an expression over ``L`` (the call's arguments) and
            ``G`` (globals).
        path: the same in the user's words: ``layers.0.weight``, ``x``, ``batch['ids']``.
    """

    name: str
    kind: InputKind
    source: str
    path: str

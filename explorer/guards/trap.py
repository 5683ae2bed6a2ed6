"""Trap: what a model fell into when it was traced, compiled or run, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from explorer.artifacts import SourceLocation


class TrapKind(Enum):
    """What went wrong."""

    ALIAS = "a side of torch.cond returns its input"
    MUTATION = "a side of torch.cond changes its input"
    DTYPES = "sides of different dtypes"
    STRIDES = "sides of different strides"
    STRUCTURE = "sides that return different things"
    NOT_A_TENSOR = "a side returns something else than tensors"
    LEAK = "what one side demands is demanded of the whole graph"
    CONSTANT_TEST = "the test of torch.cond is a constant"
    PYTHON_LOGIC = "and, or, not in the test of torch.cond"
    FAKE_BRANCH = "a fake implementation tests a size"
    OP_ALIAS = "a custom op returns its input"
    LAYER_NAME = "traced code reads what a LayerName holds"
    SIZE_TEST = "a test on an unbacked size"
    VALUE_TEST = "a test on what a tensor holds"


@dataclass(frozen=True)
class Trap:
    """One trap, in words.

    Attributes:
        kind: which one.
        place: the user's line, where known.
        what: what is wrong, a sentence without its full stop.
        change: what to write instead, one or more sentences.
    """

    kind: TrapKind
    place: SourceLocation | None
    what: str
    change: str

    def __str__(self) -> str:
        at = f"{self.place}: {self.place.text} - " if self.place else ""
        return f"{at}{self.what}. {self.change}"

"""The Python functions that a capture went through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class FunctionRole(Enum):
    """What a function has to do with the captured graph."""

    TRACED = "traced"
    """Its operations are in the graph; what it read is a condition of the capture as well."""
    FAKE = "fake"
    """It ran while the graph was traced: its results are in the graph, what it read is not."""
    OP = "op"
    """The graph calls it, through an op; it runs at every call."""


@dataclass(frozen=True)
class TracedFunction:
    """One function, as far as its behaviour can be told from its code and what it reads.

    Attributes:
        module: name of the module whose globals it reads.
        qualname: dotted name from the code, which a decorator does not change.
        role: what it has to do with the graph.
        digest: 64 hex digits, made of the details.
        details: (what, its text), such as ``("constant 0", "2.0")`` or ``("global G", "5")``.
        places: where the capture found it, each an expression over ``L`` (arguments and closure of
            the function that was traced), ``G`` (its globals), ``root`` and ``op``.
        unknown: what it reads and nothing can be said of; where there is any, two functions of one
            digest may still do different things.
    """

    module: str
    qualname: str
    role: FunctionRole
    digest: str
    details: tuple[tuple[str, str], ...]
    places: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.qualname} of {self.module}"

    def as_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "role": self.role.value}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> TracedFunction:
        """What ``as_plain`` was made of.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another type.
            ValueError: there is no such role.
        """
        return cls(
            module=str(plain["module"]),
            qualname=str(plain["qualname"]),
            role=FunctionRole(plain["role"]),
            digest=str(plain["digest"]),
            details=tuple((str(what), str(text)) for what, text in plain["details"]),
            places=tuple(map(str, plain["places"])),
            unknown=tuple(map(str, plain["unknown"])),
        )

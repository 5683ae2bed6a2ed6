"""What a backend made of a piece: MadeCode in, an Artifact of one capture out.

MadeCode is what can be kept: with other symbols in its conditions it serves another capture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    CapturedGraph,
    GuardOrigin,
    GuardRecord,
    Phase,
    Piece,
    Size,
)
from explorer.artifacts.common import Expression
from explorer.guards.expression import (
    SCALAR_FUNCTIONS,
    UnknownExpression,
    expression_text,
    python_source,
)
from explorer.size_range import SizeRange
from explorer.stages.backends import boxed
from explorer.stages.compile_plan import WantedArtifact
from explorer.stages.graphs import example_value, expression_of, placeholders
from explorer.torch_private.shapes import AddedGuard


@dataclass(frozen=True, eq=False)
class MadeCode:
    """What a backend made of a piece for some sizes.

    Attributes:
        function: what the backend returned.
        backend: its name.
        compiled_range: the dispatch sizes that it was compiled for.
        size_range: those that it serves: fewer where its conditions cut the range.
        conditions: those that the compiler added: elsewhere it is wrong.
        tested: groups of them, by position, that no range can tell, so that calls are tested.
        bytes: size of the serialised form; None when the backend has none.
        code: generated source, or empty.
        seconds: wall time of the compile; 0.0 when it was loaded.
        from_torch_cache: whether torch's own cache had it.
        compile_seconds: wall time of the compile, whichever process did it; None when not known.
        phases: name of a phase -> wall seconds that it took.
        note: why another backend made it than the configured one; empty when that one did.
        content: the function as the backend's ``serialize`` wrote it, where that is known already.
    """

    function: Any
    backend: str
    compiled_range: SizeRange | None
    size_range: SizeRange | None
    conditions: tuple[AddedGuard, ...]
    tested: tuple[tuple[int, ...], ...] = ()
    bytes: int | None = None
    code: str = ""
    seconds: float = 0.0
    from_torch_cache: bool = False
    compile_seconds: float | None = None
    note: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, eq=False)
class MadeAhead:
    """What is known of a request before it is its turn.

    Attributes:
        made: all code for it, stored already; None when there is none.
        later: keys of the entries that were stored for this request and for those after it.
    """

    made: tuple[MadeCode, ...] | None = None
    later: frozenset[str] = frozenset()


NOTHING_AHEAD = MadeAhead()


@dataclass(frozen=True)
class SizePlace:
    """Where a piece's inputs have a size: a number, or a dim of a tensor.

    Attributes:
        position: of the input.
        dim: of the tensor; None for a number.
    """

    position: int
    dim: int | None

    @property
    def name(self) -> str:
        """``input_0_dim_1``: the same in every capture of an equal piece."""
        return f"input_{self.position}" + ("" if self.dim is None else f"_dim_{self.dim}")

    @classmethod
    def named(cls, name: str) -> SizePlace:
        """The place that has this name."""
        _, position, *dim = name.split("_")
        return cls(int(position), int(dim[-1]) if dim else None)

    @property
    def source(self) -> str:
        """The size as Python source over ``inputs``."""
        return f"inputs[{self.position}]" + ("" if self.dim is None else f".shape[{self.dim}]")


def size_places(piece: Piece, captured: CapturedGraph) -> dict[Expression, SizePlace]:
    """The first place of each size that the inputs of a piece have by itself, by its symbol."""
    alias = {symbol: size.symbol for size in captured.sizes for symbol in size.torch_symbols}
    found: dict[Expression, SizePlace] = {}
    for position, node in enumerate(placeholders(piece.graph)):
        value = example_value(node)
        dims = list(enumerate(value.shape)) if isinstance(value, torch.Tensor) else [(None, value)]
        for dim, size in dims:
            symbol = expression_of(size)
            if isinstance(symbol, sympy.Symbol):
                found.setdefault(alias.get(symbol, symbol), SizePlace(position, dim))
    return found


@dataclass(frozen=True, eq=False)
class CodeUser:
    """What of one capture is needed to use code that was made of a piece.

    Attributes:
        sizes: of the capture.
        places: where the piece's inputs have its sizes, by symbol.
        eager: runs the piece's FX graph, where code is right at other sizes only.
        shares_variants: whether captures with other conditions on the sizes may have the same key.
    """

    sizes: tuple[Size, ...]
    places: Mapping[Expression, SizePlace]
    eager: Callable[[list[Any]], Any]
    shares_variants: bool


def artifacts_of(
    made: Sequence[MadeCode], wanted: WantedArtifact, user: CodeUser, origin: ArtifactOrigin
) -> list[Artifact]:
    """Artifacts for a request: code that runs where its conditions hold, and what to know of it.

    Args:
        made: all code for the request; its conditions are over the capture's symbols.
        wanted: the request.
        user: the capture.
        origin: where the code is from.
    """
    if user.shares_variants and any(each.conditions for each in made):
        # They are right for this capture's sizes, not for those of every capture with the key; and
        # all of them, since a part of what was asked for is not found by itself.
        wanted = dataclasses.replace(wanted, key=wanted.own_key)
    return [_artifact_of(each, wanted, user, origin) for each in made]


def _artifact_of(
    made: MadeCode, wanted: WantedArtifact, user: CodeUser, origin: ArtifactOrigin
) -> Artifact:
    records = _guard_records(made, wanted, user.sizes)
    call, notes = boxed(made.function), [made.note] if made.note else []
    for positions in made.tested:
        tested = [records[position] for position in positions]
        call = _guarded(call, [each.expression for each in tested], user)
        notes.append(
            f"{made.backend} made code that is right only where "
            f"{' and '.join(each.text for each in tested)}; elsewhere the piece runs eagerly"
        )
    return Artifact(
        unique_id=wanted.unique_id,
        size_range=made.size_range,
        requested_range=wanted.size_range,
        seconds=made.seconds,
        bytes=made.bytes,
        origin=origin,
        key=wanted.key,
        guards=tuple(record.text for record in records),
        callable=call,
        backend=made.backend,
        notes=tuple(notes),
        code=made.code,
        from_torch_cache=made.from_torch_cache,
        guard_records=records,
        compile_seconds=made.compile_seconds,
        phases=made.phases,
    )


def _guard_records(
    made: MadeCode, wanted: WantedArtifact, sizes: Sequence[Size]
) -> tuple[GuardRecord, ...]:
    names = {symbol: size.name for size in sizes for symbol in size.torch_symbols}
    labels = {symbol: size.label for size in sizes for symbol in size.torch_symbols}
    return tuple(
        GuardRecord(
            each.expression,
            expression_text(each.expression, names),
            GuardOrigin.INDUCTOR,
            sources=tuple(sorted(labels.get(s, str(s)) for s in each.expression.free_symbols)),
            framework=each.framework or None,
            phase=Phase.INDUCTOR,
            piece=f"{wanted.unique_id} {made.compiled_range}",
        )
        for each in made.conditions
    )


def _guarded(
    compiled: Callable[[list[Any]], Any], conditions: list[Expression], user: CodeUser
) -> Callable[[list[Any]], Any]:
    """Compiled code where the compiler's own conditions hold, the FX graph where they do not.

    The conditions are on sizes that pick no range, so no row of the dispatch table can tell them
    apart.
    """
    holds_for, eager = _written_condition(user.places, conditions), user.eager

    def call(arguments: list[Any]) -> Any:
        return compiled(arguments) if holds_for(arguments) else eager(arguments)

    return call


def _written_condition(
    places: Mapping[Expression, SizePlace], conditions: list[Expression]
) -> Callable[[list[Any]], bool]:
    """A function of a piece's inputs that tests conditions on sizes.

    It is false when one cannot be evaluated.
    """
    readers = {symbol: place.source for symbol, place in places.items()}
    try:
        tests = [python_source(condition, readers) for condition in conditions]
    except UnknownExpression:
        return lambda inputs: False
    scope: dict[str, Any] = dict(SCALAR_FUNCTIONS)
    # The text holds numbers, operators and positions: python_source writes nothing else.
    exec(f"def holds(inputs):\n    return {' and '.join(tests)}\n", scope)
    return scope["holds"]

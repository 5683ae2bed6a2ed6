"""Which pieces run eagerly, whatever the backend is: a piece in, the reason out."""

from __future__ import annotations

from explorer.artifacts import Piece
from explorer.stages import effects
from explorer.stages.backends import Backend, EagerBackend
from explorer.stages.graphs import placeholders
from explorer.torch_private import ops


def backend_for(piece: Piece, backend: Backend, *, concrete: bool) -> tuple[Backend, str]:
    """The backend, or eager where that one is known to answer wrongly, with the reason.

    Args:
        piece: what is compiled.
        backend: the configured one.
        concrete: whether some size of the piece is a constant.
    """
    if backend.name == "eager":
        return backend, ""
    if not piece.outputs and not effects.written_storages(piece.graph.nodes):
        return EagerBackend(), "runs eagerly: it has no output"
    if concrete and backend.name == "inductor" and _has_branches(piece):
        # torch 2.13: its FakeTensorUpdater refuses a torch.cond whose test became a constant.
        return EagerBackend(), "runs eagerly: Inductor cannot lower torch.cond at one size"
    if aliased := _aliased_and_written(piece):
        return EagerBackend(), (
            f"runs eagerly: it writes to memory that its inputs {' and '.join(aliased)} share, "
            f"which {backend.name} compiles wrongly"
        )
    return backend, ""


def _has_branches(piece: Piece) -> bool:
    return any(ops.is_higher_order(node.target) for node in piece.graph.nodes)


def _aliased_and_written(piece: Piece) -> tuple[str, ...]:
    """Names of inputs that share memory which the piece writes to; empty when there are none."""
    written = effects.written_storages(piece.graph.nodes)
    sharing: dict[int, list[str]] = {}
    for node in placeholders(piece.graph):
        storage = effects.storage_of(node)
        if storage is not None:
            sharing.setdefault(storage, []).append(node.name)
    for storage, names in sharing.items():
        if storage in written and len(names) > 1:
            return tuple(names)
    return ()


__all__ = ["backend_for"]

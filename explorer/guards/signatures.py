"""Points in, groups of them out: those at which the same conditions do not hold."""

from __future__ import annotations

import numpy as np


def group_columns(table: np.ndarray, where: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """The columns of a table, grouped by equality.

    Args:
        table: (conditions, points) bool.
        where: (points,) bool: the columns to look at.

    Returns:
        Per group the rows that are True, and the positions of its columns, ascending; the groups
        in the order of their first column.
    """
    positions = np.flatnonzero(where)
    if len(positions) == 0:
        return []
    columns = table[:, positions]
    if not columns.shape[0]:
        return [((), positions)]
    packed = np.ascontiguousarray(np.packbits(columns, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, group_of = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    parts = np.split(positions[order], np.cumsum(np.bincount(group_of))[:-1])
    return [
        (tuple(int(row) for row in np.flatnonzero(columns[:, first[group]])), parts[group])
        for group in np.argsort(first)
    ]


def table_of(holds: np.ndarray, bounds: tuple[int, ...]) -> np.ndarray:
    """Which conditions to name at each point: those that do not hold.

    A bound that torch keeps of a size follows from the tests that the trace made, so it is named
    only where none of those is.

    Args:
        holds: (conditions, points) bool.
        bounds: the rows that are such bounds.
    """
    violated = ~holds
    rows = list(bounds)
    others = np.ones(len(holds), dtype=bool)
    others[rows] = False
    explained = violated[others].any(axis=0)
    violated[rows] &= ~explained
    return violated

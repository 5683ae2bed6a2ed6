"""Points in, the state of each out: where the graph is right, wrong, or eager fails too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy

from explorer.artifacts import GuardOrigin, GuardRecord
from explorer.artifacts.audited import EagerOutcome, Intervals, PointState, SignatureGroup
from explorer.guards.conditions import Truth
from explorer.guards.eager import LARGEST_PROBED_SIZE, EagerRuns
from explorer.guards.judge import PointJudge, Settlement, pairs
from explorer.guards.regions import Points
from explorer.guards.signatures import group_columns, table_of

MOST_CAPTURES = 8
"""Captures for one combination of sizes that are 1; each may take as long as the first one."""

_CODE = {state: code for code, state in enumerate(PointState)}


class Findings:
    """What is found, step by step, at the points that are looked at.

    Attributes:
        guards: the conditions; one that leaves size 1 out is added where there is none.
        violated: (guards, points) bool: which conditions are to blame at each point.
        valid: where every condition holds, by guards alone.
        states: per point the position of its state in ``tuple(PointState)``.
        differences: index of a condition -> how the graph at size 1 differs, in words.
    """

    def __init__(self, judge: PointJudge, points: Points, truth: Truth) -> None:
        self.judge = judge
        self.points = points
        conditions = judge.conditions
        self.unknown = (
            *judge.captured.unknown,
            *(conditions.unknown_text(index, why) for index, why in truth.unknown.items()),
        )
        self.guards: list[GuardRecord] = list(conditions.guards)
        self.violated = table_of(truth.holds, conditions.bounds)
        self.passes: np.ndarray = np.all(truth.holds, axis=0)
        self.valid = judge.valid_by_guards(truth, points.flat)
        self.differences: dict[int, str] = {}
        self.notes: list[str] = []
        self._sizes = [each.name for each in conditions.dimensions if each.is_size]
        self._added_bounds: dict[str, int] = {}
        self.zero, self.one = self._any_is(0), self._any_is(1)
        self.states = np.full(points.count, _CODE[PointState.NOT_KNOWN], dtype=np.int8)
        self.states[self.valid] = _CODE[PointState.VALID]
        self.states[self.zero] = _CODE[PointState.RUNS_EAGERLY]
        if self.zero.any():
            self.notes.append("a call of size 0 is served by the model itself")

    def _any_is(self, value: int) -> np.ndarray:
        found = np.zeros(self.points.count, dtype=bool)
        for name in self._sizes:
            found |= self.points.flat[name] == value
        return found

    # -------------------------------------------------------------------------------------- size 1

    def settle_ones(self) -> None:
        """Captures at size 1 where no condition rules it out, and compares."""
        rejected = self.violated[list(self.judge.asked_at_one)].any(axis=0)
        asked = self.one & ~rejected & ~self.zero
        if self.unknown or not asked.any():
            return
        if self.judge.captured.request is None:
            self.notes.append("size 1 is not settled: the capture was made by hand")
            return
        table = np.array([self.points.flat[name] == 1 for name in self._sizes])
        for passes in (self.passes.copy(), ~self.passes):
            for rows, positions in group_columns(table, asked & passes):
                self._settle(tuple(self._sizes[row] for row in rows), positions)

    def _settle(self, names: tuple[str, ...], positions: np.ndarray) -> None:
        """Captures at the largest point that is left, until each is decided."""
        for _ in range(MOST_CAPTURES):
            if len(positions) == 0:
                return
            here = {name: values[positions] for name, values in self.points.flat.items()}
            chosen = self._largest(here)
            settlement = self.judge.settlement_at(names, self._point(positions[chosen]))
            decided = np.broadcast_to(
                self.judge.region_of(settlement, here), positions.shape
            ).copy()
            decided[chosen] = True
            self._note_settled(settlement, positions[decided])
            positions = positions[~decided]
        if not self.passes[positions].any():
            return  # a condition rejects them
        self.notes.append(
            f"{' = '.join(names)} = 1 is not settled everywhere: {MOST_CAPTURES} captures were "
            "enough"
        )

    def _largest(self, here: Mapping[str, np.ndarray]) -> int:
        """The last point that is not too large to make inputs for, else the first."""
        small = np.all([values <= LARGEST_PROBED_SIZE for values in here.values()], axis=0)
        found = np.flatnonzero(small)
        return int(found[-1]) if len(found) else 0

    def _point(self, position: int) -> dict[str, int]:
        hints = {each.name: each.hint for each in self.judge.conditions.dimensions}
        return hints | self.points.at(int(position))

    def _note_settled(self, settlement: Settlement, positions: np.ndarray) -> None:
        difference = settlement.found.difference
        if difference is None:
            self.states[positions] = _CODE[PointState.VALID_BY_PROBE]
            self.passes[positions] = True
            self.violated[:, positions] = False
            return
        positions = positions[self.passes[positions]]  # elsewhere a condition is to blame
        self.passes[positions] = False
        for name in settlement.names:
            index = self._bound_of(name)
            self.violated[index, positions] = True
            self.differences.setdefault(index, difference)

    def _bound_of(self, name: str) -> int:
        """Index of the condition that leaves size 1 of a dimension out; made when there is none."""
        for index in self.judge.conditions.bounds:
            is_lower = isinstance(self.guards[index].expression, sympy.GreaterThan)
            if is_lower and self.judge.conditions.read_by(index) == (name,):
                return index
        if name not in self._added_bounds:
            size = next(each for each in self.judge.captured.sizes if each.name == name)
            condition = sympy.Ge(size.symbol, 2, evaluate=False)
            self.guards.append(GuardRecord(condition, f"{name} >= 2", GuardOrigin.ZERO_ONE))
            self.violated = np.vstack([self.violated, np.zeros_like(self.zero)])
            self._added_bounds[name] = len(self.guards) - 1
        return self._added_bounds[name]

    # --------------------------------------------------------------------------------- eager first

    def examine_groups(self) -> tuple[SignatureGroup, ...]:
        """Groups what is not covered, runs the model there, and notes where it fails."""
        runner = EagerRuns(self.judge.captured)
        found = group_columns(self.violated, ~self.passes & ~self.zero)
        groups = tuple(self._examine(runner, *each) for each in found)
        for group in groups:
            if group.eager is EagerOutcome.NOT_KNOWN:
                self.notes.append(f"what eager does is not known: {group.probes[0].problem}")
        self.notes = list(dict.fromkeys(self.notes))
        return groups

    def _examine(
        self, runner: EagerRuns, signature: tuple[int, ...], positions: np.ndarray
    ) -> SignatureGroup:
        examined = runner.examine(self.points, positions)
        self.states[positions] = _CODE[PointState.WRONG]
        self.states[examined.fails] = _CODE[PointState.EAGER_FAILS]
        count = self.points.weight(positions)
        return SignatureGroup(
            signature=signature,
            intervals=self.intervals_at(positions),
            points=count,
            probes=examined.probes,
            eager=examined.outcome,
            is_presumed=examined.is_known and len(examined.probes) < count,
            fails=self.intervals_at(examined.fails),
            failing_points=self.points.weight(examined.fails),
        )

    # ------------------------------------------------------------------------------------- reading

    def where(self, state: PointState) -> np.ndarray:
        """The points with a state."""
        return self.states == _CODE[state]

    def intervals_at(self, positions: np.ndarray) -> Intervals:
        """Sizes of the only dimension at some points; empty when there are several or none."""
        if len(self.points.axes) != 1:
            return ()
        return pairs(next(iter(self.points.axes.values()))[positions])

    def intervals_of(self, mask: np.ndarray) -> Intervals:
        """The same at the points that a mask marks."""
        return self.intervals_at(np.flatnonzero(mask))

    def read_by(self, index: int) -> tuple[str, ...]:
        """The dimensions that a condition reads, of those that vary."""
        added = [name for name, made in self._added_bounds.items() if made == index]
        read = added or self.judge.conditions.read_by(index)
        return tuple(name for name in read if name in self.points.axes)

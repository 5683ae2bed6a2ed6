"""Compilation: all artifacts of one way through the story.

With them come the tables and texts that people ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.artifacts import (
    Artifact,
    ArtifactOrigin,
    CapturedGraph,
    CompiledPieces,
    Difference,
    DispatchPlan,
    GuardAudit,
    NormalisedGraph,
    Piece,
    SplitGraph,
    UniquePiece,
    UniquePieces,
)
from explorer.config import CompilationConfig
from explorer.size_range import SizeRange
from explorer.stages.explain import explain_difference

if TYPE_CHECKING:
    import pandas

    from explorer.artifacts.accounted import CompileAccount
    from explorer.artifacts.compiled import RangeDifference
    from explorer.artifacts.diagnosed import Diagnosis


@dataclass(frozen=True, eq=False, repr=False)
class Compilation:
    """What each step made, for one model and one configuration.

    Attributes:
        config: the configuration.
        plan: the last step's result; the others hang on it.
        timings: step name -> wall seconds of this compilation; 0.0 for a step that was not run
            again. One that was loaded whole has ``load`` besides.
        name: a short name for titles.
        update_seconds: wall time of the whole update; None when it was not one.
        look_up_seconds: of it, to look for the whole compilation in the store in vain.
        save_seconds: of it, to store the whole compilation.
        counts: what happened for it, by the names of ``counters``; those that are 0 are left out.
    """

    config: CompilationConfig
    plan: DispatchPlan
    timings: Mapping[str, float]
    name: str = "model"
    counts: Mapping[str, int] = field(default_factory=dict)
    update_seconds: float | None = None
    look_up_seconds: float = 0.0
    save_seconds: float = 0.0

    @property
    def compiled(self) -> CompiledPieces:
        """Step 5."""
        return self.plan.compiled

    @property
    def unique(self) -> UniquePieces:
        """Step 4."""
        return self.compiled.unique

    @property
    def split(self) -> SplitGraph:
        """Step 3."""
        return self.unique.split

    @property
    def normalised(self) -> NormalisedGraph:
        """Step 2."""
        return self.split.normalised

    @property
    def captured(self) -> CapturedGraph:
        """Step 1."""
        return self.plan.call.captured

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Every piece, in execution order."""
        return self.unique.pieces

    @property
    def unique_pieces(self) -> tuple[UniquePiece, ...]:
        """The groups of identical compiled pieces."""
        return self.unique.unique_pieces

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """One per unique piece and size range."""
        return self.compiled.artifacts

    @property
    def was_loaded_whole(self) -> bool:
        """Whether it came from the store without a trace."""
        return "load" in self.timings

    @property
    def account(self) -> CompileAccount:
        """Where the seconds of this compilation went, and what was saved."""
        from explorer.account import account

        return account(self)

    @property
    def origin(self) -> ArtifactOrigin:
        """COMPILED when a backend made some artifact of it, else where they were taken from."""
        if self.was_loaded_whole:
            return ArtifactOrigin.STORE
        found = {artifact.origin for artifact in self.artifacts}
        for origin in (ArtifactOrigin.COMPILED, ArtifactOrigin.STORE):
            if origin in found:
                return origin
        return ArtifactOrigin.MEMORY if found else ArtifactOrigin.COMPILED

    @property
    def size_ranges(self) -> tuple[SizeRange, ...]:
        """The dispatch sizes that are served, ascending.

        Exact sizes are in ``compiled.exact_sizes``.
        """
        return self.compiled.ranges

    @property
    def stitching_source(self) -> str:
        """The generated function that runs the pieces, as Python source."""
        return self.plan.stitching_source

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, one sentence each, in the order of the steps."""
        found = [*self.captured.notes, *self.split.notes, *self.compiled.notes]
        found += [
            f"{skip.size_range} is not compiled: {skip.reason}" for skip in self.compiled.skipped
        ]
        for artifact in self.artifacts:
            found += [f"piece {artifact.unique_id}: {note}" for note in artifact.notes]
        return tuple(dict.fromkeys(found))

    def audit(self, domain: SizeRange | Mapping[str, SizeRange] | None = None) -> GuardAudit:
        """For which sizes the captured graph is right, and what happens at the others.

        The model itself is run at a few sizes at which the graph is not right, without gradients,
        and left as it was; size 1 takes another capture.

        Args:
            domain: a range for the one dynamic size, or name -> range; a size that is left out
                varies over 1..min(max_size, 65536), an int argument of the call stays as in the
                example.

        Raises:
            ConfigError: a name that does not vary, or a value that is no range.
        """
        from explorer.guards.audit import audit

        return audit(self.normalised, self.config, domain)

    def diagnose(
        self,
        domain: SizeRange | Mapping[str, SizeRange] | None = None,
        *,
        allow: tuple[str, ...] = (),
        try_fixes: bool = False,
    ) -> Diagnosis:
        """Why the captured graph is not right everywhere, what it returns there, what may help.

        Args:
            domain: as for ``audit``.
            allow: what is meant to be so: a condition (``n != 4``), an input (``x.size(0)``), or
                ``file:line``.
            try_fixes: whether to compile fixes and compare them with eager.

        Raises:
            ConfigError: a domain that does not fit.
        """
        from explorer.guards.diagnosis import Wishes, diagnose_graph

        wishes = Wishes(domain, tuple(allow), try_fixes)
        return diagnose_graph(self.normalised, self.config, wishes)

    def explain_difference(
        self, piece_a: Piece | int, piece_b: Piece | int
    ) -> tuple[Difference, ...]:
        """Why two pieces are not the same, in words; empty when they are.

        Args:
            piece_a: a piece, or its index.
            piece_b: another.
        """
        first = self.pieces[piece_a] if isinstance(piece_a, int) else piece_a
        second = self.pieces[piece_b] if isinstance(piece_b, int) else piece_b
        dispatch = self.compiled.dispatch
        return explain_difference(first, second, self.captured, dispatch.name if dispatch else None)

    def explain_ranges(self, unique_id: str | None = None) -> tuple[RangeDifference, ...]:
        """What each size range changed in the generated code, beside the next range.

        Args:
            unique_id: of the piece; None takes every one.

        Raises:
            ConfigError: there is no such piece.
        """
        from explorer.stages.explain_ranges import explain_ranges

        return explain_ranges(self.compiled, unique_id)

    def pieces_frame(self) -> pandas.DataFrame:
        """One row per piece: index, kind, unique id, nodes, inputs, outputs, where it came from."""
        from explorer.report import views

        return views.frame(views.piece_rows(self))

    def artifacts_frame(self) -> pandas.DataFrame:
        """One row per artifact: unique id, range, seconds, bytes, origin, backend, guards."""
        from explorer.report import views

        return views.frame(views.artifact_rows(self))

    def guards_frame(self) -> pandas.DataFrame:
        """One row per condition on sizes: text, origin, file and line."""
        from explorer.report import views

        return views.frame(views.guard_rows(self))

    def summary(self) -> str:
        """The compilation on a screen at most."""
        from explorer.report import text

        return text.summary(self)

    def to_html(self, path: str | Path) -> Path:
        """Writes one self-contained page and returns where."""
        from explorer.report import html

        target = Path(path)
        html.write_page(target, html.page(self))
        return target

    def _repr_html_(self) -> str:
        from explorer.report import html

        return html.fragment(self)

    def __repr__(self) -> str:
        from explorer.report.wording import label_of

        name, split = label_of(self.name, 80), self.split.summary()
        return f"<Compilation {name}: {split}, {self.compiled.summary()}>"

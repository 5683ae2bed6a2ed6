"""CompileAccount: where the seconds of one compilation went, and what was not spent."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_NOT_PARTS = (
    "wall_seconds",
    "earlier_seconds",
    "shared",
    "saved_by_dedupe_seconds",
    "saved_by_workers_seconds",
)


@dataclass(frozen=True)
class CompileAccount:
    """Wall seconds of one update, each counted once: the parts add up to ``wall_seconds``.

    Where several workers compile at a time, their seconds are added up, and
    ``saved_by_workers_seconds`` is what that is more than what passed; what a plan did earlier is
    in ``earlier_seconds``. Then the parts add up to ``wall_seconds`` and these two.

    Attributes:
        capture: step 1; 0.0 for a step that was not run again, here and below.
        normalise: step 2.
        split: step 3.
        dedupe: step 4.
        lowering: Inductor turns graphs into its own program.
        codegen: Inductor schedules, fuses and writes code; the first time it also tries out what
            the processor can do.
        kernels: C++ or Triton kernels are compiled, or found in torch's cache, and loaded.
        backend: the rest of the backend: AOTAutograd, graph passes, torch's caches.
        store: artifacts and the compilation are serialised and written.
        load: artifacts or the compilation are looked up and read.
        plan: step 6.
        other: what none of them has.
        wall_seconds: of the whole update.
        earlier_seconds: of steps that ran for a plan before it.
        shared: artifacts that an equal piece's artifact stands for, of those that were compiled.
        saved_by_dedupe_seconds: what compiling these as well would have taken: an estimate, as if
            each took what the one took that stands for it.
        saved_by_workers_seconds: what compiling one at a time would have taken more.
    """

    capture: float = 0.0
    normalise: float = 0.0
    split: float = 0.0
    dedupe: float = 0.0
    lowering: float = 0.0
    codegen: float = 0.0
    kernels: float = 0.0
    backend: float = 0.0
    store: float = 0.0
    load: float = 0.0
    plan: float = 0.0
    other: float = 0.0
    wall_seconds: float = 0.0
    earlier_seconds: float = 0.0
    shared: int = 0
    saved_by_dedupe_seconds: float = 0.0
    saved_by_workers_seconds: float = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """The parts by name, in order."""
        names = [each.name for each in dataclasses.fields(self) if each.name not in _NOT_PARTS]
        return {name: getattr(self, name) for name in names}

    def report(self) -> str:
        """The parts as a small table, and what was saved, in words."""
        from explorer.report import account_text

        return account_text.report(self)

    def _repr_html_(self) -> str:
        from explorer.report import account_text

        return account_text.fragment(self)

"""Seconds that Inductor spends in its phases, read from the times that torch keeps of itself.

Private names used (torch 2.13.0): ``torch._dynamo.utils.compilation_time_metrics``, name of a phase
-> list of seconds, one added when the phase ends; and three names of phases in it.
"""

from __future__ import annotations

import torch._dynamo.utils

LOWERING, CODEGEN, KERNELS = "lowering", "codegen", "kernels"

TORCH_NAMES = {
    LOWERING: "GraphLowering.run",
    CODEGEN: "GraphLowering.codegen",
    KERNELS: "PyCodeCache.load_by_key_path",
}
"""Our name of a phase -> torch's. None of them runs inside another one.

The last one imports the generated module, which compiles its C++ or Triton kernels and waits for
them.
"""


class PhaseReading:
    """Begins when it is made; ``seconds`` has what passed since."""

    def __init__(self) -> None:
        self._before = {name: len(_times(name)) for name in TORCH_NAMES.values()}

    def seconds(self, whole: float) -> dict[str, float]:
        """Seconds by phase; empty where they cannot be those of one compile.

        A graph inside a graph, such as a branch of ``torch.cond``, runs the first two phases inside
        the outer ones, which end last: the last time alone is counted. Torch keeps one list for all
        threads: where another one compiles too, the phases can add up to more than the whole.

        Args:
            whole: seconds of the one compile that ran since.
        """
        found = {}
        for ours, name in TORCH_NAMES.items():
            new = _times(name)[self._before[name] :]
            if new:
                found[ours] = sum(new) if ours == KERNELS else new[-1]
        return found if sum(found.values()) <= whole else {}


def _times(name: str) -> list[float]:
    return torch._dynamo.utils.compilation_time_metrics.get(name, [])


__all__ = ["CODEGEN", "KERNELS", "LOWERING", "TORCH_NAMES", "PhaseReading"]

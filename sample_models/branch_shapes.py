"""Models that differ in the shape of one branch on sizes, for the sample ``branching``.

Each side multiplies by another number, so that a graph with the wrong side shows. The lines with
the tests are what an audit or a diagnosis has to name.
"""

from __future__ import annotations

import torch
from torch import nn

BRANCH_ROWS = 4
"""The number of rows that the branches of the two smallest models compare with."""


class BranchingModel(nn.Module):
    """What all of them have: one linear layer, and a number that the branch compares with."""

    def __init__(self, width: int, threshold: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.threshold = threshold


class Greater(BranchingModel):
    """``if n > threshold``: doubles above it, multiplies by 100 up to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        if x.shape[0] > self.threshold:
            return projected * 2
        return projected * 100


class Modulo(BranchingModel):
    """``if n % threshold == 0``: doubles at multiples, multiplies by 100 elsewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        if x.shape[0] % self.threshold == 0:
            return projected * 2
        return projected * 100


class Nested(BranchingModel):
    """Four tests, five results: 2 and 3 above the threshold; 5 at 4 rows, 7 up to 32, else 11."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        n = x.shape[0]
        if n > self.threshold:
            if n % 16 == 0:
                return projected * 2
            return projected * 3
        if n == 4:
            return projected * 5
        if n <= 32:
            return projected * 7
        return projected * 11


class TwoDims(BranchingModel):
    """Two sizes: doubles where ``nx > ny``, else times 100 at ``ny == threshold``, else 1000."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(nx, width), (ny, width) -> (width,)."""
        both = self.project(x).mean(0) + self.project(y).mean(0)
        if x.shape[0] > y.shape[0]:
            return both * 2
        if y.shape[0] == self.threshold:
            return both * 100
        return both * 1000


class IntArgument(BranchingModel):
    """A number decides with the size: ``k > threshold``, and on each side ``n > 2 * k``."""

    def forward(self, x: torch.Tensor, k: int) -> torch.Tensor:
        """(n, width), k -> (n, width)."""
        projected = self.project(x)
        if k > self.threshold:
            if x.shape[0] > 2 * k:
                return projected * 2
            return projected * 3
        if x.shape[0] > 2 * k:
            return projected * 100
        return projected * 1000


class While(BranchingModel):
    """Doubles once for each time that the rows can be halved before they are at the threshold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        left = x.shape[0]
        while left > self.threshold:
            projected = projected * 2
            left = left // 2
        return projected


class Ternary(BranchingModel):
    """``2 if n <= threshold else 100`` picks the factor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        factor = 2 if x.shape[0] <= self.threshold else 100
        return self.project(x) * factor


class And(BranchingModel):
    """``if n > threshold and n % 4 == 0``: two tests on one line."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        if x.shape[0] > self.threshold and x.shape[0] % 4 == 0:
            return projected * 2
        return projected * 100


class Assert(BranchingModel):
    """Refuses exactly ``threshold`` rows with an ``assert``, and doubles at any other number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        assert x.shape[0] != self.threshold, "this number of rows is not supported"
        return self.project(x) * 2


class DictKey(BranchingModel):
    """Looks the factor up by the number of rows, which makes the size a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        factors = {self.threshold: 2, 2 * self.threshold: 3}
        return self.project(x) * factors.get(x.shape[0], 100)


class Range(BranchingModel):
    """Doubles ``n // threshold`` times in a loop, which the trace unrolls."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, width)."""
        projected = self.project(x)
        for _ in range(x.shape[0] // self.threshold):
            projected = projected * 2
        return projected


class View(BranchingModel):
    """Views the rows in groups of ``threshold``; other numbers of rows fail, compiled or not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n / threshold, width)."""
        projected = self.project(x)
        return projected.view(-1, self.threshold, x.shape[1]).sum(1)

"""Size ranges, closed at both ends, and the table of ranges that a configuration asks for."""

from collections.abc import Iterable
from dataclasses import dataclass

from explorer.errors import ConfigError


@dataclass(frozen=True, order=True)
class SizeRange:
    """The sizes from ``start`` to ``end``, both included.

    Attributes:
        start: smallest size, at least 0.
        end: largest size, at least ``start``.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"SizeRange.{name} must be an int, not {value!r}.")
        if self.start < 0 or self.end < self.start:
            raise ConfigError(
                f"SizeRange({self.start}, {self.end}) is empty: start must be at least 0 and at "
                "most end."
            )

    def __contains__(self, size: object) -> bool:
        if isinstance(size, bool) or not isinstance(size, int):
            return False
        return self.start <= size <= self.end

    def __str__(self) -> str:
        return str(self.start) if self.is_single_size else f"{self.start}–{self.end}"

    @property
    def is_single_size(self) -> bool:
        """Whether the range holds one size only."""
        return self.start == self.end

    def intersection(self, other: "SizeRange") -> "SizeRange | None":
        """The sizes in both ranges, or None when there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return SizeRange(start, end) if start <= end else None


@dataclass(frozen=True)
class RangeTable:
    """What a configuration asks to be compiled: ranges that tile 1..max_size, and exact sizes.

    Attributes:
        ranges: ascending, without gaps, from 1 to the largest size.
        exact_sizes: ascending sizes that get an artifact of their own and win over the ranges.
        notes: what was dropped or merged on the way, one sentence each.
    """

    ranges: tuple[SizeRange, ...]
    exact_sizes: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def all(self) -> tuple[SizeRange, ...]:
        """Ranges first, then the exact sizes as ranges of one size."""
        return self.ranges + tuple(SizeRange(size, size) for size in self.exact_sizes)


def build_range_table(
    endpoints: Iterable[int], exact_sizes: Iterable[int], max_size: int
) -> RangeTable:
    """Tiles 1..max_size at the endpoints: ``[1, e0] [e0+1, e1] ... [last+1, max_size]``.

    Args:
        endpoints: last size of each range; those of at most 1 or at least ``max_size`` and
            duplicates are dropped with a note, unsorted ones are sorted with a note.
        exact_sizes: sizes with an artifact of their own, each in 1..max_size.
        max_size: upper end of the last range, at least 1.

    Raises:
        ConfigError: an exact size beyond ``max_size`` or below 1.
    """
    given = list(endpoints)
    kept = sorted({endpoint for endpoint in given if 1 < endpoint < max_size})
    notes = []
    for endpoint in dict.fromkeys(given):
        if endpoint <= 1:
            notes.append(f"endpoint {endpoint} dropped: the first range starts at 1")
        elif endpoint >= max_size:
            notes.append(f"endpoint {endpoint} dropped: the last range ends at max_size={max_size}")
    if len(set(given)) != len(given):
        notes.append("duplicate endpoints dropped")
    if given != sorted(given):
        notes.append("endpoints sorted")
    starts = [1, *[endpoint + 1 for endpoint in kept]]
    ends = [*kept, max_size]
    sizes = list(exact_sizes)
    for size in sizes:
        if not 1 <= size <= max_size:
            raise ConfigError(
                f"compile_sizes holds {size}, which is not in 1..max_size={max_size}: "
                f"drop it, or set max_size to at least {size}."
            )
    if len(set(sizes)) != len(sizes):
        notes.append("duplicate compile sizes dropped")
    if sizes != sorted(sizes):
        notes.append("compile sizes sorted")
    ranges = tuple(SizeRange(start, end) for start, end in zip(starts, ends, strict=True))
    return RangeTable(ranges, tuple(sorted(set(sizes))), tuple(notes))


def interval_text(sizes: Iterable[SizeRange]) -> str:
    """Ranges as text, ``2-3, 5-8192``; ``none`` when there are none."""
    return ", ".join(str(size_range) for size_range in sizes) or "none"

"""What an audit varies: dynamic sizes and int arguments, each over a range of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from explorer.artifacts import CapturedGraph
from explorer.artifacts.common import Expression
from explorer.config import CompilationConfig
from explorer.errors import ConfigError
from explorer.size_range import SizeRange

LARGEST_DEFAULT_SIZE = 65536
"""Upper end of a size's default domain, when ``max_size`` is larger."""


@dataclass(frozen=True)
class Dimension:
    """One thing that varies.

    Attributes:
        name: a dynamic size's, or an int argument's.
        symbols: what stands for it in conditions.
        is_size: whether it is a size; 0 and 1 are then served apart.
        hint: its value at capture.
        low: the smallest size that the capture's own range allows; 0 for an int argument.
    """

    name: str
    symbols: tuple[Expression, ...]
    is_size: bool
    hint: int
    low: int = 0


def known_dimensions(captured: CapturedGraph) -> tuple[Dimension, ...]:
    """Every dynamic size in signature order, then every int argument that became a constant."""
    found = [
        Dimension(
            size.name,
            tuple(dict.fromkeys((size.symbol, *size.torch_symbols))),
            True,
            captured.hints.get(size.name, size.hint),
            size.low,
        )
        for size in captured.sizes
    ]
    names = {each.name for each in found}
    for guard in captured.value_guards:
        symbols = () if guard.expression is None else tuple(guard.expression.free_symbols)
        is_int = isinstance(guard.value, int) and not isinstance(guard.value, bool)
        if len(symbols) == 1 and is_int and str(symbols[0]) not in names:
            names.add(str(symbols[0]))
            found.append(Dimension(str(symbols[0]), symbols, False, int(str(guard.value))))
    return tuple(found)


def resolve_domain(
    known: tuple[Dimension, ...],
    config: CompilationConfig,
    domain: SizeRange | Mapping[str, SizeRange] | None,
) -> dict[Dimension, SizeRange]:
    """The dimensions to vary, each with its values.

    Every dynamic size varies; one that is not named takes 1..min(max_size, 65536). An int argument
    varies when it is named.

    Raises:
        ConfigError: a name that is not there, a value that is no range, or one range for several
            sizes.
    """
    names = ", ".join(each.name for each in known) or "none: nothing is dynamic"
    sizes = [each for each in known if each.is_size]
    if isinstance(domain, SizeRange):
        if len(sizes) != 1:
            raise ConfigError(
                f"One range is a domain for one dynamic size, and there are {len(sizes)}: pass "
                f"{{name: SizeRange(...)}} with names of {names}."
            )
        domain = {sizes[0].name: domain}
    if domain is not None and not isinstance(domain, Mapping):
        raise ConfigError(
            f"domain must be a SizeRange or {{name: SizeRange}}, not {domain!r}; the names are "
            f"{names}."
        )
    wanted = dict(domain or {})
    for name, values in wanted.items():
        if name not in {each.name for each in known}:
            raise ConfigError(f"domain names {name!r}, which does not vary; the names are {names}.")
        if not isinstance(values, SizeRange):
            raise ConfigError(f"domain[{name!r}] must be a SizeRange, not {values!r}.")
    default = SizeRange(1, min(config.max_size, LARGEST_DEFAULT_SIZE))
    return {
        each: wanted.get(each.name, default)
        for each in known
        if each.is_size or each.name in wanted
    }


def checked_point(known: tuple[Dimension, ...], sizes: Mapping[str, int]) -> dict[str, int]:
    """A value for every dimension: the given ones, and the example's for int arguments.

    Raises:
        ConfigError: a name that is missing or not there, or a value that is no size.
    """
    names = ", ".join(each.name for each in known) or "none: nothing is dynamic"
    for name, value in sizes.items():
        if name not in {each.name for each in known}:
            raise ConfigError(f"There is no size named {name!r}; the names are {names}.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"{name} must be an int of at least 0, not {value!r}.")
    missing = [each.name for each in known if each.is_size and each.name not in sizes]
    if missing:
        raise ConfigError(f"A value for {missing[0]} is missing; the names are {names}.")
    return {each.name: sizes.get(each.name, each.hint) for each in known}

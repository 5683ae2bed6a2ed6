"""Keys: every factor counts, and what is no factor says why."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from explorer import CompilationConfig, DynamicShapesConfig
from explorer.store.key import NOT_OF_A_PIECE, config_factors
from explorer.store.manifest import entry_key
from explorer.store.nearest import changed_factors

OTHER_VALUE: dict[str, Any] = {
    "dynamic_shapes": DynamicShapesConfig(type="unbacked"),  # type: ignore[arg-type]
    "guard_policy": "drop",
}
"""Another value of every field that is a factor of a piece."""


def test_every_field_is_a_factor_or_says_why_not() -> None:
    names = {field.name for field in dataclasses.fields(CompilationConfig)}
    assert names == set(OTHER_VALUE) | (set(NOT_OF_A_PIECE) & names)
    assert not set(OTHER_VALUE) & set(NOT_OF_A_PIECE)
    assert all(NOT_OF_A_PIECE.values())


@pytest.mark.parametrize("name", OTHER_VALUE)
def test_every_factor_flips_the_key(name: str) -> None:
    config = CompilationConfig()
    other = config.replace(**{name: OTHER_VALUE[name]})
    before, now = (config_factors(each, NOT_OF_A_PIECE) for each in (config, other))
    assert entry_key("piece", before) != entry_key("piece", now)
    assert {change.name.split(".")[1] for change in changed_factors(before, now)} == {name}


def test_fields_of_fields_are_factors() -> None:
    factors = config_factors(CompilationConfig(), NOT_OF_A_PIECE)
    assert factors["config.dynamic_shapes.type"] == "BACKED"
    assert factors["config.dynamic_shapes.evaluate_guards"] == "False"


def test_value_without_a_text() -> None:
    with pytest.raises(TypeError, match=r"config\.backend is a object"):
        config_factors(_Odd(object()), {})


@dataclasses.dataclass(frozen=True)
class _Odd:
    backend: object

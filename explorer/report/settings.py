"""A CompilationConfig in, plain data out that can become JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

from explorer import passes
from explorer.config import CompilationConfig
from explorer.errors import ConfigError


def settings_view(config: CompilationConfig) -> dict[str, Any]:
    """Field -> value: enums by name, a backend by name and identity, graph passes by uuid."""
    fields = {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}
    shown = {name: _plain(value) for name, value in fields.items()}
    if not isinstance(config.backend, str):
        shown["backend"] = {"name": config.backend.name, "identity": config.backend.identity()}
    shown["inductor_config"] = {
        name: _setting(name, value) for name, value in config.inductor_config.items()
    }
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float | str | None):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value)


def _setting(name: str, value: Any) -> Any:
    if name not in passes.PASS_SETTINGS or not value:
        return _plain(value)
    try:
        graph_pass = passes.as_pass(value)
        inner = getattr(graph_pass, "passes", (graph_pass,))
        return [{"pass": passes.label_of(each), "uuid": passes.uuid_of(each)} for each in inner]
    except ConfigError as error:  # the compile step says so; a log must not be what fails
        return f"not usable: {error}"

"""The dims that are not static, as the table of the editor, and as settings of a session.

``{"x": {"0": {"mode": "dynamic", "name": "n"}}}`` is ``dynamic_arg_dims={"x": {0: "n"}}``. Tensors
are those of ``dims_view``; all that is checked here is checked again where a call is captured.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from explorer import ConfigError
from explorer.report.settings_view import MODES, DimTable
from explorer.report.wording import label_of
from widgets.settings_text import named_dims

Tensors: TypeAlias = Sequence[Mapping[str, Any]]
Setting: TypeAlias = dict[str, dict[int, str | None]]
"""Path -> dim -> name of its size, or None."""

_SHOWN = 40


class DimFault(ConfigError):
    """One dim of a table cannot be set so.

    Attributes:
        path: of the tensor.
        dim: as in the table, a string.
    """

    def __init__(self, path: str, dim: str, reason: str) -> None:
        super().__init__(f"{label_of(path, _SHOWN)}[{label_of(dim, _SHOWN)}]{reason}")
        self.path, self.dim = path, dim


def checked_table(tensors: Tensors, draft: object) -> DimTable:
    """The table without static dims, in the order of the tensors.

    Args:
        tensors: of ``dims_view``; without any, only the form of the draft is checked.
        draft: what a person edited; nothing about it is known.

    Raises:
        ConfigError: an unknown path or dim, an unknown mode, a name that cannot be one.
        DimFault: the same, where it is about one dim.
    """
    table: DimTable = {}
    for path, dims in _mapping(draft, "The table of dims").items():
        for dim, chosen in _mapping(dims, f"The entry of {label_of(path, _SHOWN)}").items():
            checked = _checked(path, dim, chosen)
            if checked["mode"] != "static":
                table.setdefault(path, {})[str(dim)] = checked
    if not tensors:
        return table
    sizes = {
        (each["path"], str(dim["dim"])): dim["size"] for each in tensors for dim in each["dims"]
    }
    for path, dims in table.items():
        for dim in dims:
            if (path, dim) not in sizes:
                raise DimFault(path, dim, " is no dim of this call: choose one of those shown.")
    ordered: DimTable = {}
    for path, dim in sizes:
        if dim in table.get(path, {}):
            ordered.setdefault(path, {})[dim] = table[path][dim]
    _check_names(ordered, sizes)
    return ordered


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{what} must be a dict with strings as keys: see DimsEditor.value.")
    return dict(value)


def _checked(path: str, dim: str, chosen: object) -> dict[str, str]:
    chosen = _mapping(chosen, f"The entry of {label_of(path, _SHOWN)}[{label_of(dim, _SHOWN)}]")
    mode, name = chosen.get("mode"), chosen.get("name") or ""
    if mode not in MODES:
        raise DimFault(path, dim, f" is {label_of(mode, _SHOWN)!r}: choose {', '.join(MODES)}.")
    name = name.strip() if isinstance(name, str) else label_of(name, _SHOWN)
    if name and mode != "static" and (not name.isidentifier() or keyword.iskeyword(name)):
        raise DimFault(
            path,
            dim,
            f" is called {label_of(name, _SHOWN)!r}, which is no name of a size: write letters, "
            "digits and _, as in n.",
        )
    return {"mode": mode, "name": name}


def _check_names(table: DimTable, sizes: Mapping[tuple[str, str], int]) -> None:
    first: dict[str, tuple[str, int]] = {}
    for path, dims in table.items():
        for dim, chosen in dims.items():
            if not chosen["name"]:
                continue
            size, place = sizes[path, dim], f"{label_of(path, _SHOWN)}[{dim}]"
            known = first.setdefault(chosen["name"], (place, size))
            if known[1] != size:
                raise DimFault(
                    path,
                    dim,
                    f" is {size} and {known[0]} is {known[1]}, so they cannot both be "
                    f"{label_of(chosen['name'], _SHOWN)!r}: one name is one size.",
                )


def table_of(tensors: Tensors, dims: Mapping[str, Any] | None, unbacked: Any = None) -> DimTable:
    """Two settings of a session as a table.

    Args:
        tensors: of ``dims_view``.
        dims: ``dynamic_arg_dims``: path -> dim, list of dims, or {dim: name or Dim}. The path of a
            container stands for every tensor in it.
        unbacked: ``mark_unbacked_dims``, in the same form.

    Raises:
        ConfigError: a path or a dim that is not there.
    """
    table: DimTable = {}
    for mode, setting in (("dynamic", dims), ("unbacked", unbacked)):
        for path, wanted in (setting or {}).items():
            found = [each for each in tensors if _is_in(_normal(each["path"]), _normal(path))]
            if not found:
                raise ConfigError(f"There is no tensor at {label_of(path, _SHOWN)} in this call.")
            for tensor in found:
                _add(table, tensor, wanted, mode)
    return checked_table(tensors, table)


def _add(table: DimTable, tensor: Mapping[str, Any], wanted: Any, mode: str) -> None:
    path, rank = tensor["path"], len(tensor["dims"])
    for dim, name in named_dims(wanted).items():
        if isinstance(dim, bool) or not isinstance(dim, int) or not -rank <= dim < rank:
            raise DimFault(path, str(dim), f" is no dim of this call: it has {rank} dims.")
        own = table.setdefault(path, {})
        before = own.get(str(dim % rank), {"name": ""})
        own[str(dim % rank)] = {"mode": mode, "name": name or before["name"]}


def setting_of(table: DimTable, mode: str) -> Setting:
    """The dims of one mode, as a session takes them."""
    found: Setting = {}
    for path, dims in table.items():
        for dim, chosen in dims.items():
            if chosen["mode"] == mode:
                found.setdefault(path, {})[int(dim)] = chosen["name"] or None
    return found


def _normal(path: str) -> str:
    return re.sub(r'\["([^"]*)"\]', r"['\1']", path.replace(" ", ""))


def _is_in(path: str, container: str) -> bool:
    return path == container or path.startswith((f"{container}[", f"{container}."))

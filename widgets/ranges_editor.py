"""The size ranges and exact sizes that get artifacts, as text and drawn on an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from explorer import Compilation, CompilationConfig, ConfigError
from explorer.report.settings_view import ranges_axis
from widgets.control_view import ControlView
from widgets.settings_text import (
    numbers_text,
    parse_compile_sizes,
    parse_endpoints,
    parse_max_size,
)
from widgets.view import script, style

_BOXES = {  # box -> the setting that it holds, and what reads it
    "max_size": ("max_size", parse_max_size),
    "ranges": ("compile_ranges_endpoints", parse_endpoints),
    "sizes": ("compile_sizes", parse_compile_sizes),
}


class RangesEditor(ControlView):
    """Three boxes and an axis.

    Attributes:
        value: ``compile_ranges_endpoints``, ``compile_sizes`` and ``max_size``.
        draft: what stands in the boxes ``ranges``, ``sizes`` and ``max_size``.
        faulty: the box that the message is about, or empty.
        view: the axis of the value, see ``ranges_axis``.
    """

    _esm = script("controls", "ranges_editor")
    _css = style("controls", "ranges_editor")

    value: Any = traitlets.Dict().tag(sync=True)
    draft: Any = traitlets.Dict().tag(sync=True)
    faulty = traitlets.Unicode("").tag(sync=True)

    def __init__(self, config: CompilationConfig | None = None, **traits: Any) -> None:
        self._config = config or CompilationConfig()
        super().__init__(**traits)
        self.observe(self._on_draft, "draft")
        self.observe(self._on_value, "value")
        if not self.value:
            self.show(self._config)

    def show(self, source: CompilationConfig | Compilation) -> None:
        """Shows the ranges and sizes of a configuration; the rest of it decides what is allowed."""
        self._config = source.config if isinstance(source, Compilation) else source
        value = _value(self._config)
        if value == self.value:
            self._on_value()
        else:
            self.value = value
        self.message, self.faulty = "", ""

    @property
    def changes(self) -> dict[str, Any]:
        """The value as settings of ``Session.update``."""
        return {
            "compile_ranges_endpoints": tuple(self.value["compile_ranges_endpoints"]),
            "compile_sizes": tuple(self.value["compile_sizes"]),
            "max_size": self.value["max_size"],
        }

    @traitlets.validate("value")
    def _checked_value(self, proposal: traitlets.Bunch) -> dict[str, Any]:
        given = proposal["value"]
        unknown = set(given) - {name for name, _ in _BOXES.values()}
        if unknown:
            raise ConfigError(f"RangesEditor.value has no entry {min(map(str, unknown))!r}.")
        return _value(self._config.replace(**given))

    def _on_draft(self, _change: object) -> None:
        if self.draft == _texts(self.value):
            self.message, self.faulty = "", ""
            return
        box = ""
        try:
            settings = {}
            for box, (name, parse) in _BOXES.items():
                settings[name] = parse(_text(self.draft, box))
            box = ""
            value = _value(self._config.replace(**settings))
        except ConfigError as error:
            self.faulty, self.message = box or _box_of(error), str(error)
            return
        self.message, self.faulty = "", ""
        self.value = value

    def _on_value(self, _change: object = None) -> None:
        self._config = self._config.replace(**self.changes)
        self.view = ranges_axis(self._config)
        if not self._says_value(self.draft):
            self.draft = _texts(self.value)

    def _says_value(self, draft: Mapping[str, Any]) -> bool:
        """Whether the boxes come to the value, however they are written."""
        try:
            read = {name: parse(_text(draft, box)) for box, (name, parse) in _BOXES.items()}
        except ConfigError:
            return False
        return read == self.changes

    def __repr__(self) -> str:
        return f"RangesEditor({self.view.get('text', 'no ranges')})"


def _box_of(error: ConfigError) -> str:
    """The box with the setting that a sentence begins with; sizes can be at odds with any other."""
    names = {name: box for box, (name, _) in _BOXES.items()}
    return names.get(str(error).partition(" ")[0], "sizes")


def _value(config: CompilationConfig) -> dict[str, Any]:
    return {
        "compile_ranges_endpoints": list(config.compile_ranges_endpoints),
        "compile_sizes": list(config.compile_sizes),
        "max_size": config.max_size,
    }


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {
        "ranges": numbers_text(value["compile_ranges_endpoints"]),
        "sizes": numbers_text(value["compile_sizes"]),
        "max_size": str(value["max_size"]),
    }


def _text(draft: Mapping[str, Any], box: str) -> str:
    text = draft.get(box, "")
    if not isinstance(text, str):
        raise ConfigError(f"The box {box} holds a {type(text).__name__}: write text.")
    return text

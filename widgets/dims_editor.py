"""The dims of a call's tensors: static, dynamic or unbacked, and which of them are one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from explorer import Compilation, ConfigError
from explorer.report.settings_view import DimTable, dims_view, shared_sizes_text
from explorer.stages.capture import CaptureRequest
from widgets.control_view import ControlView
from widgets.dims_table import DimFault, checked_table, setting_of, table_of
from widgets.view import script, style


class DimsEditor(ControlView):
    """One row per tensor, one cell per dim.

    Attributes:
        value: path -> dim -> ``mode`` and ``name``, of the dims that are not static: ``{"x": {"0":
            {"mode": "dynamic", "name": "n"}}}``; None when none are given, so that they are
            inferred from the signature.
        draft: what stands in the boxes, in the same form.
        faulty: path and dim that the message is about, or empty.
        summary: which dims are one size, in words.
    """

    _esm = script("controls", "dims_editor")
    _css = style("controls", "dims_editor")

    value: Any = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)
    draft: Any = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)
    faulty = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._given: tuple[DimTable | None, Any, Any] = (None, None, None)
        super().__init__(**traits)
        self.observe(self._on_draft, "draft")
        self.observe(self._on_value, "value")

    def show(self, source: CaptureRequest | Compilation) -> None:
        """Shows the tensors of a call with their dims as they are set there.

        Args:
            source: ``Session.request``, so that it works before the first compile, or a
                compilation.
        """
        view = dims_view(source)
        request = source if isinstance(source, CaptureRequest) else source.captured.request
        self.view = view
        table = view["table"] if view["is_given"] else None
        dims = request and request.dynamic_arg_dims
        unbacked = request and request.mark_unbacked_dims
        self._given = (table, dims, unbacked)
        self._set(table)
        self.message = view["message"]

    def refresh(self, source: CaptureRequest | Compilation) -> None:
        """Shows what is known of the tensors now; the value and the boxes stay as they are."""
        self.view = dims_view(source)
        self._summarise()

    def set_dims(
        self,
        dynamic_arg_dims: Mapping[str, Any] | None,
        mark_unbacked_dims: Mapping[str, Any] | None = None,
    ) -> None:
        """Sets the dims in the form in which a session takes them.

        As long as nobody edits them, they are handed out as the very objects that were given.

        Args:
            dynamic_arg_dims: see ``compile_model``; None for what the signature says.
            mark_unbacked_dims: see ``compile_model``.

        Raises:
            ConfigError: a path or a dim that this call has not.
        """
        table = None
        if dynamic_arg_dims is not None or mark_unbacked_dims is not None:
            tensors = self.view.get("tensors", ())
            table = table_of(tensors, dynamic_arg_dims, mark_unbacked_dims)
            if dynamic_arg_dims is None:
                inferred = self.view.get("inferred", {})
                table = {path: inferred.get(path, {}) | dims for path, dims in table.items()}
                table = checked_table(tensors, {**inferred, **table})
        self._given = (table, dynamic_arg_dims, mark_unbacked_dims)
        self._set(table)

    @property
    def dynamic_arg_dims(self) -> Mapping[str, Any] | None:
        """The setting of a session that the value stands for; None to infer them."""
        if self.value == self._given[0]:
            return self._given[1]
        return None if self.value is None else setting_of(self.value, "dynamic")

    @property
    def mark_unbacked_dims(self) -> Mapping[str, Any] | None:
        """The setting of a session that the value stands for, or None."""
        if self.value == self._given[0]:
            return self._given[2]
        return setting_of(self.value or {}, "unbacked") or None

    @traitlets.validate("value")
    def _checked_value(self, proposal: traitlets.Bunch) -> DimTable | None:
        return self._checked(proposal["value"])

    def _checked(self, table: object) -> DimTable | None:
        return None if table is None else checked_table(self.view.get("tensors", ()), table)

    def _set(self, table: DimTable | None) -> None:
        self.value = table
        self._on_value()

    def _on_draft(self, _change: object) -> None:
        try:
            value = self._checked(self.draft)
        except ConfigError as error:
            self.faulty = [error.path, error.dim] if isinstance(error, DimFault) else []
            self.message = str(error)
            return
        self.faulty, self.message = [], ""
        self.value = value

    def _on_value(self, _change: object = None) -> None:
        """The boxes follow, unless what they say comes to the same."""
        try:
            follows = self._checked(self.draft) == self.value
        except ConfigError:
            follows = False
        if not follows:
            self.draft = self.value
        self._summarise()

    def _summarise(self) -> None:
        table = self.view.get("inferred", {}) if self.value is None else self.value
        tensors = self.view.get("tensors", ())
        self.summary = shared_sizes_text(tensors, table) if tensors else ""

    def __repr__(self) -> str:
        count = "not given" if self.value is None else sum(map(len, self.value.values()))
        return f"DimsEditor({len(self.view.get('tensors', ()))} tensors, dynamic dims: {count})"

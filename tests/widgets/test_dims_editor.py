"""Dims as a table that a person edits, and as the settings of a session; no browser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

from explorer import ConfigError, Session
from explorer.stages.capture import CaptureRequest
from widgets.dims_editor import DimsEditor
from widgets.dims_table import checked_table, setting_of, table_of

N = {"mode": "dynamic", "name": "n"}
UNNAMED = {"mode": "dynamic", "name": ""}


class Sum(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor, batch: Any) -> torch.Tensor:
        return x + y + batch["ids"].sum()


def request_of(**settings: Any) -> CaptureRequest:
    batch = {"ids": torch.ones(6, 2)}
    return CaptureRequest(Sum(), (torch.ones(4, 3), torch.ones(4, 3), batch), {}, **settings)


@pytest.fixture
def editor() -> DimsEditor:
    editor = DimsEditor()
    editor.show(request_of())
    return editor


def test_dims_that_are_not_given_are_none(editor: DimsEditor) -> None:
    assert editor.value is None
    assert editor.dynamic_arg_dims is None
    assert editor.mark_unbacked_dims is None
    assert editor.summary == "2 sizes: x_0 = x[0], example 4; y_0 = y[0], example 4"


def test_an_edit_becomes_the_value_and_two_settings(editor: DimsEditor) -> None:
    editor.draft = {
        "y": {"0": {"mode": "unbacked", "name": " n "}, "1": {"mode": "static", "name": "z"}},
        "x": {"0": N, "1": UNNAMED},
    }
    assert editor.message == ""
    assert editor.value == {
        "x": {"0": N, "1": UNNAMED},
        "y": {"0": {"mode": "unbacked", "name": "n"}},
    }
    assert editor.dynamic_arg_dims == {"x": {0: "n", 1: None}}
    assert editor.mark_unbacked_dims == {"y": {0: "n"}}
    assert editor.summary == "2 sizes: n = x[0] = y[0], example 4; x_1 = x[1], example 3"


def test_a_session_takes_the_settings(editor: DimsEditor) -> None:
    request = request_of()
    session = Session(request.model, request.args)
    editor.draft = {"x": {"0": N}, "y": {"0": {"mode": "unbacked", "name": "n"}}}
    planned = session.plan(
        dynamic_arg_dims=editor.dynamic_arg_dims,
        mark_unbacked_dims=editor.mark_unbacked_dims,
        backend="eager",
    )
    sizes = planned.unique.split.normalised.captured.sizes
    assert [(size.name, size.sources) for size in sizes] == [("n", (("x", 0), ("y", 0)))]


def test_nothing_dynamic_is_not_the_same_as_not_given(editor: DimsEditor) -> None:
    editor.draft = {}
    assert editor.value == {}
    assert editor.dynamic_arg_dims == {}
    assert editor.mark_unbacked_dims is None
    editor.draft = None
    assert editor.value is None
    assert editor.dynamic_arg_dims is None


FAULTS = {
    "no name": ({"x": {"0": {"mode": "dynamic", "name": "2x"}}}, "x[0] is called '2x'"),
    "keyword": ({"x": {"0": {"mode": "dynamic", "name": "if"}}}, "x[0] is called 'if'"),
    "markup": (
        {"x": {"0": {"mode": "dynamic", "name": "<b>\u202e"}}},
        "x[0] is called '<b>', which is no name of a size",
    ),
    "two sizes": (
        {"x": {"0": N, "1": N}},
        "x[1] is 3 and x[0] is 4, so they cannot both be 'n': one name is one size.",
    ),
    "mode": ({"x": {"0": {"mode": "free", "name": ""}}}, "x[0] is 'free': choose static, dynamic"),
    "path": ({"z": {"0": N}}, "z[0] is no dim of this call"),
    "dim": ({"x": {"2": N}}, "x[2] is no dim of this call"),
    "no table": ({"x": 3}, "The entry of x must be a dict"),
    "no entry": ({"x": {"0": "dynamic"}}, "The entry of x[0] must be a dict"),
    "long": ({"x": {"0": {"mode": "dynamic", "name": "1" * 10**6}}}, "x[0] is called '111"),
}


@pytest.mark.parametrize(("draft", "message"), FAULTS.values(), ids=FAULTS)
def test_a_draft_that_cannot_be_leaves_the_last_good_value(
    editor: DimsEditor, draft: Any, message: str
) -> None:
    editor.draft = {"x": {"0": N}}
    editor.draft = draft
    assert message in editor.message
    assert len(editor.message) < 200
    assert editor.value == {"x": {"0": N}}
    editor.draft = {"x": {"0": N}}
    assert (editor.message, editor.faulty) == ("", [])


def test_the_place_of_a_fault_is_known(editor: DimsEditor) -> None:
    editor.draft = {"y": {"1": {"mode": "dynamic", "name": "2x"}}}
    assert editor.faulty == ["y", "1"]


def test_a_value_from_code_fills_the_boxes_and_a_bad_one_raises(editor: DimsEditor) -> None:
    editor.value = {"y": {"1": N, "0": {"mode": "static", "name": ""}}}
    assert editor.value == editor.draft == {"y": {"1": N}}
    with pytest.raises(ConfigError, match="is no dim of this call"):
        editor.value = {"y": {"7": N}}
    assert editor.value == {"y": {"1": N}}


def test_given_dims_are_handed_out_as_the_objects_that_were_given(editor: DimsEditor) -> None:
    dims = {"x": {0: Dim("tokens")}, 'batch["ids"]': [0], "y": -2}
    editor.set_dims(dims)
    tokens = {"mode": "dynamic", "name": "tokens"}
    assert editor.value == {
        "x": {"0": tokens},
        "y": {"0": UNNAMED},
        "batch['ids']": {"0": UNNAMED},
    }
    assert editor.dynamic_arg_dims is dims
    editor.draft = {"x": {"0": tokens}}
    assert editor.dynamic_arg_dims == {"x": {0: "tokens"}}
    editor.draft = editor.draft | {"y": {"0": UNNAMED}, "batch['ids']": {"0": UNNAMED}}
    assert editor.dynamic_arg_dims is dims


def test_unbacked_dims_alone_come_on_top_of_the_inferred_ones(editor: DimsEditor) -> None:
    unbacked = {"x": 0}
    editor.set_dims(None, unbacked)
    assert editor.value == {"x": {"0": {"mode": "unbacked", "name": ""}}, "y": {"0": UNNAMED}}
    assert editor.dynamic_arg_dims is None
    assert editor.mark_unbacked_dims is unbacked


@pytest.mark.parametrize(
    ("dims", "message"),
    [({"z": 0}, "no tensor at z"), ({"x": 2}, "it has 2 dims"), ({"x": "0"}, "it has 2 dims")],
)
def test_dims_that_are_not_there_raise(editor: DimsEditor, dims: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        editor.set_dims(dims)
    assert editor.value is None


def test_the_settings_of_a_request_are_shown_and_come_back(editor: DimsEditor) -> None:
    request = request_of(dynamic_arg_dims={"x": {0: "n"}}, mark_unbacked_dims={"y": [1]})
    editor.show(request)
    assert editor.value == {"x": {"0": N}, "y": {"1": {"mode": "unbacked", "name": ""}}}
    assert editor.dynamic_arg_dims is request.dynamic_arg_dims
    assert editor.mark_unbacked_dims is request.mark_unbacked_dims


def test_a_request_with_dims_that_do_not_fit_says_so(editor: DimsEditor) -> None:
    editor.show(request_of(dynamic_arg_dims={"nothing": 0}))
    assert "names 'nothing', which is no argument" in editor.message


def test_new_tensors_leave_what_was_edited(editor: DimsEditor) -> None:
    editor.draft = {"x": {"0": N}}
    editor.refresh(request_of(dynamic_arg_dims={"x": {0: "other"}}))
    assert editor.value == editor.draft == {"x": {"0": N}}


def test_a_table_goes_to_settings_and_back(editor: DimsEditor) -> None:
    tensors = editor.view["tensors"]
    table = checked_table(tensors, {"x": {"0": N}, "y": {"0": {"mode": "unbacked", "name": "n"}}})
    dims, unbacked = setting_of(table, "dynamic"), setting_of(table, "unbacked")
    assert table_of(tensors, dims, unbacked) == table


def test_its_repr_is_one_short_line(editor: DimsEditor) -> None:
    assert repr(editor) == "DimsEditor(3 tensors, dynamic dims: not given)"

"""The dims of a call and the axis of sizes, as data and as text."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
from torch import nn

from explorer import CompilationConfig, CUDAGraphMode, Session
from explorer.compilation import Compilation
from explorer.report.settings_view import dims_text, dims_view, ranges_axis, shared_sizes_text
from explorer.stages.capture import CaptureRequest
from sample_models import toy_llama


class Nested(nn.Module):
    def forward(self, batch: Any, pair: Any, scale: torch.Tensor) -> torch.Tensor:
        return batch["ids"].sum() + pair[0].sum() * scale


def nested_request(**settings: Any) -> CaptureRequest:
    ids, pair = {"ids": torch.ones(4, 6)}, (torch.ones(1, 5), [torch.ones(4)])
    return CaptureRequest(Nested(), (ids, pair, torch.tensor(2.0)), {}, **settings)


def test_every_tensor_of_the_call_is_there_before_anything_is_compiled() -> None:
    view = dims_view(nested_request())
    assert [(each["path"], each["dtype"]) for each in view["tensors"]] == [
        ("batch['ids']", "float32"),
        ("pair[0]", "float32"),
        ("pair[1][0]", "float32"),
        ("scale", "float32"),
    ]
    assert [[dim["size"] for dim in each["dims"]] for each in view["tensors"]] == [
        [4, 6],
        [1, 5],
        [4],
        [],
    ]
    assert json.loads(json.dumps(view)) == view


def test_dims_that_are_not_given_are_shown_as_they_are_inferred() -> None:
    annotated = dims_view(nested_request())  # only ``scale`` is a tensor there, and has no dims
    assert not annotated["is_given"]
    assert annotated["table"] == annotated["inferred"] == {}

    def plain(x: Any, pair: Any) -> Any:
        return x + pair[0]

    view = dims_view(CaptureRequest(plain, (torch.ones(4), (torch.ones(4), 2)), {}))
    dynamic = {"0": {"mode": "dynamic", "name": ""}}
    assert view["table"] == view["inferred"] == {"x": dynamic, "pair[0]": dynamic}


def test_given_dims_have_their_mode_and_name() -> None:
    request = nested_request(
        dynamic_arg_dims={"batch['ids']": {0: "n", 1: None}},
        mark_unbacked_dims={"pair[1][0]": 0, 'batch["ids"]': {-1: "m"}},
    )
    view = dims_view(request)
    assert view["is_given"]
    assert view["message"] == ""
    assert view["table"] == {
        "batch['ids']": {
            "0": {"mode": "dynamic", "name": "n"},
            "1": {"mode": "unbacked", "name": "m"},
        },
        "pair[1][0]": {"0": {"mode": "unbacked", "name": ""}},
    }
    assert dims_text(view).splitlines() == [
        "batch['ids'] float32: 4 dynamic n, 6 unbacked m",
        "pair[0] float32: 1 static, 5 static",
        "pair[1][0] float32: 4 unbacked pair_1__0_0",
        "scale float32: scalar",
        "3 sizes: n = batch['ids'][0], example 4; m = batch['ids'][1], example 6; "
        "pair_1__0_0 = pair[1][0][0], example 4",
    ]


def test_dims_that_do_not_fit_are_a_message_beside_the_tensors() -> None:
    view = dims_view(nested_request(dynamic_arg_dims={"batch['idz']": 0}))
    assert "batch['idz']" in view["message"]
    assert len(view["tensors"]) == 4
    assert view["table"] == {}
    assert dims_text(view).startswith(view["message"])


def test_an_example_that_does_not_fit_is_a_message() -> None:
    view = dims_view(CaptureRequest(Nested(), (torch.ones(2),), {}))
    assert "do not fit the signature" in view["message"]
    assert view["tensors"] == []


def test_a_compilation_shows_the_dims_of_its_capture(toy: Compilation) -> None:
    target = toy_llama.sample(layers=12, hidden=32)
    request = Session(
        target.model, target.example_inputs, dynamic_arg_dims=target.dynamic_arg_dims
    ).request
    assert dims_view(toy) == dims_view(request)


def test_a_dim_of_size_one_says_what_a_capture_does_with_it() -> None:
    view = dims_view(nested_request())
    notes = {
        (each["path"], dim["dim"]): dim["note"] for each in view["tensors"] for dim in each["dims"]
    }
    assert notes["pair[0]", 0] == "a dynamic dim is captured at a larger size"
    assert notes["batch['ids']", 0] == ""


def test_a_dim_that_the_model_fixes_says_so() -> None:
    view = dims_view(nested_request(fixed_dims={("batch['ids']", 1): 6}))
    assert view["tensors"][0]["dims"][1]["note"] == "the model makes it 6"


def test_dims_of_one_name_are_said_to_be_one_size(toy: Compilation) -> None:
    view = dims_view(toy)
    text = shared_sizes_text(view["tensors"], view["table"])
    assert text == "n = input_ids[0] = positions[0], example 16"
    assert shared_sizes_text(view["tensors"], {}).startswith("No size is dynamic")


def test_a_path_of_a_megabyte_is_shortened_to_a_label() -> None:
    key = "a\u202e<b>\n" * 200_000

    class Model(nn.Module):
        def forward(self, batch: Any) -> torch.Tensor:
            return batch[key].sum()

    view = dims_view(CaptureRequest(Model(), ({key: torch.ones(4)},), {}))
    tensor = view["tensors"][0]
    assert tensor["path"].startswith("batch['a")
    assert len(tensor["label"]) == 60
    assert tensor["label"].endswith("…")
    for text in (tensor["label"], tensor["title"]):
        assert "\u202e" not in text
        assert "\n" not in text
        assert len(text) <= 400


# ------------------------------------------------------------------------------------------- ranges

AXES = {
    "none": ({}, [(1, 2048)], []),
    "endpoints": ({"compile_ranges_endpoints": (8, 64)}, [(1, 8), (9, 64), (65, 2048)], []),
    "sizes": ({"compile_sizes": (16, 64)}, [(1, 2048)], [16, 64]),
    "one size": ({"max_size": 1}, [(1, 1)], []),
    "words": (
        {
            "compile_sizes": (3, "cudagraph_capture_sizes"),
            "cudagraph_capture_sizes": (2, 3),
            "cudagraph_mode": CUDAGraphMode.NONE,
        },
        [(1, 2048)],
        [2, 3],
    ),
}


@pytest.mark.parametrize(("settings", "ranges", "sizes"), AXES.values(), ids=AXES)
def test_the_axis_has_a_segment_per_range(
    settings: dict[str, Any], ranges: list[tuple[int, int]], sizes: list[int]
) -> None:
    axis = ranges_axis(CompilationConfig(**{"max_size": 2048, **settings}))
    assert [(each["start"], each["end"]) for each in axis["segments"]] == ranges
    assert [each["size"] for each in axis["sizes"]] == sizes
    assert axis["segments"][0]["from"] == 0
    assert axis["segments"][-1]["to"] == pytest.approx(1)
    for left, right in itertools.pairwise(axis["segments"]):
        assert left["to"] == pytest.approx(right["from"])
    assert json.loads(json.dumps(axis)) == axis


def test_an_exact_size_is_drawn_in_the_middle_of_its_place() -> None:
    config = CompilationConfig(compile_ranges_endpoints=(15, 16), compile_sizes=(16,), max_size=64)
    axis = ranges_axis(config)
    middle = axis["segments"][1]
    assert axis["sizes"][0]["at"] == pytest.approx((middle["from"] + middle["to"]) / 2)


def test_the_axis_in_words_and_what_was_dropped() -> None:
    config = CompilationConfig(
        compile_ranges_endpoints=(64, 8, 9000), compile_sizes=(16,), max_size=8192
    )
    axis = ranges_axis(config)
    assert axis["text"] == "3 ranges: 1–8, 9–64, 65–8192; exactly 16"
    assert axis["notes"] == [
        "endpoint 9000 dropped: the last range ends at max_size=8192",
        "endpoints sorted",
    ]

"""Tensors in the arguments of a call: found by path, copied, made larger or smaller."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any, NamedTuple

import pytest
import torch

from explorer.errors import InputError
from explorer.intermediate_tensors import IntermediateTensors
from explorer.stages import inputs
from tests.explorer.comparing import filled


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Record:
    first: Any
    second: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    only: Any


X = filled(2, 3)

STRUCTURES = [
    pytest.param(X, ["a"], id="tensor"),
    pytest.param([X, 3, X], ["a[0]", "a[2]"], id="list"),
    pytest.param((X, (X,)), ["a[0]", "a[1][0]"], id="nested tuple"),
    pytest.param({"k": X, 3: [X]}, ["a['k']", "a[3][0]"], id="dict"),
    pytest.param(Pair(X, [X]), ["a.left", "a.right[0]"], id="named tuple"),
    pytest.param(Record(X, {"k": X}), ["a.first", "a.second['k']"], id="dataclass"),
    pytest.param(Frozen(X), ["a.only"], id="frozen dataclass"),
    pytest.param(collections.OrderedDict(k=X), ["a['k']"], id="OrderedDict"),
    pytest.param(collections.defaultdict(list, k=X), ["a['k']"], id="defaultdict"),
    pytest.param(IntermediateTensors({"k": X}), ["a['k']"], id="IntermediateTensors"),
    pytest.param(
        [IntermediateTensors({"k": X})], ["a[0]['k']"], id="IntermediateTensors in a list"
    ),
    pytest.param(None, [], id="None"),
    pytest.param(Record, [], id="a class"),
    pytest.param([], [], id="empty"),
    pytest.param({"a": {"quote'": X}}, ["""a['a']["quote'"]"""], id="quote in a key"),
]


@pytest.mark.parametrize(("value", "paths"), STRUCTURES)
def test_paths_are_what_a_person_would_write(value: Any, paths: list[str]) -> None:
    leaves = inputs.tensor_leaves({"a": value})
    assert [leaf.path for leaf in leaves] == paths
    for path, leaf in zip(paths, leaves, strict=True):
        assert eval(path, {"a": value}) is leaf.tensor


@pytest.mark.parametrize(("value", "paths"), STRUCTURES)
def test_exchanged_tensors_leave_the_first_structure_alone(value: Any, paths: list[str]) -> None:
    fresh = filled(4, 4)
    (changed,), kwargs = inputs.replace_tensors((value,), {"k": value}, {id(X): fresh})
    assert type(changed) is type(value)
    for path in paths:
        assert eval(path, {"a": changed}) is fresh
        assert eval(path, {"a": kwargs["k"]}) is fresh
        assert eval(path, {"a": value}) is X


def test_model_output_keeps_its_type() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    value = outputs.BaseModelOutput(last_hidden_state=X)
    assert [leaf.path for leaf in inputs.tensor_leaves({"a": value})] == ["a['last_hidden_state']"]
    (changed,), _ = inputs.replace_tensors((value,), {}, {id(X): filled(4, 4)})
    assert isinstance(changed, outputs.BaseModelOutput)
    assert changed.last_hidden_state.shape == (4, 4)
    assert value.last_hidden_state is X


def test_copies_share_data_and_equal_objects_stay_equal() -> None:
    x, y = filled(5, 3), filled(3, 5).t()
    leaves = [inputs.TensorLeaf("x", x), inputs.TensorLeaf("again", x), inputs.TensorLeaf("y", y)]
    copies = inputs.capture_copies(leaves, frozenset({"y"}))
    assert set(copies) == {id(x), id(y)}
    assert copies[id(x)] is not x
    assert copies[id(x)].data_ptr() == x.data_ptr()
    assert copies[id(y)].is_contiguous()
    assert torch.equal(copies[id(y)], y)


@pytest.mark.parametrize(
    ("have", "want"), [(5, 8), (5, 3), (5, 5), (1, 4), (0, 4), (5, 1), (5, 0), (3, 9)]
)
def test_resized_tensors(have: int, want: int) -> None:
    x = torch.arange(have * 2).reshape(have, 2)
    found = inputs.resized_tensors([inputs.TensorLeaf("x", x)], {("x", 0): want})
    tensor = found.get(id(x), x)
    assert tensor.shape == (want, 2)
    assert tensor.dtype == x.dtype
    assert (id(x) in found) is (have != want)
    for row in range(want if have else 0):
        assert torch.equal(tensor[row], x[row % have])


def test_two_dims_of_one_tensor_are_resized_together() -> None:
    x = filled(2, 3)
    sizes = {("x", 0): 4, ("x", 1): 2}
    (tensor,) = inputs.resized_tensors([inputs.TensorLeaf("x", x)], sizes).values()
    assert tensor.shape == (4, 2)


def model(x, *rest, key=None):
    return x


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        ((1,), {}, {"x": 1, "rest": (), "key": None}),
        ((1, 2, 3), {"key": 4}, {"x": 1, "rest": (2, 3), "key": 4}),
        ((), {"x": 1}, {"x": 1, "rest": (), "key": None}),
    ],
)
def test_defaults_are_filled_in(args: Any, kwargs: Any, bound: Any) -> None:
    assert inputs.bind_arguments(model, None, args, kwargs) == bound


def test_receiver_is_left_out_of_messages() -> None:
    linear = torch.nn.Linear(2, 2)
    function = type(linear).forward
    with pytest.raises(
        InputError, match=r"Linear\.forward\(input: torch\.Tensor\).*argument: 'inp"
    ):
        inputs.bind_arguments(function, linear, (), {})

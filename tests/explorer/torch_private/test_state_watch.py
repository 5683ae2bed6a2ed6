"""A watch says no after every change, wherever it is, and yes while there is none."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch

from explorer.torch_private import state_watch
from explorer.torch_private.state_watch import Watched, any_autocast, is_listed, watch


class Plain:
    def __init__(self) -> None:
        self.value: object = 1


class Other(torch.nn.Linear):
    pass


def some() -> dict[str, Any]:
    return {
        "object": Plain(),
        "module": torch.nn.Linear(3, 3),
        "dict": {"a": 1},
        "ordered": OrderedDict(),
        "tensor": torch.nn.Parameter(torch.ones(2, 2)),
    }


def watched(values: dict[str, Any]) -> Watched:
    return Watched(
        objects=(values["object"], values["module"]),
        dicts=(values["dict"], values["ordered"]),
        tensors=(values["tensor"],),
    )


CHANGES: list[Any] = [
    pytest.param(lambda v: setattr(v["object"], "value", 2), id="attribute"),
    pytest.param(lambda v: setattr(v["object"], "value", True), id="equal attribute"),
    pytest.param(lambda v: setattr(v["object"], "__dict__", {"value": 1}), id="attributes"),
    pytest.param(lambda v: setattr(v["object"], "more", 1), id="another attribute"),
    pytest.param(lambda v: delattr(v["object"], "value"), id="no attribute"),
    pytest.param(lambda v: setattr(v["module"], "__class__", Other), id="class of a module"),
    pytest.param(lambda v: setattr(v["module"], "__dict__", {}), id="attributes of a module"),
    pytest.param(
        lambda v: setattr(v["module"], "__dict__", dict(vars(v["module"]))), id="equal attributes"
    ),
    pytest.param(lambda v: v["module"].eval(), id="training flag"),
    pytest.param(lambda v: setattr(v["module"], "forward", len), id="forward of a module"),
    pytest.param(lambda v: v["dict"].update(a=1.0), id="equal value"),
    pytest.param(lambda v: v["dict"].clear(), id="empty"),
    pytest.param(lambda v: v["ordered"].update({1: len}), id="ordered dict"),
    pytest.param(lambda v: setattr(v["tensor"], "data", torch.ones(2, 3)), id="shape"),
    pytest.param(lambda v: setattr(v["tensor"], "data", torch.ones(2, 2).double()), id="dtype"),
    pytest.param(lambda v: setattr(v["tensor"], "data", torch.ones(2, 2).t()), id="strides"),
    pytest.param(lambda v: setattr(v["tensor"], "data", torch.ones(4)), id="rank"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_noticed_from_then_on(change: Callable[[dict[str, Any]], None]) -> None:
    values = some()
    with torch.no_grad():
        unchanged = watch(watched(values))
        assert [unchanged() for _ in range(3)] == [True] * 3
        change(values)
        assert [unchanged() for _ in range(5)] == [False] * 5


def test_nothing_is_noticed_where_nothing_changes() -> None:
    values = some()
    with torch.no_grad():
        unchanged = watch(watched(values))
        values["tensor"].mul_(3)
        values["tensor"].data = torch.zeros(2, 2)
        values["object"].value = 1
        values["dict"]["a"] = 1
        values["module"].train()
        assert unchanged()


@pytest.mark.parametrize("place", [0, 1, 255, 256, 257, 1000, 2998, 2999])
def test_every_one_of_many_dicts_is_watched(place: int) -> None:
    dicts: tuple[dict[str, Any], ...] = tuple({"a": number} for number in range(3000))
    unchanged = watch(Watched(dicts=dicts))
    assert unchanged()
    assert unchanged()
    dicts[place]["a"] = "changed"
    assert not unchanged()
    assert not unchanged()


@pytest.mark.parametrize("place", range(0, 40, 13))
def test_every_one_of_many_modules_and_tensors_is_watched(place: int) -> None:
    modules = [torch.nn.Linear(2, 2) for _ in range(40)]
    with torch.no_grad():
        unchanged = watch(Watched(objects=tuple(modules)))
        modules[place].__class__ = Other
        assert not unchanged()
        unchanged = watch(Watched(tensors=tuple(each.weight for each in modules)))
        modules[place].weight.data = torch.ones(2, 1)
        assert not unchanged()


def test_writes_of_hot_code_are_noticed() -> None:
    """Python writes an attribute another way after some repetitions."""
    value = Plain()
    unchanged = watch(Watched(objects=(value,)))

    def write(number: int) -> None:
        value.value = number

    for number in range(1000, 1100):
        write(number)
        assert not unchanged()
        unchanged = watch(Watched(objects=(value,)))
        assert unchanged()


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_addresses_are_read_where_a_list_has_them(count: int) -> None:
    values: list[Any] = [object() for _ in range(count)]
    assert state_watch._addresses_in_memory(values) == state_watch._addresses_one_by_one(values)
    assert state_watch._addresses is state_watch._addresses_in_memory


def test_change_is_noticed_where_a_list_is_laid_out_in_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_watch, "_addresses", state_watch._addresses_one_by_one)
    value = Plain()
    unchanged = watch(Watched(objects=(value,)))
    assert unchanged()
    value.__dict__ = {"value": 1}
    assert not unchanged()


def test_a_class_at_the_address_of_another_is_noticed() -> None:
    """The class that was left is kept, so no other one takes its place in memory."""
    for _ in range(50):
        value: Any = type("First", (Plain,), {})()
        unchanged = watch(Watched(objects=(value,)))
        value.__class__ = Plain
        gc.collect()
        value.__class__ = type("Later", (Plain,), {})
        assert not unchanged()


def test_objects_whose_class_and_attributes_the_collector_lists() -> None:
    assert is_listed(Plain())
    assert is_listed(torch.nn.Linear(1, 1))
    assert not is_listed(len_of)


def len_of(values: list[int]) -> int:
    return len(values)


def test_nothing_to_watch_is_unchanged() -> None:
    assert watch(Watched())()


def test_any_autocast() -> None:
    assert not any_autocast()
    with torch.autocast("cpu"):
        assert any_autocast()

"""Opaque values as torch passes them: real ones at run time, stand-ins while tracing."""

import torch

from explorer import LayerName, direct_register_custom_op
from explorer.torch_private import opaque
from explorer.torch_private.capture import trace

seen = []


def look(x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
    seen.append(layer_name)
    return x.clone()


def look_fake(x: torch.Tensor, layer_name: LayerName) -> torch.Tensor:
    seen.append(layer_name)
    return torch.empty_like(x)


def test_stand_in_has_the_name_of_the_class_and_the_value_itself_is_none() -> None:
    op = direct_register_custom_op("test_look", look, fake_impl=look_fake)
    name = LayerName("layers.0")
    seen.clear()
    trace(lambda x, layer: op(x, layer), (torch.ones(2), name), {})
    assert seen
    assert all(opaque.is_stand_in(each) for each in seen)
    assert {opaque.type_name(each) for each in seen} == {"explorer.layer_name.LayerName"}
    seen.clear()
    op(torch.ones(2), name)
    assert seen[0] is name
    assert not opaque.is_stand_in(name)


def test_type_name_of_a_plain_value_is_that_of_its_class() -> None:
    assert opaque.type_name(3) == "int"
    assert not opaque.is_stand_in(torch.ones(1))

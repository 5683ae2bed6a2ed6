"""What is offered as a splitting op can be written as one, and cuts what it says."""

from __future__ import annotations

import json

import pytest

from explorer import CompileTarget, Session
from explorer.compilation import Compilation
from explorer.report.op_choices import choices_text, op_choices
from sample_models import toy_llama
from tests.explorer.report.conftest import HOSTILE


@pytest.fixture(scope="module")
def target() -> CompileTarget:
    return toy_llama.sample(layers=3, hidden=32)


@pytest.fixture(scope="module")
def session(target: CompileTarget) -> Session:
    config = target.compilation_config().replace(backend="eager", compile_sizes=())
    return Session(
        target.model,
        target.example_inputs,
        dynamic_arg_dims=target.dynamic_arg_dims,
        make_inputs=target.make_inputs,
        config=config,
    )


def test_custom_ops_come_first_then_modules_that_repeat(toy: Compilation) -> None:
    choices = op_choices(toy)
    assert choices[0] == {
        "name": "demo::attention",
        "label": "demo::attention",
        "kind": "custom op",
        "count": 12,
        "text": "custom op, 12 calls",
    }
    kinds = [each["kind"] for each in choices]
    order = ["custom op", "modules", "op", "module"]
    assert kinds == sorted(kinds, key=order.index)
    by_name = {each["name"]: each for each in choices}
    assert by_name["module:layers.*.attention"]["text"] == "12 modules, cuts 12 pieces"
    assert by_name["torch.nn.functional.silu"]["text"] == "op, 12 calls"
    assert by_name["module:head"]["kind"] == "module"
    assert "module:layers.3.attention" not in by_name
    assert json.loads(json.dumps(choices)) == choices


def test_every_choice_cuts_as_many_pieces_as_it_says(session: Session) -> None:
    choices = op_choices(session.compilation)
    assert len(choices) > 15
    for each in choices:
        planned = session.plan(splitting_ops=(each["name"],))
        assert planned.unique.split.notes == (), each["name"]
        cut = sum(piece.unique_id is None for piece in planned.unique.pieces)
        if each["kind"] in ("module", "modules"):
            assert cut == each["count"], each["name"]
        else:
            assert 1 <= cut <= each["count"], each["name"]


def test_a_hostile_name_is_shown_clean_and_still_means_the_module(hostile: Compilation) -> None:
    choices = {each["name"]: each for each in op_choices(hostile)}
    assert f"module:{HOSTILE}" in choices
    assert choices[f"module:{HOSTILE}"]["count"] == 1
    assert all("\n" not in each["label"] for each in choices.values())


def test_the_choices_as_text(toy: Compilation) -> None:
    assert choices_text(op_choices(toy)).startswith("demo::attention  custom op, 12 calls\n")

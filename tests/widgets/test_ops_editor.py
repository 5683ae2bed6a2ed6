from __future__ import annotations

from typing import Any

import pytest

from explorer import CompileTarget, ConfigError, Session
from widgets.ops_editor import OpsEditor


def test_names_are_stripped_and_each_is_there_once() -> None:
    editor = OpsEditor()
    editor.draft = [" demo::attention ", "", "F.silu", "demo::attention"]
    assert editor.value == editor.draft == ["demo::attention", "F.silu"]
    assert editor.splitting_ops == ("demo::attention", "F.silu")
    editor.value = ["module:layers.*.mlp"]
    assert editor.draft == ["module:layers.*.mlp"]


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        ([7], "named by a string, not a int"),
        (["x" * 1_000_000], "has 1,000,000 characters: that is no op."),
        ([f"a::b{i}" for i in range(300)], "300 splitting ops are more than 200"),
    ],
    ids=["number", "long", "many"],
)
def test_a_draft_that_cannot_be_goes_back_to_the_last_good_names(draft: Any, message: str) -> None:
    editor = OpsEditor(value=["F.silu"])
    editor.draft = draft
    assert message in editor.message
    assert editor.value == editor.draft == ["F.silu"]
    with pytest.raises(ConfigError, match=message):
        editor.value = draft
    editor.draft = ["F.silu", "F.gelu"]
    assert editor.message == ""


def test_a_compilation_brings_its_ops_and_what_may_be_chosen(llama: CompileTarget) -> None:
    config = llama.compilation_config().replace(backend="eager", compile_sizes=())
    session = Session(
        llama.model, llama.example_inputs, dynamic_arg_dims=llama.dynamic_arg_dims, config=config
    )
    editor = OpsEditor()
    editor.show(session.update())
    assert editor.splitting_ops == ("demo::attention",)
    assert editor.choices[0]["text"] == "custom op, 2 calls"
    editor.value = []
    editor.offer(session.compilation)
    assert editor.value == []
    assert repr(editor) == "OpsEditor(0 splitting ops)"

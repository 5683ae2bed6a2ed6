from __future__ import annotations

import pytest

from explorer import CompilationConfig, ConfigError
from widgets.ranges_editor import RangesEditor

GOOD = {"ranges": "8, 64", "sizes": "16", "max_size": "2048"}


@pytest.fixture
def editor() -> RangesEditor:
    config = CompilationConfig(compile_ranges_endpoints=(8, 64), compile_sizes=(16,), max_size=2048)
    return RangesEditor(config)


def test_the_boxes_hold_the_configuration(editor: RangesEditor) -> None:
    assert editor.draft == GOOD
    assert editor.changes == {
        "compile_ranges_endpoints": (8, 64),
        "compile_sizes": (16,),
        "max_size": 2048,
    }
    assert repr(editor) == "RangesEditor(3 ranges: 1–8, 9–64, 65–2048; exactly 16)"


def test_what_is_typed_is_read_and_drawn_and_left_as_it_is_written(editor: RangesEditor) -> None:
    editor.draft = GOOD | {"ranges": "8  100", "sizes": ""}
    assert editor.changes["compile_ranges_endpoints"] == (8, 100)
    assert editor.changes["compile_sizes"] == ()
    assert [each["label"] for each in editor.view["segments"]] == ["1–8", "9–100", "101–2048"]
    assert editor.draft["ranges"] == "8  100"


FAULTS = {
    "range": ({"ranges": "8, 1-64"}, "ranges", "'1-64' is no size"),
    "size": ({"sizes": "16 x"}, "sizes", "'x' is no size"),
    "largest": ({"max_size": "many"}, "max_size", "'many' is no size"),
    "no largest": ({"max_size": ""}, "max_size", "max holds 0 sizes"),
    "beyond": ({"sizes": "4096"}, "sizes", "compile_sizes holds 4096, above max_size=2048"),
    "zero": ({"sizes": "0"}, "sizes", "compile_sizes"),
    "no capture sizes": ({"sizes": "cudagraph_capture_sizes"}, "sizes", "and there are none"),
    "huge": ({"max_size": "9999999999"}, "max_size", "max_size"),
}


@pytest.mark.parametrize(("edit", "box", "message"), FAULTS.values(), ids=FAULTS)
def test_a_text_that_cannot_be_read_keeps_the_last_good_value(
    editor: RangesEditor, edit: dict[str, str], box: str, message: str
) -> None:
    before, view = editor.value, editor.view
    editor.draft = GOOD | edit
    assert editor.faulty == box
    assert message in editor.message
    assert (editor.value, editor.view) == (before, view)
    assert editor.draft == GOOD | edit
    editor.draft = dict(GOOD)
    assert (editor.message, editor.faulty) == ("", "")


def test_what_is_no_text_is_refused(editor: RangesEditor) -> None:
    editor.draft = {"ranges": ["8"], "sizes": "", "max_size": "2048"}
    assert editor.message == "The box ranges holds a list: write text."


def test_a_value_from_code_fills_the_boxes_and_a_bad_one_raises(editor: RangesEditor) -> None:
    editor.value = {**editor.value, "compile_sizes": [32]}
    assert editor.draft["sizes"] == "32"
    assert editor.view["sizes"][0]["size"] == 32
    with pytest.raises(ConfigError, match="above max_size"):
        editor.value = {**editor.value, "compile_sizes": [4096]}
    with pytest.raises(ConfigError, match="no entry 'backend'"):
        editor.value = {"backend": "eager"}
    assert editor.changes["compile_sizes"] == (32,)


def test_another_configuration_takes_the_place_of_an_edit(editor: RangesEditor) -> None:
    editor.draft = GOOD | {"sizes": "x"}
    editor.show(
        CompilationConfig(compile_ranges_endpoints=(8, 64), compile_sizes=(16,), max_size=2048)
    )
    assert editor.draft == GOOD
    assert (editor.message, editor.faulty) == ("", "")


def test_the_word_for_capture_sizes_is_kept_and_drawn() -> None:
    config = CompilationConfig(cudagraph_capture_sizes=(2, 3), max_size=64)
    editor = RangesEditor(config)
    editor.draft = {"ranges": "", "sizes": "cudagraph_capture_sizes 7", "max_size": "64"}
    assert editor.message == ""
    assert editor.changes["compile_sizes"] == ("cudagraph_capture_sizes", 7)
    assert [each["size"] for each in editor.view["sizes"]] == [2, 3, 7]

"""Two sources beside each other: what differs is marked, other names of the same values are not."""

from __future__ import annotations

from explorer.report.drawn_blocks import PairedLine
from explorer.report.side_by_side import side_by_side

LEFT = """def piece_2(
    x: "f32[n, 4]",
    weight_0: "f32[4, 4]",
    weight_1: "f32[4, 4]",
):
    linear_1 = linear(x, weight_0)
    relu = linear_1.relu()
    linear_2 = linear(relu, weight_1)
    return (linear_2,)
"""
RIGHT = """def piece_4(
    y: "f32[n, 4]",
    weight_2: "f32[4, 4]",
    weight_3: "f32[4, 4]",
):
    linear_3 = linear(y, weight_2)
    relu_1 = linear_3.relu()
    linear_4 = linear(relu_1, weight_3)
    return (linear_4,)
"""
NAMES = (
    ["piece_2", "x", "weight_0", "weight_1", "linear_1", "relu", "linear_2"],
    ["piece_4", "y", "weight_2", "weight_3", "linear_3", "relu_1", "linear_4"],
)


def lines(left: str, right: str) -> tuple[PairedLine, ...]:
    return side_by_side(("a", "b"), left, right, NAMES).lines


def marked(line: PairedLine) -> list[list[str]]:
    return [[text for text, differs in side or () if differs] for side in (line.left, line.right)]


def joined(found: tuple[PairedLine, ...], side: int) -> str:
    parts = ((line.left, line.right)[side] for line in found)
    return "\n".join("".join(text for text, _ in words) for words in parts if words is not None)


def test_other_names_for_the_same_values_are_no_difference() -> None:
    found = side_by_side(("a", "b"), LEFT, RIGHT, NAMES)
    assert {line.mark for line in found.lines} == {"same"}
    assert found.summary() == "No line differs, apart from names of values."


def test_no_text_is_lost() -> None:
    right = RIGHT.replace("relu_1 = linear_3.relu()", "relu_1 = linear_3.silu()\n    extra = 1")
    found = lines(LEFT, right)
    assert joined(found, 0) == LEFT.strip("\n")
    assert joined(found, 1) == right.strip("\n")


def test_without_names_every_spelling_counts() -> None:
    found = side_by_side(("a", "b"), LEFT, RIGHT).lines
    assert "changed" in {line.mark for line in found}


def test_a_changed_call_is_marked_word_by_word() -> None:
    found = lines(LEFT, RIGHT.replace(".relu()", ".silu()"))
    changed = [line for line in found if line.mark != "same"]
    assert len(changed) == 1
    assert marked(changed[0]) == [[".relu"], [".silu"]]


def test_a_changed_constant_and_a_changed_shape_are_marked() -> None:
    right = RIGHT.replace('weight_3: "f32[4, 4]"', 'weight_3: "f32[8, 4]"')
    changed = [line for line in lines(LEFT, right) if line.mark != "same"]
    assert [marked(line) for line in changed] == [[["4"], ["8"]]]


def test_an_added_line_has_no_partner_and_moves_no_other_mark() -> None:
    right = RIGHT.replace("    linear_4 =", "    extra = relu_1.cos()\n    linear_4 =")
    found = lines(LEFT, right)
    assert [line.mark for line in found if line.mark != "same"] == ["right"]
    added = next(line for line in found if line.mark == "right")
    assert added.left is None
    assert added.right == (("    extra = relu_1.cos()", False),)


def test_another_value_in_the_place_of_one_is_marked() -> None:
    found = lines(LEFT, RIGHT.replace("linear(relu_1, weight_3)", "linear(y, weight_3)"))
    changed = [line for line in found if line.mark != "same"]
    assert len(changed) == 1
    assert ["relu"] in marked(changed[0])
    assert ["y"] in marked(changed[0])


def test_inputs_in_another_order_are_paired_by_their_use() -> None:
    swapped = (
        RIGHT.replace("weight_2", "w").replace("weight_3", "weight_2").replace("w,", "weight_3,")
    )
    swapped = swapped.replace("w:", "weight_3:").replace("w)", "weight_3)")
    assert {line.mark for line in lines(LEFT, swapped)} == {"same"}


def test_an_attribute_spelt_like_a_value_is_no_value() -> None:
    left, right = "relu = f.relu(x)", "y_1 = f.relu(x)"
    found = side_by_side(("a", "b"), left, right, (["relu", "x"], ["y_1", "x"]))
    assert [line.mark for line in found.lines] == ["same"]


def test_an_empty_text_beside_another() -> None:
    found = lines("", "a\nb")
    assert [line.mark for line in found].count("right") >= 1
    assert joined(found, 1) == "a\nb"


def test_long_unlike_texts_are_paired_in_order_without_delay() -> None:
    left = "\n".join(f"a{n} = f{n}(x)" for n in range(500))
    right = "\n".join(f"b{n} + {n}" for n in range(500))
    assert len(lines(left, right)) >= 500


def test_summary_counts_what_differs() -> None:
    right = RIGHT.replace(".relu()", ".silu()") + "extra\n"
    assert side_by_side(("a", "b"), LEFT, right, NAMES).summary() == (
        "Lines: 1 differ, 1 only on the right."
    )

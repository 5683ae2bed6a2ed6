import dataclasses

import pytest

from explorer.guards.fixes import FIXES, Situation, fix_of, fixes_for, fixes_text


def test_ids_are_stable():
    assert [each.id for each in FIXES] == [
        "torch.cond",
        "custom_op",
        "torch.where",
        "variants",
        "split_submodules",
        "torch._check",
        "unbacked",
        "specialize_on",
    ]
    assert fix_of("variants") is FIXES[3]
    with pytest.raises(KeyError, match="magic"):
        fix_of("magic")


@pytest.mark.parametrize("fix", FIXES, ids=lambda each: each.id)
def test_every_fix_says_what_it_does_and_what_to_look_out_for(fix):
    assert fix.description.endswith(".")
    assert "\n" not in fix.description + fix.title
    assert fix.warnings
    assert all(warning.endswith(".") for warning in fix.warnings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fix.title = "other"


def test_what_is_known_not_to_help_is_never_offered():
    assert not fix_of("specialize_on").helps
    for situation in Situation:
        assert fix_of("specialize_on") not in fixes_for(situation)


def test_a_test_on_a_value_offers_no_fix_for_sizes():
    offered = {each.id for each in fixes_for(Situation.VALUE_TEST)}
    assert offered == {"torch.cond", "custom_op", "torch.where", "split_submodules"}


def test_an_unbacked_size_is_not_told_to_be_marked_unbacked():
    offered = [each.id for each in fixes_for(Situation.UNBACKED_TEST)]
    assert "unbacked" not in offered
    assert {"torch.cond", "custom_op", "variants", "split_submodules", "torch._check"} < set(
        offered
    )


def test_the_sentence_has_all_of_them():
    sentence = fixes_text(Situation.UNBACKED_TEST)
    assert sentence.startswith("Use torch.cond with both sides as functions; ")
    assert sentence.count(";") == len(fixes_for(Situation.UNBACKED_TEST)) - 1
    assert sentence.endswith(".")

"""Dynamo's names of values in the user's words."""

import pytest

from explorer.guards.user_words import in_user_words, is_argument


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L['x'].size()[0]", "x.size(0)"),
        ("L['x'].stride()[1] == 3", "x.stride(1) == 3"),
        ("L['self']._modules['layers']._modules['0'].eps", "self.layers[0].eps"),
        ("L['self']._parameters['weight']", "self.weight"),
        ("L['self']._buffers['mask'] is None", "self.mask is None"),
        ("G['FLAG'] == True", "FLAG == True"),
        ("L['self'].cfg.mode == 'silu'", "self.cfg.mode == 'silu'"),
        ("list(dict.keys(L['d'])) == ['a']", "list(d) == ['a']"),
        ("L['batch']['ids'].size()[0] > L['k']", "batch['ids'].size(0) > k"),
        ("not hasattr(L['self'], 'foo')", "not hasattr(self, 'foo')"),
        ("plain", "plain"),
    ],
)
def test_names(text: str, words: str) -> None:
    assert in_user_words(text) == words


@pytest.mark.parametrize("name", ["L['k'].x", "L['a']['b']", "G['k']", "k"])
def test_what_is_no_argument_of_the_call_itself(name: str) -> None:
    assert is_argument("L['k']")
    assert not is_argument(name)

"""``package.module:factory``: what loads, and what is said about what does not."""

import pytest

from explorer.errors import ConfigError
from explorer.loading import load_target
from tests.explorer.targets import SMALL, write_module


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(text) -> the name under which it can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    return lambda text: write_module(tmp_path, text)


def test_a_factory_is_called_without_arguments(module) -> None:
    target = load_target(f"{module(SMALL)}:make")
    assert target.name == "small"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample_models.toy_llama", "the colon is missing: write sample_models.toy_llama:factory"),
        ("sample_models/toy_llama.py:sample", "it is a path, and a name is wanted"),
        ("a b:c", "both sides of the colon are Python names"),
        ("mod:fn()", "both sides of the colon are Python names"),
        ("__import__('os').system('true'):x", "both sides of the colon are Python names"),
        ("", "the colon is missing"),
        (":x", "both sides of the colon are Python names"),
        ("no_such_package.x:make", "There is no module 'no_such_package'"),
        ("sample_models.no_such:make", "There is no module 'sample_models.no_such'"),
        ("sample_models.toy_llama:sampel", "has no function 'sampel'; nearest: sample"),
        ("sample_models.toy_llama:ATTENTION", "is a str, not a function that returns"),
        ("builtins:list", "returned a list, not an explorer.CompileTarget"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_target(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import no_such_dependency", "needs 'no_such_dependency', which is not installed"),
        ("x = 1 / 0", "fails when it is imported at"),
        ("def (:", "SyntaxError"),
        ("def make():\n    raise ValueError('no weights\\nmore')", ":2: ValueError: no weights"),
        ("def make():\n    return None", "returned a NoneType"),
        ("def make(layers):\n    return None", "missing 1 required positional argument"),
        ("def other():\n    pass", "has no function 'make'."),
    ],
)
def test_a_broken_module_is_named_with_its_line(module, body: str, message: str) -> None:
    name = module(body)
    with pytest.raises(ConfigError) as error:
        load_target(f"{name}:make")
    assert message in str(error.value)
    assert name in str(error.value)
    assert "more" not in str(error.value)
    assert error.value.__cause__ is not None or "returned" in message or "no function" in message

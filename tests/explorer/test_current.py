"""The configuration and the tag that hold for models that are made now."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from explorer import CompilationConfig, ConfigError, set_model_tag, use_config
from explorer.current import current_config, current_tag


def test_configurations_nest_and_end() -> None:
    first, second = CompilationConfig(max_size=10), CompilationConfig(max_size=20)
    assert current_config() == CompilationConfig()
    with use_config(first) as given:
        assert given is first
        with pytest.raises(RuntimeError), use_config(second):
            assert current_config() is second
            raise RuntimeError
        assert current_config() is first
    assert current_config() == CompilationConfig()


def test_another_thread_begins_without() -> None:
    seen: list[CompilationConfig] = []
    with use_config(CompilationConfig(max_size=10)):
        thread = threading.Thread(target=lambda: seen.append(current_config()))
        thread.start()
        thread.join()
    assert seen == [CompilationConfig()]


def test_only_configurations() -> None:
    wrong: Any = {}
    with (
        pytest.raises(ConfigError, match="takes a CompilationConfig, not a dict"),
        use_config(wrong),
    ):
        pass


def test_tags_nest_and_end() -> None:
    assert current_tag().name == "backbone"
    with set_model_tag("vision", is_encoder=True):
        assert (current_tag().name, current_tag().is_encoder) == ("vision", True)
        with set_model_tag("head"):
            assert (current_tag().name, current_tag().is_encoder) == ("head", False)
        assert current_tag().name == "vision"
    assert current_tag().name == "backbone"


@pytest.mark.parametrize("tag", ["", "a b", "../up", "a/b", 5, "é"])
def test_tag_of_another_form(tag: str) -> None:
    with pytest.raises(ConfigError, match="A model tag is made of"), set_model_tag(tag):
        pass


def test_tag_that_holds_already() -> None:
    with pytest.raises(ConfigError, match="holds already"), set_model_tag("backbone"):
        pass

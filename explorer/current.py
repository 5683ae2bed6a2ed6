"""What holds for models that are made now: the configuration and the model tag.

A decorated model takes both when it is made, so that two parts of one model can have their own.
They are kept per context, as contextvars are: another thread begins without them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from explorer.config import CompilationConfig
from explorer.errors import ConfigError

DEFAULT_TAG = "backbone"


@dataclass(frozen=True)
class ModelTag:
    """The name of a part of a model.

    Attributes:
        name: of letters, digits, ``.``, ``_`` and ``-``.
        is_encoder: whether the part is an encoder, whose inputs may have any size.
    """

    name: str = DEFAULT_TAG
    is_encoder: bool = False


_CONFIG: ContextVar[CompilationConfig | None] = ContextVar("config", default=None)
_TAG: ContextVar[ModelTag] = ContextVar("tag", default=ModelTag())  # noqa: B039 (it is frozen)


def current_config() -> CompilationConfig:
    """The configuration of the innermost ``use_config``; the defaults outside of any."""
    return _CONFIG.get() or CompilationConfig()


def current_tag() -> ModelTag:
    """The tag of the innermost ``set_model_tag``; ``backbone`` outside of any."""
    return _TAG.get()


@contextlib.contextmanager
def use_config(config: CompilationConfig) -> Iterator[CompilationConfig]:
    """Inside, decorated models are made with this configuration.

    Args:
        config: for models that are made inside, whenever they are called.

    Raises:
        ConfigError: it is no CompilationConfig.
    """
    if not isinstance(config, CompilationConfig):
        raise ConfigError(
            f"use_config takes a CompilationConfig, not a {type(config).__name__}: write "
            "use_config(CompilationConfig(...))."
        )
    token = _CONFIG.set(config)
    try:
        yield config
    finally:
        _CONFIG.reset(token)


@contextlib.contextmanager
def set_model_tag(tag: str, is_encoder: bool = False) -> Iterator[None]:
    """Inside, decorated models are made as a part of this name.

    The name stands in titles, messages, dumps and trace events, and keeps the parts of one model
    apart there, and in the store of compilations. Equal pieces of two parts share an artifact.

    Args:
        tag: letters, digits, ``.``, ``_`` and ``-``.
        is_encoder: as in ``support_torch_compile``.

    Raises:
        ConfigError: the tag has another form, or is the one that holds already.
    """
    if not isinstance(tag, str) or not re.fullmatch(r"[\w.-]+", tag, flags=re.ASCII):
        raise ConfigError(
            f"A model tag is made of letters, digits, '.', '_' and '-', which {tag!r} is not."
        )
    if tag == current_tag().name:
        raise ConfigError(
            f"The model tag {tag!r} is the one that holds already, so two parts would have one "
            "name: give another."
        )
    token = _TAG.set(ModelTag(tag, is_encoder))
    try:
        yield
    finally:
        _TAG.reset(token)

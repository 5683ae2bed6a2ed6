"""``package.module:factory`` in, a CompileTarget out; or a sentence that says what is wrong."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import traceback
from types import ModuleType
from typing import Any

from explorer.artifacts import SourceLocation
from explorer.errors import ConfigError
from explorer.report.wording import clean, place_text, shortened
from explorer.target import CompileTarget

_FORM = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<factory>[^\W\d]\w*)")


def load_target(text: str) -> CompileTarget:
    """Imports the module by its name and calls the factory without arguments.

    Args:
        text: ``package.module:factory``. It is imported, never evaluated.

    Raises:
        ConfigError: the text has another form, or what it names is missing, fails, or returns
            something else.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(_form_text(text))
    module = _imported(found["module"])
    factory = _factory(module, found["factory"])
    try:
        target = factory()
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{text} was called and failed{_place(error)}: {_said(error)}") from error
    if not isinstance(target, CompileTarget):
        raise ConfigError(
            f"{text} returned a {type(target).__name__}, not an explorer.CompileTarget: return "
            f"CompileTarget(name, model, example_inputs, ...)."
        )
    return target


def _form_text(text: str) -> str:
    shown = shortened(clean(text), 80)
    if re.search(r"\.py\b|[/\\]", text):
        hint = "it is a path, and a name is wanted: for models/mine.py write models.mine:factory"
    elif ":" not in text:
        hint = f"the colon is missing: write {shown}:factory, where factory makes the target"
    else:
        hint = "both sides of the colon are Python names, such as sample_models.toy_llama:sample"
    return f"TARGET is package.module:factory, not {shown!r}: {hint}."


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise ConfigError(
                f"There is no module {missing!r}: run this in the folder that holds it, or "
                f"install it."
            ) from error
        raise ConfigError(
            f"The module {name!r} needs {missing!r}, which is not installed: pip install it."
        ) from error
    except Exception as error:  # whatever the module does when it is imported
        raise ConfigError(
            f"The module {name!r} fails when it is imported{_place(error)}: {_said(error)}"
        ) from error


def _factory(module: ModuleType, name: str) -> Any:
    factory = getattr(module, name, None)
    if callable(factory):
        return factory
    if hasattr(module, name):
        kind = type(factory).__name__
        raise ConfigError(
            f"{module.__name__}:{name} is a {kind}, not a function that returns a CompileTarget."
        )
    names = [
        each
        for each, value in vars(module).items()
        if inspect.isroutine(value) and each[0] != "_" and value.__module__ == module.__name__
    ]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise ConfigError(f"The module {module.__name__!r} has no function {name!r}{hint}.")


def _place(error: BaseException) -> str:
    """Where the user's code failed: the innermost line that is not of an installed package."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {place_text(SourceLocation(error.filename, error.lineno or 0))}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if "-packages" not in frame.filename] or frames
    if not own:
        return ""
    return f" at {place_text(SourceLocation(own[-1].filename, own[-1].lineno or 0))}"


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["without a message"]
    return f"{type(error).__name__}: {shortened(clean(lines[0]), 300)}"

"""Graph passes of the user's own: Inductor runs them while it compiles a piece.

They are given as ``inductor_config={"post_grad_custom_post_pass": ...}``, or with another setting
of ``PASS_SETTINGS``. What a pass is and does is part of the key of every artifact that it had a
hand in, so that an edit of a pass compiles again and the same pass does not.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from torch import fx

from explorer.code_identity import NoIdentityError, identity_of, name_of
from explorer.errors import CompileError, ConfigError
from explorer.size_range import SizeRange
from explorer.torch_private.graph_passes import PASS_SETTINGS, TorchPass, takes_is_inference

_SIZE_RANGE: ContextVar[SizeRange | None] = ContextVar("size_range", default=None)


def current_size_range() -> SizeRange | None:
    """The dispatch sizes of the artifact that is being made, while a pass runs; None outside.

    For a piece that does not depend on the dispatch size it is ``1..max_size``.
    """
    return _SIZE_RANGE.get()


@contextlib.contextmanager
def compiling_for(size_range: SizeRange) -> Iterator[None]:
    """Makes ``current_size_range()`` this range, in this thread and inside the block only."""
    token = _SIZE_RANGE.set(size_range)
    try:
        yield
    finally:
        _SIZE_RANGE.reset(token)


class GraphPass(ABC):
    """One edit of a graph.

    A subclass writes ``__call__``, and ``is_applicable_for_range`` when it is for some sizes only.
    """

    @abstractmethod
    def __call__(self, graph: fx.Graph) -> None:
        """Edits the graph in place."""

    def uuid(self) -> str:
        """A text that differs when the pass does something else; it goes into keys.

        By default it comes from the code of the class, the helper functions of its module that it
        calls, and the object's attributes. A pass that depends on anything else, or that changes
        its own attributes, has to say its uuid itself.

        Raises:
            ConfigError: an attribute has no text that says all.
        """
        return _derived(self)

    def is_applicable_for_range(self, size_range: SizeRange) -> bool:
        """Whether to run for an artifact that serves these dispatch sizes."""
        return True


class FunctionPass(GraphPass):
    """A function of a graph as a pass.

    Args:
        function: edits a graph in place.
        uuid: a text that differs when the function does; None derives it from the function's code.
        is_applicable_for_range: size range -> whether to run; None runs always.
    """

    def __init__(
        self,
        function: Callable[[fx.Graph], Any],
        *,
        uuid: str | None = None,
        is_applicable_for_range: Callable[[SizeRange], bool] | None = None,
    ) -> None:
        self.function = function
        self.applies = is_applicable_for_range
        self.given_uuid = uuid

    def __call__(self, graph: fx.Graph) -> None:
        """Calls the function."""
        self.function(graph)

    def uuid(self) -> str:
        """The text that was given, or a digest of the function's code.

        Raises:
            ConfigError: the function has no code, or uses something without a text.
        """
        if self.given_uuid is not None:
            return self.given_uuid
        return _derived((self.function, self.applies), name_of(self.function))

    def is_applicable_for_range(self, size_range: SizeRange) -> bool:
        """What the given function says."""
        return self.applies is None or self.applies(size_range)


class PassSequence(GraphPass):
    """Passes that run one after the other; those that are not for the current sizes are left out.

    Args:
        passes: ``GraphPass`` objects, plain functions of a graph, or passes of torch's own classes.

    Raises:
        ConfigError: something that is no pass.
    """

    def __init__(self, *passes: Any) -> None:
        self.passes = tuple(as_pass(each) for each in passes)

    def __call__(self, graph: fx.Graph) -> None:
        """Runs what applies, in order; everything when nothing is being compiled."""
        for each in self.passes:
            run_pass(each, graph)

    def uuid(self) -> str:
        """A digest of the uuids, in order."""
        return hashlib.sha256(repr([uuid_of(each) for each in self.passes]).encode()).hexdigest()


def as_pass(value: Any) -> Any:
    """A pass for what a user gave: itself when it has ``uuid()``, a list as a sequence.

    Raises:
        ConfigError: it cannot be called.
    """
    if isinstance(value, list | tuple):
        return PassSequence(*value)
    if not callable(value) or isinstance(value, type):
        hint = f": write {value.__name__}()" if isinstance(value, type) else ""
        raise ConfigError(
            f"A graph pass is a function of a graph or a GraphPass object, not {value!r}{hint}."
        )
    return value if callable(getattr(value, "uuid", None)) else FunctionPass(value)


def uuid_of(graph_pass: Any) -> str:
    """The pass's own uuid, checked.

    Raises:
        ConfigError: it is no text.
    """
    found = graph_pass.uuid()
    if isinstance(found, bytes):  # torch's helper for files returns them
        found = found.hex()
    if not isinstance(found, str) or not found:
        raise ConfigError(
            f"uuid() of the graph pass {label_of(graph_pass)} must return a text that is not "
            f"empty, not {found!r}: without it a change of the pass would not be noticed."
        )
    return found


def label_of(graph_pass: Any) -> str:
    """What messages call a pass: its function's name or its class."""
    return name_of(getattr(graph_pass, "function", graph_pass))


def run_pass(graph_pass: Any, graph: fx.Graph) -> None:
    """Runs one pass unless it is not for the current sizes.

    Raises:
        CompileError: it failed, or it changed its own uuid.
    """
    size_range = current_size_range()
    applies = getattr(graph_pass, "is_applicable_for_range", None)
    if size_range is not None and applies is not None and not applies(size_range):
        return
    if isinstance(graph_pass, PassSequence):
        graph_pass(graph)  # it says itself which of its passes failed
        return
    before = uuid_of(graph_pass)
    try:
        graph_pass(graph, True) if takes_is_inference(graph_pass) else graph_pass(graph)
    except Exception as error:
        what = str(error) or type(error).__name__
        raise CompileError(
            f"The graph pass {label_of(graph_pass)} failed for sizes "
            f"{size_range or 'of any range'}: {what}"
        ) from error
    if uuid_of(graph_pass) != before:
        raise CompileError(
            f"The graph pass {label_of(graph_pass)} changed its own attributes while it ran, and "
            "with them its uuid(), so that no artifact could ever be found again: write a uuid() "
            "for it, or pass uuid=... to FunctionPass."
        )


def bound_settings(settings: Mapping[str, Any], size_range: SizeRange) -> dict[str, Any]:
    """Inductor settings with every graph pass as torch takes it, for one size range."""
    bound = dict(settings)
    for name in PASS_SETTINGS:
        if bound.get(name):
            bound[name] = _bound(as_pass(bound[name]), size_range)
    return bound


def _bound(graph_pass: Any, size_range: SizeRange) -> TorchPass:
    def run(graph: fx.Graph) -> None:
        with compiling_for(size_range):
            run_pass(graph_pass, graph)

    return TorchPass(run, f"{uuid_of(graph_pass)} {size_range}")


def has_passes(settings: Mapping[str, Any]) -> bool:
    """Whether some setting holds a graph pass."""
    return any(settings.get(name) for name in PASS_SETTINGS)


def settings_identity(settings: Mapping[str, Any]) -> str:
    """The settings as a text that is the same in every process: passes by uuid, others by value.

    Raises:
        ConfigError: a value has no such text.
    """
    return str(sorted((name, _setting_text(name, value)) for name, value in settings.items()))


def _setting_text(name: str, value: Any) -> str:
    if name in PASS_SETTINGS and value:
        return uuid_of(as_pass(value))
    if callable(getattr(value, "uuid", None)):
        return uuid_of(value)
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    try:
        return identity_of(value)
    except NoIdentityError as error:
        raise ConfigError(
            f"inductor_config[{name!r}] has no text that says what it does ({error}), so artifacts "
            "made with it could not be told apart: give it a method uuid()."
        ) from None


def _derived(value: Any, name: str = "") -> str:
    try:
        return identity_of(value)
    except NoIdentityError as error:
        raise ConfigError(
            f"The graph pass {name or name_of(value)} has no uuid of its own, and none can be "
            f"derived: {error}. Write a method uuid() that returns a text which changes whenever "
            "the pass does something else, or use FunctionPass(function, uuid=...)."
        ) from None

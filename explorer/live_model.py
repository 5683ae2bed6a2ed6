"""The objects of this process that a capture of a request would begin with, without a capture."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import Any

from explorer.runtime.state_check import NotWatched, Places
from explorer.stages.capture import CaptureRequest, checked_model
from explorer.stages.inputs import bind_arguments, tensor_leaves, user_arguments
from explorer.store.functions import content
from explorer.store.places import Live, arguments_of
from explorer.torch_private.capture import start_of
from explorer.torch_private.hooks import ModuleWatch


class LiveModel:
    """A model, the function that a trace begins in, and what that function sees.

    Args:
        request: the model and a call of it.

    Attributes:
        model: that is traced.
        function: that a trace begins in.
        receiver: what it is bound to, or None.
        leaves: the tensors of the call.
        arguments: of the call, by the names in the function's code.
        scope: parameter and closure names -> values.
    """

    def __init__(self, request: CaptureRequest) -> None:
        self.request = request
        self.model = checked_model(request.model)
        function, receiver = start_of(self.model, request.invariants)
        self.function: FunctionType = function
        self.receiver = receiver
        args, kwargs = request.args, request.kwargs
        shown = bind_arguments(function, receiver, args, kwargs)
        self.leaves = tensor_leaves(user_arguments(shown, receiver))
        self.arguments = arguments_of(function, receiver, args, kwargs)
        # A decorated function may show another signature than its code has.
        first = () if receiver is None else (receiver,)
        try:
            bound = inspect.signature(function, follow_wrapped=False).bind(*first, *args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
        except TypeError:
            given = dict(self.arguments)
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.scope = {**given, **{name: content(cell) for name, cell in cells}}

    def has_hooks(self) -> bool:
        """Whether modules have hooks, which would have to be compared as well."""
        return ModuleWatch(self.model, self.function).has_hooks

    def value(self, source: str) -> Any:
        """What is at a source of Dynamo's.

        Raises:
            NotFound: nothing is.
        """
        try:
            return self._places.value(source)
        except NotWatched:
            return self._places_of_scope.at(source)

    @functools.cached_property
    def _places(self) -> Places:
        names = self.function.__code__.co_varnames
        return Places(f"L['{names[0]}']" if names else "", self.receiver)

    @functools.cached_property
    def _places_of_scope(self) -> Live:
        return Live(self.function, None, self.scope)


__all__ = ["LiveModel"]

"""A layer's name as a value that a graph takes as an input, and that knows the layer's object.

A text that is passed to a custom op is part of the graph, so that equal layers make graphs that are
not equal and each is compiled. A ``LayerName`` is an input instead: the graphs are equal, and each
layer passes its own.

The object is found through the name object itself, which refers to it weakly. There is no table of
names, so two models that both have a ``layers.0`` cannot be mixed up, and a name keeps no model
alive.
"""

from __future__ import annotations

import weakref
from typing import Any, Self

from explorer.errors import ConfigError
from explorer.torch_private.opaque import VALUE_METACLASS, register_hoisted_value


class LayerName(metaclass=VALUE_METACLASS):
    """The name of a layer, for an op parameter annotated ``LayerName``.

    Two are equal when text and registered object are the same. Inside an op, ``name`` and
    ``resolve()`` can be used; in a ``forward`` that is traced they cannot, because the graph does
    not depend on them. Pickled and copied it keeps the text alone, with one exception:
    ``copy.deepcopy`` of a layer that holds its own name registers the copy with the copied layer.

    Attributes:
        name: the text.
    """

    __slots__ = ("__weakref__", "_layer", "_name", "_stood_for")

    def __init__(self, name: str) -> None:
        """A name that stands for no object yet.

        Args:
            name: such as ``layers.0.attention``.

        Raises:
            ConfigError: it is no text, or empty.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"A LayerName is made of a text such as 'layers.0', not of {name!r}.")
        self._name = name
        self._layer: weakref.ref[Any] | None = None
        self._stood_for = ""

    @property
    def name(self) -> str:
        """The text."""
        return self._name

    def register(self, layer: object) -> Self:
        """Makes the name stand for an object, which is referred to weakly; returns the name itself.

        Args:
            layer: what ``resolve`` finds, most often the module that holds the name.

        Raises:
            ConfigError: the name stands for another object that is alive, or the object cannot be
                referred to weakly.
        """
        known = self._object()
        if known is not None and known is not layer:
            raise ConfigError(
                f"{self!r} stands for another {type(known).__name__} already: make a LayerName for "
                f"each layer, LayerName({self._name!r}).register(layer)."
            )
        try:
            self._layer = weakref.ref(layer)
        except TypeError as error:
            raise ConfigError(
                f"{self!r} cannot stand for a {type(layer).__name__}, to which there are no weak "
                "references: register an object of a class of your own, such as the module."
            ) from error
        self._stood_for = ""
        return self

    def resolve(self) -> Any:
        """The object that the name was registered with.

        Raises:
            ConfigError: there is none, it is gone, or this is a copy that was not registered again.
        """
        found = self._object()
        if found is None:
            raise ConfigError(f"{self!r} {self._reason()}")
        return found

    def _object(self) -> Any:
        return None if self._layer is None else self._layer()

    def _reason(self) -> str:
        register = "name.register(layer)"
        if self._layer is not None:
            return (
                "stands for an object that is gone, because a name keeps none alive: keep the "
                f"layer as long as the model, or call {register} with the one that took its place."
            )
        if self._stood_for:
            return (
                f"is a copy of a name that stands for a {self._stood_for}, and stands for nothing "
                f"itself: call {register} with the layer of the copied or loaded model."
            )
        return f"stands for no object: call {register} where the layer is made."

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerName):
            return NotImplemented
        return self is other or (self._name == other._name and self._same_layer(other))

    def _same_layer(self, other: LayerName) -> bool:
        if self._layer is other._layer:
            return True
        found = self._object()
        return found is not None and found is other._object()

    def __hash__(self) -> int:
        return hash(self._name)  # registering must not move it within a dict

    def __repr__(self) -> str:
        return f"LayerName({self._name!r})"

    def __fx_repr__(self) -> tuple[str, dict[str, type]]:
        """Source text of the value, and what the text refers to, for torch."""
        return repr(self), {"LayerName": LayerName}

    def __reduce__(self) -> tuple[Any, ...]:
        return _unregistered, (self._name, self._what())

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerName:
        copied = _unregistered(self._name, self._what())
        layer = self._object()
        if layer is not None and memo.get(id(layer)) is not None:
            copied.register(memo[id(layer)])
        return copied

    def _what(self) -> str:
        found = self._object()
        return self._stood_for if found is None else type(found).__name__


def _unregistered(name: str, stood_for: str) -> LayerName:
    """A copy, which says so when it is asked for its object."""
    copied = LayerName(name)
    copied._stood_for = stood_for
    return copied


register_hoisted_value(LayerName)

__all__ = ["LayerName"]

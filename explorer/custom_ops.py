"""A Python function in, an operator of the dispatcher out, in one call.

An op that is made this way costs less per call than one of ``torch.library.custom_op``, and making
it again, as a notebook cell that runs twice does, puts the new function in the place of the old.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from explorer.errors import ConfigError, InputError
from explorer.layer_name import LayerName
from explorer.stages.op_names import nearest
from explorer.torch_private import opaque, ops

NAMESPACE = "explorer"
"""Of ops that are made without a library."""

DISPATCH_KEY = "CompositeExplicitAutograd"
"""Serves tensors on every device, and is not taken apart by the compiler."""

_NAME_TYPE = f"{LayerName.__module__}.{LayerName.__qualname__}"
_TORCH_TEXT = re.compile(r"infer_schema\(func\): (.*?)(?: The valid types are| Got func|$)", re.S)

Function = Callable[..., Any]


class _Exchangeable:
    """What the dispatcher calls for an op; what it calls in turn can become another function."""

    def __init__(self, function: Function) -> None:
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class _Op:
    """One op of this process.

    Attributes:
        library: torch's object; the op ends with it, and calling an op that has ended ends the
            process, so it is kept.
        definition: what cannot be exchanged: schema, dispatch key, tags.
        function: what runs.
        fake: what stands in for it while tracing.
    """

    library: torch.library.Library
    definition: tuple[str, str, tuple[torch.Tag, ...]]
    function: _Exchangeable
    fake: _Exchangeable


# A reload of this module keeps them: a call of an op whose library is gone ends the process.
_OPS: dict[str, _Op] = globals().get("_OPS", {})


def direct_register_custom_op(
    op_name: str,
    op_func: Function,
    mutates_args: Iterable[str] = (),
    fake_impl: Function | None = None,
    target_lib: torch.library.Library | None = None,
    dispatch_key: str = DISPATCH_KEY,
    tags: torch.Tag | str | Iterable[torch.Tag | str] = (),
) -> Any:
    """The op ``torch.ops.explorer.<op_name>``, made of a function; its annotations are the schema.

    Called again for a name that it made before, it exchanges the function and the fake, also for
    models that are compiled already; those keep the shapes that the fake gave them. Schema,
    dispatch key and tags cannot be exchanged.

    Args:
        op_name: without a namespace.
        op_func: a Python function with annotated parameters and result; it may neither return an
            input nor a view of one. A parameter annotated ``LayerName`` takes one.
        mutates_args: names of the tensors that it writes to.
        fake_impl: the same parameters; makes results of the right shape and dtype without reading
            a tensor or a ``LayerName``. None runs ``op_func`` itself on tensors without data, which
            is right when it consists of torch ops.
        target_lib: where to make the op; its namespace is the op's. None means ``explorer``.
        dispatch_key: for which tensors it is, such as ``CPU``; the default is for all.
        tags: of the op, each a ``torch.Tag`` or its name.

    Returns:
        What ``torch.ops.explorer.<op_name>`` is: all overloads of the op, of which there is one.

    Raises:
        ConfigError: one of these does not fit, or there is an op of this name with another schema,
            dispatch key or tags, or one that was made otherwise.
    """
    namespace = _checked_namespace(target_lib)
    name = f"{namespace}::{_checked_name(op_name)}"
    schema = op_name + _schema(name, op_func, _names(name, op_func, mutates_args))
    _check_fake(name, op_func, fake_impl)
    if not isinstance(dispatch_key, str) or not ops.is_dispatch_key(dispatch_key):
        raise ConfigError(
            f"{name} cannot be made for the dispatch key {dispatch_key!r}, which torch does not "
            "know: use 'CPU', 'CUDA' or 'CompositeExplicitAutograd'."
        )
    definition = (schema, dispatch_key, _checked_tags(name, tags))
    declared = _layer_names(op_func, schema)
    function, fake = (_checking_names(name, f, declared) for f in (op_func, fake_impl or op_func))
    packets = getattr(torch.ops, namespace)
    if not hasattr(packets, op_name):
        library = target_lib or torch.library.Library(namespace, "FRAGMENT")
        op = _Op(library, definition, _Exchangeable(function), _Exchangeable(fake))
        _define(name, op)
    else:
        _exchange(name, definition, function, fake)
    return getattr(packets, op_name)


def functions_of_op(name: str) -> dict[str, Function]:
    """What an op of this module runs now, and its ``fake``; empty for another op."""
    op = _OPS.get(name)
    return {} if op is None else {"on any device": op.function, "fake": op.fake}


def _define(name: str, op: _Op) -> None:
    schema, dispatch_key, tags = op.definition
    short = name.partition("::")[2]
    try:
        op.library.define(schema, tags=tags)
        op.library.impl(short, op.function, dispatch_key)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{name} cannot be made: {_first_line(error)}") from error
    torch.library.register_fake(name, op.fake, lib=op.library)
    _OPS[name] = op


def _exchange(name: str, definition: tuple[Any, ...], function: Function, fake: Function) -> None:
    known = _OPS.get(name)
    if known is None:
        raise ConfigError(
            f"There is an op {name} already, and direct_register_custom_op did not make it: "
            "choose another op_name."
        )
    for what, before, now in zip(
        ("schema", "dispatch key", "tags"), known.definition, definition, strict=True
    ):
        if before != now:
            raise ConfigError(
                f"{name} is there with the {what} {before}, which cannot become {now} in this "
                "process, because models that were compiled before call the op as it was: choose "
                "another op_name, or restart Python."
            )
    known.function.__wrapped__, known.fake.__wrapped__ = function, fake


# ------------------------------------------------------------------------------------ the arguments


def _checked_namespace(library: torch.library.Library | None) -> str:
    if library is None:
        return NAMESPACE
    if not isinstance(library, torch.library.Library) or library.kind == "IMPL":
        raise ConfigError(
            f"target_lib is {library!r}, in which no op can be made: give a torch.library.Library "
            'of the kind "DEF" or "FRAGMENT".'
        )
    return str(library.ns)


def _checked_name(op_name: object) -> str:
    if isinstance(op_name, str) and "::" in op_name:
        raise ConfigError(
            f"op_name is {op_name!r}, with a namespace: give the part after '::' alone, and for "
            f"another namespace than {NAMESPACE!r} a torch.library.Library as target_lib."
        )
    if not isinstance(op_name, str) or not op_name.isidentifier() or keyword.iskeyword(op_name):
        raise ConfigError(f"op_name is {op_name!r}: the name of an op is a Python identifier.")
    return op_name


def _parameters(name: str, function: object, role: str) -> list[inspect.Parameter]:
    if not callable(function) or not hasattr(function, "__globals__"):
        raise ConfigError(
            f"{role} of {name} is {function!r}, which is no Python function: write one with `def`."
        )
    return list(inspect.signature(function).parameters.values())


def _names(name: str, function: object, mutates_args: Iterable[str] | None) -> Sequence[str]:
    """``mutates_args``, each the name of a parameter."""
    known = [each.name for each in _parameters(name, function, "op_func")]
    if isinstance(mutates_args, str):
        raise ConfigError(
            f"mutates_args of {name} is the text {mutates_args!r}: give a tuple of names, "
            f"({mutates_args!r},)."
        )
    wanted = list(mutates_args or ())
    for each in wanted:
        if each not in known:
            raise ConfigError(
                f"mutates_args of {name} names {each!r}, which is none of its parameters "
                f"{', '.join(known) or '(it has none)'}."
            )
    return wanted


def _schema(name: str, function: Function, mutates_args: Sequence[str]) -> str:
    """``(Tensor x) -> Tensor``."""
    signature = inspect.signature(function)
    bare = [each.name for each in signature.parameters.values() if each.annotation is each.empty]
    if signature.return_annotation is signature.empty:
        bare.append("return")
    if bare == ["return"]:
        raise ConfigError(
            f"op_func of {name} has no annotation for its result, and the schema is made of them: "
            "write `-> torch.Tensor`, or `-> None` when it only writes to its arguments."
        )
    if bare:
        raise ConfigError(
            f"op_func of {name} has no annotation for {', '.join(bare)}, and the schema is made of "
            f"them: write `{bare[0]}: torch.Tensor`, or what it is."
        )
    try:
        return torch.library.infer_schema(function, mutates_args=mutates_args)
    except (ValueError, TypeError) as error:
        found = _TORCH_TEXT.search(str(error))
        reason = " ".join((found[1] if found else _first_line(error)).split())
        raise ConfigError(
            f"No schema can be made for {name} of its op_func{signature}: {reason}"
        ) from error


def _check_fake(name: str, function: Function, fake: Function | None) -> None:
    """Refuses a fake that could not be called as the op is."""
    if fake is None:
        return
    wanted = _parameters(name, function, "op_func")
    given = _parameters(name, fake, "fake_impl")
    if any(each.kind is each.VAR_POSITIONAL for each in given):
        return
    if len(wanted) != len(given) or not all(map(_is_called_alike, wanted, given)):
        raise ConfigError(
            f"fake_impl of {name} takes {inspect.signature(fake)}, but op_func takes "
            f"{inspect.signature(function)}: give both the same parameters."
        )


def _is_called_alike(wanted: inspect.Parameter, given: inspect.Parameter) -> bool:
    """A positional parameter that is not used may be called ``_`` or ``_name``."""
    by_position = wanted.kind is not wanted.KEYWORD_ONLY
    named = given.name == wanted.name or (by_position and given.name.startswith("_"))
    # Torch leaves out an argument that is equal to its default.
    defaults = (given.default is given.empty) <= (wanted.default is wanted.empty)
    return named and given.kind == wanted.kind and defaults


def _checked_tags(
    name: str, tags: torch.Tag | str | Iterable[torch.Tag | str] | None
) -> tuple[torch.Tag, ...]:
    known: dict[str, torch.Tag] = dict(torch.Tag.__members__)
    if not isinstance(tags, str | torch.Tag | Iterable | None):
        raise ConfigError(
            f"tags of {name} is {tags!r}: give a tuple of torch.Tag or of their names."
        )
    listed = (tags,) if isinstance(tags, str | torch.Tag) else tuple(tags or ())
    found = []
    for each in listed:
        tag = known.get(each) if isinstance(each, str) else each
        if not isinstance(tag, torch.Tag):
            near = ", ".join(nearest(str(each), tuple(known)))
            raise ConfigError(
                f"tags of {name} has {each!r}, which is no torch.Tag; nearest: {near}."
            )
        found.append(tag)
    return tuple(found)


def _layer_names(function: Function, schema: str) -> tuple[tuple[int, str], ...]:
    """(position, name) of the parameters that are declared as a LayerName."""
    return tuple(
        (position, parameter)
        for position, parameter in enumerate(inspect.signature(function).parameters)
        if re.search(rf"\b{re.escape(_NAME_TYPE)} {parameter}\b", schema)
    )


def _checking_names(
    name: str, function: Function, declared: tuple[tuple[int, str], ...]
) -> Function:
    """The function, which refuses something else where a LayerName is declared.

    Torch takes any object there.
    """
    if not declared:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for position, parameter in declared:
            given = args[position] if position < len(args) else kwargs.get(parameter)
            if not isinstance(given, LayerName) and not opaque.is_stand_in(given):
                raise InputError(_no_name_text(name, parameter, given))
        return function(*args, **kwargs)

    return checked


def _no_name_text(name: str, parameter: str, given: object) -> str:
    text = repr(given) if isinstance(given, str) else "'layers.0'"
    return (
        f"{name} takes a LayerName as {parameter}, but was given {given!r}, a "
        f"{type(given).__name__}: make LayerName({text}) once, where the layer is made, and pass "
        "that."
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["LayerName", "direct_register_custom_op"]

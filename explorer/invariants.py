"""A function that runs checks on its arguments first, with the signature that it had.

Dynamo calls an input by the parameter that holds it. A wrapper of ``*args`` would hide the names,
so the text of one with the same parameters is written instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def with_invariants(
    function: FunctionType, receiver: Any, invariants: Callable[..., Any]
) -> FunctionType:
    """``function`` with ``invariants`` called before it, with the same arguments.

    Args:
        function: what is traced.
        receiver: what it is bound to, or None; the invariants do not get it.
        invariants: of the same parameters; it makes ``torch._check`` calls.
    """
    signature = inspect.signature(function, follow_wrapped=False)
    parameters = list(signature.parameters.values())
    defaults: dict[str, Any] = {}
    texts: list[str] = []
    for index, each in enumerate(parameters):
        text = _prefix(each) + each.name
        if each.default is not inspect.Parameter.empty:
            defaults[f"default_{index}"] = each.default
            text += f"=default_{index}"
        if each.kind is inspect.Parameter.KEYWORD_ONLY and _is_first_keyword(parameters, index):
            texts.append("*")
        texts.append(text)
        following = parameters[index + 1] if index + 1 < len(parameters) else None
        if each.kind is inspect.Parameter.POSITIONAL_ONLY and (
            following is None or following.kind is not inspect.Parameter.POSITIONAL_ONLY
        ):
            texts.append("/")
    given = [_argument(each) for each in parameters]
    of_call = given if receiver is None else given[1:]
    source = (
        f"def make(function, invariants, {', '.join(['*', *defaults]) if defaults else '*_'}):\n"
        f"    def checked({', '.join(texts)}):\n"
        f"        invariants({', '.join(of_call)})\n"
        f"        return function({', '.join(given)})\n"
        "    return checked\n"
    )
    scope: dict[str, Any] = {}
    # The text holds the names of parameters, which are identifiers, and names made here.
    exec(compile(source, "<shape invariants>", "exec"), scope)
    checked = scope["make"](function, invariants, **defaults)
    return cast(FunctionType, functools.update_wrapper(checked, function))


def _prefix(parameter: inspect.Parameter) -> str:
    kinds = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return kinds.get(parameter.kind, "")


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return f"{parameter.name}={parameter.name}"
    return _prefix(parameter) + parameter.name


def _is_first_keyword(parameters: list[inspect.Parameter], index: int) -> bool:
    before = parameters[index - 1].kind if index else inspect.Parameter.POSITIONAL_ONLY
    return before in _POSITIONAL

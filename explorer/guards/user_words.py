"""Dynamo's names of values in, the user's words out.

``L['self'].cfg.mode`` is ``self.cfg.mode``.
"""

from __future__ import annotations

import re

from explorer.intermediate_tensors import STEP_INSIDE

_MODULE = re.compile(r"\._(?:modules|parameters|buffers)\['([^']*)'\]")
_LOCAL = re.compile(r"\bL\['([^']*)'\]")
_GLOBAL = re.compile(r"\bG\['([^']*)'\]")
_SIZE = re.compile(r"\.(size|stride)\(\)\[(\d+)\]")
_NAMED = re.compile(rf"(not )?___dict_contains\((.*), (.*){re.escape(STEP_INSIDE)}\)")
_KEYS = re.compile(r"list\(dict\.keys\((.*?)\)\)")


def in_user_words(text: str) -> str:
    """A source name, or a condition that Dynamo wrote over such names, as the user would write it.

    ``L['self']._modules['layers']._modules['0'].eps`` is ``self.layers[0].eps``,
    ``L['x'].size()[0]`` is ``x.size(0)``, ``G['FLAG']`` is ``FLAG``.
    """
    text = _NAMED.sub(_membership, text)
    text = _MODULE.sub(_child, text.replace(STEP_INSIDE, ""))
    text = _LOCAL.sub(r"\1", text)
    text = _GLOBAL.sub(r"\1", text)
    text = _SIZE.sub(r".\1(\2)", text)
    return _KEYS.sub(r"list(\1)", text)


def _membership(found: re.Match[str]) -> str:
    """A test for a name in ``IntermediateTensors``."""
    return f"{found[2]} {found[1] or ''}in {found[3]}"


def _child(found: re.Match[str]) -> str:
    name = found[1]
    return f"[{name}]" if name.isdigit() else f".{name}"


def is_argument(name: str) -> bool:
    """Whether a source name is an argument of the call itself, such as ``L['k']``."""
    return re.fullmatch(r"L\['[^']*'\]", name) is not None

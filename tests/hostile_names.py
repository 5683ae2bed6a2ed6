"""Names that would do something where they are not just text, and a model that has them all.

``PAYLOADS`` is id -> text. Each stands for what a model, a file, an exception or a person who types
could bring. ``hostile_target()`` builds one model of many of them; ``model_source`` is the code of
that model, so that its lines, comments and file name are hostile as well.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from explorer import CompileTarget
from explorer.report.wording import clean

FIRED = "fire()"
"""What a payload runs when it runs; a page that is tested counts the calls.

No dot is in it, so that it can be the name of a module.
"""

LONG = 1_000_000
"""Characters of the longest name."""

_HTML = {
    "image": f'x"><img src=q onerror={FIRED}>',
    "image-single-quote": f"x'><img src=q onerror={FIRED}>",
    "image-backtick": f"x`><img src=q onerror={FIRED}>",
    "image-unclosed": f'"><img src=q onerror={FIRED} x="',
    "image-slashes": f"<img/src=q/onerror={FIRED}>",
    "image-newline": f"<img\nsrc=q\nonerror={FIRED}\n>",
    "image-null": f"<im\0g src=q onerror={FIRED}>",
    "script": f"<script>{FIRED}</script>",
    "script-upper": f"<SCRIPT>{FIRED}</SCRIPT >",
    "script-source": "<script src=//hostile/x></script>",
    "script-end": f"</script><script>{FIRED}</script>",
    "script-in-comment": f"<!--><script>{FIRED}</script>-->",
    "style-end": f"</style><script>{FIRED}</script>",
    "style-brace-end": f"}}</style><img src=q onerror={FIRED}>",
    "style-import": "</style><style>@import url(//hostile/x);</style>",
    "style-background": 'x" style="background:url(//hostile/x)',
    "title-end": f"</title><img src=q onerror={FIRED}>",
    "code-end": f"</code></pre><svg onload={FIRED}>",
    "table-end": f"</td></tr></table><svg onload={FIRED}>",
    "details-toggle": f'"><details open ontoggle={FIRED}>',
    "svg": f"<svg/onload={FIRED}>",
    "svg-script": f"<svg><script>{FIRED}</script></svg>",
    "svg-animate": f"<svg><animate onbegin={FIRED} attributeName=x dur=1s>",
    "svg-foreign": f"<svg><foreignObject><body onload={FIRED}></foreignObject></svg>",
    "svg-use": "<svg><use href=//hostile/x#a></use></svg>",
    "text-end": f"</text><script>{FIRED}</script>",
    "math": f"<math><mtext></mtext><mglyph><style><img src=q onerror={FIRED}>",
    "iframe": f"<iframe srcdoc='<script>parent.{FIRED}</script>'></iframe>",
    "object": "<object data=//hostile/x></object><embed src=//hostile/y>",
    "link": '<link rel=stylesheet href="//hostile/x">',
    "meta-refresh": "<meta http-equiv=refresh content='0;url=//hostile/'>",
    "base": "<base href=//hostile/>",
    "form": "<form action=//hostile/><input autofocus onfocus=" + FIRED + ">",
    "javascript-link": f"<a href=javascript:{FIRED}>x</a>",
    "javascript-link-tab": f"<a href='java\tscript:{FIRED}'>x</a>",
    "javascript-url": f"javascript:{FIRED}",
    "data-link": "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "event-double": f'" onmouseover="{FIRED}" autofocus onfocus="{FIRED}" x="',
    "event-single": f"' onmouseover='{FIRED}' autofocus onfocus='{FIRED}' x='",
    "event-bare": f"x onpointerenter={FIRED} autofocus tabindex=1 onfocus={FIRED}",
    "event-animation": f"<b style='animation:x 1s' onanimationstart={FIRED}>x</b>",
    "comment": "<!--",
    "comment-end": f"--><img src=q onerror={FIRED}>",
    "cdata": "<![CDATA[x]]><y>",
    "cdata-end": "]]>",
    "processing": "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/hosts'>]>&e;",
    "entity": "&lt;img src=q onerror=1&gt; &amp;amp; &#x3c;b&#62; &quot;",
    "entity-open": "&lt;script&gt;&#60script&#62&nosuch;&",
    "entity-numbers": "&#0;&#x110000;&#xD800;",
    "ampersand": "a&b&&c",
    "less": "a<b>c< d",
    "quotes": "\"'`\"\"\"'''",
    "textarea": f"</textarea></xmp></noscript></noembed></template><img src=q onerror={FIRED}>",
    "plaintext": "<plaintext><xmp><noscript>",
}
_DOT = {
    "dot-html": "<b>",
    "dot-html-open": "<<b>oops>",
    "dot-html-table": '<<TABLE HREF="javascript:1"><TR><TD>x</TD></TR></TABLE>>',
    "dot-escapes": "a\\nb\\lc\\rd\\N\\G\\E\\T\\H\\L",
    "dot-backslash-end": "ends with \\",
    "dot-backslashes": "\\\\\\",
    "dot-quote": 'a"]; evil [label="pwned',
    "dot-quote-backslash": 'a\\"]; evil [label="pwned',
    "dot-port": "a:b:n",
    "dot-record": "{a|b}|<p> c}",
    "dot-edge": "a -> b -- c; subgraph { x }",
    "dot-comment": "a /* b */ // c # d",
    "dot-keyword": "graph",
}
_PROGRAM = {
    "json-script": '{"a": "</script><script>1</script>"}',
    "json-quote": '","pwned":"',
    "json-proto": "__proto__",
    "json-constructor": "constructor",
    "json-nan": "NaN",
    "json-null": "null",
    "markdown": f"[x](javascript:{FIRED}) ![y](//hostile/z) **b** `c` | d |",
    "markdown-fence": "```\n<b>\n```",
    "latex": "$\\href{javascript:1}{x}$",
    "template-double": "{{constructor.constructor('1')()}}",
    "template-dollar": "${1+1}`#{2}",
    "template-erb": "<%= 1 %>",
    "format-percent": "%s%n%d%(x)s%",
    "format-brace": "{0.__class__}{x!r}{",
    "python-end": '"""\nimport os; os.abort()\n"""',
    "python-statement": "x\nraise SystemExit('pwned')\n#",
    "python-expression": "__import__('os').abort()",
    "css": "}*{display:none;background:url(//hostile/c)}",
    "path-up": "../../etc/passwd",
    "path-absolute": "/etc/passwd",
    "path-windows": "C:\\nul\\con.txt:stream",
    "path-option": "-rf --help",
    "shell": "$(touch pwned);`touch pwned`|touch pwned&",
    "sql": "'; DROP TABLE pieces; --",
}
_CHARACTERS = {
    "terminal-colour": "\x1b[31mred\x1b[0m",
    "terminal-title": "\x1b]0;pwned\x07",
    "terminal-link": "\x1b]8;;http://hostile\x1b\\x\x1b]8;;\x1b\\",
    "terminal-clear": "\x1b[2J\x1b[H",
    "terminal-c1": "\x9b31mred\x9d0;pwned\x9c",
    "bell": "a\x07b\x08c\x7f",
    "null": "a\0b",
    "newlines": "a\nb\r\nc\rd",
    "tabs": "a\tb\vc\fd",
    "separators": "a\u2028b\u2029c\x85d",
    "right-to-left": "a\u202egpj.exe",
    "isolates": "a\u2066b\u2069c\u200e\u200f\u061c",
    "zero-width": "a\u200bb\u200cc\u200dd\ufeffe\u2060f",
    "combining": "Z" + "\u0301\u0316" * 40,
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f4a9",
    "wide": "模型\uff1cscript\uff1e",
    "arabic": "نموذج <b>",
    "surrogate": "a\ud800b\udfffc\udce9",
    "tags": "x\U000e0041\U000e007f",
    "noncharacters": "a\uffffb\ufffec\ufdd0d",
    "private-use": "a\ue000b",
    "spaces": "   a   b \u00a0\u3000 ",
    "blank": " ",
    "digits": "0",
}

PAYLOADS: dict[str, str] = _HTML | _DOT | _PROGRAM | _CHARACTERS
"""Id -> text; all of moderate length."""

LONG_PAYLOADS = {
    "long": "a" * LONG,
    "long-markup": "<b>" * (LONG // 3),
    "long-lines": "a\n" * (LONG // 2),
}
"""Names of a million characters: one is enough in a model."""


def attribute_name(text: str) -> str:
    """The text as a name that torch takes for a submodule or a parameter: without dots."""
    return text.replace(".", "_") or "_"


def file_name(text: str) -> str:
    """The text as the name of a file of Python code, as far as torch takes it."""
    safe = re.sub("[\0\ud800-\udfff]", "_", text)
    return f"{safe}.py"


def as_shown(text: str) -> str:
    """What a report shows of a text that it does not shorten."""
    return clean(text)


def words(text: str) -> str:
    """A text with each run of blanks as one space: readers of HTML do not tell more apart."""
    return " ".join(text.split())


def model_source(comment: str) -> str:
    """Code of a model with a branch on a size, a check and a comment, all with hostile text.

    Args:
        comment: stands at the end of the line with the branch, and in the check's message.
    """
    text = repr(comment)
    tail = re.sub(r"[\0\r\n\f\x85\u2028\u2029]|[\ud800-\udfff]", " ", comment)
    return (
        "class Model(nn.Module):\n"
        "    def forward(self, x, inputs):\n"
        f"        torch._check(x.shape[0] != 77, lambda: {text})\n"
        "        for child in self.children():\n"
        "            x = child(x).relu()\n"
        "        for value in inputs.values():\n"
        "            x = x + value\n"
        f"        if x.shape[0] == 4:  # {tail}\n"
        f"            x = x * 2  # {tail}\n"
        "        return x\n"
    )


class Child(nn.Module):
    """Multiplies by a parameter, whatever that is called."""

    def __init__(self, parameter: str) -> None:
        super().__init__()
        self.register_parameter(parameter, nn.Parameter(torch.ones(4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for each in self.parameters(recurse=False):
            x = x * each
        return x


def hostile_model(names: Iterable[str], *, comment: str, file: str) -> nn.Module:
    """A model whose submodules, parameters, source lines and file have these names.

    Args:
        names: of the submodules and of their parameters, in order.
        comment: in the source and in the message of a ``torch._check``.
        file: of the source.
    """
    source = model_source(comment)
    path = f"/{file_name(file)}"
    scope: dict[str, Any] = {"torch": torch, "nn": nn, "__name__": "hostile_model"}
    exec(compile(source, path, "exec"), scope)
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    model = scope["Model"]()
    for name in dict.fromkeys(map(attribute_name, names)):
        model.add_module(name, Child(name))
    return model


def hostile_target(
    names: Iterable[str] | None = None,
    *,
    comment: str = PAYLOADS["code-end"],
    file: str = PAYLOADS["image"],
    name: str | None = None,
) -> CompileTarget:
    """One model with many hostile names: modules, parameters, inputs, file, source, its own name.

    Args:
        names: of modules, parameters and inputs in a dict; None takes all ``PAYLOADS``.
        comment: see ``hostile_model``.
        file: see ``hostile_model``.
        name: of the model; None joins a few.
    """
    chosen = list(PAYLOADS.values() if names is None else names)
    title = name if name is not None else "".join(PAYLOADS[each] for each in _TITLE)
    inputs = {each: torch.ones(8, 4) for each in dict.fromkeys(chosen)}
    return CompileTarget(
        name=title,
        model=hostile_model(chosen, comment=comment, file=file),
        example_inputs=(torch.ones(8, 4), inputs),
        example_kwargs={},
        dynamic_arg_dims={"x": {0: "n"}, **{f"inputs[{each!r}]": {0: "n"} for each in inputs}},
        splitting_ops=("Tensor.relu",),
        make_inputs=None,
        shows=f"What a page does with {PAYLOADS['title-end']}.",
    )


_TITLE = ("title-end", "image", "script", "terminal-colour", "right-to-left")

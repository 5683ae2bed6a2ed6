"""One widget on a bare page, without a notebook and without a kernel: fast to test, same script.

The page plays the front end: it has the widget's traits, keeps the messages that the script sends,
and lets a test change a trait as Python would.
"""

from __future__ import annotations

import json
from typing import Any

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data:"></head>
<body data-jp-theme-name="{theme}" data-jp-theme-light="{light}" style="{colours}">
<div id="stage" style="width:{width}px"></div></body></html>"""

LIGHT = {
    "--jp-layout-color1": "#ffffff",
    "--jp-layout-color2": "#eeeeee",
    "--jp-ui-font-color1": "rgba(0,0,0,0.87)",
    "--jp-ui-font-color2": "rgba(0,0,0,0.54)",
    "--jp-border-color1": "#bdbdbd",
    "--jp-brand-color1": "#1976d2",
    "--jp-error-color1": "#d32f2f",
    "--jp-success-color1": "#388e3c",
    "--jp-warn-color1": "#f57c00",
}
DARK = {
    "--jp-layout-color1": "#111111",
    "--jp-layout-color2": "#424242",
    "--jp-ui-font-color1": "rgba(255,255,255,1)",
    "--jp-ui-font-color2": "rgba(255,255,255,0.7)",
    "--jp-border-color1": "#616161",
    "--jp-brand-color1": "#1976d2",
    "--jp-error-color1": "#d32f2f",
    "--jp-success-color1": "#388e3c",
    "--jp-warn-color1": "#f57c00",
}

START = """async ({ source, style, state }) => {
    const listeners = {};
    const model = {
        state,
        sent: [],
        get: (name) => model.state[name],
        set: (name, value) => {
            model.state[name] = value;
            for (const each of listeners[`change:${name}`] ?? []) each();
        },
        save_changes: () => {},
        on: (names, callback) => {
            for (const name of names.split(" ")) (listeners[name] ??= []).push(callback);
        },
        off: (name, callback) => {
            listeners[name] = (listeners[name] ?? []).filter((each) => each !== callback);
        },
        send: (content) => model.sent.push(content),
    };
    window.model = model;
    const sheet = document.createElement("style");
    sheet.textContent = style;
    document.head.append(sheet);
    const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
    const el = document.getElementById("stage");
    window.cleanUp = await module.default.render({ model, el });
}"""


class Stage:
    """A page with one widget.

    Attributes:
        page: playwright's page.
        errors: exceptions that nobody caught in the page.
    """

    def __init__(self, page: Any, widget: Any, *, dark: bool = False, width: int = 1000) -> None:
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        colours = ";".join(f"{k}:{v}" for k, v in (DARK if dark else LIGHT).items())
        colours += ";margin:8px;background:var(--jp-layout-color1)"
        theme = f"JupyterLab {'Dark' if dark else 'Light'}"
        light = "false" if dark else "true"
        page.set_content(PAGE.format(theme=theme, light=light, colours=colours, width=width))
        state = {name: value for name, value in widget.get_state().items() if name[0] != "_"}
        source, style = str(widget._esm), str(widget._css)
        state = json.loads(json.dumps(state))
        page.evaluate(START, {"source": source, "style": style, "state": state})

    def set(self, name: str, value: Any) -> None:
        """Changes a trait, as Python does."""
        self.page.evaluate("([name, value]) => window.model.set(name, value)", [name, value])

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages that the script sent, oldest first."""
        return self.page.evaluate("() => window.model.sent")

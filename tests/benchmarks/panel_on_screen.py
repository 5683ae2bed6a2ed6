"""How long a person waits for the panel of a deep model, in JupyterLab and a real browser.

Wall seconds, lowest of several turns. ``open``: from a compilation that exists to the strip and the
graph on screen. ``edit``: from Enter in the box of splitting ops to the new split in the strip.
``tab``: from a click to the view. What travels is counted in bytes of the views' data. The exit
status is 1 when a target is missed.

    python -m tests.benchmarks.panel_on_screen --layers 80 --turns 3
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.reporting import machine_description, markdown_table
from tests.browser.conftest import BROWSER_FLAGS, CHROMIUM
from tests.browser.lab import LabServer, OpenPage

MOST_SECONDS = 2.0
TABS = ("Source", "Dedupe", "Ranges", "Replay", "Store", "Graph")

MODEL = """
from explorer.session import session_of
from sample_models import toy_llama

target = toy_llama.sample(layers={layers})
config = target.compilation_config().replace(backend="eager", compile_sizes=())
"""
SHOW = """
import time
from widgets import show

compilation = session_of(target, config).update()
started = time.time()
print("started", started)
panel = show(compilation)
panel
"""
EXPLORE = """
from widgets import explore

panel = explore(
    target.model,
    target.example_inputs,
    dynamic_arg_dims=target.dynamic_arg_dims,
    make_inputs=target.make_inputs,
    config=config,
    name=target.name,
)
panel
"""
# When something is first seen, by the clock that the kernel reads as well.
SEEN = """(condition) => new Promise((resolve, reject) => {
    const isSeen = new Function(`return ${condition}`), began = Date.now();
    const look = () => {
        if (isSeen()) resolve(Date.now() / 1000);
        else if (Date.now() - began > 60_000) reject(new Error(`not seen in 60 s: ${condition}`));
        else requestAnimationFrame(look);
    };
    look();
})"""
RUN_CELL = """(source) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCell.model.sharedModel.setSource(source);
    return window.jupyterapp.commands.execute('notebook:run-cell');
}"""
ENTER = """() => { document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") window.entered = Date.now() / 1000; }, true); }"""


def pieces(count: int) -> str:
    return f"document.querySelectorAll('.pwx-strip .cell').length === {count}"


def seen(page: Any, condition: str) -> float:
    return page.evaluate(SEEN, condition)


def sizes_of_views(layers: int) -> dict[str, int]:
    """Bytes of the data of each view, as JSON."""
    from explorer.session import session_of
    from sample_models import toy_llama
    from widgets import show

    target = toy_llama.sample(layers=layers)
    config = target.compilation_config().replace(backend="eager", compile_sizes=())
    panel: Any = show(session_of(target, config).update())
    found = {"strip": len(json.dumps(panel.viewer.strip.view))}
    for tab in TABS:
        found[tab] = len(json.dumps(panel.open_tab(tab).view))
    panel.close()
    return found


def opened(lab: LabServer, chromium: Any, name: str, cells: list[str]) -> OpenPage:
    page = OpenPage(chromium.new_page(viewport={"width": 1400, "height": 1200}), lab, name)
    page.run(cells, "JupyterLab Light")
    return page


def seconds_to_open(lab: LabServer, chromium: Any, layers: int, turn: int) -> float:
    page = opened(lab, chromium, f"open_{turn}", [MODEL.format(layers=layers)]).page
    try:
        drawn = f"{pieces(2 * layers + 1)} && !!document.querySelector('.pwx-graph canvas')"
        page.evaluate(f"(condition) => {{ window.drawn = ({SEEN})(condition); }}", drawn)
        page.evaluate(RUN_CELL, SHOW)
        appeared = page.evaluate("() => window.drawn")
        said = page.locator(".jp-OutputArea-output").filter(has_text="started").inner_text()
        return appeared - float(said.split()[1])
    finally:
        page.close()


def seconds_of_edits(
    lab: LabServer, chromium: Any, layers: int, turns: int
) -> dict[str, list[float]]:
    page = opened(lab, chromium, "edits", [MODEL.format(layers=layers) + EXPLORE]).page
    found: dict[str, list[float]] = {"edit": []}
    try:
        seen(
            page,
            f"{pieces(2 * layers + 1)} && document.body.innerText.includes('nothing to compile')",
        )
        page.evaluate(ENTER)
        entry = page.get_by_role("combobox", name="Add a splitting op", exact=True)
        for op in ("F.silu", "Tensor.pow", "torch.nn.functional.linear")[:turns]:
            before = page.locator(".pwx-strip .cell").count()
            entry.fill(op)
            entry.press("Enter")
            more = f"document.querySelectorAll('.pwx-strip .cell').length > {before}"
            found["edit"].append(seen(page, more) - page.evaluate("window.entered"))
        for tab in TABS:
            began = page.evaluate("Date.now() / 1000")
            page.get_by_role("tab", name=tab).click()
            kind = {"Source": "source", "Graph": "graph"}.get(tab, "blocks")
            shown = f"document.querySelector('.pwx-{kind}')?.offsetHeight > 80"
            found[f"tab {tab}"] = [seen(page, shown) - began]
        return found
    finally:
        page.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=80)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    root = Path(tempfile.mkdtemp())
    with sync_playwright() as playwright, LabServer(root, Path.cwd()) as lab:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(BROWSER_FLAGS))
        turns = range(options.turns)
        found = {"open": [seconds_to_open(lab, chromium, options.layers, turn) for turn in turns]}
        found |= seconds_of_edits(lab, chromium, options.layers, options.turns)
        chromium.close()
    print(machine_description())
    rows = [
        (what, f"{min(values):.2f}", f"{MOST_SECONDS:.0f}", ", ".join(f"{v:.2f}" for v in values))
        for what, values in found.items()
    ]
    print(markdown_table(("what", "lowest s", "target s", "all"), rows))
    sizes = sizes_of_views(options.layers)
    print(markdown_table(("view", "kB"), [(k, f"{v / 1e3:.0f}") for k, v in sizes.items()]))
    missed = [what for what, values in found.items() if min(values) > MOST_SECONDS]
    print(f"Missed: {', '.join(missed)}." if missed else "Every target is met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

// The elements of the graph view: its bar, the window with the canvas, the strip, the text form.

const LEVEL_NAMES = { pieces: "Pieces", modules: "Modules", nodes: "All nodes" };
const THEME_NAMES = ["ink", "quiet", "paper", "shade", "line", "accent", "edge", "accent-text"];
const HELP = "Arrow keys follow edges from the current node, or move the picture. Enter selects a node, and opens or closes a group. Plus and minus zoom, 0 goes to the start, Escape clears.";
const EMPTY = "No graph is shown yet: it appears here as soon as the model was captured.";

// Appends them to el and returns those that the pane works with.
function graphElements(el, pane) {
  const name = `pwx-graph-${Math.random().toString(36).slice(2)}`;
  const input = h("input", { type: "search", placeholder: "Find op, name, module, line", "aria-label": "Find nodes" });
  const found = h("span", { class: "found", role: "status" });
  const levels = Object.entries(LEVEL_NAMES).map(([level, text]) =>
    h("button", { "data-level": level, "aria-pressed": "false", onclick: () => pane.setLevel(level) }, text));
  const unfoldButton = h("button", { "aria-pressed": "false", title: "Draw every repetition of what is drawn once", onclick: () => pane.setUnfolded(!pane.tree.isUnfolded) }, "Unfold repeats");
  const textButton = h("button", { "aria-pressed": "false", title: "The same as text", onclick: () => pane.setText(pane.textForm.hidden) }, "Text");
  const zoomText = h("button", { class: "zoom", title: "Zoom to 100 %", onclick: () => pane.zoomBy(1 / pane.camera.zoom) });
  const bar = h("div", { class: "bar" },
    h("span", { class: "set find" }, input, signButton("↑", "Previous hit", () => pane.search.go(-1)), signButton("↓", "Next hit", () => pane.search.go(1)), found),
    h("span", { class: "set joined", role: "group", "aria-label": "How much is open" }, levels),
    unfoldButton,
    h("span", { class: "set joined end" }, signButton("−", "Zoom out", () => pane.zoomBy(0.8)), zoomText, signButton("+", "Zoom in", () => pane.zoomBy(1.25))),
    h("span", { class: "set joined" },
      h("button", { title: "Back to the start, readable", onclick: () => pane.toStart() }, "Start"),
      h("button", { title: "The whole graph in the window", onclick: () => pane.fit() }, "Fit")),
    h("span", { class: "set" }, h("button", { title: "Save what is on screen as an SVG file", onclick: () => pane.saveSvg() }, "SVG"), textButton));
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "graph", "aria-describedby": `${name}-help` });
  const map = h("canvas", { class: "minimap", "aria-hidden": "true" });
  const list = h("ul", { class: "list", id: name, role: "listbox", "aria-label": "Nodes and groups in sight" });
  const status = h("div", { class: "status" });
  const window = h("div", { class: "window" }, canvas, map, list);
  const strip = h("div", { class: "details", role: "region", "aria-label": "Details of the current node", tabindex: 0 });
  const body = h("div", { class: "body" }, h("div", { class: "pane" }, window, status), strip);
  const textForm = h("pre", { class: "text-form", tabindex: 0, "aria-label": "The graph as text", hidden: true });
  const empty = h("p", { class: "empty", hidden: true }, EMPTY);
  const live = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
  const help = h("div", { class: "spoken", id: `${name}-help` }, HELP);
  const probes = colourProbes();
  el.append(bar, body, textForm, empty, live, help, h("div", { class: "probes", "aria-hidden": "true" }, probes.map(([, probe]) => probe)));
  roving(list, "li");
  return { input, found, levels, unfoldButton, textButton, zoomText, bar, canvas, map, list, status, window, strip, body, textForm, empty, live, probes };
}

// A button with a sign instead of a word.
function signButton(sign, label, act) {
  return h("button", { "aria-label": label, title: label, onclick: act }, sign);
}

// Elements that have the colours of the theme: their computed colour is one that a canvas takes.
function colourProbes() {
  const names = [...THEME_NAMES, ...Array.from({ length: PIECE_COLOURS }, (_, i) => `piece${i}`)];
  return names.map((name) => {
    const probe = h("i");
    probe.style.color = `var(--pwx-${name})`;
    return [name, probe];
  });
}

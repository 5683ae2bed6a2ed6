// The graph: a canvas with its bar, a strip of details, a list of what is in sight, a text form.

const SEARCH_DELAY = 120, LIST_DELAY = 150;
const LEVEL_NAMES = { pieces: "Pieces", modules: "Modules", nodes: "All nodes" };
const THEME_NAMES = ["ink", "quiet", "paper", "shade", "line", "accent", "edge", "accent-text"];
const HELP = "Arrow keys follow edges from the current node, or move the picture. Enter selects a node, and opens or closes a group. Plus and minus zoom, 0 goes to the start, Escape clears.";
const EMPTY = "No graph is shown yet: it appears here as soon as the model was captured.";
const HINT = "Click a node to see its shape, its line of code and its neighbours. Drag to move, Ctrl + wheel to zoom; after a click the wheel zooms too, and arrow keys follow the edges.";

class GraphPane {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.camera = new Camera();
    this.stats = el.graphStats = { layoutMs: 0, paintMs: 0, drawnNodes: 0, drawnEdges: 0, boxes: 0, goes: 0 };
    this.cursor = null; // key of the current box
    this.drawn = { headers: [], leaves: [] };
    this.hits = [];
    this.hitAt = -1;
    this.chosen = { nodes: [], set: new Set(), pieces: new Set() };
    this.ownSelection = "";
    this.build();
    this.marks = { of: (box) => this.markOf(box), isStrong: (link) => this.isStrong(link), isLit: (box) => this.isLit(box) };
    this.act = {
      go: (node) => this.goToNode(node),
      line: (place) => this.send("line", [place[0], place[1]]),
      piece: (index) => this.send("piece", index),
      toggle: (box) => this.toggle(box),
    };
    listenToPointer(this);
    listenToKeys(this);
  }

  // ------------------------------------------------------------------------------------ the elements

  build() {
    const button = (text, label, act) => h("button", { "aria-label": label, title: label, onclick: act }, text);
    const name = `pwx-graph-${Math.random().toString(36).slice(2)}`;
    this.search = h("input", { type: "search", placeholder: "Find op, name, module, line", "aria-label": "Find nodes" });
    this.found = h("span", { class: "found", role: "status" });
    this.levels = Object.entries(LEVEL_NAMES).map(([level, text]) =>
      h("button", { "data-level": level, "aria-pressed": "false", onclick: () => this.setLevel(level) }, text));
    this.unfoldButton = h("button", { class: "unfold", "aria-pressed": "false", title: "Draw every repetition of what is drawn once", onclick: () => this.setUnfolded(!this.tree.isUnfolded) }, "Unfold repeats");
    this.textButton = h("button", { class: "as-text", "aria-pressed": "false", title: "The same as text", onclick: () => this.setText(this.textForm.hidden) }, "Text");
    this.zoomText = h("button", { class: "zoom", title: "Zoom to 100 %", onclick: () => this.zoomBy(1 / this.camera.zoom) });
    const hits = [button("↑", "Previous hit", () => this.goToHit(-1)), button("↓", "Next hit", () => this.goToHit(1))];
    const zooms = [button("−", "Zoom out", () => this.zoomBy(0.8)), this.zoomText, button("+", "Zoom in", () => this.zoomBy(1.25))];
    const views = [button("Start", "Back to the start, readable", () => this.toStart()), button("Fit", "Fit the whole graph in the window", () => this.fit())];
    this.bar = h("div", { class: "bar" },
      h("span", { class: "set find" }, this.search, hits, this.found),
      h("span", { class: "set joined", role: "group", "aria-label": "How much is open" }, this.levels),
      this.unfoldButton,
      h("span", { class: "set joined end" }, zooms),
      h("span", { class: "set joined" }, views),
      h("span", { class: "set" }, button("SVG", "Save what is on screen as an SVG file", () => this.saveSvg()), this.textButton));
    this.canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "graph", "aria-describedby": `${name}-help` });
    this.context = this.canvas.getContext("2d");
    this.list = h("ul", { class: "list", id: name, role: "listbox", "aria-label": "Nodes and groups in sight" });
    this.status = h("div", { class: "status" });
    this.live = h("div", { class: "spoken", role: "status", "aria-live": "polite" });
    const map = h("canvas", { class: "minimap", "aria-hidden": "true" });
    this.minimap = new Minimap(map, this);
    this.window = h("div", { class: "window" }, this.canvas, map, this.list);
    this.pane = h("div", { class: "pane" }, this.window, this.status);
    this.strip = h("div", { class: "details", role: "region", "aria-label": "Details of the current node", tabindex: 0 });
    this.body = h("div", { class: "body" }, this.pane, this.strip);
    this.textForm = h("pre", { class: "text-form", tabindex: 0, "aria-label": "The graph as text", hidden: true });
    this.empty = h("p", { class: "empty", hidden: true }, EMPTY);
    const help = h("div", { class: "spoken", id: `${name}-help` }, HELP);
    this.probes = [...THEME_NAMES, ...Array.from({ length: PIECE_COLOURS }, (_, i) => `piece${i}`)].map((each) => [each, h("i")]);
    for (const [each, probe] of this.probes) probe.style.color = `var(--pwx-${each})`;
    const probes = h("div", { class: "probes", "aria-hidden": "true" }, this.probes.map(([, probe]) => probe));
    this.el.append(this.bar, this.body, this.textForm, this.empty, this.live, help, probes);
    roving(this.list, "li");
    this.search.addEventListener("input", () => {
      clearTimeout(this.searchTimer);
      this.searchTimer = setTimeout(() => this.find(), SEARCH_DELAY);
    });
    this.search.addEventListener("keydown", (event) => this.searchKey(event));
    this.strip.addEventListener("keydown", (event) => this.escapeKey(event));
    this.list.addEventListener("keydown", (event) => this.listKey(event));
  }

  // ------------------------------------------------------------------------------------- the picture

  load() {
    this.tree = new GraphTree(this.model.get("view") ?? {});
    this.texts = null;
    this.cursor = null;
    const isEmpty = !this.tree.count;
    this.empty.hidden = !isEmpty;
    this.bar.hidden = this.body.hidden = isEmpty;
    this.unfoldButton.hidden = !this.tree.folds.length;
    this.setText(false);
    this.readOverlay();
    this.readSelection();
    this.lay();
    this.find();
    this.isStarted = false;
    this.start();
  }

  // The first look, once the size of the window is known.
  start() {
    if (this.isStarted || !this.camera.width || !this.tree.count) return;
    this.isStarted = true;
    this.camera.toStart(this.scene);
    if (this.model.get("selection")?.kind) this.showSelection();
    this.draw();
  }

  lay() {
    const begin = performance.now();
    this.scene = sceneOf(this.tree, (box) => sizeOfBox(this.tree, box, this.overlay));
    this.scene.index = new SceneIndex(this.scene);
    this.byKey = new Map(this.scene.boxes.map((box) => [box.key, box]));
    if (!this.byKey.has(this.cursor)) this.cursor = null;
    this.stats.layoutMs = performance.now() - begin;
    this.stats.boxes = this.scene.boxes.length;
    this.minimap.picture = null;
    for (const each of this.levels) each.setAttribute("aria-pressed", String(each.dataset.level === this.tree.level));
    this.unfoldButton.setAttribute("aria-pressed", String(this.tree.isUnfolded));
    const view = this.model.get("view");
    this.canvas.setAttribute("aria-label", `Graph of ${view.name ?? "the model"}: ${view.text ?? "empty"}`);
    this.status.textContent = [view.text, this.overlayTitle && `shown: ${this.overlayTitle}`].filter(Boolean).join(" · ");
    this.showDetails();
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = null;
    const { camera, tree } = this;
    if (!camera.width || !tree.count) return;
    const begin = performance.now(), theme = this.theme();
    this.drawn = drawScene(new CanvasPen(this.context), this.scene, tree, this.picture(theme));
    const current = this.byKey.get(this.cursor), marked = new Set(this.hits.slice(0, 500).map((node) => this.scene.boxOf[node]));
    for (const node of this.chosen.nodes.slice(0, 500)) marked.add(this.scene.boxOf[node]);
    this.minimap.paint(theme, current ? [...marked, current] : marked);
    Object.assign(this.stats, { paintMs: performance.now() - begin, drawnNodes: this.drawn.nodes, drawnEdges: this.drawn.edges });
    Object.assign(this.stats, { zoom: camera.zoom, x: camera.x, y: camera.y });
    this.zoomText.textContent = `${camera.zoom < 0.1 ? (camera.zoom * 100).toFixed(1) : Math.round(camera.zoom * 100)} %`;
    this.listTimer ??= setTimeout(() => this.refreshList(), LIST_DELAY);
  }

  picture(theme) {
    const { camera, marks, overlay } = this;
    return { width: camera.width, height: camera.height, ratio: devicePixelRatio, view: camera, theme, marks, overlay };
  }

  theme() {
    const colours = Object.fromEntries(this.probes.map(([name, probe]) => [name, getComputedStyle(probe).color]));
    const pieces = Array.from({ length: PIECE_COLOURS }, (_, i) => colours[`piece${i}`]);
    return { ...colours, pieces, accentText: colours["accent-text"], mono: cssColour(this.el, "--pwx-mono") || "monospace" };
  }

  markOf(box) {
    const { chosen, tree, hits } = this;
    const isPiece = tree.isPiece(box) && chosen.pieces.has(tree.spans.key[box.span]);
    const isSelected = (isPiece && !chosen.nodes.length) || (!box.children && countIn(chosen.nodes, box) > 0);
    return { isCursor: box.key === this.cursor, isSelected, hits: box.children ? 0 : countIn(hits, box) };
  }

  isStrong(link) {
    return this.cursor != null && (link.source.key === this.cursor || link.target.key === this.cursor);
  }

  // A reference is lit while what it stands for is selected.
  isLit(box) {
    for (let node = box.start; node < box.end; node++) {
      for (const source of this.tree.cutSources.get(node) ?? []) {
        if (this.chosen.set.has(source) || this.cursor === `n${source}`) return true;
      }
    }
    return false;
  }

  resize() {
    const width = this.window.clientWidth, height = this.window.clientHeight;
    if (!width || !height) return;
    this.camera.resize(width, height);
    this.canvas.width = width * devicePixelRatio;
    this.canvas.height = height * devicePixelRatio;
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.start();
    this.draw();
  }

  // ------------------------------------------------------------------------------- open, close, level

  // Lays out again; the box under the hand stays where it is.
  change(key, otherwise, act) {
    const { camera } = this, before = this.byKey.get(key);
    act();
    const top = before?.y, middle = before && before.x + before.anchor;
    const wasCurrent = this.cursor === key;
    this.lay();
    const after = this.byKey.get(key) ?? this.byKey.get(otherwise);
    if (wasCurrent && after) this.cursor = after.key;
    if (before && after) {
      camera.y += (top - after.y) * camera.zoom;
      camera.x += (middle - (after.x + after.anchor)) * camera.zoom;
    }
    this.showDetails();
    this.moved();
  }

  setLevel(level) {
    const node = this.byKey.get(this.cursor)?.start;
    this.tree.setLevel(level);
    this.lay();
    if (node == null) this.toStart();
    else this.goTo(this.scene.boxOf[node]);
  }

  setUnfolded(all) {
    const node = this.byKey.get(this.cursor)?.start;
    this.tree.unfold(all);
    this.lay();
    if (node != null) this.goTo(this.scene.boxOf[node]);
    this.moved();
  }

  toggle(box) {
    const { tree } = this;
    if (box.type === "rest") this.change(box.key, tree.boxKeyOfBody(box.fold, box.first), () => tree.unfoldOne(box.fold));
    else if (box.type === "body") this.change(box.key, tree.boxKeyOfBody(box.fold, box.body), () => tree.unfoldOne(box.fold));
    else if (box.span != null) this.change(box.key, null, () => tree.toggle(box.span));
  }

  // -------------------------------------------------------------------------- the current box, clicks

  setCursor(key) {
    this.cursor = key;
    this.showDetails();
    this.draw();
  }

  showDetails() {
    const box = this.byKey.get(this.cursor);
    fillDetails(this.strip, this.tree, box, this.act, this.model.get("selection")?.text || HINT);
  }

  goTo(box) {
    if (!box) return;
    if (!this.camera.shows(box)) this.camera.centre(box);
    this.setCursor(box.key);
    this.live.textContent = spoken(this.tree, box, 0);
    this.moved();
  }

  // To a node wherever it is; what hides it is opened.
  goToNode(node) {
    if (this.tree.reveal(node)) this.lay();
    this.stats.goes++;
    this.goTo(this.scene.boxOf[node]);
  }

  // What a click or Enter on a box does.
  activate(box) {
    this.setCursor(box.key);
    if (box.type === "node") this.send("node", this.tree.id(box.start));
    else if (this.tree.isPiece(box)) this.send("piece", this.tree.spans.key[box.span]);
    else this.toggle(box);
  }

  click(point) {
    const head = this.headAt(point), leaf = head ? null : this.leafAt(point);
    const box = head ?? leaf;
    if (!box) return this.setCursor(null);
    const left = head ? Math.max(box.left, -this.camera.x / this.camera.zoom) : box.x;
    const isSign = (point.x - left) * Math.max(this.camera.zoom, 0.5) < 26;
    if (this.tree.isPiece(box) && isSign) {
      this.setCursor(box.key);
      this.toggle(box);
    } else this.activate(box);
  }

  doubleClick(point) {
    const box = this.headAt(point) ?? this.leafAt(point);
    if (box && this.tree.isPiece(box)) this.toggle(box);
  }

  hover(point) {
    const box = this.headAt(point) ?? this.leafAt(point);
    this.canvas.style.cursor = box ? "pointer" : "";
    this.canvas.title = box && !box.children ? [box.words.head, box.words.rest, box.words.note].filter(Boolean).join("  ") : "";
  }

  leafAt({ x, y }) {
    return this.drawn.leaves.find((box) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height);
  }

  // The innermost frame whose name is there.
  headAt({ x, y }) {
    const found = this.drawn.headers.filter((head) => x >= head.x && x <= head.x + head.width && y >= head.y && y <= head.y + head.height);
    return found.at(-1)?.box;
  }

  follow(key) {
    const box = this.byKey.get(this.cursor);
    if (!box || box.children) return false;
    const next = neighbourOf(this.scene, box, key);
    if (next) this.goTo(next);
    return true;
  }

  enter() {
    const box = this.byKey.get(this.cursor);
    if (!box) {
      const first = this.drawn.leaves[0];
      if (first) this.goTo(first);
    } else if (box.type === "node") this.activate(box);
    else this.toggle(box);
  }

  escape() {
    this.setCursor(null);
    this.send("none", null);
  }

  escapeKey(event) {
    if (event.key !== "Escape") return;
    taken(event);
    this.escape();
  }

  listKey(event) {
    const box = this.byKey.get(event.target.dataset?.key);
    if (event.key === "Escape") return this.escapeKey(event);
    if (!box || (event.key !== "Enter" && event.key !== " ")) return;
    taken(event);
    if (box.type === "node") this.activate(box);
    else this.toggle(box);
    this.paint();
    this.refreshList(true);
  }

  moved() {
    this.camera.keepInSight(this.scene);
    this.draw();
  }

  zoomBy(factor) {
    this.camera.zoomBy(factor);
    this.moved();
  }

  toStart() {
    this.camera.toStart(this.scene);
    this.draw();
  }

  fit() {
    this.camera.toAll(this.scene);
    this.draw();
  }

  // A list that somebody walks through is not made anew under them, except after Enter.
  refreshList(isAsked = false) {
    this.listTimer = null;
    const focused = this.list.contains(document.activeElement);
    if (focused && !isAsked) return;
    fillList(this.list, this.tree, this.drawn.leaves, this.marks, {
      act: (box) => this.activate(box),
      focus: (box) => this.setCursor(box.key),
    });
    if (focused) (this.list.querySelector(".current") ?? this.list.firstElementChild).focus();
  }

  // ----------------------------------------------------------------------------------------- search

  find() {
    const text = this.search.value.trim().toLowerCase();
    this.texts ??= searchTexts(this.tree);
    this.hits = text ? this.texts.flatMap((each, node) => (each.includes(text) ? [node] : [])) : [];
    this.hitAt = -1;
    this.sayFound(text);
    this.draw();
  }

  sayFound(text) {
    const { hits, hitAt } = this;
    const count = hitAt < 0 ? counted(hits.length, "hit") : `${grouped(hitAt + 1)} of ${counted(hits.length, "hit")}`;
    this.found.textContent = !text ? "" : hits.length ? count : "no hits";
  }

  searchKey(event) {
    if (event.key === "Enter") {
      clearTimeout(this.searchTimer);
      if (this.hitAt < 0) this.find();
      this.goToHit(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      this.search.value = "";
      this.find();
    } else return;
    taken(event);
  }

  goToHit(step) {
    if (!this.hits.length) return;
    const count = this.hits.length;
    this.hitAt = this.hitAt < 0 ? (step > 0 ? 0 : count - 1) : (this.hitAt + step + count) % count;
    this.sayFound(this.search.value);
    this.goToNode(this.hits[this.hitAt]);
  }

  // -------------------------------------------------------------------- selection, overlay, text, SVG

  send(kind, key) {
    this.ownSelection = JSON.stringify([kind, key]);
    select(this.model, kind, key);
  }

  readSelection() {
    const { nodes = [], pieces = [], kind, key } = this.model.get("selection") ?? {};
    const known = nodes.map((id) => this.tree.numberOf.get(id)).filter((node) => node != null);
    if (kind === "node" && !known.length && this.tree.numberOf.has(key)) known.push(this.tree.numberOf.get(key));
    known.sort((a, b) => a - b);
    this.chosen = { nodes: known, set: new Set(known), pieces: new Set(pieces) };
  }

  selectionChanged() {
    this.readSelection();
    const { kind = "none", key = null } = this.model.get("selection") ?? {};
    const isOwn = this.ownSelection === JSON.stringify([kind, key]);
    this.ownSelection = "";
    if (!isOwn) this.showSelection();
    this.showDetails();
    this.draw();
  }

  // The primary thing of a selection from elsewhere comes into sight.
  showSelection() {
    const { kind, key } = this.model.get("selection") ?? {}, { tree, chosen } = this;
    if (!kind) return this.setCursor(null);
    const node = kind === "node" ? tree.numberOf.get(key) : chosen.nodes[0];
    if (node != null) return this.goToNode(node);
    const span = tree.pieceSpan.get(kind === "piece" ? key : [...chosen.pieces][0]);
    if (span == null) return;
    if (tree.reveal(tree.spans.start[span], span)) this.lay();
    this.stats.goes++;
    this.goTo(this.byKey.get(`s${span}`));
  }

  readOverlay() {
    const { title = "", values = {} } = this.model.get("overlay") ?? {};
    const entries = Object.entries(values), isPiece = (key) => !key.includes("/");
    const largest = (piece) => Math.max(0, ...entries.filter(([key]) => isPiece(key) === piece).map(([, [number]]) => number));
    const most = { true: largest(true), false: largest(false) };
    this.overlayTitle = title;
    this.overlay = new Map(entries.map(([key, [number, text]]) => {
      const share = most[isPiece(key)] > 0 ? Math.min(Math.max(number / most[isPiece(key)], 0), 1) : 0;
      return [key, { text, share }];
    }));
  }

  setText(isShown) {
    this.textForm.hidden = !isShown;
    this.textForm.textContent = isShown ? this.model.get("text") ?? "" : "";
    this.body.hidden = isShown || !this.tree.count;
    this.textButton.setAttribute("aria-pressed", String(isShown));
    this.bar.classList.toggle("reads", isShown);
  }

  saveSvg() {
    const pen = new SvgPen(this.context);
    drawScene(pen, this.scene, this.tree, this.picture(this.theme()));
    const text = new XMLSerializer().serializeToString(pen.svg);
    const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    const link = h("a", { href: address, download: "graph.svg" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  end() {
    for (const timer of [this.searchTimer, this.listTimer]) clearTimeout(timer);
    if (this.frame) cancelAnimationFrame(this.frame);
  }
}

// Per node all that a search looks at, in small letters.
function searchTexts(tree) {
  return tree.nodes.name.map((name, node) => {
    const place = tree.text(node, "place"), op = tree.text(node, "op");
    const rest = ["value", "constants", "module", "weights"].map((column) => tree.text(node, column));
    return [name, ...op, ...rest, place[2], place[3]].join("\n").toLowerCase();
  });
}

// How many of some sorted node numbers a box holds.
function countIn(sorted, box) {
  if (!sorted.length) return 0;
  return firstNotBelow(sorted, box.end) - firstNotBelow(sorted, box.start);
}

function firstNotBelow(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function render({ model, el }) {
  const pane = (el.graphPane = new GraphPane(model, el));
  el.classList.add("pwx", "pwx-graph");
  const changes = {
    "change:view": () => pane.load(),
    "change:selection": () => pane.selectionChanged(),
    "change:text": () => pane.setText(!pane.textForm.hidden),
    "change:overlay": () => {
      pane.readOverlay();
      pane.lay();
    },
  };
  for (const [name, act] of Object.entries(changes)) model.on(name, act);
  pane.load();
  const observer = new ResizeObserver(() => pane.resize());
  observer.observe(pane.window);
  const endTheme = onTheme(() => pane.draw());
  return () => {
    for (const [name, act] of Object.entries(changes)) model.off(name, act);
    observer.disconnect();
    endTheme();
    pane.end();
  };
}

export default { render };

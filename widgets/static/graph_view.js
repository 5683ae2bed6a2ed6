// The graph: a canvas with its bar, a strip of details, a list of what is in sight, a text form.

const LIST_DELAY = 150;
const HINT = "Click a node to see its shape, its line of code and its neighbours. Drag to move, Ctrl + wheel to zoom; after a click the wheel zooms too, and arrow keys follow the edges.";

class GraphPane {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.camera = new Camera();
    this.stats = el.graphStats = { layoutMs: 0, paintMs: 0, drawnNodes: 0, drawnEdges: 0, boxes: 0, goes: 0 };
    this.cursor = null; // key of the current box
    this.drawn = { headers: [], leaves: [] };
    this.chosen = { nodes: [], set: new Set(), pieces: new Set() };
    this.ownSelection = "";
    Object.assign(this, graphElements(el, this));
    this.context = this.canvas.getContext("2d");
    this.search = new GraphSearch(this);
    this.minimap = new Minimap(this.map, this);
    this.strip.addEventListener("keydown", (event) => this.escapeKey(event));
    this.list.addEventListener("keydown", (event) => this.listKey(event));
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

  // ------------------------------------------------------------------------------------- the picture

  load() {
    this.tree = new GraphTree(this.model.get("view") ?? {});
    this.cursor = null;
    const isEmpty = !this.tree.count;
    this.empty.hidden = !isEmpty;
    this.bar.hidden = this.body.hidden = isEmpty;
    this.unfoldButton.hidden = !this.tree.folds.length;
    this.setText(false);
    this.overlay = overlayOf(this.model.get("overlay"));
    this.readSelection();
    this.lay();
    this.search.forget();
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
    this.status.textContent = [view.text, this.overlay.title && `shown: ${this.overlay.title}`].filter(Boolean).join(" · ");
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
    const current = this.byKey.get(this.cursor), marked = new Set(this.search.hits.slice(0, 500).map((node) => this.scene.boxOf[node]));
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
    const { chosen, tree } = this, { hits } = this.search;
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

  // To a node, and it is selected in every view.
  chooseNode(node) {
    this.goToNode(node);
    this.send("node", this.tree.id(node));
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
    this.search.end();
    clearTimeout(this.listTimer);
    if (this.frame) cancelAnimationFrame(this.frame);
  }
}

function render({ model, el }) {
  const pane = (el.graphPane = new GraphPane(model, el));
  el.classList.add("pwx", "pwx-graph");
  const changes = {
    "change:view": () => pane.load(),
    "change:selection": () => pane.selectionChanged(),
    "change:text": () => pane.setText(!pane.textForm.hidden),
    "change:overlay": () => {
      pane.overlay = overlayOf(model.get("overlay"));
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

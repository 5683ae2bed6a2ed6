// The nodes of a graph as nested spans, and which of them are open: what is to be drawn.
// Node numbers are an execution order; every edge goes forward and every box is a run of numbers,
// so boxes cannot form a cycle whatever is open.

class GraphTree {
  constructor(view) {
    this.nodes = view.nodes ?? { name: [], piece: [], kind: [] };
    this.tables = view.tables ?? {};
    this.spans = view.spans ?? { kind: [], start: [], end: [], parent: [], key: [] };
    this.pieces = view.pieces ?? [];
    this.edges = view.edges ?? { source: [], target: [], written: [] };
    this.count = this.nodes.name.length;
    this.roots = [];
    this.inside = this.spans.kind.map(() => []);
    this.spans.parent.forEach((parent, span) => (this.inside[parent] ?? this.roots).push(span));
    this.sources = Array.from({ length: this.count }, () => []);
    this.readers = Array.from({ length: this.count }, () => []);
    this.edges.source.forEach((source, edge) => {
      this.readers[source].push(this.edges.target[edge]);
      this.sources[this.edges.target[edge]].push(source);
    });
    this.cutSources = new Map();
    this.cutReaders = new Map();
    for (const { source, readers } of view.cut ?? []) {
      this.cutReaders.set(source, readers);
      for (const reader of readers) {
        if (!this.cutSources.has(reader)) this.cutSources.set(reader, []);
        this.cutSources.get(reader).push(source);
      }
    }
    this.numberOf = new Map();
    for (let node = 0; node < this.count; node++) this.numberOf.set(this.id(node), node);
    this.pieceSpan = new Map();
    this.spans.kind.forEach((kind, span) => {
      if (kind === "piece") this.pieceSpan.set(this.spans.key[span], span);
    });
    this.knownWords = new Map();
    this.plans = new Map(); // what the layout remembers
    this.open = new Set();     // spans whose inside is drawn
    this.shown = new Map();    // fold -> numbers of the bodies that are drawn
    this.glimpsed = new Map(); // fold -> one body more, because somebody went to a node in it
    this.setLevel("modules");
    if (this.boxCount() > 90) this.setLevel("pieces");
  }

  id(node) {
    return `${this.nodes.piece[node]}/${this.nodes.name[node]}`;
  }

  text(node, column) {
    return this.tables[column][this.nodes[column][node]];
  }

  // The path of a module; short is what it adds to the module around it.
  modulePath(span) {
    return this.tables.module[this.spans.key[span]];
  }

  moduleName(span) {
    const path = this.modulePath(span);
    for (let up = this.spans.parent[span]; up >= 0; up = this.spans.parent[up]) {
      if (this.spans.kind[up] !== "module") continue;
      const outer = this.modulePath(up) + ".";
      return path.startsWith(outer) ? path.slice(outer.length) : path;
    }
    return path;
  }

  // pieces: closed pieces; modules: pieces and layers open, what is in a layer closed; nodes: all.
  setLevel(level) {
    const { kind, parent } = this.spans;
    this.level = level;
    this.open.clear();
    this.glimpsed.clear();
    const path = (span) => (kind[span] === "module" ? this.modulePath(span) : "");
    const holdsLayer = kind.map((_, span) => /(^|\.)\d+(\.|$)/.test(path(span)));
    for (let span = kind.length - 1; span >= 0; span--) {
      if (holdsLayer[span] && parent[span] >= 0) holdsLayer[parent[span]] = true;
    }
    const isInLayer = (span) => /(^|\.)\d+\./.test(path(span));
    for (let span = 0; span < kind.length; span++) {
      const isOuter = kind[span] === "piece" || (holdsLayer[span] && !isInLayer(span));
      if (level === "nodes" || (level === "modules" && isOuter)) this.open.add(span);
    }
  }

  get folds() {
    return this.spans.kind.flatMap((kind, span) => (kind === "fold" ? [span] : []));
  }

  get isUnfolded() {
    return this.shown.size > 0;
  }

  // All bodies of every repetition, or each once again.
  unfold(all) {
    this.shown.clear();
    this.glimpsed.clear();
    if (all) for (const fold of this.folds) this.unfoldOne(fold);
  }

  unfoldOne(fold) {
    this.shown.set(fold, new Set(this.inside[fold].keys()));
  }

  foldOne(fold) {
    this.shown.delete(fold);
    this.glimpsed.delete(fold);
  }

  toggle(span) {
    if (!this.open.delete(span)) this.open.add(span);
  }

  // The spans around a node, outermost first.
  around(node) {
    const { start, end } = this.spans, found = [];
    let level = this.roots;
    while (level.length) {
      let low = 0, high = level.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (start[level[middle]] <= node) low = middle;
        else high = middle - 1;
      }
      const span = level[low];
      if (node < start[span] || node >= end[span]) break;
      found.push(span);
      level = this.inside[span];
    }
    return found;
  }

  // Opens what hides a node (or, with upTo, a piece); says whether that changed anything.
  reveal(node, upTo = -1) {
    const before = this.open.size;
    let changed = false;
    for (const span of this.around(node)) {
      const kind = this.spans.kind[span];
      if (kind === "fold") changed = this.glimpse(span, node) || changed;
      else if (span === upTo) break;
      else if (kind !== "body") this.open.add(span);
    }
    return changed || this.open.size !== before;
  }

  glimpse(fold, node) {
    const body = this.inside[fold].findIndex((span) => node < this.spans.end[span]);
    if (this.isShown(fold, body)) return false;
    this.glimpsed.set(fold, body);
    return true;
  }

  isShown(fold, body) {
    const shown = this.shown.get(fold);
    return shown ? shown.has(body) : body === 0 || this.glimpsed.get(fold) === body;
  }

  // ------------------------------------------------------------------------------------ the boxes

  // What is drawn, nested: {type, span, start, end, children, key}. Types are node, group (closed),
  // frame (open), rest (bodies that are the same) and body (one that is drawn for all).
  boxes() {
    return this.contents(this.roots, 0, this.count, []);
  }

  boxCount() {
    const count = (boxes) => boxes.reduce((sum, each) => sum + 1 + (each.children ? count(each.children) : 0), 0);
    return count(this.boxes());
  }

  contents(spans, start, end, found) {
    let position = start;
    for (const span of spans) {
      this.singles(position, this.spans.start[span], found);
      this.addSpan(span, found);
      position = this.spans.end[span];
    }
    this.singles(position, end, found);
    return found;
  }

  singles(start, end, found) {
    for (let node = start; node < end; node++) {
      found.push({ type: "node", start: node, end: node + 1, key: `n${node}` });
    }
  }

  addSpan(span, found) {
    const start = this.spans.start[span], end = this.spans.end[span];
    if (this.spans.kind[span] === "fold") {
      this.addFold(span, found);
    } else if (this.open.has(span)) {
      const children = this.contents(this.inside[span], start, end, []);
      found.push({ type: "frame", span, start, end, children, key: `s${span}` });
    } else {
      found.push({ type: "group", span, start, end, key: `s${span}` });
    }
  }

  addFold(fold, found) {
    const bodies = this.inside[fold];
    const all = bodies.every((_, body) => this.isShown(fold, body));
    for (let body = 0; body < bodies.length; body++) {
      const span = bodies[body], start = this.spans.start[span], end = this.spans.end[span];
      if (all) {
        this.contents(this.inside[span], start, end, found);
      } else if (this.isShown(fold, body)) {
        const children = this.contents(this.inside[span], start, end, []);
        found.push({ type: "body", span, fold, body, start, end, children, key: `s${span}` });
      } else {
        const first = body;
        while (body + 1 < bodies.length && !this.isShown(fold, body + 1)) body++;
        const stop = this.spans.end[bodies[body]];
        found.push({ type: "rest", fold, first, last: body, start, end: stop, key: `r${fold}.${first}` });
      }
    }
  }

  // The key of the first box of a body once it is drawn without a frame.
  boxKeyOfBody(fold, body) {
    const span = this.inside[fold][body], first = this.inside[span][0];
    const startsWithSpan = first != null && this.spans.start[first] === this.spans.start[span];
    return startsWithSpan ? `s${first}` : `n${this.spans.start[span]}`;
  }

  isPiece(box) {
    return box.span != null && this.spans.kind[box.span] === "piece";
  }

  // What stands on a box; closed and open it is the same.
  words(box) {
    const key = `${box.type}${box.key}${box.last ?? ""}`;
    if (!this.knownWords.has(key)) this.knownWords.set(key, wordsOf(this, box));
    return this.knownWords.get(key);
  }

  // Whether a box stands for bodies of a repetition that are pieces.
  isOfPieces(box) {
    const first = box.fold == null ? null : this.inside[this.inside[box.fold][0]][0];
    return first != null && this.spans.kind[first] === "piece";
  }

  // What a number of the overlay would be given under.
  overlayKey(box) {
    if (box.type === "node") return this.id(box.start);
    return this.isPiece(box) ? String(this.spans.key[box.span]) : "";
  }

  // The piece of a box, where it is one or lies in one.
  pieceOf(box) {
    const span = this.around(box.start).find((each) => this.spans.kind[each] === "piece");
    if (span == null || this.spans.end[span] < box.end) return null;
    return { index: this.spans.key[span], ...this.pieces[this.spans.key[span]] };
  }

  // The name of the body of a repetition: "pieces 4–5", "layers.1".
  bodyName(fold, body) {
    const spans = this.inside[this.inside[fold][body]];
    const keys = spans.map((span) => this.spans.key[span]);
    if (!spans.length) return "";
    if (this.spans.kind[spans[0]] !== "piece") return this.modulePath(spans[0]);
    return keys.length === 1 ? `piece ${keys[0]}` : `pieces ${keys[0]}–${keys[keys.length - 1]}`;
  }
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

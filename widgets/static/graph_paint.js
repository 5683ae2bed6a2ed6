// Draws a scene, or what of it is in a window, with a pen: on a canvas, or as an SVG to keep.

const NODE_HEIGHT = 38, GROUP_HEIGHT = 40, CHARACTER = 6.7, SMALL_CHARACTER = 6.1;
const READABLE = 0.42; // at a smaller zoom text is left out, and only frames keep their names
const TINY = 0.06;      // at a smaller one edges are left out, and boxes are drawn as a sample
const MOST_TINY = 1500;
const BUCKET = 400;    // pixels of height that one entry of the index covers

// What stands on a box: {head, rest, note, reads}.
function wordsOf(tree, box) {
  const nodes = counted(box.end - box.start, "node");
  if (box.type === "node") return nodeWords(tree, box.start);
  if (box.type === "rest") {
    const count = box.last - box.first + 1;
    const first = tree.bodyName(box.fold, box.first), last = tree.bodyName(box.fold, box.last);
    return { head: `× ${count} more`, rest: "the same", note: count > 1 ? `${first} … ${last}` : first, reads: [] };
  }
  const reads = box.type === "group" ? readsOf(tree, box) : [];
  if (box.type === "body") {
    const count = tree.inside[box.fold].length;
    const rest = box.body === 0 ? "drawn once" : `number ${box.body + 1}: ${tree.bodyName(box.fold, box.body)}`;
    return { head: `× ${count}`, rest, note: "", reads };
  }
  if (tree.isPiece(box)) {
    const piece = tree.pieces[tree.spans.key[box.span]];
    return { head: piece.label, rest: piece.title, note: piece.note, reads };
  }
  return { head: tree.moduleName(box.span), rest: "", note: nodes, reads };
}

function nodeWords(tree, node) {
  const kind = tree.nodes.kind[node], value = tree.text(node, "value"), constants = tree.text(node, "constants");
  const reads = (tree.cutSources.get(node) ?? []).map((each) => tree.nodes.name[each]);
  const name = tree.nodes.name[node];
  if (kind === "input") return { head: constants, rest: "", note: `input · ${value}`, reads };
  if (kind === "output") return { head: "output", rest: "", note: value, reads };
  return { head: tree.text(node, "op")[0], rest: constants, note: value ? `${name}: ${value}` : name, reads };
}

function readsOf(tree, box) {
  const names = new Set();
  for (let node = box.start; node < box.end; node++) {
    for (const each of tree.cutSources.get(node) ?? []) {
      if (each < box.start || each >= box.end) names.add(tree.nodes.name[each]);
    }
  }
  return [...names];
}

function readsText(reads) {
  return `reads ${reads.slice(0, 2).join(", ")}${reads.length > 2 ? ` +${reads.length - 2}` : ""}`;
}

function counted(count, noun) {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function grouped(count) {
  return count < 1000 ? String(count) : count.toLocaleString("en");
}

// Width and height. What a box reads from afar stands in it, as a small reference.
function sizeOfBox(tree, box, overlay) {
  const words = (box.words = tree.words(box));
  const isNode = box.type === "node";
  const most = tree.isPiece(box) ? 340 : 250;
  const first = (words.head.length + (words.rest ? words.rest.length + 1 : 0)) * CHARACTER + (isNode ? 0 : 16);
  const measured = overlay?.get(tree.overlayKey(box))?.text ?? "";
  const extra = measured ? measured.length * SMALL_CHARACTER + 14 : 0;
  if (box.children) return { width: Math.min(first + words.note.length * SMALL_CHARACTER + extra + 60, 440) };
  const reads = words.reads.length ? readsText(words.reads).length * 5.8 + 10 : 0;
  const found = isNode ? 0 : 64; // room for how many nodes were found inside
  const width = Math.min(Math.max(first + extra, words.note.length * SMALL_CHARACTER + found, reads, 60) + 22, most + extra);
  return { width: Math.ceil(width / 8) * 8, height: (isNode ? NODE_HEIGHT : GROUP_HEIGHT) + (reads ? 20 : 0) };
}

// ---------------------------------------------------------------------------------------- the index

// Boxes and links by height, so that a window finds its own without looking at all.
class SceneIndex {
  constructor(scene) {
    this.leaves = new Map();
    this.links = new Map();
    this.long = [];
    this.frames = new Map();
    this.tall = [];
    for (const box of scene.boxes) {
      if (box.children && box.height > 20 * BUCKET) this.tall.push(box);
      else this.put(box.children ? this.frames : this.leaves, box, box.y, box.y + box.height);
    }
    for (const link of scene.links) {
      link.top = link.source.y + link.source.height;
      link.bottom = link.target.y;
      if (link.bottom - link.top > 20 * BUCKET) this.long.push(link);
      else this.put(this.links, link, link.top, link.bottom);
    }
  }

  put(buckets, each, top, bottom) {
    for (let at = Math.floor(top / BUCKET); at <= Math.floor(bottom / BUCKET); at++) {
      if (!buckets.has(at)) buckets.set(at, []);
      buckets.get(at).push(each);
    }
  }

  // What touches the heights between top and bottom, each once.
  *between(buckets, top, bottom) {
    const first = Math.floor(top / BUCKET);
    for (let at = first; at <= Math.floor(bottom / BUCKET); at++) {
      for (const each of buckets.get(at) ?? []) {
        const start = each.y ?? each.top;
        if (at === first || Math.floor(start / BUCKET) === at) yield each;
      }
    }
  }

  leavesBetween(top, bottom) {
    return [...this.between(this.leaves, top, bottom)];
  }

  // Outer frames before those inside.
  framesBetween(top, bottom) {
    const tall = this.tall.filter((box) => box.y <= bottom && box.y + box.height >= top);
    const found = [...tall, ...this.between(this.frames, top, bottom)].filter((box) => box.y + box.height >= top);
    return found.sort((a, b) => a.index - b.index);
  }

  linksBetween(top, bottom) {
    const long = this.long.filter((link) => link.bottom >= top && link.top <= bottom);
    return [...this.between(this.links, top, bottom), ...long];
  }
}

// --------------------------------------------------------------------------------------- the picture

// Draws what is in the window. marks says how a box is marked: {cursor, isSelected, hits, isLit}.
// Returns how many nodes and edges were drawn, the leaves in sight, and headers: where names are now.
function drawScene(pen, scene, tree, { width, height, ratio, view, theme, marks, overlay }) {
  pen.begin(width, height, theme, ratio, view);
  const top = -view.y / view.zoom, bottom = (height - view.y) / view.zoom;
  const left = -view.x / view.zoom, right = (width - view.x) / view.zoom;
  const isIn = (box) => box.y <= bottom && box.y + box.height >= top && box.x <= right && box.x + box.width >= left;
  const frames = scene.index.framesBetween(top, bottom);
  const isTiny = view.zoom < TINY;
  const brush = { pen, tree, theme, view, marks, overlay, top, left, right };
  for (const box of frames) drawFrame(brush, box);
  const links = scene.index.linksBetween(top, bottom);
  const strong = links.filter((link) => marks.isStrong(link)); // in front of the others
  if (!isTiny) for (const link of links) drawLink(brush, link, false);
  for (const link of strong) drawLink(brush, link, true);
  const leaves = scene.index.leavesBetween(top, bottom).filter(isIn);
  const step = isTiny ? Math.ceil(leaves.length / MOST_TINY) : 1;
  for (let at = 0; at < leaves.length; at += step) drawBox(brush, leaves[at]);
  const headers = frames.map((box) => drawHeader(brush, box)).filter(Boolean);
  return { nodes: Math.ceil(leaves.length / step), edges: isTiny ? strong.length : links.length, headers, leaves };
}

function drawLink({ pen, theme, view }, link, isStrong) {
  const line = Math.max(isStrong ? 2 : 1, (isStrong ? 1.6 : 0.7) / view.zoom);
  const stroke = isStrong ? theme.accent : theme.edge;
  link.points ??= pointsOf(link);
  pen.path(link.points, { stroke, line, dash: link.written ? [5, 3] : [], arrow: view.zoom > READABLE });
}

function colourOf(theme, piece) {
  return piece?.colour == null ? theme.line : theme.pieces[piece.colour % PIECE_COLOURS];
}

function drawFrame({ pen, tree, theme, view, marks }, box) {
  const wide = box.right - box.left, mark = marks.of(box);
  const line = (mark.isSelected || mark.isCursor ? 2 : 1) / Math.min(view.zoom, 1);
  const edge = mark.isSelected || mark.isCursor ? theme.accent : null;
  if (!tree.isPiece(box)) {
    const isBody = box.type === "body";
    pen.box(box.left, box.y, wide, box.height, { fill: theme.ink, alpha: 0.035, stroke: edge ?? theme.line, line, dash: isBody ? [6, 4] : [] });
    return;
  }
  const piece = tree.pieces[tree.spans.key[box.span]], colour = colourOf(theme, piece);
  pen.box(box.left, box.y, wide, box.height, { fill: theme.paper, stroke: null });
  if (piece.colour == null) pen.hatch(box.left, box.y, wide, box.height, theme.line);
  else pen.box(box.left, box.y, wide, box.height, { fill: colour, alpha: 0.12 });
  pen.box(box.left, box.y, wide, box.height, { stroke: edge ?? colour, line });
  if (piece.colour != null) pen.box(box.left, box.y, 5, box.height, { fill: colour, radius: 2 });
}

// The name of a frame stays in the window as long as the frame does, below those of the frames
// around it; names of pieces are readable at any zoom.
function drawHeader({ pen, tree, theme, view, overlay, top, left, right }, box) {
  const isPiece = tree.isPiece(box);
  box.headIsStuck = false;
  if (!isPiece && view.zoom < READABLE) return null;
  const scale = isPiece ? Math.max(1, 0.85 / view.zoom) : 1, size = FRAME_HEAD * scale;
  if (box.height < size) return null;
  const limit = box.parent.headIsStuck ? box.parent.headBottom : top;
  const lowest = box.y + box.height - size;
  if (lowest < limit && box.parent.headIsStuck) return null;
  const y = Math.min(Math.max(box.y, limit), lowest);
  box.headIsStuck = y > box.y;
  box.headBottom = y + size;
  const x = Math.max(box.left, Math.min(left, box.right - 120 * scale)) + 12 * scale;
  const wide = Math.min(box.right, right) - x - 8 * scale;
  if (wide < 30 * scale) return null;
  const { head, rest, note } = box.words, mark = box.type === "body" ? "" : "▾ ";
  const measured = isPiece ? overlay.get(tree.overlayKey(box))?.text : "";
  const parts = [[mark + head, theme.ink, 600, 12], [measured, theme.accentText, 400, 11.5], [rest, theme.ink, 400, 11.5], [note, theme.quiet, 400, 10.5]];
  const names = fittedParts(pen, parts.filter(([text]) => text), wide, scale, theme.mono);
  // Edges run behind the name.
  pen.box(x - 5 * scale, y + 4 * scale, names.width + 10 * scale, size - 8 * scale, { fill: theme.paper, alpha: box.headIsStuck ? 0.94 : 0.78 });
  for (const { at, ...each } of names.parts) pen.text(x + at, y + 17 * scale, each.text, each);
  return { box, x: box.left, y, width: box.right - box.left, height: size };
}

// Texts side by side in a width; what has no room is left out.
function fittedParts(pen, texts, most, scale, mono) {
  const parts = [];
  let width = 0;
  for (const [text, fill, weight, pixels] of texts) {
    const at = width ? width + 10 * scale : 0, room = most - at;
    if (width && room < 40 * scale) break;
    pen.context.font = `${weight} ${pixels * scale}px ${mono}`;
    const shown = fitted(pen.context, text, room);
    parts.push({ at, text: shown, fill, font: pen.context.font });
    width = at + pen.context.measureText(shown).width;
  }
  return { parts, width };
}

function drawBox({ pen, tree, theme, view, marks, overlay }, box) {
  const { x, y, width: wide, height: high } = box;
  const piece = tree.pieceOf(box), colour = colourOf(theme, piece), mark = marks.of(box);
  const isNode = box.type === "node", kind = isNode ? tree.nodes.kind[box.start] : "";
  const radius = kind === "input" || kind === "output" ? high / 2 : 4;
  if (box.type === "group") pen.box(x + 3, y + 3, wide, high, { fill: theme.paper, stroke: colour, radius });
  pen.box(x, y, wide, high, { fill: theme.paper, radius });
  const isSplitting = piece && piece.colour == null && box.type !== "rest";
  if (isSplitting && !isNode) pen.hatch(x, y, wide, high, theme.line);
  else if (piece?.colour != null) pen.box(x, y, wide, high, { fill: colour, alpha: isNode ? 0.14 : 0.24, radius });
  const isMarked = mark.isSelected || mark.isCursor;
  const stroke = isMarked || mark.hits ? theme.accent : box.type === "rest" ? theme.quiet : colour;
  const line = (isMarked ? 2.5 : mark.hits ? 1.6 : 1) / Math.min(view.zoom, 1);
  pen.box(x, y, wide, high, { stroke, line, dash: box.type === "rest" ? [6, 4] : kind === "size" ? [2, 2] : [], radius });
  if (mark.isCursor) pen.box(x - 3.5, y - 3.5, wide + 7, high + 7, { stroke: theme.accent, line: 1, radius: radius + 3 });
  if (view.zoom >= READABLE) drawWords({ pen, tree, theme, marks, overlay }, box, mark, isSplitting);
}

function drawWords({ pen, tree, theme, marks, overlay }, box, mark, isSplitting) {
  const { x, width: wide } = box, isNode = box.type === "node";
  const { head, rest, note, reads } = box.words, most = wide - 16;
  if (isSplitting && !isNode) pen.box(x + 5, box.y + 4, wide - 10, box.height - 8, { fill: theme.paper, alpha: 0.88 });
  const sign = isNode || box.type === "rest" ? "" : "▸ ";
  const used = pen.text(x + 9, box.y + 16, sign + head, { fill: theme.ink, font: `600 11.5px ${theme.mono}`, most });
  if (rest && most - used > 20) {
    pen.text(x + 16 + used, box.y + 16, rest, { fill: isNode ? theme.quiet : theme.ink, font: `400 11px ${theme.mono}`, most: most - used - 7 });
  }
  pen.text(x + 9, box.y + 30.5, note, { fill: theme.quiet, font: `400 10px ${theme.mono}`, most });
  const measured = overlay.get(tree.overlayKey(box));
  if (measured) drawMeasured(pen, theme, box, x, wide, measured);
  if (mark.hits && !isNode) {
    const text = `${mark.hits} found`;
    pen.text(x + wide - text.length * 6 - 8, box.y + 30.5, text, { fill: theme.accentText, font: `600 10px ${theme.mono}`, clear: theme.paper });
  }
  if (!reads.length) return;
  const isLit = marks.isLit(box), look = isLit ? { alpha: 0.25, line: 2 } : { alpha: 0.9, line: 1 };
  const width = Math.min(readsText(reads).length * 5.8 + 10, wide - 12);
  pen.box(x + 6, box.y + box.height - 22, width, 16, { fill: isLit ? theme.accent : theme.paper, stroke: isLit ? theme.accent : theme.edge, radius: 8, ...look });
  pen.text(x + 12, box.y + box.height - 10.5, readsText(reads), { fill: theme.ink, font: `${isLit ? 600 : 400} 9.5px ${theme.mono}`, most: width - 10 });
}

// A number of the overlay: its text, and a bar as long as it is large.
function drawMeasured(pen, theme, box, x, wide, { text, share }) {
  pen.box(x, box.y + box.height - 3, wide * share, 3, { fill: theme.accent, radius: 1 });
  pen.text(x + wide - text.length * 6.1 - 8, box.y + 16, text, { fill: theme.accentText, font: `600 10px ${theme.mono}`, clear: theme.paper });
}

// The overlay as a map from what it names to {text, share}, the share of the largest of its kind.
function overlayOf(overlay) {
  const { title = "", values = {} } = overlay ?? {}, found = new Map();
  const most = { piece: 0, node: 0 }, kind = (key) => (key.includes("/") ? "node" : "piece");
  for (const [key, [number]] of Object.entries(values)) most[kind(key)] = Math.max(most[kind(key)], number);
  for (const [key, [number, text]] of Object.entries(values)) {
    const share = most[kind(key)] > 0 ? Math.max(number / most[kind(key)], 0) : 0;
    found.set(key, { text, share });
  }
  found.title = title;
  return found;
}

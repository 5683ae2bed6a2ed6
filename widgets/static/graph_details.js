// What stands beside the picture: the details of one box, and the list of all boxes in sight.

const MOST_LISTED = 200, MOST_NEIGHBOURS = 12;

// Fills the strip with what is known of a box. act has: go(node), line(place), piece(index),
// toggle(box).
function fillDetails(strip, tree, box, act, said) {
  clear(strip);
  if (!box) {
    strip.append(h("p", { class: "pwx-quiet" }, said || "Click a node to see its shape, its line of code and its neighbours."));
    return;
  }
  const isNode = box.type === "node";
  strip.append(...(isNode ? nodeDetails(tree, box.start, act) : boxDetails(tree, box, act)));
}

function fact(label, ...content) {
  const known = content.flat().filter((each) => each != null && each !== "" && each !== false);
  return known.length ? h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, known)) : null;
}

function nodeDetails(tree, node, act) {
  const kind = tree.nodes.kind[node], [short, canonical] = tree.text(node, "op");
  const place = tree.text(node, "place"), piece = pieceHolding(tree, node), own = tree.nodes.piece[node];
  const name = kind === "output" ? "output" : tree.nodes.name[node];
  const where = place[2] && h("button", { class: "link", title: place[0], onclick: () => act.line(place) }, place[2].split("/").at(-1));
  return [
    h("h3", {}, h("span", { class: "name", title: name }, name)),
    h("dl", {},
      fact("op", h("code", { title: canonical }, kind === "input" || kind === "output" ? canonical : canonical || short)),
      fact(kind === "input" ? "passed as" : "with", codeOrNothing(tree.text(node, "constants"))),
      fact("value", codeOrNothing(tree.text(node, "value"))),
      fact("module", codeOrNothing(tree.text(node, "module"))),
      fact("weights", codeOrNothing(tree.text(node, "weights"))),
      fact("line", where, place[3] && h("code", { class: "line", title: place[3] }, place[3]), place[5]),
      fact("piece", piece && pieceButton(tree, own, act)),
      fact("reads", neighbours(tree, tree.sources[node], act), neighbours(tree, tree.cutSources.get(node) ?? [], act, "from afar")),
      fact("read by", neighbours(tree, tree.readers[node], act), neighbours(tree, tree.cutReaders.get(node) ?? [], act, "from afar")),
    ),
  ];
}

function codeOrNothing(text) {
  return text ? h("code", { title: text }, text) : null;
}

function pieceHolding(tree, node) {
  return tree.around(node).some((span) => tree.spans.kind[span] === "piece");
}

function pieceButton(tree, index, act) {
  const piece = tree.pieces[index], text = piece.colour == null ? `▨ ${piece.title}` : `${piece.label} · piece ${index}`;
  return h("button", { class: `link ${pieceClass(piece.colour)}`, title: piece.note, onclick: () => act.piece(index) }, text);
}

function neighbours(tree, nodes, act, hint = "") {
  const shown = nodes.slice(0, MOST_NEIGHBOURS).map((node) => {
    const name = tree.nodes.name[node], op = tree.text(node, "op")[0];
    const title = `${op}${hint ? `, ${hint}: no edge is drawn` : ""}`;
    return h("button", { class: hint ? "link far" : "link", title, onclick: () => act.go(node) }, name);
  });
  const more = nodes.length - shown.length;
  return more > 0 ? [...shown, h("span", { class: "pwx-quiet" }, `and ${grouped(more)} more`)] : shown;
}

function boxDetails(tree, box, act) {
  const { head, rest, note, reads } = box.words;
  const index = tree.isPiece(box) ? tree.spans.key[box.span] : tree.pieceOf(box)?.index;
  const path = box.span != null && tree.spans.kind[box.span] === "module" ? tree.modulePath(box.span) : "";
  const verb = { group: "Open", frame: "Close", rest: "Unfold all", body: "Unfold all" }[box.type];
  return [
    h("h3", {}, h("span", { class: "name" }, `${head} ${rest}`.trim()), h("button", { onclick: () => act.toggle(box) }, verb)),
    h("dl", {},
      fact("module", codeOrNothing(path)),
      fact("holds", box.type === "rest" || tree.isPiece(box) ? note : counted(box.end - box.start, "node")),
      fact("piece", index != null && pieceButton(tree, index, act)),
      fact("reads", reads.length > 0 && `${reads.join(", ")} (from afar)`),
    ),
  ];
}

// What a screen reader says of a box.
function spoken(tree, box, hits) {
  const { head, rest, note, reads } = box.words;
  const kind = { node: tree.nodes.kind[box.start] ?? "node", group: "closed group", rest: "repetitions not drawn" }[box.type];
  const parts = [`${head} ${rest}`.trim(), note, kind === "op" ? "" : kind];
  const piece = tree.isPiece(box) ? null : tree.pieceOf(box);
  if (piece) parts.push(piece.colour == null ? "splitting piece" : `piece ${piece.index} ${piece.label}`);
  if (reads.length) parts.push(`reads ${reads.join(", ")}`);
  if (hits) parts.push(box.type === "node" ? "found" : `${hits} found inside`);
  return parts.filter(Boolean).join(", ");
}

// The boxes in sight as options of a list box.
function fillList(list, tree, boxes, marks, handlers) {
  clear(list);
  for (const box of boxes.slice(0, MOST_LISTED)) {
    const mark = marks.of(box);
    list.append(h("li", {
      role: "option", id: `${list.id}-${box.key}`, tabindex: -1, "data-key": box.key,
      "aria-selected": mark.isSelected ? "true" : "false",
      class: mark.isCursor ? "current" : null,
      onclick: () => handlers.act(box), onfocus: () => handlers.focus(box),
    }, spoken(tree, box, mark.hits)));
  }
  const first = list.querySelector(".current") ?? list.firstElementChild;
  if (first) first.tabIndex = 0;
  else list.append(h("li", { role: "option", "aria-selected": "false" }, "Nothing is in sight."));
}

// The search box of the graph: which nodes have a text, and the way from one to the next.

const SEARCH_DELAY = 120;

class GraphSearch {
  constructor(pane) {
    this.pane = pane;
    this.hits = []; // numbers of nodes, ascending
    this.at = -1;
    this.text = "";
    pane.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.find(), SEARCH_DELAY);
    });
    pane.input.addEventListener("keydown", (event) => this.key(event));
  }

  // Another graph has come.
  forget() {
    this.texts = null;
    this.find();
  }

  find() {
    this.text = this.pane.input.value.trim().toLowerCase();
    if (this.text) this.texts ??= searchTexts(this.pane.tree);
    this.hits = this.text ? this.texts.flatMap((each, node) => (each.includes(this.text) ? [node] : [])) : [];
    this.at = -1;
    this.say();
    this.pane.draw();
  }

  say() {
    const count = counted(this.hits.length, "hit");
    const some = this.at < 0 ? count : `${grouped(this.at + 1)} of ${count}`;
    this.pane.found.textContent = !this.text ? "" : this.hits.length ? some : "no hits";
  }

  key(event) {
    if (event.key === "Enter") this.go(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      this.pane.input.value = "";
      this.find();
    } else return;
    taken(event);
  }

  // To the next hit or the one before; around at the ends.
  go(step) {
    clearTimeout(this.timer);
    if (this.text !== this.pane.input.value.trim().toLowerCase()) this.find();
    const count = this.hits.length;
    if (!count) return;
    this.at = this.at < 0 ? (step > 0 ? 0 : count - 1) : (this.at + step + count) % count;
    this.say();
    this.pane.chooseNode(this.hits[this.at]);
  }

  end() {
    clearTimeout(this.timer);
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

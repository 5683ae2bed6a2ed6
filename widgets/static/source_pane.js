// One pane of code: rows, a gutter, search, keyboard. It knows nothing of the panes beside it.

const ROW_HEIGHT = 18;
const MOST_ROWS = 2000; // of more, only those in sight are in the page
const MOST_LETTERS = 3;
const TOKEN_CLASSES = { k: "keyword", s: "string", c: "comment", n: "digit", d: "definition" };
const SEARCH_WAIT = 120; // milliseconds
const TIP_WAIT = 300; // milliseconds that the pointer rests on a line
let paneCount = 0;

// A row with what it is linked to; rows of one block have that in common.
function linkedRows(view) {
  return (view.rows ?? []).map((row) => {
    return row.block == null ? row : { ...(view.blocks ?? [])[row.block], ...row };
  });
}

// The text of a row as elements: tokens in their colours, what was searched for as marks.
function textParts(row, needle) {
  const text = row.text, cuts = new Set([0, text.length]);
  const spans = row.spans ?? [], hits = [];
  for (const [start, end] of spans) cuts.add(Math.min(start, text.length)).add(Math.min(end, text.length));
  for (let at = needle ? text.toLowerCase().indexOf(needle) : -1; at >= 0; ) {
    hits.push([at, at + needle.length]);
    cuts.add(at).add(at + needle.length);
    at = text.toLowerCase().indexOf(needle, at + needle.length);
  }
  const places = [...cuts].sort((a, b) => a - b);
  const around = (ranges, at) => ranges.find(([start, end]) => start <= at && at < end);
  return places.slice(0, -1).map((start, number) => {
    const part = text.slice(start, places[number + 1]);
    const kind = TOKEN_CLASSES[around(spans, start)?.[2]];
    const inner = kind ? h("span", { class: `pwx-${kind}` }, part) : part;
    return around(hits, start) ? h("mark", {}, inner) : inner;
  });
}

// What stands at the left of a line; said in words in the line's label.
function marksOf(row) {
  let text = "";
  if (row.sites?.length) text += "?";
  if (row.guards?.length) text += "!";
  if (row.ran === false) text += "×";
  if (row.inferred) text += "≈";
  return text;
}

// A splitting piece has no letter: its chip is hatched, as in the strip.
function letterText({ letter, colour, count }) {
  const name = colour == null ? "" : letter;
  return count > 1 ? `${name}×${count}` : name;
}

function letterParts(row) {
  const letters = row.letters ?? [];
  const shown = letters.slice(0, MOST_LETTERS).map((each) =>
    h("span", { class: `${pieceClass(each.colour)} pwx-chip` }, letterText(each)));
  const more = letters.length - MOST_LETTERS;
  return more > 0 ? [...shown, h("span", { class: "pwx-chip pwx-more" }, `+${more}`)] : shown;
}

// Pixels that the letters of a row take.
function lettersWidth(row) {
  const letters = row.letters ?? [];
  const texts = letters.slice(0, MOST_LETTERS).map(letterText);
  if (letters.length > MOST_LETTERS) texts.push(`+${letters.length - MOST_LETTERS}`);
  return texts.reduce((sum, text) => sum + 6.1 * text.length + 11, letters.some((each) => each.colour == null) ? 12 : 0);
}

class CodePane {
  // Calls back with a row, or null: onSelect when it is chosen, onPoint when it is pointed at, and
  // onTip(row, element or null) when something is to be said of it.
  constructor({ name, title, onSelect, onPoint, onTip }) {
    this.name = name;
    this.id = `pwx-pane${(paneCount += 1)}`;
    this.callbacks = { onSelect, onPoint, onTip };
    this.rows = [];
    this.shown = new Map(); // place of a row -> its element, of those in the page
    this.first = 0;
    this.active = -1;
    this.selected = new Set();
    this.related = new Set();
    this.needle = "";
    this.hits = [];
    this.hit = -1;
    this.top = 0;
    this.pointed = -1;
    this.chooser = h("span", { class: "pwx-chooser" });
    this.count = h("span", { class: "pwx-quiet pwx-count", role: "status" });
    this.search = h("input", {
      type: "search", placeholder: "Find", "aria-label": `Find in ${title}`, class: "pwx-search",
      oninput: () => this.searchSoon(), onkeydown: (event) => this.searchKey(event),
    });
    this.about = h("div", { class: "pwx-about pwx-quiet" });
    this.sheet = h("div", { class: "pwx-sheet", role: "presentation" });
    this.body = h("div", {
      class: "pwx-code", tabindex: 0, role: "listbox", "aria-multiselectable": "true",
      "aria-label": `Lines of ${title}`,
      onkeydown: (event) => this.key(event), onscroll: () => this.scrolled(),
      onclick: (event) => this.click(event),
      onpointerover: (event) => this.over(event), onpointermove: (event) => this.over(event),
      onpointerleave: () => this.left(), onfocus: () => this.focused(), onblur: () => this.left(),
    }, this.sheet);
    this.element = h("section", { class: `pwx-pane pwx-pane-${name}`, "aria-label": title },
      h("div", { class: "pwx-head" },
        h("strong", {}, title), this.chooser, h("span", { class: "pwx-find" }, this.search, this.count)),
      this.about, this.body);
  }

  // Shows a view; sentence is what to say where it has no rows.
  show(view, { colour = null, about = "", sentence = "" } = {}) {
    this.rows = linkedRows(view);
    this.colour = colour;
    this.active = -1;
    this.hits = [];
    this.about.textContent = about;
    this.about.hidden = !about;
    this.sentence = view.problem || (this.rows.length ? "" : sentence);
    const digits = String(this.rows.reduce((most, row) => Math.max(most, row.number ?? 0), 1)).length;
    const letters = this.rows.reduce((most, row) => Math.max(most, lettersWidth(row)), 0);
    const marks = this.rows.reduce((most, row) => Math.max(most, marksOf(row).length), 0);
    const longest = this.rows.reduce((most, row) => Math.max(most, row.text.length), 0);
    const sizes = { "--pwx-digits": `${digits + 2}ch`, "--pwx-letters": `${letters}px`,
      "--pwx-marks": `${marks + 1.5}ch`, "--pwx-longest": `${longest + digits + marks + 8}ch` };
    for (const [property, value] of Object.entries(sizes)) this.element.style.setProperty(property, value);
    this.body.scrollTop = 0;
    this.find(this.needle);
  }

  isLong() { return this.rows.length > MOST_ROWS; }

  paint() {
    clear(this.sheet);
    this.shown = new Map();
    if (this.sentence) this.sheet.append(h("p", { class: "pwx-sentence" }, this.sentence));
    let first = 0, last = this.rows.length;
    if (this.isLong()) {
      first = Math.max(Math.floor(this.body.scrollTop / ROW_HEIGHT) - 20, 0);
      last = Math.min(first + Math.ceil((this.body.clientHeight || 420) / ROW_HEIGHT) + 40, last);
    }
    this.first = first;
    this.sheet.classList.toggle("pwx-long", this.isLong());
    this.sheet.style.paddingTop = `${first * ROW_HEIGHT}px`;
    this.sheet.style.paddingBottom = `${(this.rows.length - last) * ROW_HEIGHT}px`;
    for (let at = first; at < last; at += 1) {
      const element = this.rowElement(this.rows[at], at);
      this.shown.set(at, element);
      this.sheet.append(element);
    }
    this.mark();
  }

  rowElement(row, at) {
    if (row.kind !== "line") {
      return h("div", { class: `pwx-row pwx-${row.kind}`, role: "presentation", title: row.text },
        h("span", { class: "pwx-text" }, row.text));
    }
    const colour = row.letters ? row.letters[0]?.colour : this.colour;
    const isSplit = row.letters?.some((each) => each.colour == null);
    const classes = ["pwx-row", row.select && "pwx-link", row.ran === false && "pwx-left-out",
      row.select && colour != null && `pwx-colour${colour % PIECE_COLOURS}`, isSplit && "pwx-split"];
    const label = `line ${row.number}: ${row.text.trim()} ${(row.about ?? []).join(" ")}`;
    return h("div", {
      class: classes.filter(Boolean).join(" "), role: "option", id: `${this.id}-${at}`,
      "data-at": at, "aria-label": label, title: row.full,
    },
      h("span", { class: "pwx-gutter", "aria-hidden": "true" },
        h("span", { class: "pwx-mark" }, marksOf(row)),
        h("span", { class: "pwx-letters" }, letterParts(row)),
        h("span", { class: "pwx-number" }, row.number)),
      h("span", { class: "pwx-text" }, textParts(row, this.needle)));
  }

  // Puts the states of rows on their elements, without making them again.
  mark() {
    for (const [at, element] of this.shown) {
      if (this.rows[at].kind !== "line") continue;
      const isSelected = this.selected.has(at);
      element.classList.toggle("pwx-chosen", isSelected);
      element.classList.toggle("pwx-related", this.related.has(at));
      element.classList.toggle("pwx-active", at === this.active);
      element.classList.toggle("pwx-hit", at === this.hits[this.hit]);
      element.setAttribute("aria-selected", isSelected);
    }
    const active = this.shown.get(this.active);
    if (active) this.body.setAttribute("aria-activedescendant", active.id);
    else this.body.removeAttribute("aria-activedescendant");
  }

  // Rows that share nodes with what is given; where none does, rows that share lines.
  matching({ nodes = [], lines = [] }) {
    const names = new Set(nodes), found = new Set();
    const places = new Set(lines.map((line) => line.join(":")));
    const collect = (test) => this.rows.forEach((row, at) => row.select && test(row) && found.add(at));
    if (this.name !== "source" && names.size) collect((row) => row.nodes?.some((name) => names.has(name)));
    if (!found.size) collect((row) => row.lines?.some((line) => places.has(line.join(":"))));
    return found;
  }

  select(found, scrolls) {
    this.selected = found;
    if (found.size && scrolls) this.reveal(Math.min(...found), found);
    else this.mark();
  }

  relate(found) {
    this.related = found;
    this.mark();
  }

  // Scrolls a row into the middle, unless one of the rows is in sight.
  reveal(at, any = new Set([at])) {
    const top = this.body.scrollTop, height = this.body.clientHeight;
    const isInSight = (each) => each * ROW_HEIGHT >= top && (each + 1) * ROW_HEIGHT <= top + height;
    if (![...any].some(isInSight)) this.body.scrollTop = Math.max(at * ROW_HEIGHT - height / 2, 0);
    if (this.isLong()) this.paint();
    else this.mark();
  }

  scrolled() {
    if (this.body.scrollTop !== this.top) { // another line is under the pointer
      this.top = this.body.scrollTop;
      this.pointed = -1;
      clearTimeout(this.resting);
      this.callbacks.onTip(null);
    }
    if (this.isLong() && Math.abs(this.body.scrollTop / ROW_HEIGHT - 20 - this.first) > 10) this.paint();
  }

  // ------------------------------------------------------------------------------------ pointer

  rowAt(event) {
    const element = event.target.closest?.("[data-at]");
    return element ? Number(element.dataset.at) : -1;
  }

  click(event) {
    clearTimeout(this.resting);
    const at = this.rowAt(event);
    if (at < 0 || !this.rows[at].select || String(getSelection()).length) return;
    this.active = at;
    this.choose(at);
  }

  choose(at) {
    this.mark();
    this.callbacks.onSelect(this.rows[at], this);
  }

  over(event) {
    const at = this.rowAt(event), row = this.rows[at];
    if (at === this.pointed) return;
    this.pointed = at;
    this.callbacks.onPoint(row?.select ? row : null, this);
    this.callbacks.onTip(null);
    clearTimeout(this.resting);
    if (!row?.about) return;
    this.resting = setTimeout(() => this.callbacks.onTip(row, this.shown.get(at)), TIP_WAIT);
  }

  left() {
    this.pointed = -1;
    clearTimeout(this.resting);
    this.callbacks.onPoint(null, this);
    this.callbacks.onTip(null);
  }

  // ----------------------------------------------------------------------------------- keyboard

  focused() {
    if (!this.body.matches(":focus-visible")) return;
    if (this.active < 0) this.active = this.selected.size ? Math.min(...this.selected) : this.next(-1, 1);
    this.goTo(this.active);
  }

  next(from, step) {
    for (let at = from + step; at >= 0 && at < this.rows.length; at += step) {
      if (this.rows[at].select) return at;
    }
    return from;
  }

  goTo(at) {
    if (at < 0) return;
    this.active = at;
    this.reveal(at);
    this.callbacks.onPoint(this.rows[at], this);
    this.callbacks.onTip(this.rows[at].about ? this.rows[at] : null, this.shown.get(at));
  }

  key(event) {
    const moves = {
      ArrowDown: () => this.next(this.active, 1), ArrowUp: () => this.next(this.active, -1),
      Home: () => this.next(-1, 1), End: () => this.next(this.rows.length, -1),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      const at = moves[event.key]();
      if (at >= 0 && at < this.rows.length) this.goTo(at);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.active >= 0) this.choose(this.active);
    } else if (event.key === "Escape") this.callbacks.onSelect(null, this);
    else if (event.key === "/") this.search.focus();
    else return;
    taken(event);
  }

  // ------------------------------------------------------------------------------------- search

  searchSoon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.find(this.search.value.toLowerCase(), true), SEARCH_WAIT);
  }

  find(needle, goes = false) {
    this.needle = needle;
    this.hits = [];
    if (needle) {
      this.rows.forEach((row, at) => row.text.toLowerCase().includes(needle) && this.hits.push(at));
    }
    this.hit = this.hits.length ? 0 : -1;
    this.paint();
    this.tellHit();
    if (goes && this.hit >= 0) this.reveal(this.hits[0]);
  }

  tellHit() {
    const found = this.hits.length ? `${this.hit + 1} of ${this.hits.length}` : "not found";
    this.count.textContent = this.needle ? found : "";
  }

  searchKey(event) {
    if (event.key === "Enter" && this.search.value.toLowerCase() !== this.needle) {
      clearTimeout(this.waiting);
      this.find(this.search.value.toLowerCase(), true);
    } else if (event.key === "Enter" && this.hits.length) {
      const step = event.shiftKey ? this.hits.length - 1 : 1;
      this.hit = (this.hit + step) % this.hits.length;
      this.tellHit();
      this.reveal(this.hits[this.hit]);
    } else if (event.key === "Escape") {
      this.search.value = "";
      this.find("");
      this.body.focus();
    } else if (event.key !== "Enter") {
      event.stopPropagation(); // the notebook has shortcuts of one letter
      return;
    }
    taken(event);
  }

  end() {
    clearTimeout(this.waiting);
    clearTimeout(this.resting);
  }
}

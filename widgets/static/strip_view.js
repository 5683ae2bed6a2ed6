// All pieces in order. Cells are as wide as their nodes or times say, but never too small to hit.

const NARROWEST = 9; // pixels; a cell that is narrower than its letter shows it when pointed at
const COMFORTABLE = 12; // pixels that a cell has on average when there are many
const GAP = 1;
const PADDING = 3;
const LETTER = 8; // pixels of one letter

function render({ model, el }) {
  el.classList.add("pwx", "pwx-strip");
  const cells = h("div", { class: "cells", role: "listbox", "aria-label": "Pieces in order of execution" });
  const legend = h("div", { class: "legend" });
  const detail = h("div", { class: "detail pwx-quiet", "aria-hidden": "true" });
  const widths = h("span", { class: "widths", role: "group", "aria-label": "What the width of a cell shows" });
  const warning = h("button", {
    class: "warning", title: "Open the guards",
    onclick: () => intend(model, "open", { tab: "Guards" }),
  });
  const frame = h("div", {}, cells, h("div", { class: "below" }, legend, detail, warning, widths));
  keepKeys(frame);
  el.append(frame);
  const stopAt = roving(cells, ".cell"), keyAt = roving(legend, "button");
  let own = null; // what was selected by a click in here
  let drawnWidth = 0;

  const view = () => model.get("view");
  const planned = () => Boolean(view().planned);
  const times = () => model.get("microseconds") ?? [];
  const byTime = () => model.get("width_by") === "time" && times().length > 0;

  // ------------------------------------------------------------------------------------- cells

  function titleOf(cell) {
    const time = model.get("times")[cell.index], mark = model.get("marks")[cell.index];
    return [cell.title, time, mark && `▲ ${mark}`].filter(Boolean).join("; ");
  }

  function draw() {
    const all = view().cells ?? [];
    cells.classList.toggle("planned", planned());
    clear(cells).append(...all.map(cellOf));
    if (!all.length) cells.append(h("span", { class: "pwx-quiet" }, "Nothing was compiled yet: the strip shows the pieces of the first compile."));
    if (all.length) stopAt(cells.firstElementChild);
    drawnWidth = 0;
    place();
    drawLegend();
    decorate();
  }

  function cellOf(cell) {
    return h("div", {
      class: `cell ${pieceClass(cell.colour)}`, role: "option", tabindex: "-1",
      "data-index": cell.index,
    }, h("span", {}, cell.label));
  }

  // Widths in pixels: what all cells need at least, and the rest by weight; rows are filled.
  function place() {
    const all = view().cells ?? [], width = cells.clientWidth - 2 * PADDING;
    if (!all.length || width < COMFORTABLE || width === drawnWidth) return;
    drawnWidth = width;
    const weights = all.map((cell) => byTime() ? times()[cell.index] ?? 0 : cell.nodes);
    const rows = Math.ceil((all.length * COMFORTABLE) / width);
    const sum = weights.reduce((a, b) => a + b, 0) || 1;
    // A row may end with a gap of less than a cell, which the others must not count on.
    const spare = rows > 1 ? rows * COMFORTABLE : 0;
    const rest = Math.max(rows * width - all.length * (NARROWEST + GAP) - spare, 0);
    const widths = [];
    let exact = 0, given = 0;
    for (const weight of weights) {
      exact += NARROWEST + (rest * weight) / sum;
      widths.push(Math.min(Math.floor(exact) - given, width - GAP));
      given = Math.floor(exact);
    }
    fill(widths, width);
    cells.classList.toggle("dense", rows > 2);
    all.forEach((cell, at) => {
      const element = cells.children[at];
      element.style.width = `${widths[at]}px`;
      element.classList.toggle("narrow", widths[at] < cell.label.length * LETTER + 4);
    });
  }

  // Gives what is left at the end of each row, but the last, to the cells of that row.
  function fill(widths, width) {
    let start = 0, used = 0;
    widths.forEach((wide, at) => {
      if (used + wide <= width) {
        used += wide + GAP;
        return;
      }
      const left = width - used + GAP, count = at - start;
      for (let i = 0; i < count; i++) widths[start + i] += Math.floor(left / count) + (i < left % count);
      [start, used] = [at, wide + GAP];
    });
  }

  function decorate() {
    const marks = model.get("marks"), marked = Object.keys(marks).length > 0;
    const chosen = new Set(planned() ? [] : model.get("selection").pieces ?? []);
    cells.classList.toggle("marked", marked);
    for (const [at, cell] of (view().cells ?? []).entries()) {
      const element = cells.children[at], title = titleOf(cell);
      element.title = title;
      element.setAttribute("aria-label", title);
      element.classList.toggle("bad", marks[cell.index] != null);
      element.classList.toggle("pwx-selected", chosen.has(cell.index));
      element.setAttribute("aria-selected", String(chosen.has(cell.index)));
    }
    const uniques = new Set(model.get("selection").uniques ?? []);
    for (const each of legend.querySelectorAll("[data-unique]")) {
      each.setAttribute("aria-pressed", String(!planned() && uniques.has(each.dataset.unique)));
    }
    const text = model.get("warning");
    warning.hidden = !text;
    warning.textContent = `▲ ${text}`;
  }

  // ------------------------------------------------------------------------------------ legend

  function drawLegend() {
    const { legend: entries = [], more, words, text } = view();
    clear(legend).append(
      ...(planned() ? [h("span", { class: "plan" }, "planned, not compiled yet")] : []),
      ...entries.map(entry),
      ...(more ? [h("span", { class: "pwx-quiet" }, more)] : []));
    keyAt(legend.querySelector("button"));
    detail.dataset.words = words ?? "";
    cells.setAttribute("aria-label", text ? `Pieces in order of execution: ${text}; ${words}` : "Pieces");
    tell(null);
    clear(widths).append(...(entries.length ? ["nodes", "time"].map(widthButton) : []));
  }

  function entry({ unique_id: unique, label, colour, text, title }) {
    const parts = [h("span", { class: `key ${pieceClass(colour)}` }, label), ` ${text}`];
    if (unique == null || planned()) return h("span", { class: "entry", title }, parts);
    return h("button", {
      class: "entry", title, "aria-label": title, "data-unique": unique,
      onclick: () => choose("unique", unique),
    }, parts);
  }

  function widthButton(name) {
    const missing = name === "time" && !times().length;
    const title = missing
      ? "Nothing was measured yet: record a call, or measure, to see time"
      : `The width of a cell shows its ${name === "time" ? "time in one call" : "number of nodes"}`;
    return h("button", {
      title, disabled: missing, "aria-pressed": String((name === "time") === byTime()),
      onclick: () => put(model, "width_by", name),
    }, name);
  }

  // What is pointed at, in words; the row in words when nothing is.
  function tell(cell) {
    const text = cell ? titleOf(cell) : detail.dataset.words;
    detail.textContent = text;
    detail.title = text;
  }

  // ----------------------------------------------------------------------------- what is done

  function choose(kind, key) {
    if (planned()) return;
    own = JSON.stringify([kind, key]);
    select(model, kind, key);
  }

  const cellAt = (event) => {
    const element = event.target.closest?.(".cell");
    return element && (view().cells ?? [])[Number(element.dataset.index)];
  };
  cells.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) choose("piece", cell.index);
  });
  cells.addEventListener("mouseover", (event) => tell(cellAt(event)));
  cells.addEventListener("mouseleave", () => tell(null));
  cells.addEventListener("focusin", (event) => tell(cellAt(event)));
  cells.addEventListener("focusout", () => tell(null));
  // Up and Down go to the row above and below; this runs before the arrows of `roving`.
  cells.addEventListener("keydown", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      taken(event);
      choose("piece", cell.index);
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      taken(event);
      event.stopImmediatePropagation();
      const next = inNextRow(event.target.closest(".cell"), event.key === "ArrowDown" ? 1 : -1);
      if (next) { stopAt(next); next.focus(); }
    }
  }, true);
  frame.addEventListener("keydown", escape);
  function escape(event) {
    if (event.key !== "Escape") return;
    taken(event);
    if (!planned()) { own = null; select(model, "none", null); }
  }

  function inNextRow(from, step) {
    const here = from.getBoundingClientRect(), middle = here.left + here.width / 2;
    let best = null, far = Infinity, row = null;
    const all = [...cells.children], start = all.indexOf(from);
    for (let at = start + step; all[at]; at += step) {
      const box = all[at].getBoundingClientRect();
      if (Math.abs(box.top - here.top) < 2) continue;
      row ??= box.top;
      if (Math.abs(box.top - row) >= 2) break;
      const away = Math.abs(box.left + box.width / 2 - middle);
      if (away < far) [best, far] = [all[at], away];
    }
    return best;
  }

  function follow() {
    decorate();
    const selection = model.get("selection"), { kind, key, pieces = [] } = selection;
    const from = own;
    own = null;
    if (from === JSON.stringify([kind, key]) || planned() || !pieces.length) return;
    const first = cells.children[kind === "piece" ? key : pieces[0]];
    if (!first) return;
    stopAt(first);
    const low = first.offsetTop + first.offsetHeight, high = first.offsetTop;
    if (high < cells.scrollTop || low > cells.scrollTop + cells.clientHeight) {
      cells.scrollTop = high - cells.clientHeight / 2;
    }
  }

  function weigh() {
    drawnWidth = 0;
    place();
    decorate();
    clear(widths).append(...((view().cells ?? []).length ? ["nodes", "time"].map(widthButton) : []));
  }

  draw();
  const sized = new ResizeObserver(place);
  sized.observe(cells);
  const stop = listen(model, {
    view: draw, selection: follow, marks: decorate, warning: decorate,
    microseconds: weigh, times: decorate, width_by: weigh,
  });
  return () => {
    sized.disconnect();
    stop();
    frame.remove();
  };
}

export default { render };

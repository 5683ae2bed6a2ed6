// Tables of blocks: sorted by a click on a head, rows that select, one tab stop for all rows.

const LONG_TABLE = 30;
const SHORT_TEXT = 16; // characters that stay in one line
const MARK_SIGNS = { good: "✓", bad: "✗", same: "=", changed: "≠" };
const MARK_WORDS = { good: "good: ", bad: "bad: ", same: "the same: ", changed: "changed: " };

// What a click on the element selects; `context.selectables` is what a selection is shown on.
function selectable(context, element, target) {
  element.classList.add("pwx-selectable");
  element.dataset.stop = "";
  element.tabIndex = -1;
  context.selectables.push({ element, target });
  element.addEventListener("click", (event) => {
    if (!getSelection().isCollapsed) return; // somebody marks text to copy it
    event.stopPropagation();
    context.choose(target);
  });
  element.addEventListener("keydown", (event) => {
    if (event.target !== element || (event.key !== "Enter" && event.key !== " ")) return;
    taken(event);
    context.choose(target);
  });
}

function tableBlock(context, view, name) {
  const title = view.title ? h("div", { class: "pwx-caption" }, view.title) : null;
  if (view.empty) return h("div", {}, title, h("p", { class: "pwx-quiet" }, view.empty));
  const hasTargets = view.rows.some((row) => row.target || row.cells.some((cell) => cell.target));
  const body = h("tbody");
  const heads = view.columns.map((column, number) => tableHead(column, `${name}/${number}`));
  const table = h(
    "table",
    { role: hasTargets ? "grid" : null, "aria-label": view.title || context.heading },
    h("thead", {}, h("tr", {}, heads)),
    body,
  );
  const isLong = view.rows.length > LONG_TABLE;
  const scroll = h("div", { class: `pwx-scroll${isLong ? " pwx-long" : ""}` }, table);
  if (!hasTargets) scroll.tabIndex = 0; // else the rows take the focus and so scroll it
  scroll.dataset.scroll = name;

  const rows = view.rows.map((row) => ({ row, element: tableRow(context, view, row) }));
  const sortBy = (sort) => {
    heads.forEach((head, number) => showSort(head, sort?.column === number ? sort.direction : null));
    const order = sort ? sorted(rows, sort) : rows;
    body.replaceChildren(...order.map(({ element }) => element));
  };
  heads.forEach((head, number) => {
    head.firstChild.addEventListener("click", () => {
      const sort = nextSort(context.sorts.get(name), number);
      context.sorts.set(name, sort);
      sortBy(sort);
    });
  });
  const known = context.sorts.get(name);
  sortBy(known && known.column < heads.length ? known : null);
  roving(table.tHead, "button")(heads[0].firstChild);
  if (hasTargets) gridKeys(body);
  return h("div", {}, title, scroll, view.more && h("p", { class: "pwx-quiet" }, view.more));
}

function tableHead(column, focus) {
  const button = h(
    "button",
    { class: "pwx-head", type: "button", tabindex: -1, "data-focus": `sort/${focus}` },
    column.head,
    h("span", { class: "pwx-sort", "aria-hidden": "true" }),
  );
  return h("th", { scope: "col", class: `pwx-kind-${column.kind}` }, button);
}

function showSort(head, direction) {
  if (direction) head.setAttribute("aria-sort", direction);
  else head.removeAttribute("aria-sort");
  const sign = { ascending: "▲", descending: "▼" }[direction] ?? "";
  head.querySelector(".pwx-sort").textContent = sign;
}

// Ascending, descending, then as they came.
function nextSort(sort, column) {
  if (sort?.column !== column) return { column, direction: "ascending" };
  return sort.direction === "ascending" ? { column, direction: "descending" } : null;
}

// Rows in order; cells without a value come last in both directions.
function sorted(rows, { column, direction }) {
  const cell = ({ row }) => row.cells[column];
  const byNumber = rows.some((row) => cell(row).value != null);
  const known = (row) => (byNumber ? cell(row).value != null : !!cell(row).text);
  const compare = byNumber
    ? (a, b) => cell(a).value - cell(b).value
    : (a, b) => cell(a).text.localeCompare(cell(b).text, undefined, { numeric: true });
  const turn = direction === "ascending" ? 1 : -1;
  const first = rows.filter(known).sort((a, b) => turn * compare(a, b));
  return [...first, ...rows.filter((row) => !known(row))];
}

function tableRow(context, view, row) {
  const cells = row.cells.map((cell, number) => {
    const { kind } = view.columns[number];
    return tableCell(context, cell, kind, () => longest(view, number));
  });
  const element = h("tr", {}, cells);
  if (row.target) selectable(context, element, row.target);
  return element;
}

function longest(view, number) {
  view.longest ??= {};
  return (view.longest[number] ??= Math.max(0, ...view.rows.map((row) => row.cells[number].value ?? 0)));
}

function tableCell(context, cell, kind, longestValue) {
  const sign = MARK_SIGNS[cell.mark];
  const text = cell.text ?? "";
  const parts = [];
  if (sign) {
    parts.push(h("span", { class: "pwx-mark", "aria-hidden": "true" }, `${sign} `));
    parts.push(h("span", { class: "pwx-spoken" }, MARK_WORDS[cell.mark]));
  }
  if (kind === "letter") parts.push(h("span", { class: `${pieceClass(cell.colour)} pwx-letter` }, text || "▨"));
  else if (kind === "code" && text) parts.push(h("code", {}, breakable(text)));
  else parts.push(h("span", { class: text.length <= SHORT_TEXT ? "pwx-whole" : "" }, text));
  if (cell.detail) parts.push(h("span", { class: "pwx-detail" }, kind === "number" ? wholes(cell.detail) : breakable(cell.detail)));
  const mark = cell.mark ? ` pwx-mark-${cell.mark}` : "";
  const element = h("td", { class: `pwx-kind-${kind}${mark}`, title: cell.hint });
  if (kind === "bar" && cell.value && longestValue() > 0) {
    const fill = h("span", { class: "pwx-fill", "aria-hidden": "true" });
    fill.style.width = `${(100 * cell.value) / longestValue()}%`;
    parts.unshift(fill);
  }
  if (kind === "bar") parts.splice(0, parts.length, h("div", { class: "pwx-bar-box" }, [...parts]));
  if (!cell.target) {
    element.append(...parts);
    return element;
  }
  const button = h("button", { class: "pwx-cell", type: "button" }, parts);
  selectable(context, button, cell.target);
  element.append(button);
  return element;
}

// Text that is broken after commas only: a number stays with its unit.
function wholes(text) {
  return text.split(/(?<=, )/).map((part) => h("span", { class: "pwx-whole" }, part));
}

// Text that may be broken after a dot or a slash: a name in a narrow column stays readable.
function breakable(text) {
  const parts = text.split(/(?<=[./:,])(?=\S)/).flatMap((part) => (part.length > 24 ? part.split(/(?<=_)/) : [part]));
  return parts.flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
}

// Arrows move between the rows, and from a row to what can be selected inside it.
function gridKeys(body) {
  const lines = () =>
    [...body.rows]
      .map((row) => [...(row.matches("[data-stop]") ? [row] : []), ...row.querySelectorAll("[data-stop]")])
      .filter((stops) => stops.length);
  const stopAt = (stop) => {
    for (const each of body.querySelectorAll("[data-stop]")) each.tabIndex = each === stop ? 0 : -1;
  };
  const first = lines()[0]?.[0];
  if (first) stopAt(first);
  body.addEventListener("focusin", (event) => {
    const stop = event.target.closest("[data-stop]");
    if (stop) stopAt(stop);
  });
  body.addEventListener("keydown", (event) => {
    const all = lines();
    const line = all.findIndex((stops) => stops.includes(event.target));
    if (line < 0) return;
    const place = all[line].indexOf(event.target);
    const goal = {
      ArrowDown: [line + 1, place],
      ArrowUp: [line - 1, place],
      ArrowRight: [line, place + 1],
      ArrowLeft: [line, place - 1],
      Home: [0, place],
      End: [all.length - 1, place],
    }[event.key];
    if (!goal) return;
    taken(event);
    const stops = all[Math.min(Math.max(goal[0], 0), all.length - 1)];
    stops[Math.min(Math.max(goal[1], 0), stops.length - 1)].focus();
  });
}

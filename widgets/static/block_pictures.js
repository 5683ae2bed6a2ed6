// Bars, plots and strips. Where the points of a plot lie comes from Python as fractions.

const PLOT = { left: 64, right: 16, top: 10, bottom: 42, height: 280 };
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "12 4", "4 2"];
const MARKERS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
  "M-3.6 -3.6h7.2v7.2h-7.2z",
  "M0 -5l5 5l-5 5l-5 -5z",
  "M0 -5l4.8 8.6h-9.6z",
  "M0 5l4.8 -8.6h-9.6z",
  "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
];

function barsBlock(context, view) {
  const rows = view.bars.map((bar) => {
    const label = h(bar.target ? "button" : "span", { class: "pwx-bar-label", type: bar.target ? "button" : null }, bar.label);
    if (bar.target) selectable(context, label, bar.target);
    const fill = h("span", { class: `${pieceClass(bar.colour)} pwx-bar-fill`, "aria-hidden": "true" });
    fill.style.width = `${100 * bar.share}%`;
    return h("li", {}, label, h("span", { class: "pwx-bar-track" }, fill), h("span", { class: "pwx-bar-text" }, bar.text));
  });
  const isLong = rows.length > LONG_TABLE;
  const list = h("ul", { class: `pwx-bars${isLong ? " pwx-long" : ""}`, "aria-label": view.title }, rows);
  const stop = list.querySelector("button");
  if (stop) roving(list, "button")(stop);
  else if (isLong) list.tabIndex = 0;
  return h("div", {}, h("div", { class: "pwx-caption" }, view.title), list);
}

function linesBlock(context, view, name) {
  const status = h("div", { class: "pwx-point-text", role: "status" }, "Point at a marker, or go to it with the arrow keys.");
  const frame = h("div", { class: "pwx-plot", role: "group", "aria-label": `${view.title}: ${view.x_label}, ${view.y_label}` });
  let width = 0;
  const draw = () => {
    const now = Math.floor(frame.clientWidth);
    if (!now || now === width) return;
    width = now;
    const at = frame.contains(document.activeElement) ? document.activeElement.dataset.point : null;
    frame.replaceChildren(plotDrawing(view, width, status));
    const stop = frame.querySelector(`[data-point="${at ?? "0/0"}"]`);
    for (const each of frame.querySelectorAll("[data-point]")) each.setAttribute("tabindex", each === stop ? 0 : -1);
    if (at) stop?.focus({ preventScroll: true });
  };
  const observer = new ResizeObserver(draw);
  observer.observe(frame);
  context.endings.push(() => observer.disconnect());
  roving(frame, "[data-point]");
  const legend = view.series.map((series, number) =>
    h("li", {}, s("svg", { width: 38, height: 14, "aria-hidden": "true" }, s("g", { class: `pwx-colour${number % PIECE_COLOURS}` }, lineOf([[1, 7], [37, 7]], number), markerAt(19, 7, number))), series.name));
  return h(
    "div",
    {},
    h("div", { class: "pwx-caption" }, view.title),
    h("div", { class: "pwx-y-label" }, view.y_label),
    frame,
    h("ul", { class: "pwx-legend", "aria-label": "lines" }, legend),
    status,
  );
}

function plotDrawing(view, width, status) {
  const x = (fraction) => PLOT.left + fraction * (width - PLOT.left - PLOT.right);
  const y = (fraction) => PLOT.height - PLOT.bottom - fraction * (PLOT.height - PLOT.bottom - PLOT.top);
  const parts = [];
  for (const tick of view.y_ticks) {
    parts.push(s("path", { class: "pwx-grid", d: `M${x(0)} ${y(tick.place)}H${x(1)}` }));
    parts.push(s("text", { x: x(0) - 7, y: y(tick.place) + 4, "text-anchor": "end" }, tick.text));
  }
  let free = -Infinity; // ticks of sizes are left out where they have no room
  for (const tick of view.x_ticks) {
    parts.push(s("path", { class: "pwx-axis", d: `M${x(tick.place)} ${y(0)}v5` }));
    const half = 3.6 * tick.text.length;
    if (x(tick.place) - half < free) continue;
    free = x(tick.place) + half + 6;
    parts.push(s("text", { x: x(tick.place), y: y(0) + 19, "text-anchor": "middle" }, tick.text));
  }
  parts.push(s("path", { class: "pwx-axis", d: `M${x(0)} ${y(1)}V${y(0)}H${x(1)}` }));
  parts.push(s("text", { x: x(0.5), y: PLOT.height - 6, "text-anchor": "middle" }, view.x_label));
  view.series.forEach((series, number) => parts.push(plotSeries(series, number, x, y, status)));
  return s("svg", { width, height: PLOT.height, viewBox: `0 0 ${width} ${PLOT.height}` }, parts);
}

function plotSeries(series, number, x, y, status) {
  const points = series.points.map((point) => [x(point.x), y(point.y)]);
  const group = s("g", { class: `pwx-colour${number % PIECE_COLOURS}` }, lineOf(points, number));
  series.points.forEach((point, at) => {
    const text = `${series.name}: ${point.text}`;
    const [left, top] = points[at];
    const mark = s(
      "g",
      { class: "pwx-point", role: "img", "aria-label": text, "data-point": `${number}/${at}`, tabindex: -1 },
      s("path", { class: "pwx-spread", d: `M${left} ${y(point.low)}V${y(point.high)}M${left - 4} ${y(point.low)}h8M${left - 4} ${y(point.high)}h8` }),
      s("circle", { class: "pwx-hit", cx: left, cy: top, r: 11 }),
      markerAt(left, top, number),
    );
    for (const name of ["focus", "pointerenter"]) mark.addEventListener(name, () => (status.textContent = text));
    group.append(mark);
  });
  return group;
}

function lineOf(points, number) {
  const d = points.map(([x, y], at) => `${at ? "L" : "M"}${x} ${y}`).join("");
  return s("path", { class: "pwx-line", d, "stroke-dasharray": DASHES[number % DASHES.length] || null });
}

function markerAt(x, y, number) {
  return s("path", { class: "pwx-marker", d: MARKERS[number % MARKERS.length], transform: `translate(${x} ${y})` });
}

// Two rows of pieces; a pair stands above each other and stays together where the line breaks.
function stripsBlock(context, view) {
  const cell = (piece) =>
    piece
      ? h("span", { class: `${pieceClass(piece.colour)} pwx-strip-cell`, title: piece.hint }, piece.label)
      : h("span", { class: "pwx-strip-cell pwx-gap", title: "no counterpart" }, "·");
  const pairs = view.pairs.map((pair) =>
    h("span", { class: `pwx-pair${pair.is_equal ? "" : " pwx-unequal"}` }, cell(pair.first), cell(pair.second)));
  return h(
    "div",
    {},
    h("p", { class: "pwx-quiet" }, view.caption),
    h("div", { class: "pwx-strips", role: "img", "aria-label": view.caption }, pairs),
  );
}

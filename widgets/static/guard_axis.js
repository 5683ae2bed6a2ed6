// The axis of sizes and the map of two dimensions, as SVG. Sizes are spread like log(1 + n).

const STATE_SIGNS = {
  right: "✓", probe: "✓", eager: "0", wrong: "✗", fails: "–", unknown: "?", mixed: "≈", unseen: "",
};
const WORST_FIRST = ["wrong", "mixed", "unknown", "fails", "unseen", "eager", "probe", "right"];
const HATCHED = ["probe", "eager", "wrong", "fails", "unknown", "mixed", "unseen"];
const NARROWEST = 4, SIDE = 10, BAND = 30, LANE = 18, CELL = 16;
let pictures = 0;

function axisPlace(size, first, last) {
  const low = Math.log(first + 0.5), high = Math.log(last + 1.5);
  return (Math.log(size + 1) - low) / (high - low);
}

function sizeAt(place, first, last) {
  const low = Math.log(first + 0.5), high = Math.log(last + 1.5);
  const size = Math.round(Math.exp(low + place * (high - low)) - 1);
  return Math.min(Math.max(size, first), last);
}

// Patterns of one picture: a state is told by its lines as well as by its colour.
function patterns(prefix) {
  const lines = {
    probe: "M3 0V7", eager: "M0 3H7", fails: "M0 3H7", unknown: "M0 7L7 0", unseen: "M0 7L7 0",
    wrong: "M0 7L7 0M0 0L7 7", mixed: "M0 0L7 7",
  };
  return s("defs", {}, HATCHED.map((state) => s("pattern", {
    id: `${prefix}${state}`, width: 7, height: 7, patternUnits: "userSpaceOnUse",
  }, s("path", { d: lines[state], class: "pwx-hatch" }))));
}

function stateBox(prefix, state, x, y, width, height) {
  const at = { x, y, width, height };
  return [
    s("rect", { ...at, class: `pwx-state pwx-state-${state}` }),
    HATCHED.includes(state) && s("rect", { ...at, fill: `url(#${prefix}${state})` }),
  ];
}

// A small box with the look of a state, for a legend.
function stateSwatch(state) {
  const prefix = `pwx-guards-${++pictures}-`;
  return s("svg", { width: 32, height: 16, "aria-hidden": "true", class: "pwx-swatch" },
    patterns(prefix), stateBox(prefix, state, 0.5, 0.5, 31, 15));
}

// One axis. `say(text)` is told what is pointed at, `pick(size)` which size was chosen.
function drawAxis({ axis, lane, width, tried, guards, say, pick }) {
  const prefix = `pwx-guards-${++pictures}-`, room = width - 2 * SIDE;
  const x = (size) => SIDE + axisPlace(size, axis.first, axis.last) * room;
  const span = ({ first, last }) => {
    const low = Math.max(first, axis.first), high = Math.min(last, axis.last);
    if (low > high) return null;
    let a = x(low - 0.5), b = x(high + 0.5);
    if (b - a < NARROWEST) {
      a = Math.min(Math.max((a + b - NARROWEST) / 2, SIDE), width - SIDE - NARROWEST);
      b = a + NARROWEST;
    }
    return [a, b];
  };
  const rank = (each) => WORST_FIRST.indexOf(each.state);
  const known = axis.segments.map((each) => ({ ...each, span: span(each) }));
  const top = 18, painted = [], targets = [];
  for (const each of [...known].sort((a, b) => rank(b) - rank(a))) {
    const [a, b] = each.span, bad = each.state === "wrong" ? 3 : 0;
    painted.push(s("g", {},
      stateBox(prefix, each.state, a, top - bad, b - a, BAND + 2 * bad),
      b - a > 15 && STATE_SIGNS[each.state] && s("text", {
        x: (a + b) / 2, y: top + BAND / 2 + 5, class: "pwx-sign",
      }, STATE_SIGNS[each.state])));
  }
  for (const each of known) {
    const [a, b] = each.span, chosen = each.guards.some((guard) => guards.includes(guard));
    targets.push(s("rect", {
      x: a, y: top - 4, width: b - a, height: BAND + 8, tabindex: -1, role: "button",
      class: `pwx-segment${chosen ? " pwx-chosen" : ""}`, "aria-label": each.text,
      "data-first": each.first,
      onfocus: () => say(each.text), onblur: () => say(""),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        taken(event);
        pick(each.first);
      },
    }));
  }
  let y = top + BAND + 4;
  const lanes = [];
  const served = lane.map((each) => ({ ...each, span: span(each) })).filter((each) => each.span);
  if (served.length) y += 2;
  const laneTop = y;
  for (const each of served) {
    const [a, b] = each.span;
    const several = each.colour == null;
    lanes.push(s("g", { class: `pwx-region${several ? "" : ` pwx-colour${each.colour}`}` },
      several ? stateBox(prefix, "unseen", a, y, b - a, LANE)
        : s("rect", { x: a, y, width: b - a, height: LANE }),
      b - a > 8 * each.label.length && s("text", { x: (a + b) / 2, y: y + 13, class: "pwx-label" }, each.label)));
  }
  if (served.length) y += LANE + 2;
  const marks = [];
  for (const size of axis.exact) {
    marks.push(s("path", { d: `M${x(size)} ${y}l5 8h-10z`, class: "pwx-mark" }));
  }
  if (axis.exact.length) y += 8;
  const numbers = axisNumbers(axis, x);
  y += 13;
  for (const number of numbers) {
    const half = 4 * String(number).length;
    marks.push(s("text", {
      x: Math.min(Math.max(x(number), half), width - half), y, class: "pwx-label",
    }, String(number)));
  }
  if (axis.ranges.length) {
    y += 6;
    for (const range of axis.ranges) {
      const [a, b] = span(range) ?? [0, 0];
      if (b - a <= 0) continue;
      marks.push(s("path", { d: `M${a + 1} ${y}v5H${b - 1}v-5`, class: "pwx-bracket" }));
      if (b - a > 7.5 * range.text.length) {
        marks.push(s("text", { x: (a + b) / 2, y: y + 17, class: "pwx-label pwx-soft" }, range.text));
      }
    }
    y += 20;
  }
  if (tried != null && tried >= axis.first && tried <= axis.last) {
    const at = x(tried);
    marks.push(s("path", { d: `M${at} ${top - 4}l5 -8h-10z`, class: "pwx-tried" }));
  }
  const svg = s("svg", {
    width, height: y + 4, role: "group", "aria-label": `${axis.text}: sizes`, class: "pwx-axis",
  }, patterns(prefix), painted, lanes, marks, targets);
  const within = (each, at) => each.span[0] <= at && at <= each.span[1];
  const under = (event) => {
    const box = svg.getBoundingClientRect(), at = event.clientX - box.left;
    const list = served.length && event.clientY - box.top >= laneTop
      && event.clientY - box.top <= laneTop + LANE ? served : known;
    const found = list.filter((each) => within(each, at)).sort((a, b) => rank(a) - rank(b))[0];
    return found && { found, size: sizeIn(found, (at - SIDE) / room, axis) };
  };
  svg.addEventListener("pointermove", (event) => say(under(event)?.found.text ?? ""));
  svg.addEventListener("pointerleave", () => say(""));
  svg.addEventListener("click", (event) => {
    const hit = under(event);
    if (hit) pick(hit.size);
  });
  // Around the drawing: Chromium gives a tab stop to an SVG that listens to focus.
  const around = h("div", {}, svg);
  roving(around, ".pwx-segment")(svg.querySelector(".pwx-segment"));
  return around;
}

// The size under a place, inside the segment that was pointed at.
function sizeIn(segment, place, axis) {
  const size = sizeAt(place, axis.first, axis.last);
  return Math.min(Math.max(size, segment.first, axis.first), segment.last, axis.last);
}

// Both ends, and powers of two between them that have room.
function axisNumbers(axis, x) {
  const wanted = [axis.first, axis.last], found = [];
  for (let power = 1; power < axis.last; power *= 2) if (power > axis.first) wanted.push(power);
  for (const number of wanted) {
    const room = 7 * String(number).length + 12;
    if (found.every((each) => Math.abs(x(each) - x(number)) >= room)) found.push(number);
  }
  return found;
}

// The map of two dimensions; arrows move a cell, `pick({name: size})` is told what was chosen.
function drawMap({ map, say, pick }) {
  const prefix = `pwx-guards-${++pictures}-`, left = 46, top = 20;
  const columns = map.columns.length, rows = map.rows.length;
  const width = left + CELL * columns + 30, height = top + CELL * rows + 34;
  const place = (i, j) => [left + CELL * i, top + CELL * (rows - 1 - j)];
  const cells = map.cells.flatMap((row, j) => row.map(([state], i) =>
    stateBox(prefix, state, ...place(i, j), CELL, CELL)));
  const step = (count) => Math.max(1, Math.ceil(count / 8));
  const words = [s("text", { x: left, y: 13, class: "pwx-start" }, `↑ ${map.y}`)];
  for (let j = 0; j < rows; j += step(rows)) {
    const [, y] = place(0, j);
    words.push(s("text", { x: left - 5, y: y + 12, class: "pwx-end" }, String(map.rows[j][0])));
  }
  for (let i = 0; i < columns; i += step(columns)) {
    const [x] = place(i, 0);
    words.push(s("text", { x: x + CELL / 2, y: height - 19, class: "pwx-label" },
      String(map.columns[i][0])));
  }
  words.push(s("text", { x: left, y: height - 3, class: "pwx-start" }, `${map.x} →`));
  const cursor = s("rect", { width: CELL, height: CELL, class: "pwx-cursor", visibility: "hidden" });
  let at = null;
  const move = (i, j) => {
    at = [Math.min(Math.max(i, 0), columns - 1), Math.min(Math.max(j, 0), rows - 1)];
    const [x, y] = place(...at);
    setAttributes(cursor, { x, y, visibility: "visible" });
    say(map.cells[at[1]][at[0]][1]);
  };
  const leave = () => {
    cursor.setAttribute("visibility", "hidden");
    say("");
  };
  const choose = () => pick({
    [map.keys[0]]: map.columns[at[0]][0], [map.keys[1]]: map.rows[at[1]][0],
  });
  const svg = s("svg", {
    width, height, tabindex: 0, role: "application", "aria-label": map.text, class: "pwx-map",
  }, patterns(prefix), cells, words, cursor);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const i = Math.floor((event.clientX - box.left - left) / CELL);
    const j = rows - 1 - Math.floor((event.clientY - box.top - top) / CELL);
    if (i >= 0 && i < columns && j >= 0 && j < rows) move(i, j);
    else leave();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("focus", () => { if (!at) move(0, 0); else move(...at); });
  svg.addEventListener("click", () => { if (at) choose(); });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [i, j] = at ?? [0, 0], by = steps[event.key];
    if (by) move(i + by[0], j + by[1]);
    else if (event.key === "Enter" || event.key === " ") choose();
    else return;
    taken(event);
  });
  return svg;
}

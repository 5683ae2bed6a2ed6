// Places nested boxes: in each open box rows by longest path, places in a row by the mean of the
// neighbours, lanes for edges that pass rows. Boxes inside are placed before the one around them.

const ROW_GAP = 26, SIDE_GAP = 18, LANE_GAP = 10, LANE = 5;
const NONE = Object.freeze([]);
const MOST_PLANS = 4000;
const FRAME_PAD = 14, FRAME_HEAD = 26, DOOR_GAP = 12;

// A scene: {boxes, links, boxOf, width, height}. A box has x, y, width, height and anchor (where its
// edges meet it); a link has source and target boxes, count (of edges), written, and pointsOf it.
function sceneOf(tree, sizeOf) {
  const root = { type: "root", start: 0, end: tree.count, children: tree.boxes(), depth: 0 };
  const boxes = [], boxOf = new Array(tree.count);
  const add = (box, parent) => {
    box.parent = parent;
    box.depth = parent.depth + 1;
    box.index = boxes.length;
    boxes.push(box);
    if (box.children) addAll(box);
    else for (let node = box.start; node < box.end; node++) boxOf[node] = box;
  };
  const addAll = (parent) => {
    parent.routes = new Map();
    parent.children.forEach((child, at) => {
      child.at = at;
      add(child, parent);
    });
  };
  addAll(root);
  const links = linksOf(tree, boxes.length, boxOf);
  for (const link of links) addRoutes(link);
  arrange(root, tree, sizeOf);
  root.x = root.y = 0;
  settleInside(root, tree);
  return { boxes, links, boxOf, root, width: root.width, height: root.height };
}

// Edges between drawn boxes, those between the same two as one. Between two nodes there is only one.
function linksOf(tree, count, boxOf) {
  const { source, target } = tree.edges, written = new Set(tree.edges.written);
  const found = new Map(), links = [];
  for (let edge = 0; edge < source.length; edge++) {
    const from = boxOf[source[edge]], to = boxOf[target[edge]];
    if (from === to) continue;
    const isPlain = from.type === "node" && to.type === "node", key = from.index * count + to.index;
    let link = isPlain ? null : found.get(key);
    if (!link) {
      link = { source: from, target: to, leaves: NONE, enters: NONE, count: 0, written: false };
      links.push(link);
      if (!isPlain) found.set(key, link);
    }
    link.count++;
    if (written.has(edge)) link.written = true;
  }
  return links;
}

// A link leaves the boxes around its source, crosses one box, and enters those around its target.
function addRoutes(link) {
  let from = link.source, to = link.target;
  while (from.parent !== to.parent) {
    if (from.depth >= to.depth) {
      if (link.leaves === NONE) link.leaves = [];
      link.leaves.push(routeIn(from.parent, from, null));
      from = from.parent;
    } else {
      if (link.enters === NONE) link.enters = [];
      link.enters.push(routeIn(to.parent, null, to));
      to = to.parent;
    }
  }
  link.crosses = routeIn(from.parent, from, to);
  if (link.enters.length > 1) link.enters.reverse();
}

function routeIn(parent, from, to) {
  const key = (from ? from.at + 1 : 0) * (parent.children.length + 1) + (to ? to.at + 1 : 0);
  let route = parent.routes.get(key);
  if (!route) parent.routes.set(key, (route = { parent, from, to, lanes: NONE, doorX: null }));
  return route;
}

function arrange(box, tree, sizeOf) {
  if (!box.children) {
    Object.assign(box, sizeOf(box)); // width, height
    box.anchor = box.inX = box.outX = box.width / 2;
    return;
  }
  for (const child of box.children) arrange(child, tree, sizeOf);
  box.least = box.type === "root" ? 0 : sizeOf(box).width;
  box.isSequence = box.children.some((child) => tree.isPiece(child) || tree.isOfPieces(child));
  const routes = [...box.routes.values()], known = tree.plans, key = planKey(box, routes);
  let plan = known.get(key);
  if (!plan) {
    if (known.size >= MOST_PLANS) known.clear();
    known.set(key, (plan = planOf(box, routes)));
  }
  follow(plan, box, routes);
}

// Boxes with the same children and edges inside are placed alike; equal layers are placed once.
function planKey(box, routes) {
  const sizes = box.children.map((c) => `${c.type === "node" ? "" : c.children ? "f" : "g"}${c.width}.${c.height}.${c.inX | 0}.${c.outX | 0}`);
  const edges = routes.map((route) => `${route.from?.at ?? ""}>${route.to?.at ?? ""}`);
  return `${box.type === "root"}${box.isSequence}${box.least | 0}|${sizes.join()}|${edges.join()}`;
}

function planOf(box, routes) {
  const rows = new Rows(box, ranksOf(box, routes));
  const drawn = routes.map((route) => rows.addRoute(route));
  rows.sort();
  rows.place();
  return rows.plan(box, drawn, box.type === "root" ? 0 : FRAME_HEAD);
}

function follow(plan, box, routes) {
  Object.assign(box, plan.box);
  box.children.forEach((child, at) => Object.assign(child, plan.children[at]));
  routes.forEach((route, at) => Object.assign(route, plan.routes[at]));
}

// Pieces stand one below the other in the order in which they run; all else by what it waits for.
function ranksOf(box, routes) {
  const { children } = box, rank = new Array(children.length).fill(0);
  if (box.isSequence) {
    for (let at = 1; at < children.length; at++) {
      const together = children[at].type === "node" && children[at - 1].type === "node";
      rank[at] = rank[at - 1] + (together ? 0 : 1);
    }
    return rank;
  }
  const isFed = new Array(children.length).fill(false), first = new Array(children.length).fill(Infinity);
  const inner = routes.filter((route) => route.from && route.to).sort((a, b) => a.from.at - b.from.at);
  for (const { to } of routes) if (to) isFed[to.at] = true;
  for (const { from, to } of inner) rank[to.at] = Math.max(rank[to.at], rank[from.at] + 1);
  for (const { from, to } of inner) first[from.at] = Math.min(first[from.at], rank[to.at]);
  // What reads nothing stands just above its first reader.
  return rank.map((row, at) => (isFed[at] || first[at] === Infinity ? row : first[at] - 1));
}

// Items in rows: children, lanes of passing edges, and doors in the first and last row, where edges
// come in and go out. left and right are what an item takes on either side of its x.
class Rows {
  constructor(box, rank) {
    this.rank = rank;
    this.last = rank.reduce((most, each) => Math.max(most, each), 0);
    this.left = [], this.right = [], this.height = [], this.above = [], this.below = [], this.row = [];
    this.rows = Array.from({ length: this.last + 3 }, () => []);
    this.children = box.children;
    this.isSequence = box.isSequence;
    // A long row of open boxes, each left of where it was entered, would run off to one side.
    this.usesDoors = box.children.filter((child) => child.children).length <= 6;
    for (const [at, child] of box.children.entries()) {
      this.add(rank[at] + 1, child.width / 2, child.width / 2, child.height);
    }
    this.lanes = 20 * box.children.length + 2000; // beyond, an edge runs straight through
  }

  add(row, left, right, height) {
    const item = this.left.length;
    this.left.push(left), this.right.push(right), this.height.push(height);
    this.above.push(NONE), this.below.push(NONE), this.row.push(row);
    this.rows[row].push(item);
    return item;
  }

  // {lanes, door}: the items of a route.
  addRoute(route) {
    const first = route.from ? route.from.at : this.add(0, LANE, LANE, 0);
    const last = route.to ? route.to.at : this.add(this.last + 2, LANE, LANE, 0);
    const door = route.from ? (route.to ? null : last) : first, lanes = [];
    const gap = this.row[last] - this.row[first] - 1;
    let previous = first;
    if (gap <= this.lanes) {
      this.lanes -= gap;
      for (let row = this.row[first] + 1; row < this.row[last]; row++) {
        const lane = this.add(row, LANE, LANE, 0);
        this.join(previous, lane);
        lanes.push(lane);
        previous = lane;
      }
    }
    this.join(previous, last);
    return { lanes, door, isIn: !route.from };
  }

  join(upper, lower) {
    if (this.below[upper] === NONE) this.below[upper] = [lower];
    else this.below[upper].push(lower);
    if (this.above[lower] === NONE) this.above[lower] = [upper];
    else this.above[lower].push(upper);
  }

  // Four sweeps, down and up in turn: each row by the mean place of the row just sorted.
  sort() {
    if (this.rows.every((row) => row.length < 2)) return;
    const place = new Array(this.left.length).fill(0), centre = new Array(this.left.length).fill(0);
    for (const row of this.rows) row.forEach((item, at) => (place[item] = at - (row.length - 1) / 2));
    for (let sweep = 0; sweep < 4; sweep++) {
      const beside = sweep % 2 ? this.below : this.above;
      this.sweep(sweep % 2, (row) => {
        if (row.length < 2) return;
        for (const item of row) centre[item] = mean(beside[item], place) ?? place[item];
        row.sort((a, b) => centre[a] - centre[b]);
        row.forEach((item, at) => (place[item] = at - (row.length - 1) / 2));
      });
    }
  }

  sweep(isUp, visit) {
    for (let at = 0; at < this.rows.length; at++) visit(this.rows[isUp ? this.rows.length - 1 - at : at]);
  }

  // x of every item: near the mean of its neighbours, in order and without overlap.
  place() {
    this.x = new Array(this.left.length).fill(0);
    for (let sweep = 0; sweep < 6; sweep++) {
      const isUp = sweep % 2 === 1;
      this.sweep(isUp, (row) => {
        if (row.length === 1) this.x[row[0]] = this.wanted(row[0], isUp);
        else if (row.length) this.pack(row, row.map((item) => this.wanted(item, isUp)));
      });
    }
  }

  // Where an item would stand for straight edges. A child cares for children, and for passing edges
  // only where there are no others; where an open box is met counts, not its middle.
  wanted(item, isUp) {
    const beside = isUp ? this.below[item] : this.above[item], count = this.children.length;
    const isChild = item < count;
    if (this.isSequence && isChild && this.children[item].type !== "node") return 0;
    const hasChild = isChild && beside.some((each) => each < count);
    let sum = 0, met = 0;
    for (const each of beside) {
      if (hasChild && each >= count) continue;
      sum += this.x[each] + (each < count ? this.door(each, !isUp) : 0);
      met++;
    }
    return met ? sum / met - (isChild ? this.door(item, isUp) : 0) : this.x[item];
  }

  door(at, isBelow) {
    if (!this.usesDoors) return 0;
    const child = this.children[at];
    return (isBelow ? child.outX : child.inX) - child.anchor;
  }

  // The places nearest to the wanted ones that keep order and distance (pooling of neighbours).
  pack(row, wanted) {
    const offset = new Array(row.length).fill(0);
    for (let at = 1; at < row.length; at++) {
      const a = row[at - 1], b = row[at];
      const gap = this.height[a] && this.height[b] ? SIDE_GAP : LANE_GAP;
      offset[at] = offset[at - 1] + this.right[a] + gap + this.left[b];
    }
    const sums = [], weights = [], counts = [];
    for (let at = 0; at < row.length; at++) {
      const weight = row[at] < this.children.length ? 6 : 1; // lanes give way
      sums.push((wanted[at] - offset[at]) * weight);
      weights.push(weight);
      counts.push(1);
      for (let last = sums.length - 1; last > 0 && sums[last - 1] / weights[last - 1] > sums[last] / weights[last]; last--) {
        sums[last - 1] += sums.pop();
        weights[last - 1] += weights.pop();
        counts[last - 1] += counts.pop();
      }
    }
    let at = 0;
    for (let pool = 0; pool < sums.length; pool++) {
      for (let each = 0; each < counts[pool]; each++, at++) this.x[row[at]] = sums[pool] / weights[pool] + offset[at];
    }
  }

  // Sizes of the box and, inside it, places of children, lanes and doors.
  plan(box, drawn, head) {
    let low = Infinity, high = -Infinity;
    for (let item = 0; item < this.x.length; item++) {
      low = Math.min(low, this.x[item] - this.left[item]);
      high = Math.max(high, this.x[item] + this.right[item]);
    }
    const tops = [], bottoms = [];
    let y = head;
    this.rows.forEach((row, at) => {
      const isDoor = at === 0 || at === this.rows.length - 1;
      if (at > 0) y += at === 1 || isDoor ? DOOR_GAP : ROW_GAP;
      tops.push(y);
      y += row.reduce((most, item) => Math.max(most, this.height[item]), 0);
      bottoms.push(y);
    });
    const own = high - low + 2 * FRAME_PAD, width = Math.max(own, box.least);
    const shift = FRAME_PAD - low + (width - own) / 2, anchor = width / 2;
    const children = box.children.map((child, at) => {
      const rowTop = tops[this.row[at]], rowBottom = bottoms[this.row[at]];
      return { dx: this.x[at] + shift - child.anchor, dy: rowTop, rowTop, rowBottom };
    });
    const doors = { in: [], out: [] };
    const places = drawn.map(({ lanes, door, isIn }) => {
      const doorX = door == null ? null : this.x[door] + shift;
      if (door != null) doors[isIn ? "in" : "out"].push(doorX);
      return { doorX, lanes: lanes.map((lane) => [this.x[lane] + shift, tops[this.row[lane]], bottoms[this.row[lane]]]) };
    });
    const middle = (all) => (all.length ? all.reduce((sum, each) => sum + each, 0) / all.length : anchor);
    const sizes = { width, height: y, anchor, inX: middle(doors.in), outX: middle(doors.out) };
    return { box: sizes, children, routes: places };
  }
}

function mean(items, values) {
  if (!items.length) return null;
  let sum = 0;
  for (const item of items) sum += values[item];
  return sum / items.length;
}

// From places inside to places in the scene; the bands of pieces take the whole width.
function settleInside(box, tree) {
  for (const child of box.children ?? []) {
    child.x = box.x + child.dx;
    child.y = box.y + child.dy;
    child.left = child.x;
    child.right = child.x + child.width;
    if (box.isSequence && child.children) {
      child.left = (box.left ?? 0) + FRAME_PAD / 2;
      child.right = (box.right ?? box.width) - FRAME_PAD / 2;
    }
    settleInside(child, tree);
  }
}

// Points of a link, to be joined by curves that begin and end upright.
function pointsOf(link) {
  const points = [], add = (x, y) => points.push(x, y);
  const lanes = (route) => {
    for (const [x, top, bottom] of route.lanes) add(route.parent.x + x, route.parent.y + top), add(route.parent.x + x, route.parent.y + bottom);
  };
  const { source, target } = link;
  let x = source.x + source.anchor;
  add(x, source.y + source.height);
  for (const route of link.leaves) {
    add(x, route.parent.y + route.from.rowBottom);
    lanes(route);
    x = route.parent.x + route.doorX;
    add(x, route.parent.y + route.parent.height);
  }
  const cross = link.crosses;
  add(x, cross.parent.y + cross.from.rowBottom);
  lanes(cross);
  for (const route of link.enters) {
    add(route.parent.x + route.doorX, route.parent.y);
    lanes(route);
  }
  add(target.x + target.anchor, target.y);
  return points;
}

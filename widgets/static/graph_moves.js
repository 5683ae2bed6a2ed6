// Moves of the graph: what of the scene the window shows, and the hands that change it.

const ZOOM_LEAST = 0.002, ZOOM_MOST = 3, ARROW_STEP = 60, MARGIN = 60, MINIMAP_ROOM = 72;

// A point of the scene (a, b) is at (x + zoom * a, y + zoom * b) of the window.
class Camera {
  constructor() {
    Object.assign(this, { zoom: 1, x: 0, y: 0, width: 0, height: 0 });
  }

  // Another size of the window: its middle shows what it showed.
  resize(width, height) {
    if (this.width) {
      this.x += (width - this.width) / 2;
      this.y += (height - this.height) / 2;
    }
    Object.assign(this, { width, height });
  }

  // Readable, at the top: never the whole of a deep graph.
  toStart(scene) {
    const all = Math.min((this.width - 30) / scene.width, (this.height - 30) / scene.height, 1);
    const room = this.width - (all > 0.7 ? 0 : MINIMAP_ROOM);
    this.zoom = all > 0.7 ? all : Math.max(Math.min((room - 20) / scene.width, 1), 0.6);
    const isWide = scene.width * this.zoom > room;
    this.x = room / 2 - (isWide ? middleOf(scene.root) : scene.width / 2) * this.zoom;
    this.y = 14;
  }

  toAll(scene) {
    const all = Math.min((this.width - 20) / scene.width, (this.height - 20) / scene.height, 1.5);
    this.zoom = Math.max(all, ZOOM_LEAST);
    this.x = (this.width - scene.width * this.zoom) / 2;
    this.y = (this.height - scene.height * this.zoom) / 2;
  }

  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const zoom = Math.min(Math.max(this.zoom * factor, ZOOM_LEAST), ZOOM_MOST);
    this.x = x - ((x - this.x) * zoom) / this.zoom;
    this.y = y - ((y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
  }

  // A box comes to the middle, at a zoom at which it can be read.
  centre(box) {
    this.zoom = Math.max(this.zoom, 0.75);
    const isWide = box.width * this.zoom > this.width;
    this.x = this.width / 2 - (isWide ? middleOf(box) : box.x + box.anchor) * this.zoom;
    const tall = box.height * this.zoom > this.height - 40;
    this.y = tall ? 20 - box.y * this.zoom : this.height / 2 - (box.y + box.height / 2) * this.zoom;
  }

  shows(box) {
    const left = box.x * this.zoom + this.x, top = box.y * this.zoom + this.y;
    const right = left + box.width * this.zoom, bottom = top + Math.min(box.height * this.zoom, 40);
    return left >= 4 && top >= 4 && right <= this.width - 4 && bottom <= this.height - 4 && this.zoom >= READABLE;
  }

  // Something of the scene stays in the window.
  keepInSight(scene) {
    const wide = scene.width * this.zoom, high = scene.height * this.zoom;
    this.x = Math.min(Math.max(this.x, MARGIN - wide), this.width - MARGIN);
    this.y = Math.min(Math.max(this.y, MARGIN - high), this.height - MARGIN);
  }

  at(event, canvas) {
    const box = canvas.getBoundingClientRect();
    const screenX = event.clientX - box.left, screenY = event.clientY - box.top;
    return { screenX, screenY, x: (screenX - this.x) / this.zoom, y: (screenY - this.y) / this.zoom };
  }
}

// Where the first thing in a box is: the middle of a wide one may be empty.
function middleOf(box) {
  while (box.children?.length) box = box.children[0];
  return box.x + box.anchor;
}

// Drag, pinch, wheel and click on the canvas. pane has camera, canvas, click(point, event), moved().
function listenToPointer(pane) {
  const { canvas, camera } = pane, fingers = new Map();
  let distance = 0, travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 1) travelled = 0;
    distance = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return pane.hover(camera.at(event, canvas));
    const dx = event.clientX - last[0], dy = event.clientY - last[1];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    travelled += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 2) {
      const [a, b] = [...fingers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      const middle = camera.at({ clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 }, canvas);
      if (distance) camera.zoomBy(now / distance, middle.screenX, middle.screenY);
      distance = now;
    } else if (travelled > 4) {
      camera.x += dx;
      camera.y += dy;
    }
    pane.moved();
  });
  const lift = (event) => {
    const wasDown = fingers.delete(event.pointerId);
    if (wasDown && !fingers.size && travelled <= 4 && event.type === "pointerup") pane.click(camera.at(event, canvas));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("dblclick", (event) => pane.doubleClick(camera.at(event, canvas)));
  // The page keeps its wheel until somebody works in the picture.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
    taken(event);
    const { screenX, screenY } = camera.at(event, canvas);
    const pixels = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey && !event.ctrlKey) {
      camera.x -= (event.deltaX || event.deltaY) * pixels;
    } else {
      camera.zoomBy(Math.exp(-event.deltaY * pixels * 0.0018), screenX, screenY);
    }
    pane.moved();
  }, { passive: false });
  canvas.addEventListener("focus", () => (canvas.style.touchAction = "none"));
  canvas.addEventListener("blur", () => (canvas.style.touchAction = ""));
}

// Keys on the canvas: arrows follow edges where a box is current, else they move the picture.
function listenToKeys(pane) {
  const { canvas, camera } = pane;
  const arrows = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [1, 0], ArrowRight: [-1, 0] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = arrows[event.key];
    if (arrow && (event.shiftKey || !pane.follow(event.key))) {
      camera.x += arrow[0] * ARROW_STEP;
      camera.y += arrow[1] * ARROW_STEP;
    } else if (event.key === "+" || event.key === "=") camera.zoomBy(1.25);
    else if (event.key === "-") camera.zoomBy(1 / 1.25);
    else if (event.key === "0") camera.toStart(pane.scene);
    else if (event.key === "PageDown") camera.y -= camera.height * 0.8;
    else if (event.key === "PageUp") camera.y += camera.height * 0.8;
    else if (event.key === "Enter" || event.key === " ") pane.enter();
    else if (event.key === "Escape") pane.escape();
    else if (!arrow) return;
    taken(event);
    pane.moved();
  });
}

// Where an arrow leads from a box: down to a reader, up to a source, left and right to one in the
// same height. Null where there is none.
function neighbourOf(scene, box, key) {
  const middle = (each) => each.x + each.anchor;
  const nearest = (boxes) => boxes.reduce((best, each) => (!best || Math.abs(middle(each) - middle(box)) < Math.abs(middle(best) - middle(box)) ? each : best), null);
  if (key === "ArrowDown") return nearest(scene.links.filter((link) => link.source === box).map((link) => link.target));
  if (key === "ArrowUp") return nearest(scene.links.filter((link) => link.target === box).map((link) => link.source));
  const side = key === "ArrowRight" ? 1 : -1;
  const level = scene.index.leavesBetween(box.y - 1, box.y + box.height + 1).filter((each) => {
    return each !== box && each.y < box.y + box.height && each.y + each.height > box.y && (middle(each) - middle(box)) * side > 0;
  });
  return nearest(level);
}

// A small picture of the whole scene at the side; a press on it moves the window there.
class Minimap {
  constructor(canvas, pane) {
    this.canvas = canvas;
    this.pane = pane;
    const go = (event) => {
      if (!(event.buttons & 1)) return;
      const { camera, scene } = pane, box = canvas.getBoundingClientRect();
      const share = (event.clientY - box.top) / box.height;
      camera.y = camera.height / 2 - share * scene.height * camera.zoom;
      camera.keepInSight(scene);
      pane.draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", go);
  }

  // Shown only where the scene is larger than the window.
  paint(theme, marked) {
    const { canvas, pane } = this, { camera, scene } = pane;
    const isLarge = scene.height * camera.zoom > camera.height * 1.2;
    canvas.style.display = isLarge ? "" : "none";
    if (!isLarge) return;
    const width = canvas.clientWidth, height = canvas.clientHeight, context = canvas.getContext("2d");
    const state = [width, height, devicePixelRatio, theme.paper, theme.pieces[0]].join();
    if (!this.picture || this.state !== state) this.redraw(theme, width, height);
    this.state = state;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.picture, 0, 0);
    context.scale(devicePixelRatio, devicePixelRatio);
    const down = height / scene.height;
    context.fillStyle = theme.accent;
    for (const box of marked) context.fillRect(width - 9, Math.max(box.y * down - 1, 0), 9, 2);
    const top = (-camera.y / camera.zoom) * down, high = (camera.height / camera.zoom) * down;
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.strokeRect(1, Math.max(top, 1), width - 2, Math.min(Math.max(high, 4), height - 2));
  }

  // What stays while the window moves.
  redraw(theme, width, height) {
    const { tree, scene } = this.pane, ratio = devicePixelRatio;
    this.picture = document.createElement("canvas");
    for (const each of [this.canvas, this.picture]) Object.assign(each, { width: width * ratio, height: height * ratio });
    const context = this.picture.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, width, height);
    const down = height / scene.height, across = Math.min((width - 8) / scene.width, 0.12);
    const left = (width - scene.width * across) / 2;
    for (const box of this.sample()) {
      const piece = tree.pieceOf(box);
      context.globalAlpha = box.children ? 0.25 : 0.8;
      context.fillStyle = piece?.colour == null ? theme.quiet : colourOf(theme, piece);
      const start = box.left ?? box.x, wide = (box.right ?? box.x + box.width) - start;
      context.fillRect(left + start * across, box.y * down, Math.max(wide * across, 2), Math.max(box.height * down, 0.7));
    }
  }

  // Some thousand boxes are all that so few pixels can show.
  sample() {
    const { boxes } = this.pane.scene, step = Math.ceil(boxes.length / 1500);
    return boxes.filter((box, at) => this.pane.tree.isPiece(box) || at % step === 0);
  }
}

// What all views share; it stands before each view's own script in one module.
// Text of a model goes into the page through textContent or fillText, never as markup.

const PIECE_COLOURS = 8;

// An element: h("button", {class: "small", onclick: f, "aria-label": "Find"}, "text", child).
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

// A sentence as nodes: what stands between backticks in it is code.
function prose(text) {
  return String(text).split(/`([^`]+)`/)
    .map((part, index) => index % 2 ? h("code", {}, part) : part);
}

// The same as h for parts of an SVG drawing.
function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function clear(element) {
  element.replaceChildren();
  return element;
}

// Class of a piece's colour; null is a splitting piece, which is hatched.
function pieceClass(colour) {
  return colour == null ? "pwx-piece pwx-hatched" : `pwx-piece pwx-colour${colour % PIECE_COLOURS}`;
}

// Tells Python what a person did.
function intend(model, intent, details = {}) {
  model.send({ ...details, intent });
}

function select(model, kind, key) {
  intend(model, "select", { kind, key });
}

// The value of a CSS variable, such as "--pwx-ink", for a canvas. Read it at every paint.
function cssColour(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

// Calls back when the page's theme changes; returns what stops that.
function onTheme(callback) {
  const observer = new MutationObserver(callback);
  const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class", "style"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}

// Text cut to a width in pixels, with an ellipsis.
function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
    else high = middle - 1;
  }
  return text.slice(0, low) + "…";
}

// A key that a view uses: neither the notebook nor the page gets it.
function taken(event) {
  event.preventDefault();
  event.stopPropagation();
}

// One tab stop for a row of items; arrows, Home and End move inside it. Items are the elements that
// match the selector when a key is pressed. Returns what makes one item the tab stop.
function roving(container, selector) {
  const items = () => [...container.querySelectorAll(selector)];
  const stopAt = (item) => {
    for (const each of items()) each.tabIndex = each === item ? 0 : -1;
  };
  container.addEventListener("keydown", (event) => {
    const all = items(), at = all.indexOf(event.target.closest(selector));
    if (at < 0) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    let next = null;
    if (step) next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    else if (event.key === "Home") next = all[0];
    else if (event.key === "End") next = all[all.length - 1];
    if (!next) return;
    taken(event);
    stopAt(next);
    next.focus();
  });
  container.addEventListener("focusin", (event) => {
    const item = event.target.closest(selector);
    if (item) stopAt(item);
  });
  return stopAt;
}

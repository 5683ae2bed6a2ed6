// Chips with the splitting ops, and a box that completes what occurs in the graph.

const MOST_OFFERED = 60;
let boxes = 0;

function render({ model, el }) {
  const { body, end } = control(model, el, "ops", "Splitting ops");
  const number = boxes++;
  const chips = h("span", { class: "chips", role: "list", "aria-label": "Splitting ops" });
  const list = h("ul", { id: `pwx-ops-list-${number}`, role: "listbox", "aria-label": "Ops of the graph", hidden: true, popover: "manual" });
  const entry = h("input", {
    type: "text", role: "combobox", "aria-label": "Add a splitting op", "aria-expanded": "false",
    "aria-controls": list.id, "aria-autocomplete": "list", spellcheck: "false", autocomplete: "off",
    oninput: () => offer(), onfocus: () => offer(), onblur: () => leave(),
    onkeydown: (event) => key(event), onpaste: (event) => paste(event),
  });
  const box = h("span", { class: "box" }, entry, list);
  body.append(h("span", { class: "pwx-label" }, "split at"), chips, box);
  let offered = [], at = -1;

  const names = () => model.get("draft") ?? [];
  const choice = (name) => model.get("choices").find((each) => each.name === name);

  function add(texts) {
    const clean = texts.map((each) => each.trim()).filter(Boolean);
    if (clean.length) put(model, "draft", [...new Set([...names(), ...clean])]);
    entry.value = "";
    close();
  }

  function remove(name) {
    put(model, "draft", names().filter((each) => each !== name));
  }

  function chip(name) {
    const known = choice(name), shown = cut(name, 48);
    return h("span", { class: "chip", role: "listitem", title: known ? `${cut(name, 400)}: ${known.text}` : cut(name, 400) },
      h("bdi", {}, h("code", {}, shown)), known && h("span", { class: "pwx-quiet pwx-small" }, `${known.count}×`),
      h("button", {
        "aria-label": `Remove ${shown}`, title: `Remove ${shown}`,
        onclick: (event) => {
          const index = [...chips.children].indexOf(event.currentTarget.parentElement);
          remove(name);
          (chips.children[Math.min(index, chips.children.length - 1)]?.querySelector("button") ?? entry).focus();
        },
      }, "✕"));
  }

  function draw() {
    clear(chips).append(...names().map(chip));
    entry.placeholder = names().length ? "+ op or module:glob…" : "nothing: one piece. + op or module:glob…";
    if (!list.hidden) offer();
  }

  // ------------------------------------------------------------------------------- completion

  function matches(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), there = new Set(names());
    return model.get("choices").filter(({ name }) =>
      !there.has(name) && words.every((word) => name.toLowerCase().includes(word)));
  }

  function offer() {
    if (document.activeElement !== entry) return;
    const found = matches(entry.value);
    offered = found.slice(0, MOST_OFFERED);
    at = -1;
    clear(list).append(...offered.map(option));
    if (found.length > offered.length) {
      list.append(h("li", { class: "pwx-quiet rest", role: "presentation" },
        `and ${found.length - offered.length} more: type to find them`));
    }
    entry.removeAttribute("aria-activedescendant");
    if (!offered.length) return close();
    list.hidden = false;
    list.showPopover?.();
    entry.setAttribute("aria-expanded", "true");
    beside();
  }

  // The list stands in the page's top layer: boxes of a notebook cut off what sticks out of them.
  function beside() {
    if (list.hidden) return;
    const box = entry.getBoundingClientRect(), below = innerHeight - box.bottom - 8;
    list.style.minWidth = `${box.width}px`;
    list.style.maxHeight = `${Math.max(Math.min(260, Math.max(below, box.top - 8)), 60)}px`;
    const up = below < 120 && box.top > below;
    list.style.left = `${Math.max(Math.min(box.left, innerWidth - list.offsetWidth - 8), 0)}px`;
    list.style.top = `${up ? box.top - list.offsetHeight - 2 : box.bottom + 2}px`;
  }

  function moved(event) {
    if (event.target !== list) beside();
  }

  function option(each, index) {
    return h("li", {
      id: `${list.id}-${index}`, role: "option", "aria-selected": "false", title: each.label,
      onmousedown: (event) => { event.preventDefault(); add([each.name]); entry.focus(); },
    }, h("code", {}, each.label), h("span", { class: "pwx-quiet pwx-small" }, each.text));
  }

  function point(to) {
    const options = [...list.querySelectorAll("[role=option]")];
    options[at]?.setAttribute("aria-selected", "false");
    at = to < -1 ? options.length - 1 : to >= options.length ? -1 : to;
    const now = options[at];
    if (!now) return entry.removeAttribute("aria-activedescendant");
    now.setAttribute("aria-selected", "true");
    entry.setAttribute("aria-activedescendant", now.id);
    now.scrollIntoView({ block: "nearest" });
  }

  function close() {
    list.hidePopover?.();
    list.hidden = true;
    at = -1;
    entry.setAttribute("aria-expanded", "false");
    entry.removeAttribute("aria-activedescendant");
  }

  // -------------------------------------------------------------------------------------- keys

  function key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      taken(event);
      if (list.hidden) offer();
      if (!list.hidden) point(at + step);
    } else if (event.key === "Enter") {
      taken(event);
      if (at >= 0 && !list.hidden) add([offered[at].name]);
      else add(split(entry.value));
    } else if (event.key === ",") {
      taken(event);
      add([entry.value]);
    } else if (event.key === "Escape") {
      taken(event);
      if (list.hidden) entry.value = "";
      close();
    } else if (event.key === "Backspace" && !entry.value && names().length) {
      taken(event);
      remove(names()[names().length - 1]);
    }
  }

  function split(text) {
    return text.split(/[,\n]/);
  }

  function paste(event) {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!/[,\n]/.test(text)) return;
    taken(event);
    add(split(entry.value + text));
  }

  // What was written and not entered becomes a chip: nothing that stands there is overlooked.
  function leave() {
    if (entry.value.trim()) add(split(entry.value));
    close();
  }

  draw();
  addEventListener("scroll", moved, true);
  addEventListener("resize", beside);
  const stop = listen(model, { draft: draw, choices: draw });
  return () => {
    removeEventListener("scroll", moved, true);
    removeEventListener("resize", beside);
    stop();
    end();
  };
}

export default { render };

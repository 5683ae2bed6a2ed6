// Three boxes, and the axis of sizes that they make.

const AXIS_HEIGHT = 38;
const BAR = { top: 1, height: 20 };
const PAUSE = 250; // milliseconds without a key after which a text is read
const CHARACTER = 6.8; // pixels of a digit at 12 px, at most

function render({ model, el }) {
  const { body, end } = control(model, el, "ranges", "Size ranges and exact sizes");
  let pause = null; // while it runs, the boxes are ahead of the draft
  const boxes = {
    ranges: box("ranges", "ranges", "8, 64", 10, "Last size of each range but the last: 8, 64 makes 1–8, 9–64 and the rest"),
    sizes: box("sizes", "exact", "16 64", 14, "Sizes with an artifact of their own; the word cudagraph_capture_sizes may stand among them"),
    max_size: box("max_size", "up to", "8192", 6, "Largest size that is served"),
  };
  const axis = s("svg", { role: "img", height: AXIS_HEIGHT });
  const notes = h("div", { class: "pwx-quiet pwx-small notes" });
  body.append(
    ...Object.entries(boxes).map(([, each]) => each.parentElement),
    h("div", { class: "axis" }, axis), notes);

  function box(name, label, hint, size, title) {
    const input = h("input", {
      type: "text", size, title, placeholder: hint, spellcheck: "false", autocomplete: "off",
      "aria-label": title,
      oninput: () => {
        clearTimeout(pause);
        pause = setTimeout(read, PAUSE);
      },
      onchange: () => read(),
    });
    h("label", {}, h("span", { class: "pwx-label" }, label), input);
    return input;
  }

  function read() {
    clearTimeout(pause);
    pause = null;
    const texts = Object.entries(boxes).map(([name, input]) => [name, input.value]);
    put(model, "draft", Object.fromEntries(texts));
  }

  function fill() {
    const draft = model.get("draft"), faulty = model.get("faulty");
    for (const [name, input] of Object.entries(boxes)) {
      if (pause == null && input.value !== draft[name]) input.value = draft[name] ?? "";
      if (faulty === name) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  }

  function draw() {
    const view = model.get("view"), width = Math.floor(axis.parentElement.clientWidth);
    if (!view.segments || width < 40) return;
    axis.setAttribute("width", width);
    axis.setAttribute("aria-label", `Sizes on a logarithmic scale. ${view.text}`);
    const at = (position) => 0.5 + position * (width - 1);
    clear(axis).append(
      ...view.segments.flatMap((each, index) => segment(each, index, at)),
      ...ticks(view.sizes, at, width));
    notes.textContent = view.notes.join("; ");
  }

  function segment(each, index, at) {
    const x = at(each.from), width = at(each.to) - x, middle = x + width / 2;
    const fits = each.label.length * CHARACTER + 6 <= width;
    return [
      s("rect", { class: index % 2 ? "odd" : "even", x, y: BAR.top, width, height: BAR.height }, s("title", {}, each.title)),
      fits && s("text", { class: "label", x: middle, y: BAR.top + 14, "text-anchor": "middle" }, each.label),
    ].filter(Boolean);
  }

  // A mark per exact size below the bar; of labels that would touch, the earlier one stays.
  function ticks(sizes, at, width) {
    let free = 0, last = -Infinity;
    return sizes.flatMap(({ size, title, at: position }) => {
      const x = at(position), half = (String(size).length * CHARACTER) / 2;
      const middle = Math.min(Math.max(x, half), width - half);
      const fits = middle - half >= free;
      if (fits) free = middle + half + 5;
      const crowded = x - last < 8;
      if (!crowded) last = x;
      const bottom = BAR.top + BAR.height;
      return [
        s("path", { class: "tick", d: `M${x} ${bottom - 4}L${x} ${bottom + 3}` }, s("title", {}, title)),
        !crowded && s("path", { class: "mark", d: `M${x} ${bottom - 4}l3.5 3.5l-3.5 3.5l-3.5 -3.5z` }, s("title", {}, title)),
        fits && s("text", { class: "size", x: middle, y: AXIS_HEIGHT - 3, "text-anchor": "middle" }, String(size)),
      ].filter(Boolean);
    });
  }

  fill();
  const sized = new ResizeObserver(draw);
  sized.observe(axis.parentElement);
  draw();
  const stop = listen(model, { draft: fill, faulty: fill, view: draw });
  return () => { clearTimeout(pause); sized.disconnect(); stop(); end(); };
}

export default { render };

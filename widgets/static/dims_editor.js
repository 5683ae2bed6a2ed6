// One row per tensor, one cell per dim: its mode, and the name of its size.

const MANY = 8; // with more tensors there is a box to find one, and static ones are folded
const MODES = ["static", "dynamic", "unbacked"];
let lists = 0;

function render({ model, el }) {
  const { body, end } = control(model, el, "dims", "Dynamic dims");
  const names = h("datalist", { id: `pwx-dims-names-${lists++}` });
  const source = h("span", { class: "pwx-quiet pwx-small" });
  const forget = h("button", {
    class: "pwx-small",
    title: "Forget what is chosen here: which dims are dynamic follows from the signature",
    onclick: () => put(model, "draft", null),
  }, "↺ infer");
  const find = h("input", {
    type: "search", placeholder: "find a tensor", "aria-label": "Find a tensor", size: 14,
    oninput: () => rows(),
  });
  const fold = h("button", { class: "pwx-small", onclick: () => { unfolded = !unfolded; rows(); } });
  const table = h("table", { "aria-label": "Tensors of the call and their dims" });
  const scroll = h("div", { class: "scroll" }, table);
  const summary = h("div", { class: "pwx-quiet pwx-small summary", role: "status" });
  const head = h("div", { class: "head" },
    h("span", { class: "pwx-label" }, "dynamic dims"), forget, find, fold, source, summary);
  body.append(head, scroll, names);
  let unfolded = false;
  let cells = []; // of the rows that are shown: what makes one follow the traits

  const tensors = () => model.get("view").tensors ?? [];
  const shown = () => model.get("draft") ?? model.get("view").inferred ?? {};
  const chosen = (path, dim) => shown()[path]?.[dim];

  function edit(path, dim, mode, name) {
    const draft = structuredClone(shown());
    draft[path] = { ...draft[path] };
    if (mode === "static") delete draft[path][dim];
    else draft[path][dim] = { mode, name };
    if (!Object.keys(draft[path]).length) delete draft[path];
    put(model, "draft", draft);
  }

  function cell(tensor, dim) {
    const key = String(dim.dim);
    const place = `${tensor.label}[${dim.dim}], size ${dim.size} in the example`;
    const mode = h("select", {
      "aria-label": `Mode of ${place}`,
      title: dim.note ? `${place}; ${dim.note}` : place,
      onchange: () => edit(tensor.path, key, mode.value, name.value),
    }, MODES.map((each) => h("option", { value: each }, each)));
    const name = h("input", {
      type: "text", size: 6, spellcheck: "false", autocomplete: "off", list: names.id,
      placeholder: dim.default, "aria-label": `Name of the size of ${place}`,
      title: "One name is one size: dims with the same name are equal",
      onchange: () => edit(tensor.path, key, mode.value, name.value),
      onblur: () => follow(),
    });
    const together = h("span", { class: "together pwx-small" });
    const fixed = h("span", { class: "pwx-small pwx-bad" },
      dim.note.startsWith("the model") ? `▲ ${dim.note}` : "");
    const box = h("span", { class: "cell" },
      h("code", { class: "pwx-quiet" }, `[${dim.dim}]`), h("span", { class: "size" }, String(dim.size)),
      mode, name, together, fixed);
    cells.push((count, faulty) => {
      const now = chosen(tensor.path, key);
      mode.value = now?.mode ?? "static";
      name.hidden = together.hidden = !now;
      const typing = document.activeElement === name;
      if (now && !typing && name.value !== now.name) name.value = now.name;
      box.classList.toggle("static", !now);
      const many = now?.name ? count.get(now.name) : 0;
      together.textContent = many > 1 ? `= ×${many}` : "";
      together.title = many > 1 ? `${now.name} is one size in ${many} dims` : "";
      const bad = faulty[0] === tensor.path && faulty[1] === key;
      if (bad) name.setAttribute("aria-invalid", "true");
      else name.removeAttribute("aria-invalid");
    });
    return box;
  }

  function row(tensor) {
    return h("tr", {},
      h("th", { scope: "row", title: tensor.title }, h("code", {}, tensor.label)),
      h("td", { class: "pwx-quiet pwx-small" }, tensor.dtype),
      h("td", {}, h("div", { class: "row" }, tensor.dims.length
        ? tensor.dims.map((dim) => cell(tensor, dim))
        : h("span", { class: "cell pwx-quiet" }, "scalar"))));
  }

  function rows() {
    const all = tensors(), many = all.length > MANY, wanted = find.value.trim().toLowerCase();
    const matching = all.filter((each) => each.path.toLowerCase().includes(wanted));
    const isStatic = (each) => !shown()[each.path];
    const folding = many && !unfolded && !wanted;
    const visible = folding ? matching.filter((each) => !isStatic(each)) : matching;
    const hidden = all.filter(isStatic).length;
    find.hidden = !many;
    fold.hidden = !many || !!wanted || !hidden;
    fold.textContent = unfolded ? "hide static ones" : `show ${hidden} static ones`;
    fold.setAttribute("aria-expanded", String(unfolded));
    cells = [];
    clear(table).append(...visible.map(row));
    if (!all.length) empty("No tensors are shown: no call is known yet.");
    else if (!visible.length && wanted) empty("No tensor is called so.");
    else if (!visible.length) empty("Every dim is static.");
    follow();
  }

  function empty(text) {
    table.append(h("tr", {}, h("td", { class: "pwx-quiet" }, text)));
  }

  function follow() {
    const count = new Map();
    for (const dims of Object.values(shown())) {
      for (const { name } of Object.values(dims)) if (name) count.set(name, (count.get(name) ?? 0) + 1);
    }
    const faulty = model.get("faulty");
    for (const each of cells) each(count, faulty);
    clear(names).append(...[...count.keys()].map((name) => h("option", { value: name })));
    const given = model.get("draft") != null;
    source.textContent = given ? "" : "inferred from the signature:";
    source.hidden = given;
    forget.hidden = !given;
    el.classList.toggle("inferred", !given);
    summary.textContent = summary.title = model.get("summary");
  }

  rows();
  const stop = listen(model, {
    view: rows, draft: follow, faulty: follow, summary: follow,
  });
  return () => { stop(); end(); };
}

export default { render };

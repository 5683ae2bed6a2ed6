// A row of tabs; the chosen one is the tab stop, and arrows choose.

function render({ model, el }) {
  el.classList.add("pwx", "pwx-tabs");
  const list = h("div", { class: "list", role: "tablist", "aria-label": "Views" });
  const beside = h("button", {
    class: "beside", onclick: () => put(model, "side_by_side", !model.get("side_by_side")),
  }, "◫ side by side");
  const frame = h("div", { class: "row" }, list, beside);
  keepKeys(frame);
  el.append(frame);
  const stopAt = roving(list, "[role=tab]");

  function tab({ name, label }) {
    const badge = model.get("badges")[name];
    return h("button", {
      role: "tab", "data-name": name, title: badge || null, "aria-label": badge ? `${label}, ${badge}` : null,
      onclick: () => put(model, "value", name),
      onfocus: () => put(model, "value", name),
    }, label, badge && h("span", { class: "badge", "aria-hidden": "true" }, " ●"));
  }

  function draw() {
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.name;
    clear(list).append(...model.get("tabs").map(tab));
    follow();
    if (focused) [...list.children].find((each) => each.dataset.name === focused)?.focus();
  }

  function follow() {
    const value = model.get("value"), pair = model.get("pair"), both = model.get("side_by_side");
    const shown = both && pair.includes(value) ? pair : [value];
    for (const each of list.children) {
      each.setAttribute("aria-selected", String(each.dataset.name === value));
      each.classList.toggle("shown", shown.includes(each.dataset.name));
      if (each.dataset.name === value) stopAt(each);
    }
    const names = pair.map((name) => model.get("tabs").find((each) => each.name === name)?.label ?? name);
    beside.hidden = !pair.includes(value);
    beside.setAttribute("aria-pressed", String(both));
    beside.title = `${names.join(" and ")} side by side`;
  }

  draw();
  const stop = listen(model, {
    tabs: draw, badges: draw, value: follow, pair: follow, side_by_side: follow,
  });
  return () => {
    stop();
    frame.remove();
  };
}

export default { render };

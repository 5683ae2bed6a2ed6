// text: a line; doing: what goes on; errors: [{text, trace}], the latest last; has_alert; selection: {} or {text, ...}

function render({ model, el }) {
  el.classList.add("pwx", "pwx-status");
  const alert = h("div", { role: "alert" });
  const said = h("span", { class: "said", role: "status" });
  const doing = h("span", { class: "doing", role: "status" });
  const chosen = h("span", { class: "chosen", "aria-live": "polite" });
  const count = h("button", { "aria-expanded": "false", onclick: () => toggle() });
  const log = h("ol", { class: "log", hidden: true });
  el.append(alert, h("div", { class: "line" }, doing, said, chosen, count), log);

  function traceOf({ trace }) {
    return trace && h("details", {}, h("summary", {}, "traceback"), h("pre", { tabindex: 0 }, trace));
  }

  function drawErrors() {
    const errors = model.get("errors"), latest = errors[errors.length - 1];
    clear(alert);
    if (model.get("has_alert") && latest) {
      alert.append(h("div", { class: "alert" },
        h("span", { class: "sign", "aria-hidden": "true" }, "⚠ "), latest.text, traceOf(latest)));
    }
    count.textContent = `⚠ ${errors.length} ${errors.length === 1 ? "error" : "errors"}`;
    count.disabled = !errors.length;
    if (!errors.length) toggle(false);
    clear(log).append(...errors.map((each) => h("li", {}, each.text, traceOf(each))),
      h("button", { onclick: () => intend(model, "forget") }, "forget them"));
  }

  function toggle(open = log.hidden) {
    log.hidden = !open;
    count.setAttribute("aria-expanded", String(open));
  }

  function drawText() {
    said.textContent = model.get("text");
  }

  function drawDoing() {
    const text = model.get("doing");
    clear(doing).hidden = !text;
    if (!text) return;
    doing.append(h("span", { class: "spinner", "aria-hidden": "true" }), text,
      h("button", { onclick: () => intend(model, "cancel"), "aria-label": `cancel: ${text}` }, "cancel"));
  }

  function drawSelection() {
    const { text } = model.get("selection");
    clear(chosen);
    if (!text) return;
    chosen.append(`selected: ${text}`, h("button", { "aria-label": "end the selection", title: "End the selection",
      onclick: () => select(model, "none", null) }, "✕"));
  }

  model.on("change:errors change:has_alert", drawErrors);
  model.on("change:doing", drawDoing);
  model.on("change:text", drawText);
  model.on("change:selection", drawSelection);
  drawErrors();
  drawDoing();
  drawText();
  drawSelection();
}
export default { render };

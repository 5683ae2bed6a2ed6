// view: {title, facts: [text], history: [{number, title, is_shown}], forms: [{form, label}], closes}

function render({ model, el }) {
  el.classList.add("pwx", "pwx-header");

  function draw() {
    const { title = "", facts = [], history = [], forms = [], closes = false } = model.get("view");
    const parts = [
      h("span", { class: "title" }, title),
      h("span", { class: "facts" }, facts.join(" · ")),
      historyOf(history),
      h("span", { class: "actions" }, diffButton(history), exportMenu(forms), closes && closeButton()),
    ];
    clear(el).append(...parts.filter(Boolean));
  }

  function historyOf(history) {
    if (!history.length) return null;
    const buttons = history.map(({ number, title, is_shown }) =>
      h("button", {
        role: "radio", "aria-checked": String(is_shown), title, tabindex: is_shown ? 0 : -1,
        "aria-label": `compilation ${number}: ${title}`,
        onclick: () => intend(model, "show", { number }),
      }, `${is_shown ? "▸" : ""}#${number}`));
    const group = h("span", { class: "history", role: "radiogroup", "aria-label": "history of compilations" },
      h("span", { class: "pwx-quiet" }, "history "), buttons);
    roving(group, "button");
    requestAnimationFrame(() => { group.scrollLeft = group.scrollWidth; });
    return group;
  }

  function diffButton(history) {
    const one = history.length < 2;
    const title = one ? "There is one compilation; recompile to have two to compare"
      : "What differs between two compilations of the history";
    return h("button", { disabled: one, title, onclick: () => intend(model, "open", { tab: "Diff" }) }, "diff");
  }

  function exportMenu(forms) {
    if (!forms.length) return null;
    const menu = h("select", { "aria-label": "export", title: "Save what is shown as a file",
      onchange: () => {
        if (menu.value) intend(model, "export", { form: menu.value });
        menu.value = "";
      },
    }, h("option", { value: "" }, "export"), forms.map(({ form, label }) => h("option", { value: form }, label)));
    return menu;
  }

  function closeButton() {
    return h("button", { title: "Close the panel and free what it holds", "aria-label": "close the panel",
      onclick: () => intend(model, "close") }, "✕");
  }

  function save({ file, kind, text }) {
    const address = URL.createObjectURL(new Blob([text], { type: kind }));
    const link = h("a", { href: address, download: file });
    el.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  model.on("change:view", draw);
  model.on("msg:custom", save);
  draw();
}
export default { render };

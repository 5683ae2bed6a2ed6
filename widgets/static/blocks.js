// Draws the blocks of a view: words, code, texts side by side, choices and buttons.

const NOTICE_SIGNS = { info: "i", good: "✓", warning: "⚠", error: "✗" };
const LINE_SIGNS = { same: "", changed: "≠", left: "−", right: "+" };
const LINE_WORDS = { changed: "differs: ", left: "only on the left: ", right: "only on the right: " };
const HELD_IN = {
  piece: "pieces",
  unique: "uniques",
  node: "nodes",
  line: "lines",
  guard: "guards",
  site: "sites",
  artifact: "artifacts",
};

function codeBlock(context, view) {
  const lines = view.source.split("\n");
  const kind = (line) =>
    !view.is_diff ? "" : line[0] === "+" ? "pwx-added" : line[0] === "-" ? "pwx-removed" : "";
  const code = h("code", {}, lines.map((line) => h("span", { class: `pwx-code-line ${kind(line)}` }, `${line}\n`)));
  const pre = h("pre", { tabindex: 0, "aria-label": view.title || "code" }, code);
  if (!view.folded) return h("div", {}, view.title && h("div", { class: "pwx-caption" }, view.title), pre);
  const details = h("details", { open: context.open.has(view.title) }, h("summary", {}, view.title), pre);
  details.addEventListener("toggle", () => {
    if (details.open) context.open.add(view.title);
    else context.open.delete(view.title);
  });
  return details;
}

function factsBlock(context, view) {
  return h("dl", { class: "pwx-facts" }, view.pairs.map((pair) =>
    h("div", { title: pair.hint }, h("dt", {}, pair.label), h("dd", {}, pair.text))));
}

function noticeBlock(context, view) {
  const sign = h("span", { class: "pwx-sign", "aria-hidden": "true" }, NOTICE_SIGNS[view.kind]);
  return h("p", { class: `pwx-notice pwx-notice-${view.kind}`, role: "note" }, sign, h("span", {}, view.text));
}

function choiceBlock(context, view) {
  const options = view.options.map((option, at) =>
    h("option", { value: at, selected: option.value === view.value }, option.text));
  const list = h("select", { "data-focus": `choice/${view.name}` }, options);
  list.addEventListener("change", () => intend(context.model, view.name, { value: view.options[list.value].value }));
  return h("label", { class: "pwx-choice" }, h("span", {}, view.label), list);
}

function actionBlock(context, view) {
  const field = view.field
    ? h("input", { type: "text", value: context.fields.get(view.name) ?? view.value, "data-focus": `field/${view.name}` })
    : null;
  field?.addEventListener("input", () => context.fields.set(view.name, field.value));
  const button = h("button", { type: "submit", disabled: !view.enabled, "data-focus": `action/${view.name}` }, view.label);
  const form = h(
    "form",
    { class: "pwx-action" },
    field && h("label", {}, h("span", {}, view.field), field),
    button,
    view.why_not && h("span", { class: "pwx-quiet" }, view.why_not),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (view.enabled) intend(context.model, view.name, { value: field ? field.value : null });
  });
  return form;
}

// ---------------------------------------------------------------------------------- side by side

function sideBlock(context, view) {
  const panes = ["left", "right"].map((side) => sidePane(view, side));
  const [left, right] = panes;
  const follow = (from, to) => () => {
    if (to.scrollTop !== from.scrollTop) to.scrollTop = from.scrollTop;
    if (to.scrollLeft !== from.scrollLeft) to.scrollLeft = from.scrollLeft;
  };
  left.addEventListener("scroll", follow(left, right));
  right.addEventListener("scroll", follow(right, left));
  const titles = [view.left_title, view.right_title];
  const columns = panes.map((pane, at) =>
    h("div", { class: "pwx-side" }, h("div", { class: "pwx-caption", title: titles[at] }, titles[at]), pane));
  return h(
    "div",
    {},
    h("div", { class: "pwx-side-head" }, h("span", {}, view.summary), differenceButtons(view, left)),
    h("div", { class: "pwx-sides" }, columns),
  );
}

function sidePane(view, side) {
  const rows = view.lines.map((line) => {
    const words = line[side];
    if (!words) return h("div", { class: "pwx-source-line pwx-none" }, "\u00a0");
    const sign = LINE_SIGNS[line.mark];
    return h(
      "div",
      { class: `pwx-source-line pwx-line-${line.mark}` },
      h("span", { class: "pwx-gutter", "aria-hidden": "true" }, `${String(line[`${side}_number`]).padStart(4)} ${sign || " "} `),
      sign && h("span", { class: "pwx-spoken" }, LINE_WORDS[line.mark]),
      words.map(([text, differs]) => (differs ? h("mark", {}, text) : text)),
    );
  });
  const label = side === "left" ? view.left_title : view.right_title;
  return h("div", { class: "pwx-source", tabindex: 0, role: "group", "aria-label": label }, h("div", { class: "pwx-source-lines" }, rows));
}

// Buttons that go from one run of lines that differ to the next.
function differenceButtons(view, pane) {
  const starts = view.lines.flatMap((line, at) =>
    line.mark !== "same" && (at === 0 || view.lines[at - 1].mark === "same") ? [at] : []);
  if (!starts.length) return null;
  let at = -1;
  const status = h("span", { class: "pwx-quiet", role: "status" });
  const go = (step) => {
    at = (at + step + starts.length) % starts.length;
    const line = pane.firstChild.children[starts[at]];
    pane.scrollTop = line.offsetTop - pane.clientHeight / 3;
    status.textContent = `difference ${at + 1} of ${starts.length}`;
  };
  const button = (label, step) =>
    h("button", { type: "button", onclick: () => go(at < 0 && step < 0 ? 0 : step) }, label);
  return h("span", { class: "pwx-jump" }, button("Previous difference", -1), button("Next difference", 1), status);
}

// -------------------------------------------------------------------------------------- the whole

const DRAWERS = {
  heading: (context, view) => h("h3", {}, (context.heading = view.text)),
  sentence: (context, view) => h("p", { class: view.quiet ? "pwx-quiet" : "" }, view.text),
  sentences: (context, view) => h("ul", { class: "pwx-list" }, view.texts.map((text) => h("li", {}, text))),
  facts: factsBlock,
  notice: noticeBlock,
  code: codeBlock,
  table: tableBlock,
  choice: choiceBlock,
  choices: (context, view) => h("div", { class: "pwx-choices" }, view.choices.map((each) => choiceBlock(context, each))),
  action: actionBlock,
  bars: barsBlock,
  lines: linesBlock,
  side_by_side: sideBlock,
  strips: stripsBlock,
};

export default {
  render({ model, el }) {
    el.classList.add("pwx", "pwx-blocks");
    const root = h("div", { class: "pwx-blocks-root", role: "region" });
    el.append(root);
    let ownChoice = null;
    const context = {
      model,
      selectables: [],
      endings: [],
      sorts: new Map(),
      open: new Set(),
      fields: new Map(),
      choose: (target) => {
        ownChoice = JSON.stringify([target.kind, target.key]);
        select(model, target.kind, target.key);
      },
    };
    const end = () => {
      for (const ending of context.endings.splice(0)) ending();
    };
    const draw = () => {
      const focus = document.activeElement?.dataset?.focus;
      const places = new Map([...root.querySelectorAll("[data-scroll]")].map((each) => [each.dataset.scroll, each.scrollTop]));
      end();
      context.selectables = [];
      const counts = {};
      const blocks = (model.get("view").blocks ?? []).map((view) => {
        counts[view.title] = (counts[view.title] ?? 0) + 1; // a name that outlives a new view
        return DRAWERS[view.block](context, view, `${view.title ?? ""}/${counts[view.title]}`);
      });
      root.replaceChildren(...blocks);
      for (const each of root.querySelectorAll("[data-scroll]")) each.scrollTop = places.get(each.dataset.scroll) ?? 0;
      if (focus) [...root.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focus)?.focus({ preventScroll: true });
      showSelection(false);
    };
    const showSelection = (isNew) => {
      const selection = model.get("selection") ?? {};
      const chosen = JSON.stringify([selection.kind, selection.key]);
      const held = new Set();
      for (const [kind, name] of Object.entries(HELD_IN)) {
        for (const key of selection[name] ?? []) held.add(JSON.stringify([kind, key]));
      }
      let primary = null, secondary = null;
      for (const { element, target } of context.selectables) {
        const key = JSON.stringify([target.kind, target.key]);
        const isChosen = key === chosen, isHeld = isChosen || held.has(key);
        element.classList.toggle("pwx-selected", isChosen);
        element.classList.toggle("pwx-held", isHeld);
        if (element.tagName === "TR") element.setAttribute("aria-selected", String(isHeld));
        else element.setAttribute("aria-pressed", String(isHeld));
        if (isChosen) primary ??= element;
        if (isHeld) secondary ??= element;
      }
      if (isNew && chosen !== ownChoice) (primary ?? secondary)?.scrollIntoView({ block: "nearest" });
      if (isNew) ownChoice = null;
    };
    const onLabel = () => root.setAttribute("aria-label", model.get("label") || "view");
    const onSelection = () => showSelection(true);
    const onKey = (event) => {
      if (event.key !== "Escape" || !model.get("selection")?.kind) return;
      taken(event);
      select(model, "none", null);
    };
    root.addEventListener("keydown", onKey);
    model.on("change:view", draw);
    model.on("change:selection", onSelection);
    model.on("change:label", onLabel);
    onLabel();
    draw();
    return () => {
      end();
      model.off("change:view", draw);
      model.off("change:selection", onSelection);
      model.off("change:label", onLabel);
      root.remove();
    };
  },
};

// The model's source, a piece as FX and generated code side by side, in step with one selection.

const PANE_TITLES = { source: "Model source", fx: "FX of a piece", generated: "Generated code" };
const WAITING = "Reading …";
const KEY = [
  ["?", "a test on sizes"], ["!", "a condition"], ["×", "left out of the graph"],
  ["▨", "splits the graph"], ["≈", "found by name"],
];
const WHOLE = ["piece", "unique", "artifact"]; // kinds of selection that mean no single lines

function render({ model, el }) {
  el.classList.add("pwx", "pwx-source");
  const asked = {}; // pane -> index that Python was asked for
  let ownSelection = null; // kind and key that a click in here asked for, and in which pane
  let pinned = null; // the row that was clicked last

  const tip = h("div", { class: "pwx-tip", role: "tooltip", hidden: true });
  const panes = Object.fromEntries(Object.entries(PANE_TITLES).map(([name, title]) =>
    [name, new CodePane({ name, title, onSelect: choose, onPoint: point, onTip: tell })]));
  const toggles = Object.entries(PANE_TITLES).map(([name, title]) =>
    h("button", { type: "button", "data-pane": name, onclick: () => toggle(name) }, title));
  const bar = h("div", { class: "pwx-bar" },
    h("div", { role: "group", "aria-label": "Panes" }, toggles),
    h("div", { class: "pwx-key pwx-quiet" },
      KEY.map(([sign, text]) => h("span", {}, h("b", {}, sign), ` ${text}`))));
  el.append(bar, h("div", { class: "pwx-panes" }, Object.values(panes).map((pane) => pane.element)), tip);

  // ------------------------------------------------------------------------- which pane has what

  const openPanes = () => model.get("panes") ?? [];
  const view = () => model.get("view") ?? {};
  const selection = () => model.get("selection") ?? {};

  function toggle(name) {
    const open = openPanes();
    const wanted = open.includes(name) ? open.filter((each) => each !== name) : [...open, name];
    if (!wanted.length) return; // the last one stays
    model.set("panes", Object.keys(PANE_TITLES).filter((each) => wanted.includes(each)));
    model.save_changes();
  }

  function ask(pane, index) {
    if (index == null || asked[pane] === index) return;
    const shown = pane === "fx" ? model.get("fx")?.piece : model.get("generated")?.artifact;
    const isThere = asked[pane] == null && shown === index; // later an answer may be on its way
    asked[pane] = index;
    if (!isThere) intend(model, "open", { pane, index });
  }

  // The piece to show: the one that is shown, if it is among the selected ones.
  function wantedPiece() {
    const pieces = selection().pieces ?? [], shown = asked.fx ?? model.get("fx")?.piece;
    if (pieces.length && !pieces.includes(shown)) return pieces[0];
    return shown ?? view().first_piece;
  }

  // The artifact to show: of the selected unique piece, for the sizes of the one that is shown.
  function wantedArtifact() {
    const chosen = selection(), uniques = chosen.uniques ?? [], groups = view().artifacts ?? [];
    const shown = asked.generated ?? model.get("generated")?.artifact;
    if (chosen.kind === "artifact") return chosen.key;
    const current = groups.find((group) => group.artifacts.includes(shown));
    if (uniques.length && !uniques.includes(current?.unique_id)) {
      const own = groups.filter((group) => group.unique_id === uniques[0]);
      const sizes = (group) => group?.label.slice(group.unique_id.length);
      return (own.find((group) => sizes(group) === sizes(current)) ?? own[0])?.index ?? shown;
    }
    return shown ?? view().first_artifact;
  }

  function follow() {
    if (openPanes().includes("fx")) ask("fx", wantedPiece());
    if (openPanes().includes("generated")) ask("generated", wantedArtifact());
    showChoosers();
  }

  // --------------------------------------------------------------------------------- drawing

  function showPanes() {
    const open = openPanes();
    for (const [name, pane] of Object.entries(panes)) pane.element.hidden = !open.includes(name);
    for (const button of toggles) button.setAttribute("aria-pressed", open.includes(button.dataset.pane));
    follow();
    for (const name of open) panes[name].paint(); // it had no height while it was hidden
  }

  function showSource() {
    const sentence = "Nothing was compiled yet: the model's source is shown as soon as it was captured.";
    panes.source.show(view(), { sentence, about: view().note });
  }

  function showFx() {
    const fx = model.get("fx") ?? {};
    const colour = (view().pieces ?? []).find((piece) => piece.index === fx.piece)?.colour;
    panes.fx.show(fx, { colour, about: fx.title, sentence: fx.title == null ? WAITING : "" });
    highlight();
  }

  function showGenerated() {
    const generated = model.get("generated") ?? {};
    const groups = view().artifacts ?? [];
    const colour = groups.find((group) => group.unique_id === generated.unique_id)?.colour;
    const about = [generated.problem ? "" : generated.title, generated.note].filter(Boolean).join(". ");
    const none = "No artifact was compiled yet: there is no generated code.";
    const sentence = groups.length ? WAITING : none;
    panes.generated.show(generated, { colour, about, sentence: generated.title == null ? sentence : "" });
    const first = panes.generated.rows.findIndex((row) => row.select);
    if (first > 0) panes.generated.body.scrollTop = Math.max(first - 2, 0) * ROW_HEIGHT;
    highlight();
  }

  function chooser(pane, label, options, value, onchange) {
    if (options.length < 2) return clear(pane.chooser);
    const list = h("select", { "aria-label": label, onchange: (event) => onchange(Number(event.target.value)) },
      options.map((option) => h("option", { value: option.index }, option.label)));
    list.value = String(value);
    return clear(pane.chooser).append(list);
  }

  function showChoosers() {
    const files = (view().files ?? []).map((file) => ({ index: file.row, label: file.path }));
    if (panes.source.chooser.dataset.files !== JSON.stringify(files)) {
      panes.source.chooser.dataset.files = JSON.stringify(files);
      chooser(panes.source, "File", files, files[0]?.index, (row) => {
        panes.source.body.scrollTop = row * ROW_HEIGHT;
      });
    }
    chooser(panes.fx, "Piece", view().pieces ?? [], asked.fx, (index) => {
      ask("fx", index);
      take("piece", index, panes.fx);
    });
    const artifacts = view().artifacts ?? [];
    const shown = artifacts.find((group) => group.artifacts.includes(asked.generated))?.index;
    chooser(panes.generated, "Artifact", artifacts, shown, (index) => {
      ask("generated", index);
      take("artifact", index, panes.generated);
    });
  }

  // What is selected of a pane: the nodes that somebody pointed at, else all that a line became.
  function wanted(name) {
    const { kind, nodes = [], lines = [] } = selection();
    if (name !== "source" && WHOLE.includes(kind)) return {};
    return kind === "node" ? { nodes, lines } : { lines };
  }

  function highlight() {
    const { kind, key } = selection();
    const isOwn = ownSelection && JSON.stringify([kind, key]) === ownSelection.text;
    for (const [name, pane] of Object.entries(panes)) {
      pane.select(pane.matching(wanted(name)), !(isOwn && ownSelection.pane === pane));
    }
    relate(pinned, null);
  }

  // Lights up what belongs to a row, in the panes beside it. A line of the source names only some
  // of its nodes.
  function relate(row, from) {
    const { lines, nodes } = row ?? {};
    const related = row?.letters ? { lines } : { lines, nodes };
    for (const pane of Object.values(panes)) {
      pane.relate(row && pane !== from ? pane.matching(related) : new Set());
    }
  }

  // ------------------------------------------------------------------------- what a person does

  function take(kind, key, pane) {
    ownSelection = { text: JSON.stringify([kind, key]), pane };
    select(model, kind, key);
  }

  function choose(row, pane) {
    pinned = row;
    tell(null);
    if (row) take(...row.select, pane);
    else select(model, "none", null);
    relate(row, pane);
  }

  function point(row, pane) {
    relate(row ?? pinned, row ? pane : null);
  }

  function tell(row, element) {
    tip.hidden = !row || !element;
    if (tip.hidden) return;
    clear(tip).append(...row.about.map((text) => h("p", {}, text)));
    const place = element.getBoundingClientRect(), frame = el.getBoundingClientRect();
    const pane = element.closest(".pwx-pane").getBoundingClientRect();
    tip.style.maxWidth = `${Math.min(pane.width - 32, 520)}px`; // the panes beside it stay in sight
    tip.style.left = `${pane.left - frame.left + 24}px`;
    const below = place.bottom - frame.top + 4;
    const isRoom = below + tip.offsetHeight < frame.height;
    tip.style.top = `${isRoom ? below : place.top - frame.top - tip.offsetHeight - 4}px`;
  }

  // ---------------------------------------------------------------------------------- the model

  const changes = {
    view: () => {
      for (const name of Object.keys(asked)) delete asked[name];
      pinned = ownSelection = null;
      showSource();
      showFx();
      showGenerated();
      follow();
    },
    fx: showFx,
    generated: showGenerated,
    panes: showPanes,
    selection: () => {
      const { kind, key } = selection();
      if (ownSelection?.text !== JSON.stringify([kind, key])) pinned = ownSelection = null;
      follow();
      highlight();
    },
  };
  for (const [name, callback] of Object.entries(changes)) model.on(`change:${name}`, callback);

  showSource();
  showFx();
  showGenerated();
  showPanes();
  highlight();

  return () => {
    for (const [name, callback] of Object.entries(changes)) model.off(`change:${name}`, callback);
    for (const pane of Object.values(panes)) pane.end();
    el.classList.remove("pwx", "pwx-source");
    clear(el);
  };
}

export default { render };

// Parts of the guards view that know nothing of its state.

const OUTCOME_SIGNS = { equal: "✓", different: "✗", refused: "⊘", "eager fails too": "–" };
const VERDICT_SIGNS = { clean: "✓", wrong: "✗", unknown: "?", variants: "⇄" };
const FIX_SIGNS = { ok: "✓", "!!": "!", "--": "·", no: "✗" };

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function heading(text) {
  return h("h3", {}, text);
}

// A disclosure that stays as it was left when the view is drawn again.
function foldable(state, key, summary, children, attributes = {}) {
  const element = h("details", { open: state.open.has(key), ...attributes },
    h("summary", {}, summary), children);
  element.addEventListener("toggle", () => {
    if (element.open) state.open.add(key);
    else state.open.delete(key);
  });
  return element;
}

// What a click selects in every view: a test, else a condition, else a line.
function keyOf(row) {
  if (row.site != null) return ["site", row.site];
  if (row.guards?.length) return ["guard", row.guards[0]];
  return row.line ? ["line", row.line] : null;
}

// Whether a row belongs to what is selected.
function isSelected(row, selection) {
  const lines = selection.lines ?? [];
  if (row.site != null && (selection.sites ?? []).includes(row.site)) return true;
  if ((row.guards ?? []).some((guard) => (selection.guards ?? []).includes(guard))) return true;
  return row.line != null && lines.some((line) => same(line, row.line));
}

// The result of a trial: what happened, and what each run returned, side by side.
function trialResult(trial) {
  const columns = trial.columns.map((each) => h("div", { class: "pwx-column" },
    h("div", { class: "pwx-name" }, each.head),
    h("p", { class: each.has_failed ? "pwx-refused" : "pwx-value" },
      each.has_failed ? `⊘ ${each.text}` : each.text),
    each.difference ? h("p", { class: "pwx-difference" }, each.difference) : ""));
  return [
    h("p", { class: "pwx-outcome" },
      h("strong", {}, `${OUTCOME_SIGNS[trial.outcome]} ${trial.sizes_text}: ${trial.outcome}. `),
      trial.policy),
    h("div", { class: "pwx-columns" }, columns),
  ];
}

// Which graph serves which sizes.
function coverageResult(coverage) {
  const texts = [...coverage.uncovered, ...(coverage.fails_text ? [coverage.fails_text] : [])];
  return [
    h("p", {}, `${coverage.is_complete ? "✓" : "✗"} ${coverage.summary}.`),
    h("ul", { class: "pwx-regions" },
      coverage.regions.map((each) => h("li", {},
        h("span", { class: `${pieceClass(each.colour)} pwx-letter` }, each.label), each.text)),
      texts.map((text) => h("li", {}, text))),
  ];
}

// A unified diff; + and - stand in the text, so colour is not the only sign.
function diffBlock(text) {
  const kind = (line) => (/^(\+\+\+|---|@@)/.test(line) ? "head"
    : { "+": "added", "-": "removed" }[line[0]] ?? "kept");
  return h("pre", { class: "pwx-diff", tabindex: 0, "aria-label": "Change of the source" },
    text.trimEnd().split("\n").map((line) => h("span", { class: `pwx-${kind(line)}` }, `${line}\n`)));
}

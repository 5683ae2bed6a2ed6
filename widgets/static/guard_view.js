// At which sizes the compiled model is wrong, why, and what helps. All sentences come from Python.

const FOCUSABLE = "button, input, summary, pre, .pwx-segment, .pwx-map";

function render({ model, el }) {
  el.classList.add("pwx", "pwx-guards");
  const state = { open: new Set(), tried: {}, domain: null, shown: null, own: null };
  const parts = {};
  const names = ["problem", "busy", "head", "axes", "boxes", "findings", "tests", "fixes", "notes"];
  for (const name of names) el.append(parts[name] = h("div", { class: `pwx-part-${name}` }));
  const busyText = h("span");
  parts.busy.append(busyText);
  setAttributes(parts.busy, { role: "status" });
  setAttributes(parts.problem, { role: "alert" });
  const view = () => model.get("view") ?? {};
  const selection = () => model.get("selection") ?? {};
  const choose = (kind, key) => {
    state.own = [kind, key];
    select(model, kind, key);
  };

  // A row that selects what it is about.
  function selectable(row, children, tag = "li") {
    const key = keyOf(row), chosen = isSelected(row, selection());
    return h(tag, {
      class: `pwx-row${key ? " pwx-clickable" : ""}${chosen ? " pwx-selected" : ""}`,
      "aria-current": chosen ? "true" : null,
      onclick: (event) => {
        if (key && !event.target.closest("button, summary, input, a")
          && !String(getSelection())) choose(...key);
      },
    }, children);
  }

  // The place of a row, which selects it from the keyboard as well.
  function place(row) {
    const key = keyOf(row);
    if (!row.place) return null;
    if (!key) return h("span", { class: "pwx-quiet" }, row.place);
    return h("button", {
      class: "pwx-place", "aria-label": `Select ${row.place} in every view`,
      onclick: () => choose(...key),
    }, row.place);
  }

  function button(text, attributes) {
    return h("button", { ...attributes, disabled: Boolean(model.get("busy")) || attributes.disabled },
      text);
  }

  function drawBusy() {
    busyText.textContent = model.get("busy") ? `Running: ${model.get("busy")} …` : "";
    parts.busy.hidden = !model.get("busy");
    for (const each of el.querySelectorAll("[data-job]")) {
      each.disabled = Boolean(model.get("busy")) || each.dataset.never === "true";
    }
  }

  function drawProblem() {
    parts.problem.textContent = model.get("problem") ? `⚠ ${model.get("problem")}` : "";
    parts.problem.hidden = !model.get("problem");
  }

  function drawHead() {
    const { lead, status, policy_text, audited, axes, verdict } = view();
    const domain = h("input", {
      type: "text", size: 18, value: state.domain ?? view().domain_text,
      "aria-label": "Sizes to audit or cover, such as n=1-64", spellcheck: "false",
      oninput: () => { state.domain = domain.value; },
      onkeydown: (event) => { if (event.key === "Enter") { taken(event); audit(); } },
    });
    const audit = () => {
      if (!model.get("busy")) intend(model, "audit", { domain: domain.value });
    };
    parts.domain = domain;
    clear(parts.head).append(
      h("p", { class: "pwx-lead" },
        h("span", { class: "pwx-verdict", "aria-hidden": "true" },
          VERDICT_SIGNS[verdict]), lead),
      policy_text ? h("p", { class: "pwx-quiet" }, policy_text) : "",
      axes.length ? h("div", { class: "pwx-bar" },
        h("label", {}, "sizes ", domain),
        button(audited ? "Audit again" : "Audit", {
          onclick: audit, "aria-label": "Audit these sizes", "data-job": true, class: audited ? "" : "pwx-main",
          title: "Find out at which sizes every condition of the graph holds",
        }),
        h("span", { class: "pwx-quiet" }, status)) : "");
  }

  function drawAxes() {
    const data = view(), width = Math.max(parts.axes.clientWidth, 320);
    parts.axes.classList.toggle("pwx-wide", width >= 900);
    const coverage = model.get("coverage") ?? {}, guards = selection().guards ?? [];
    const chosen = selection().kind ? guards : [];
    const drawn = data.axes.map((axis) => {
      const said = h("p", { class: "pwx-said" }, axis.ticks_text);
      const covered = same(coverage.dimensions, [axis.name]);
      const svg = drawAxis({
        axis, width, guards: chosen, tried: tried(axis.key),
        lane: covered ? coverage.lane : [],
        say: (text) => { said.textContent = text || axis.ticks_text; },
        pick: (size) => fill({ [axis.key]: size }),
      });
      return h("div", {}, h("div", { class: "pwx-name" }, axis.text), svg, said);
    });
    if (data.map) {
      const hint = "Point at a cell, or move with the arrow keys; a click or Enter takes its sizes.";
      const said = h("p", { class: "pwx-said", "aria-live": "polite" }, hint);
      drawn.push(h("div", {}, h("div", { class: "pwx-name" }, data.map.text),
        h("div", { class: "pwx-beside" }, drawMap({
          map: data.map, say: (text) => { said.textContent = text || hint; }, pick: fill,
        }), said)));
    }
    const states = new Set(data.axes.flatMap((axis) => axis.segments.map((each) => each.state)));
    for (const row of data.map?.cells ?? []) for (const [name] of row) states.add(name);
    const legend = Object.entries(data.legend).filter(([name]) => states.has(name));
    clear(parts.axes).append(...drawn, h("ul", { class: "pwx-legend", "aria-label": "Legend" },
      data.axes.length ? legend.map(([name, text]) =>
        h("li", {}, stateSwatch(name), h("span", {}, text))) : ""));
  }

  function tried(key) {
    const text = state.tried[key];
    return text != null && /^\d{1,9}$/.test(text.trim()) ? Number(text) : null;
  }

  // Draws, and puts the focus back to where it was: what had it may be drawn anew, or was disabled
  // while something ran.
  function keepFocus(draw) {
    const nameOf = (each) => each.getAttribute("aria-label") ?? each.textContent;
    const named = (name) => [...el.querySelectorAll(FOCUSABLE)].filter((e) => nameOf(e) === name);
    const focused = document.activeElement;
    if (el.contains(focused)) {
      const name = nameOf(focused);
      state.focus = { name, at: named(name).indexOf(focused) };
    } else if (focused !== document.body) state.focus = null;
    draw();
    if (!state.focus || el.contains(document.activeElement)) return;
    const { name, at } = state.focus, found = named(name);
    (found[at] ?? found[0])?.focus({ preventScroll: true });
  }

  // Puts sizes into the boxes, where a person can try them.
  function fill(sizes) {
    for (const [key, size] of Object.entries(sizes)) {
      state.tried[key] = String(size);
      if (parts.inputs?.[key]) parts.inputs[key].value = String(size);
    }
    keepFocus(drawAxes);
  }

  function drawBoxes() {
    const { inputs, cover_problem: problem } = view();
    parts.inputs = {};
    const message = h("span", { role: "alert", class: "pwx-bad" });
    const attempt = (event) => {
      taken(event);
      if (model.get("busy")) return;
      const sizes = {};
      for (const each of inputs) {
        const text = parts.inputs[each.key].value.trim();
        if (!/^\d{1,9}$/.test(text)) {
          message.textContent = `⚠ ${each.name} must be a whole number of at least 0.`;
          parts.inputs[each.key].focus();
          return;
        }
        sizes[each.key] = Number(text);
      }
      message.textContent = "";
      intend(model, "try", { sizes });
    };
    const fields = inputs.map((each) => {
      const input = h("input", {
        type: "text", inputmode: "numeric", size: 7, title: each.text, "aria-label": each.name,
        value: state.tried[each.key] ?? String(each.value),
        oninput: () => { state.tried[each.key] = input.value; drawAxes(); },
      });
      parts.inputs[each.key] = input;
      return h("label", {}, h("code", {}, each.name), " = ", input);
    });
    parts.result = h("div", { "aria-live": "polite" });
    parts.coverage = h("div", { "aria-live": "polite" });
    const cover = button("Cover", {
      "data-job": true, "data-never": String(Boolean(problem)), disabled: Boolean(problem),
      title: "Capture a graph for every region of these sizes",
      onclick: () => intend(model, "cover", { domain: parts.domain?.value ?? view().domain_text }),
    });
    clear(parts.boxes).append(
      h("section", { "aria-label": "Try a size" }, heading("Try a size"),
        h("form", { class: "pwx-bar", onsubmit: attempt }, fields,
          button("Try", { type: "submit", "data-job": true, class: "pwx-main" }), message),
        parts.result),
      h("section", { "aria-label": "Cover every size" }, heading("Cover every size"),
        h("div", { class: "pwx-bar" }, cover,
          h("span", { class: "pwx-quiet" }, problem || "captures what the sizes above need")),
        parts.coverage));
    drawTrials();
    drawCoverage();
  }

  function drawTrials() {
    const trials = model.get("trials") ?? [];
    const shown = trials[state.shown ?? trials.length - 1] ?? trials[trials.length - 1];
    if (!shown) {
      clear(parts.result).append(h("p", { class: "pwx-quiet" },
        "Nothing was tried yet: a try runs the model as it is and the compiled model at the same "
        + "inputs."));
      return;
    }
    const list = trials.map((each, index) => h("li", {}, h("button", {
      class: `pwx-trial pwx-outcome-${each.outcome.replaceAll(" ", "-")}`,
      "aria-pressed": String(each === shown),
      onclick: () => { state.shown = index; drawTrials(); },
    }, `${OUTCOME_SIGNS[each.outcome]} ${each.sizes_text}: ${each.outcome}`)));
    clear(parts.result).append(
      ...trialResult(shown),
      trials.length > 1
        ? h("ol", { class: "pwx-trials", "aria-label": "Earlier tries" }, list.reverse()) : "");
  }

  function drawCoverage() {
    const coverage = model.get("coverage") ?? {};
    if (!coverage.regions) {
      clear(parts.coverage).append(view().cover_problem ? ""
        : h("p", { class: "pwx-quiet" }, "Nothing was covered yet."));
      return;
    }
    clear(parts.coverage).append(...coverageResult(coverage));
  }

  function drawFindings() {
    const { findings, findings_head: head, audited } = view();
    const none = audited ? "Nothing was found that is wrong at some size." : "";
    clear(parts.findings).append(
      findings.length || none ? heading(head) : "",
      findings.length ? h("ul", { class: "pwx-rows" }, findings.map((each) => selectable(each, [
        h("div", { class: "pwx-bar" },
          h("strong", { class: each.is_allowed ? "" : "pwx-bad" },
            `${each.is_allowed ? "·" : "✗"} ${each.title}`),
          place(each), h("span", { class: "pwx-quiet" }, `right only where ${each.conditions}`)),
        h("pre", { class: "pwx-code" }, each.code),
        each.sentences.map((text) => h("p", {}, ...prose(text))),
      ]))) : h("p", { class: "pwx-quiet" }, none));
  }

  function drawTests() {
    const { sites, conditions, specializations, audited } = view();
    const tests = sites.map((each) => selectable({ ...each, site: each.index }, [
      h("code", {}, each.test || each.code), h("span", {}, each.words),
      place({ ...each, site: each.index })]));
    const rows = conditions.map((each) => selectable({ ...each, guards: [each.index] }, [
      h("code", {}, each.text), h("span", { class: "pwx-quiet" }, `made by: ${each.made_by}`),
      place({ ...each, guards: [each.index] })]));
    const fixed = specializations.map((each) => selectable(each, [h("span", {}, each.text)]));
    const start = (key, isOpen) => { if (!state.seen?.has(key) && isOpen) state.open.add(key); };
    start("tests", !audited);
    start("conditions", !audited);
    state.seen = new Set([...(state.seen ?? []), "tests", "conditions"]);
    const list = (rows, none) => rows.length
      ? h("ul", { class: "pwx-rows pwx-lines" }, rows) : h("p", { class: "pwx-quiet" }, none);
    clear(parts.tests).append(
      foldable(state, "tests", `Tests on sizes in the source: ${sites.length}`,
        list(tests, "The capture met no test on a size.")),
      foldable(state, "conditions", `Conditions on sizes: ${conditions.length}`,
        list(rows, "The capture made no condition on sizes but the bounds that torch keeps.")),
      fixed.length ? foldable(state, "fixed", `Inputs that became constants: ${fixed.length}`,
        list(fixed, "")) : "");
  }

  function drawFixes() {
    const { fixes, fixes_text: text, can_try_fixes: able, audited } = view();
    clear(parts.fixes).append(...(audited ? [
      heading("What helps"),
      h("div", { class: "pwx-bar" },
        able ? button("Try fixes", {
          "data-job": true, onclick: () => intend(model, "fixes"),
          title: "Compile each fix that can be written by itself and compare it with eager",
        }) : "", h("span", { class: "pwx-quiet" }, text)),
      h("ul", { class: "pwx-rows pwx-fixes" }, fixes.map((each, index) => h("li", {
        class: `pwx-row pwx-fix-${each.words.replaceAll(" ", "-")}` },
        foldable(state, `fix ${each.title}`, [
          h("span", { class: "pwx-mark" }, `${FIX_SIGNS[each.mark]} ${each.words}`),
          h("code", {}, each.title)], [
          h("p", {}, ...prose(each.text)),
          each.diff ? diffBlock(each.diff) : ""], { "data-fix": index }))))] : []));
  }

  function drawNotes() {
    const { notes } = view();
    const bad = notes.filter((each) => each.is_bad), good = notes.filter((each) => !each.is_bad);
    const list = (rows, sign) => h("ul", { class: "pwx-notes" },
      rows.map((each) => h("li", {}, sign, ...prose(each.text))));
    clear(parts.notes).append(
      bad.length ? list(bad, "⚠ ") : "",
      good.length ? foldable(state, "notes", `What else is known: ${good.length}`, list(good, ""))
        : "");
  }

  function drawAll() {
    if (!view().axes) {
      for (const name of names.slice(2)) clear(parts[name]);
      parts.head.append(h("p", { class: "pwx-quiet" },
        "Nothing was compiled yet: compile a model to see at which sizes its graph is right."));
      return;
    }
    drawHead();
    drawAxes();
    drawBoxes();
    drawFindings();
    drawTests();
    drawFixes();
    drawNotes();
  }

  function drawSelection() {
    if (!view().axes) return;
    const { kind, key } = selection(), isOwn = same(state.own, [kind, key]);
    state.own = null;
    drawAxes();
    drawFindings();
    if (!isOwn && ["site", "guard"].includes(kind)) state.open.add("tests").add("conditions");
    drawTests();
    const first = el.querySelector(".pwx-selected");
    if (!isOwn && first && ["site", "guard", "line"].includes(kind)) {
      first.scrollIntoView({ block: "nearest" });
    }
  }

  const changes = {
    view: () => { state.domain = null; drawAll(); drawBusy(); },
    selection: drawSelection, busy: drawBusy, problem: drawProblem,
    trials: () => { state.shown = null; if (view().axes) drawTrials(); },
    coverage: () => { if (view().axes) { drawCoverage(); drawAxes(); } },
  };
  for (const name of Object.keys(changes)) {
    const draw = changes[name];
    changes[name] = () => keepFocus(draw);
    model.on(`change:${name}`, changes[name]);
  }
  const escape = (event) => {
    if (event.key !== "Escape") return;
    taken(event);
    choose("none", null);
  };
  el.addEventListener("keydown", escape);
  let width = 0, frame = 0;
  const resized = new ResizeObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      if (Math.abs(el.clientWidth - width) < 2 || !el.clientWidth || !view().axes) return;
      width = el.clientWidth;
      drawAxes();
    });
  });
  drawAll();
  drawBusy();
  drawProblem();
  width = el.clientWidth;
  resized.observe(el);
  return () => {
    resized.disconnect();
    cancelAnimationFrame(frame);
    el.removeEventListener("keydown", escape);
    for (const [name, draw] of Object.entries(changes)) model.off?.(`change:${name}`, draw);
  };
}

export default { render };

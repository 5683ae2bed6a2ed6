// What a recompile would do, the two buttons, and how far the running compile is.

const TICK = 500; // milliseconds between two looks at the clock

function render({ model, el }) {
  el.classList.add("pwx", "pwx-job");
  const plan = h("span", { class: "plan", role: "status" });
  const stale = h("span", { class: "stale", role: "status" });
  const recompile = h("button", {
    class: "recompile", onclick: () => intend(model, "recompile"),
    title: "Compile what the settings need and is not there yet",
  }, "Recompile");
  const cancel = h("button", {
    onclick: () => intend(model, "cancel"), title: "Stop after the artifact that is being made",
  }, "Cancel");
  const done = h("div", { class: "done" });
  const bar = h("div", { class: "bar", role: "progressbar", "aria-label": "Compile" }, done);
  const text = h("span", { class: "text" });
  const clock = h("span", { class: "clock pwx-quiet" });
  const running = h("span", { class: "running" }, bar, text, clock, cancel);
  const frame = h("div", { class: "row" }, recompile, running, plan, stale);
  keepKeys(frame);
  el.append(frame);
  let since = performance.now(), timer = null;

  function tick() {
    const seconds = model.get("seconds") + (performance.now() - since) / 1000;
    clock.textContent = `${Math.floor(seconds)} s`;
  }

  function restart() {
    since = performance.now();
    clearInterval(timer);
    timer = model.get("running") ? setInterval(tick, TICK) : null;
    tick();
  }

  function draw() {
    plan.textContent = plan.title = model.get("plan");
    const old = model.get("stale");
    stale.textContent = old ? `◷ ${old}` : "";
    stale.hidden = !old || model.get("running");
    const { done: finished = 0, total = 0, text: said = "" } = model.get("progress");
    running.hidden = !model.get("running");
    frame.classList.toggle("busy", model.get("running"));
    recompile.disabled = !model.get("can_recompile");
    cancel.disabled = !model.get("can_cancel");
    text.textContent = text.title = said;
    done.style.width = total ? `${(100 * finished) / total}%` : "0";
    bar.classList.toggle("unknown", !total);
    bar.setAttribute("aria-valuetext", said);
    bar.setAttribute("aria-valuemin", "0");
    if (total) {
      bar.setAttribute("aria-valuemax", String(total));
      bar.setAttribute("aria-valuenow", String(finished));
    } else {
      bar.removeAttribute("aria-valuenow");
    }
  }

  draw();
  restart();
  const stop = listen(model, {
    plan: draw, stale: draw, progress: draw, can_cancel: draw, can_recompile: draw,
    running: () => { draw(); restart(); }, seconds: restart,
  });
  return () => {
    clearInterval(timer);
    stop();
    frame.remove();
  };
}

export default { render };

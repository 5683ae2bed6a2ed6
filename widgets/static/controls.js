// What the controls and the strip share; a control has a frame that can be disabled, and a message.

// Listens to traits until the returned function is called: listen(model, {value: f, view: g}).
function listen(model, callbacks) {
  for (const [trait, callback] of Object.entries(callbacks)) model.on(`change:${trait}`, callback);
  return () => {
    for (const [trait, callback] of Object.entries(callbacks)) {
      model.off(`change:${trait}`, callback);
    }
  };
}

// Sets a trait and sends it to Python.
function put(model, trait, value) {
  if (same(model.get(trait), value)) return;
  model.set(trait, value);
  model.save_changes();
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

// Keys that are typed into a control are not commands of the notebook.
function keepKeys(element) {
  element.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

// The frame of a control: what it holds goes into `body`; `end` stops it listening.
function control(model, el, name, label) {
  el.classList.add("pwx", "pwx-control", `pwx-${name}`);
  const id = `pwx-${name}-${Math.random().toString(36).slice(2)}`;
  const body = h("fieldset", { "aria-label": label, "aria-describedby": id });
  const message = h("div", { class: "pwx-message pwx-bad", role: "alert", id });
  const frame = h("div", { class: "pwx-frame" }, body, message);
  keepKeys(frame);
  el.append(frame);
  const say = () => {
    const text = model.get("message");
    message.textContent = text ? `⚠ ${text}` : "";
  };
  const disable = () => { body.disabled = model.get("disabled"); };
  say();
  disable();
  const stop = listen(model, { message: say, disabled: disable });
  return { body, end: () => { stop(); frame.remove(); } };
}

// Text as it may stand in one line: no control characters, no marks that turn its direction.
function inert(text) {
  return String(text)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
}

function cut(text, width) {
  const shown = inert(text.slice(0, 4 * width));
  const whole = text.length <= 4 * width;
  return whole && shown.length <= width ? shown : `${shown.slice(0, width - 1)}…`;
}

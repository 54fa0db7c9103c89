// What the parts of the page have in common: elements, forms that can be stopped, fields, files.

import { Refused } from "./client.js";

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "circle", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Tells something to whoever does not see it. */
export function announce(text) {
  byId("announce").textContent = text;
}

export function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

/** Shows what a slider stands at, beside its name. */
export function slider(id, value, max) {
  const input = byId(id);
  if (max !== undefined) input.max = max;
  if (value !== undefined) input.value = value;
  const show = () => (input.previousElementSibling.textContent = input.value);
  input.addEventListener("input", show);
  show();
}

/** A button that puts a new seed into a field. */
export function seed(field, roll) {
  byId(roll)?.addEventListener("click", () => {
    byId(field).value = crypto.getRandomValues(new Uint32Array(1))[0];
    announce(`New seed ${byId(field).value}`);
  });
}

/** The whole number in a field, or a refusal that names it. */
export function whole(id, name) {
  const text = byId(id).value.trim();
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text))) {
    byId(id).focus();
    throw new Refused(`${name}: expected a whole number from 0, found “${text}”.`);
  }
  return Number(text);
}

/** Runs `work(signal)` when a form is sent. While it runs, the form's button stops it, and so does Escape. */
export function form(id, work) {
  const element = byId(id);
  const button = element.querySelector(".go");
  const name = button.textContent;
  let running = null;
  const stop = () => running?.abort();
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return stop();
    notice("");
    running = new AbortController();
    button.textContent = "Stop";
    button.classList.add("stop");
    try {
      await work(running.signal);
    } catch (error) {
      if (error.name === "AbortError") announce("Stopped");
      else notice(error instanceof Refused ? error.message : `Something went wrong: ${error.message}`);
    }
    running = null;
    button.textContent = name;
    button.classList.remove("stop");
  });
  element.closest(".panel").addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !running) element.requestSubmit();
  });
}

/** A place for a file: chosen, dropped or pasted. `changed` hears of it. */
export function fileField(id, changed) {
  const input = byId(`${id}-file`);
  const place = byId(`${id}-drop`);
  let file = null;
  const take = (found) => {
    if (!found?.type.startsWith("image/")) return;
    file = found;
    changed(file);
  };
  input.addEventListener("change", () => take(input.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  }
  document.addEventListener("paste", (event) => {
    if (!byId(id).hidden) take(event.clipboardData.files[0]);
  });
  return () => {
    if (!file) throw new Refused("Choose an image first.");
    return file;
  };
}

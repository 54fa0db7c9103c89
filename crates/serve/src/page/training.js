// A training run while it goes on: how far it is, its curves, its newest preview.

import { read, readFile } from "./client.js";
import { byId, make } from "./controls.js";
import { Chart } from "./chart.js";

/** Milliseconds between two looks. */
const PACE = 2000;
const charts = new Map();
let last = null;
let preview = null;

export function begin() {
  byId("training-log").addEventListener("change", draw);
  look();
}

async function look() {
  const seen = !byId("training").hidden && !document.hidden;
  try {
    if (seen || last === null) await update();
  } catch (error) {
    facts([["State", error.message]]);
  }
  setTimeout(look, PACE);
}

async function update() {
  const { status, curves } = await read(last === null ? "/training" : `/training?after=${last}`);
  // A run that begins again has fewer steps than were seen.
  if (last !== null && status.step < last) {
    charts.clear();
    byId("training-charts").replaceChildren();
    last = null;
    return;
  }
  byId("training-name").textContent = status.name;
  byId("training-progress").max = Math.max(status.steps, 1);
  byId("training-progress").value = status.step;
  const states = { running: "Running", finished: "Finished", quiet: "Not heard of for a while" };
  facts([
    ["State", states[status.state] ?? status.state],
    ["Step", `${status.step.toLocaleString("en")} of ${status.steps.toLocaleString("en")}`],
    ["Rate", status.steps_per_second === null ? "–" : rate(status.steps_per_second)],
    ["Time left", status.seconds_left === null ? "–" : duration(status.seconds_left)],
  ]);
  for (const { name, points } of curves) {
    if (!charts.has(name)) {
      charts.set(name, new Chart(name));
      order();
    }
    charts.get(name).add(points);
    last = Math.max(last ?? 0, points.at(-1)?.[0] ?? 0);
  }
  last ??= 0;
  draw();
  if (status.preview_step !== null && status.preview_step !== preview) await showPreview(status.preview_step);
}

async function showPreview(step) {
  const figure = byId("training-preview");
  const image = figure.querySelector("img");
  const address = await readFile(`/training/preview.png?step=${step}`);
  URL.revokeObjectURL(image.src);
  image.src = address;
  await image.decode().catch(() => {});
  image.classList.toggle("pixelated", image.naturalWidth <= 128);
  figure.querySelector("figcaption").textContent = `Preview of step ${step.toLocaleString("en")}`;
  figure.hidden = false;
  preview = step;
}

/** Losses first, then what is measured, then the rest. */
function order() {
  const rank = (name) => (/loss/.test(name) ? 0 : /valid|eval/.test(name) ? 1 : 2);
  const names = [...charts.keys()].sort((a, b) => rank(a) - rank(b));
  byId("training-charts").replaceChildren(...names.map((name) => charts.get(name).element));
}

function draw() {
  for (const chart of charts.values()) chart.draw(byId("training-log").checked);
}

function facts(pairs) {
  const items = pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  byId("training-facts").replaceChildren(...items);
}

function rate(perSecond) {
  return perSecond >= 1 ? `${perSecond.toFixed(1)} steps/s` : `${(1 / perSecond).toFixed(1)} s/step`;
}

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`;
}

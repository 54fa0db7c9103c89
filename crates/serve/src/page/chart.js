// A curve with its axes, and a cursor that mouse, finger or arrow keys move.

import { make } from "./controls.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 210, 46, 10, 14, 24];
/** Points that a curve keeps; every second one goes when there are more. */
const MOST_POINTS = 4000;

export class Chart {
  constructor(name) {
    this.name = name;
    this.points = [];
    this.at = null;
    this.value = make("span");
    this.svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "slider", tabindex: "0", "aria-label": name });
    this.element = make("section", { class: "chart" }, make("header", {}, make("span", {}, name), this.value), this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    for (const kind of ["pointerleave", "blur"]) this.svg.addEventListener(kind, () => this.#move(null));
    this.svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
      if (!by) return;
      event.preventDefault();
      const end = this.points.length - 1;
      this.#move(Math.min(end, Math.max(0, (this.at ?? end) + by)));
    });
  }

  add(points) {
    this.points.push(...points);
    if (this.points.length > MOST_POINTS) this.points = this.points.filter((_, index, all) => (all.length - index) % 2);
  }

  draw(wantsLog) {
    this.isLog = wantsLog && this.points.every(([, value]) => value > 0);
    const scale = (value) => (this.isLog ? Math.log10(value) : value);
    const steps = this.points.map(([step]) => step);
    const values = this.points.map(([, value]) => scale(value));
    const [first, end] = [steps[0], Math.max(steps.at(-1), steps[0] + 1)];
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    [low, high] = [low - room, high + room];
    this.x = (step) => LEFT + ((step - first) / (end - first)) * (WIDTH - LEFT - RIGHT);
    this.y = (value) => HEIGHT - BOTTOM - ((scale(value) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (const level of ticks(low, high)) {
      const value = this.isLog ? 10 ** level : level;
      const y = this.y(value);
      parts.push(make("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
      parts.push(make("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, short(value)));
    }
    for (const [step, anchor] of [[first, "start"], [end, "end"]]) {
      parts.push(make("text", { x: this.x(step), y: HEIGHT - 6, "text-anchor": anchor }, step.toLocaleString("en")));
    }
    parts.push(make("path", { class: "raw", d: this.#path(this.points) }));
    parts.push(make("path", { class: "smooth", d: this.#path(smoothed(this.points)) }));
    this.cursor = make("g");
    this.svg.replaceChildren(...parts, this.cursor);
    this.#move(this.at);
  }

  #path(points) {
    return points.map(([step, value], index) => `${index ? "L" : "M"}${this.x(step).toFixed(1)} ${this.y(value).toFixed(1)}`).join("");
  }

  #point(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    let nearest = 0;
    this.points.forEach(([step], index) => {
      if (Math.abs(this.x(step) - x) < Math.abs(this.x(this.points[nearest][0]) - x)) nearest = index;
    });
    this.#move(nearest);
  }

  #move(at) {
    this.at = at;
    const [step, value] = this.points[at ?? this.points.length - 1] ?? [];
    if (step === undefined) return;
    const text = at === null ? short(value) : `${short(value)} at ${step.toLocaleString("en")}`;
    this.value.textContent = text;
    const place = { min: 0, max: this.points.length - 1, now: at ?? this.points.length - 1, text: `${short(value)} at step ${step}` };
    for (const [name, value] of Object.entries(place)) this.svg.setAttribute(`aria-value${name}`, value);
    const [x, y] = [this.x(step), this.y(value)];
    const line = make("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
    this.cursor.replaceChildren(...(at === null ? [] : [line]), make("circle", { class: "here", cx: x, cy: y, r: 3 }));
  }
}

/** The mean of the points around each point, so that the curve lags behind nothing; a short curve stays as it is. */
function smoothed(points) {
  const reach = Math.floor(points.length / 60);
  const sums = [0];
  for (const [, value] of points) sums.push(sums.at(-1) + value);
  return points.map(([step], index) => {
    const near = Math.min(reach, index, points.length - 1 - index);
    return [step, (sums[index + near + 1] - sums[index - near]) / (2 * near + 1)];
  });
}

/** Three to six round levels between two values. */
function ticks(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= rough);
  const levels = [];
  for (let level = Math.ceil(low / step) * step; level <= high; level += step) levels.push(level);
  return levels;
}

function short(value) {
  if (value === 0 || Math.abs(value) < 1e-12) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1).replace("e+", "e") : String(Number(value.toPrecision(3)));
}

// Images that come step by step, and the slider that goes back through their steps.

import { png } from "./client.js";
import { make } from "./controls.js";

/** At most so many steps of an image are kept. */
const MOST_FRAMES = 60;

export function partialImages(model, steps) {
  return model.latents === "codes" ? 0 : Math.min(steps - 1, MOST_FRAMES);
}

export class Gallery {
  constructor(stage, model) {
    this.stage = stage;
    this.model = model;
    this.cells = [];
    this.addresses = [];
    this.empty("");
  }

  empty(text) {
    this.#forget();
    this.stage.replaceChildren(...(text ? [make("p", { class: "empty" }, text)] : []));
  }

  /** Begins with cells in a grid of so many columns. */
  grid(labels, columns) {
    this.#forget();
    const grid = make("div", { class: "grid" });
    grid.style.setProperty("--columns", columns);
    grid.style.setProperty("--cell", labels.length > 1 ? "17rem" : "32rem");
    for (const label of labels) grid.append(this.#cell(label));
    this.stage.replaceChildren(grid, this.#film());
  }

  /** Begins with cells in a table, row by row. */
  matrix(rows, columns, caption) {
    this.#forget();
    const table = make("table", { class: "matrix", "aria-label": caption });
    table.append(make("colgroup", {}, make("col", { class: "seed" })));
    const head = columns.map((column) => make("th", { scope: "col" }, column));
    table.append(make("thead", {}, make("tr", {}, make("td"), ...head)));
    const body = rows.map((row) => {
      const cells = columns.map((column) => make("td", {}, this.#cell("", `${row}, ${column}`)));
      return make("tr", {}, make("th", { scope: "row" }, row), ...cells);
    });
    table.append(make("tbody", {}, ...body));
    table.style.minWidth = `${columns.length * 6 + 4}rem`;
    this.stage.replaceChildren(make("div", { class: "table-scroll", tabindex: "0" }, table), this.#film());
  }

  /** The image of a cell after `step` of `steps`. */
  frame(index, base64, step, steps) {
    const cell = this.cells[index];
    const address = png(base64);
    this.addresses.push(address);
    cell.frames.push({ address, step, steps });
    this.#follow();
  }

  /** The image of a cell as it stays. */
  complete(index, base64) {
    const cell = this.cells[index];
    const steps = cell.frames.at(-1)?.steps ?? 1;
    this.frame(index, base64, steps, steps);
    cell.frame.classList.remove("waiting");
    const name = `${cell.label.replace(/\W+/g, "-")}.png`;
    cell.status?.replaceChildren(make("a", { href: cell.frames.at(-1).address, download: name }, "Save"));
  }

  /** Nothing more comes. */
  finish() {
    for (const cell of this.cells) cell.frame.classList.remove("waiting");
  }

  #cell(label, description = label) {
    const { width, height } = this.model.image;
    const image = make("img", { alt: `${description}: not begun` });
    // Small images are shown pixel by pixel.
    image.classList.toggle("pixelated", Math.max(width, height) <= 128);
    image.hidden = true;
    const frame = make("div", { class: "frame waiting" }, image);
    frame.style.setProperty("--ratio", width / height);
    const status = label ? make("span") : null;
    const caption = label ? [make("figcaption", {}, make("span", {}, label), status)] : [];
    this.cells.push({ label: description, frame, image, status, frames: [] });
    return make("figure", { class: "cell" }, frame, ...caption);
  }

  #film() {
    const range = make("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": "Denoising step" });
    const output = make("output");
    const play = make("button", { type: "button", class: "quiet" }, "Play");
    range.addEventListener("input", () => this.#show(range.value === range.max));
    play.addEventListener("click", () => this.#play());
    const film = make("div", { class: "film" }, play, range, output);
    film.hidden = true;
    this.film = { film, range, output, play };
    this.follows = true;
    return film;
  }

  #follow() {
    const most = Math.max(...this.cells.map((cell) => cell.frames.length)) - 1;
    const { film, range } = this.film;
    film.hidden = most < 1;
    range.max = most;
    if (this.follows) range.value = most;
    this.#show(this.follows);
  }

  #show(follows) {
    this.follows = follows;
    const { range, output } = this.film;
    let shown = null;
    for (const { frames, image, label } of this.cells) {
      const place = Number(range.value) >= Number(range.max) ? frames.length - 1 : Math.min(range.value, frames.length - 1);
      const frame = frames[place];
      if (!frame) continue;
      image.src = frame.address;
      image.alt = frame.step < frame.steps ? `${label}: after step ${frame.step} of ${frame.steps}` : label;
      image.hidden = false;
      shown = frame;
    }
    if (shown) output.textContent = `Step ${shown.step} of ${shown.steps}`;
    if (shown) range.setAttribute("aria-valuetext", output.textContent);
  }

  async #play() {
    const { range } = this.film;
    for (let place = 0; place <= Number(range.max); place += 1) {
      range.value = place;
      this.#show(place === Number(range.max));
      await new Promise((resolve) => setTimeout(resolve, 70));
    }
  }

  #forget() {
    for (const address of this.addresses) URL.revokeObjectURL(address);
    this.addresses = [];
    this.cells = [];
  }
}

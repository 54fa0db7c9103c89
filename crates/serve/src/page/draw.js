// Images of a prompt, watched as they are denoised.

import { stream } from "./client.js";
import { announce, byId, form, make, seed, slider, whole } from "./controls.js";
import { Gallery, partialImages } from "./gallery.js";

export function begin({ model, limits }) {
  const gallery = new Gallery(byId("draw-stage"), model);
  gallery.empty("What the model draws appears here, step by step.");
  byId("draw-count").max = limits.images;
  slider("draw-guidance", model.defaults.guidance);
  slider("draw-steps", model.defaults.steps, Math.min(limits.steps, Math.max(100, model.defaults.steps)));
  seed("draw-seed", "draw-roll");
  for (const { width, height } of [model.image, ...model.sizes]) {
    byId("draw-size").append(make("option", { value: `${width}x${height}` }, `${width} × ${height}`));
  }
  byId("draw-size-field").hidden = model.sizes.length === 0;
  form("draw-form", async (signal) => {
    const [first, count] = [whole("draw-seed", "Seed"), whole("draw-count", "Images")];
    const steps = Number(byId("draw-steps").value);
    const labels = Array.from({ length: count }, (_, index) => `Seed ${first + index}`);
    gallery.grid(labels, Math.min(count, 3));
    const ask = {
      prompt: byId("draw-prompt").value,
      n: count,
      seed: first,
      guidance: Number(byId("draw-guidance").value),
      size: byId("draw-size").value,
      steps,
      stream: true,
      partial_images: partialImages(model, steps),
    };
    announce("Drawing");
    try {
      await watch(gallery, stream("/v1/images/generations", ask, signal), (index) => index);
      announce(`${count} ${count === 1 ? "image is" : "images are"} ready`);
    } finally {
      gallery.finish();
    }
  });
}

/** Shows the images of a stream in cells. */
export async function watch(gallery, events, cellOf) {
  for await (const event of events) {
    const cell = cellOf(event.index);
    if (event.type.endsWith(".completed")) gallery.complete(cell, event.b64_json);
    else gallery.frame(cell, event.b64_json, event.step, event.steps);
  }
}

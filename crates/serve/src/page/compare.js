// The same prompt with several seeds and several guidances or numbers of steps, side by side.

import { Refused, stream } from "./client.js";
import { announce, byId, form, slider, whole } from "./controls.js";
import { watch } from "./draw.js";
import { Gallery, partialImages } from "./gallery.js";

export function begin({ model, limits }) {
  const gallery = new Gallery(byId("compare-stage"), model);
  gallery.empty("Seeds down, values across.");
  byId("compare-count").max = limits.images;
  slider("compare-guidance", model.defaults.guidance);
  slider("compare-steps", model.defaults.steps, Math.min(limits.steps, Math.max(100, model.defaults.steps)));
  const across = byId("compare-across");
  const show = () => {
    byId("compare-guidance-field").hidden = across.value === "guidance";
    byId("compare-steps-field").hidden = across.value === "steps";
  };
  across.addEventListener("change", () => {
    byId("compare-values").value = across.value === "guidance" ? "1, 2, 4, 7" : "4, 8, 16, 32";
    show();
  });
  show();
  form("compare-form", async (signal) => {
    const [first, count] = [whole("compare-seed", "First seed"), whole("compare-count", "Seeds")];
    const values = numbers(byId("compare-values").value);
    const rows = Array.from({ length: count }, (_, index) => `Seed ${first + index}`);
    const name = across.value;
    gallery.matrix(rows, values.map((value) => `${name} ${value}`), `Seeds by ${name}`);
    announce("Drawing");
    const column = (value, place) => {
      const ask = {
        prompt: byId("compare-prompt").value,
        n: count,
        seed: first,
        guidance: Number(byId("compare-guidance").value),
        steps: Number(byId("compare-steps").value),
        [name]: value,
        stream: true,
      };
      ask.partial_images = partialImages(model, ask.steps);
      return watch(gallery, stream("/v1/images/generations", ask, signal), (index) => index * values.length + place);
    };
    try {
      const results = await Promise.allSettled(values.map(column));
      for (const { reason } of results) if (reason) throw reason;
      announce(`${count * values.length} images are ready`);
    } finally {
      gallery.finish();
    }
  });
}

function numbers(text) {
  const values = text.split(/[,;\s]+/).filter(Boolean).map(Number);
  if (!values.length || values.length > 8 || values.some((value) => !(value >= 0))) {
    throw new Refused(`Values: expected 1 to 8 numbers from 0, such as “1, 2, 4”, found “${text}”.`);
  }
  return [...new Set(values)];
}

// What begins with an image of one's own: its caption, answers about it, and its edits.

import { dataUrl, stream } from "./client.js";
import { announce, byId, fileField, form, seed, slider, whole } from "./controls.js";
import { watch } from "./draw.js";
import { Gallery, partialImages } from "./gallery.js";

function shown(id, file) {
  const image = byId(`${id}-image`);
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.addEventListener("load", () => {
    image.classList.toggle("pixelated", Math.max(image.naturalWidth, image.naturalHeight) <= 128);
  }, { once: true });
  image.closest("figure").hidden = false;
  image.closest(".stage").querySelector(".empty").hidden = true;
}

export function beginCaption({ model }) {
  const words = byId("caption-words");
  const question = byId("caption-question");
  // What was asked and answered about this image before.
  let earlier = [];
  const remember = (messages) => {
    earlier = messages;
    byId("caption-question-name").textContent =
      earlier.length ? "A following question, or nothing for a caption" : "A question, or nothing for a caption";
  };
  byId("caption-question-field").hidden = !model.abilities.answers;
  const file = fileField("caption", (found) => {
    shown("caption", found);
    remember([]);
    byId("caption-name").textContent = found.name;
    byId("caption-form").requestSubmit();
  });
  words.textContent = "";
  byId("caption-draw").addEventListener("click", () => {
    byId("draw-prompt").value = words.textContent;
    location.hash = "draw";
    byId("draw-prompt").focus();
  });
  form("caption-form", async (signal) => {
    const url = await dataUrl(file());
    words.textContent = "";
    byId("caption-draw").hidden = true;
    const asked = question.value.trim();
    if (!asked) remember([]);
    const content = earlier.length ? [] : [{ type: "image_url", image_url: { url } }];
    if (asked) content.push({ type: "text", text: asked });
    const messages = [...earlier, { role: "user", content }];
    const ask = { messages, modalities: ["text"], stream: true };
    for await (const { choices: [{ delta, finish_reason: finish }] } of stream("/v1/chat/completions", ask, signal)) {
      words.append(delta.content ?? "");
      if (finish === "length") words.append(" …");
    }
    byId("caption-draw").hidden = !model.abilities.draws || asked !== "";
    if (asked && words.textContent.trim()) {
      remember([...messages, { role: "assistant", content: words.textContent }]);
      question.value = "";
    }
  });
}

export function beginEdit({ model, limits }) {
  const gallery = new Gallery(byId("edit-gallery"), model);
  const file = fileField("edit", (found) => shown("edit", found));
  slider("edit-guidance", model.defaults.guidance);
  slider("edit-steps", model.defaults.steps, Math.min(limits.steps, Math.max(100, model.defaults.steps)));
  seed("edit-seed", "edit-roll");
  form("edit-form", async (signal) => {
    const steps = Number(byId("edit-steps").value);
    const ask = new FormData();
    ask.append("image", file());
    ask.append("prompt", byId("edit-prompt").value);
    ask.append("seed", whole("edit-seed", "Seed"));
    ask.append("guidance", byId("edit-guidance").value);
    ask.append("steps", steps);
    ask.append("stream", "true");
    ask.append("partial_images", partialImages(model, steps));
    gallery.grid(["After"], 1);
    announce("Editing");
    try {
      await watch(gallery, stream("/v1/images/edits", ask, signal), (index) => index);
      announce("The edit is ready");
    } finally {
      gallery.finish();
    }
  });
}

// Documents of words and images, as the model writes them.

import { stream } from "./client.js";
import { announce, byId, form, make, seed, slider, whole } from "./controls.js";

export function begin({ model }) {
  const stage = byId("write-stage");
  stage.replaceChildren(make("p", { class: "empty" }, "The model writes and draws by itself."));
  byId("write-beginning-field").hidden = !model.abilities.continues;
  slider("write-temperature");
  seed("write-seed", "write-roll");
  form("write-form", async (signal) => {
    const content = model.abilities.continues ? byId("write-beginning").value : "";
    const ask = {
      messages: [{ role: "user", content }],
      modalities: ["text", "image"],
      seed: whole("write-seed", "Seed"),
      temperature: Number(byId("write-temperature").value),
      stream: true,
    };
    stage.replaceChildren();
    let paragraph = null;
    for await (const { choices: [{ delta }] } of stream("/v1/chat/completions", ask, signal)) {
      if (delta.content) {
        if (!paragraph) stage.append((paragraph = make("p")));
        paragraph.append(paragraph.textContent ? delta.content : delta.content.trimStart());
      }
      for (const { image_url: { url } } of delta.images ?? []) {
        const image = make("img", { src: url, alt: `An image after the words: ${paragraph?.textContent ?? "none"}` });
        image.classList.toggle("pixelated", Math.max(model.image.width, model.image.height) <= 128);
        stage.append(image);
        paragraph = null;
      }
    }
    if (!stage.children.length) stage.append(make("p", { class: "empty" }, "The model wrote nothing."));
    announce("The document is at its end");
  });
}

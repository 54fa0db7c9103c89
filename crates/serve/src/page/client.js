// Asks the server: whole answers, and answers that come bit by bit.

let key = sessionStorage.getItem("key");

/** What the server says when it refuses. */
export class Refused extends Error {}

function askForKey() {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key");
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      key = field.value.trim();
      sessionStorage.setItem("key", key);
      resolve();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

async function ask(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("The server cannot be reached.");
    }
    if (response.status === 401) {
      await askForKey();
      continue;
    }
    if (response.ok) return response;
    const body = await response.json().catch(() => null);
    throw new Refused(body?.error?.message ?? `The server answered with status ${response.status}.`);
  }
}

/** A whole answer. */
export async function read(path) {
  return (await ask(path)).json();
}

/** The address of a file in memory. */
export async function readFile(path) {
  return URL.createObjectURL(await (await ask(path)).blob());
}

/** Sends an object, or a form, and yields the events of the answer. */
export async function* stream(path, body, signal) {
  const options = body instanceof FormData
    ? { body }
    : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await ask(path, { method: "POST", signal, ...options });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue;
      const value = JSON.parse(data);
      if (value.error) throw new Refused(value.error.message);
      yield value;
    }
  }
}

/** The address of a PNG in base64; shorter to keep than the base64 itself. */
export function png(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
}

/** A file as data URL. */
export function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Refused("The file cannot be read.")));
    reader.readAsDataURL(file);
  });
}

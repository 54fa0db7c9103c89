// The page: what the model can do decides which tabs there are.

import { read } from "./client.js";
import { byId, make, notice } from "./controls.js";
import * as compare from "./compare.js";
import * as draw from "./draw.js";
import { beginCaption, beginEdit } from "./read.js";
import * as training from "./training.js";
import * as write from "./write.js";

const PARTS = [
  ["draw", "Draw", ({ model }) => model.abilities.draws, draw.begin],
  ["compare", "Compare", ({ model }) => model.abilities.draws, compare.begin],
  ["caption", "Caption", ({ model }) => model.abilities.captions, beginCaption],
  ["edit", "Edit", ({ model }) => model.abilities.edits, beginEdit],
  ["write", "Write", ({ model }) => model.abilities.writes, write.begin],
  ["training", "Training", (status) => status.training, training.begin],
];

async function begin() {
  let status;
  try {
    status = await read("/status");
  } catch (error) {
    notice(error.message);
    setTimeout(begin, 3000);
    return;
  }
  notice("");
  const { model } = status;
  const size = `${model.image.width} × ${model.image.height}`;
  byId("model").textContent = model.abilities.draws ? `${model.id}, ${size} pixels` : model.id;
  document.title = `${model.id} – Interfuse`;
  const parts = PARTS.filter(([, , can]) => can(status));
  if (!parts.length) return notice("There is no model yet, and no training run to watch.");
  for (const [id, name, , start] of parts) {
    byId("tabs").append(make("button", { role: "tab", id: `tab-${id}`, "aria-controls": id, type: "button" }, name));
    start(status);
  }
  tabs(parts.map(([id]) => id));
  watchLoad(status.load);
}

function tabs(ids) {
  const select = (id, focus) => {
    for (const other of ids) {
      const tab = byId(`tab-${other}`);
      tab.setAttribute("aria-selected", other === id);
      tab.tabIndex = other === id ? 0 : -1;
      byId(other).hidden = other !== id;
    }
    byId(`tab-${id}`).scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focus) byId(`tab-${id}`).focus();
  };
  const ofHash = () => (ids.includes(location.hash.slice(1)) ? location.hash.slice(1) : ids[0]);
  ids.forEach((id, place) => {
    byId(`tab-${id}`).addEventListener("click", () => (location.hash = id));
    byId(`tab-${id}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? ids.length - 1 : by && (place + by + ids.length) % ids.length;
      if (to === undefined) return;
      event.preventDefault();
      history.replaceState(null, "", `#${ids[to]}`);
      select(ids[to], true);
    });
  });
  addEventListener("hashchange", () => select(ofHash(), false));
  select(ofHash(), false);
}

/** How busy the server is, every other second. */
function watchLoad(load) {
  const text = ({ waiting, running }) =>
    waiting ? `${running} at work, ${waiting} waiting` : running ? `${running} at work` : "ready";
  const show = (load) => {
    if (byId("load").textContent !== text(load)) byId("load").textContent = text(load);
  };
  show(load);
  setInterval(async () => {
    if (document.hidden) return;
    try {
      show((await read("/status")).load);
    } catch {
      byId("load").textContent = "not reached";
    }
  }, 2000);
}

begin();

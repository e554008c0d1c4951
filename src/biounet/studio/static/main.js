// The page: opens images, connects tools, panel and server.

import { Annotation, BACKGROUND, NONE } from "./annotation.js";
import { Overlay } from "./overlay.js";
import { attempt, page, say } from "./page.js";
import { removeCell } from "./painting.js";
import { byId, Contrast, listImages } from "./panel.js";
import { getJson, listen, post } from "./server.js";
import { Tiles } from "./tiles.js";
import "./tips.js";
import {
  loadPrediction, loss, save, showPredictionNote, showStatus, takeAll, trainOrStop,
} from "./training.js";
import { Hand, TOOLS } from "./tools.js";
import { View } from "./view.js";

const contrast = new Contrast((low, high) => {
  page.view.tiles?.setContrast(low, high);
  page.view.redraw();
});
page.view = new View(byId("canvas"), moved);
const hand = new Hand(byId("canvas"), byId("brush"), page);
page.hand = hand;
page.painted = () => {
  countSoon();
  const image = page.state.images.find((one) => one.name === page.info.name);
  if (image && !image.annotated) {
    image.annotated = true;
    showImages();
  }
  byId("hint").hidden = true;
};

function showSaved({ kind, waiting, problem, own }) {
  const saved = byId("saved");
  if (kind === "outdated") {
    page.select(0);
    say(own
      ? "This image was changed in another tab. It was loaded again, your latest strokes on top of it."
      : "This image was changed in another tab. It was loaded again.", 8000);
    countSoon();
    return;
  }
  saved.dataset.state = kind;
  const strokes = `${waiting} ${waiting === 1 ? "change" : "changes"}`;
  saved.textContent = { saved: "All strokes saved", saving: "Saving …", failed: `${strokes} not saved` }[kind];
  saved.title = problem ?? "";
  if (kind === "failed") say(`Not saved, but kept in this page: ${problem}`, 20000);
}

// ---- images

function showImages() {
  listImages(page.state.images, (name) => attempt(() => open(name)), page.info?.name);
}

let opening = 0;
async function open(name) {
  hand.finish();
  if (page.annotation) {
    await page.annotation.flush();
    if (page.annotation.pending.length) {
      throw new Error(`The strokes on ${page.annotation.name} are not saved yet: ${page.annotation.problem}`);
    }
  }
  const mine = ++opening;
  byId("where").textContent = "opening …";
  let info, annotation;
  try {
    info = await getJson("api/image", { name });
    annotation = new Annotation(info, (...box) => page.annotation === annotation && page.overlay.invalidate(...box), (told) => page.annotation === annotation && showSaved(told));
    await annotation.load();
  } finally {
    if (mine === opening) byId("where").textContent = page.info ? sizeOf(page.info) : "";
  }
  if (mine !== opening) return;
  page.view.tiles?.close();
  page.info = info;
  page.annotation = annotation;
  page.overlay = new Overlay(annotation);
  page.overlay.showPrediction = byId("show-prediction").checked;
  const tiles = new Tiles(info, () => page.view.redraw(), (words) => say(words));
  page.view.open(tiles, page.overlay);
  const channels = byId("channel");
  byId("channel-row").hidden = info.n_channels === 1 || info.is_colour;
  channels.replaceChildren(...Array.from({ length: info.n_channels }, (_, k) =>
    new Option(info.channel_names?.[k] || `${k + 1}`, k)));
  contrast.open(info);
  byId("title").textContent = name;
  document.title = `${name} – biounet studio`;
  byId("where").textContent = sizeOf(info);
  byId("rest").checked = annotation.rest;
  byId("hint").hidden = page.state.images.some((one) => one.annotated);
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  annotation.tell();
  showImages();
  showStatus(page.state.status);
  showPredictionNote();
  count();
  moved();
  if (info.prediction !== null) attempt(loadPrediction);
}

function sizeOf(info) {
  const channels = info.n_channels > 1 ? `, ${info.n_channels} channels` : "";
  return `${info.width} × ${info.height} px${channels}, ${info.n_bits} bit`;
}

function step(by) {
  const usable = page.state.images.filter((image) => !image.problem);
  const at = usable.findIndex((image) => image.name === page.info?.name);
  const next = usable[at + by];
  if (next) attempt(() => open(next.name));
}

let viewTimer;
function moved() {
  if (!page.info) return;
  byId("zoom-fit").textContent = `${page.view.scale < 0.1 ? (100 * page.view.scale).toFixed(1) : Math.round(100 * page.view.scale)} %`;
  clearTimeout(viewTimer);
  viewTimer = setTimeout(() => {
    post("api/view", { name: page.info.name, ...page.view.inSight() }).catch(() => {});
  }, 250);
}

// ---- annotation

let countTimer;
function countSoon() {
  clearTimeout(countTimer);
  countTimer = setTimeout(count, 150);
}

function count() {
  const { labels, rest } = page.annotation;
  const ids = new Set();
  let background = 0;
  for (const v of labels) {
    if (v === NONE) continue;
    if (v === BACKGROUND) background++;
    else ids.add(v);
  }
  const share = (100 * background) / labels.length;
  const percent = share > 0 && share < 1 ? "< 1" : Math.round(share);
  byId("counts").textContent = `${ids.size} ${ids.size === 1 ? "cell" : "cells"}, ${percent} % background`
    + (rest ? "" : "; the rest is not annotated");
}

function undo(isRedo) {
  hand.finish();
  const worked = isRedo ? page.annotation?.redo() : page.annotation?.undo();
  if (!worked) return say(isRedo ? "Nothing to redo." : "Nothing to undo.", 1500);
  page.view.redraw();
  countSoon();
  return undefined;
}

function remove() {
  const id = page.overlay?.selected;
  if (!id) return say("Select a cell first (V).", 2500);
  page.annotation.begin();
  removeCell(page.annotation, id);
  page.annotation.commit();
  page.select(0);
  page.painted();
  return undefined;
}

// ---- tools, keys, buttons

function setTool(id) {
  hand.setTool(id);
  for (const button of document.querySelectorAll("#tools [data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === id));
  }
}

function setRadius(radius) {
  const r = Math.max(1, Math.min(60, radius));
  byId("radius").value = r;
  byId("radius-px").textContent = `${r} px`;
  hand.setRadius(r);
}

function toolButton({ id, key, name, tip, icon }, act) {
  const button = document.createElement("button");
  button.dataset.tip = `${tip}  ${key.toUpperCase()}`;
  button.setAttribute("aria-keyshortcuts", key);
  if (act === undefined) {
    button.dataset.tool = id;
    button.setAttribute("aria-pressed", "false");
  } else button.id = id;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", icon);
  svg.append(path);
  const words = document.createElement("span");
  words.textContent = name;
  button.append(svg, words);
  button.addEventListener("click", act ?? (() => setTool(id)));
  return button;
}

byId("tools").append(
  ...TOOLS.map((tool) => toolButton(tool)),
  document.createElement("hr"),
  toolButton({ id: "undo", key: "Ctrl+Z", name: "Undo", tip: "Undo", icon: "M9 6L4 11l5 5 M4 11h10a6 6 0 0 1 6 6v2" }, () => undo(false)),
  toolButton({ id: "redo", key: "Ctrl+Shift+Z", name: "Redo", tip: "Redo", icon: "M15 6l5 5-5 5 M20 11H10a6 6 0 0 0-6 6v2" }, () => undo(true)),
  toolButton({ id: "keys-button", key: "?", name: "Keys", tip: "All keys and gestures", icon: "M3 6h18v12H3z M7 10h.1 M12 10h.1 M17 10h.1 M8 14h8" }, () => byId("help").showModal()),
);

const KEYS = [
  ...TOOLS.map((tool) => [tool.key, `${tool.name.replace("Backgr.", "Background")}. ${tool.tip}`, () => setTool(tool.id)]),
  ["[", "Smaller brush", () => setRadius(hand.radius - (hand.radius > 12 ? 3 : 1))],
  ["]", "Larger brush", () => setRadius(hand.radius + (hand.radius >= 12 ? 3 : 1))],
  ["Delete", "Remove the selected cell", remove],
  ["Ctrl+Z", "Undo", () => undo(false)],
  ["Ctrl+Shift+Z", "Redo (also Ctrl+Y)", () => undo(true)],
  ["Enter", "Train, or stop", () => attempt(trainOrStop)],
  ["s", "Segment the whole image", () => byId("segment").click()],
  ["p", "Show the segmentation or hide it", () => byId("show-prediction").click()],
  ["+", "Zoom in (also the wheel)", () => page.view.zoom(1.4)],
  ["-", "Zoom out", () => page.view.zoom(1 / 1.4)],
  ["0", "Fit the image", () => page.view.tiles && page.view.fit()],
  ["1", "One image pixel on one point of the screen", () => page.view.zoom(1 / page.view.scale)],
  ["PageDown", "Next image", () => step(1)],
  ["PageUp", "Previous image", () => step(-1)],
  ["?", "This list", () => byId("help").showModal()],
];
const GESTURES = [
  ["Space", "Hold it (or the middle button) and drag to move the image"],
  ["Arrows", "Move the image"],
  ["Fingers", "Two move and zoom; once a pen was used, one finger moves too"],
];
byId("keys").append(...[...KEYS, ...GESTURES].flatMap(([key, words]) => {
  const dt = document.createElement("dt"), dd = document.createElement("dd");
  const kbd = document.createElement("kbd");
  kbd.textContent = key.length === 1 ? key.toUpperCase() : key;
  dt.append(kbd);
  dd.textContent = words;
  return [dt, dd];
}));

addEventListener("keydown", (event) => {
  if (byId("help").open || event.target.closest("select, input:not([type=range]):not([type=checkbox])")) return;
  if (event.key === " " && !event.target.closest("button, input, a")) {
    hand.isSpaceDown = true;
    hand.showRing(null);
    byId("canvas").classList.add("movable");
    event.preventDefault();
    return;
  }
  if (event.target.closest("button") && event.key === "Enter") return;
  const arrows = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (arrows[event.key] && !event.target.closest("input")) {
    page.view.pan(...arrows[event.key]);
    event.preventDefault();
    return;
  }
  let key = event.key.toLowerCase();
  if (key === "=") key = "+";
  if (key === "backspace") key = "delete";
  if (event.ctrlKey || event.metaKey) {
    key = key === "y" ? "ctrl+shift+z" : `ctrl+${event.shiftKey ? "shift+" : ""}${key}`;
  }
  if (event.altKey) return;
  const found = KEYS.find(([name]) => name.toLowerCase() === key);
  if (!found) return;
  event.preventDefault();
  found[2]();
});
addEventListener("keyup", (event) => {
  if (event.key !== " ") return;
  hand.isSpaceDown = false;
  byId("canvas").classList.remove("movable");
});
addEventListener("beforeunload", (event) => {
  if (page.annotation?.pending.length) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) hand.finish();
});

byId("train").addEventListener("click", () => attempt(trainOrStop));
byId("segment").addEventListener("click", () => attempt(() => post("api/segment", { name: page.info.name })));
byId("accept-all").addEventListener("click", takeAll);
byId("show-prediction").addEventListener("change", (event) => {
  page.overlay?.setShown(event.target.checked);
  page.view.redraw();
});
byId("rest").addEventListener("change", async (event) => {
  const wanted = event.target.checked;
  hand.finish();
  await attempt(() => page.annotation.setRest(wanted));
  event.target.checked = page.annotation.rest;
  page.view.redraw();
  page.painted();
});
byId("opacity").addEventListener("input", (event) => {
  page.view.opacity = event.target.value / 100;
  page.view.redraw();
});
byId("channel").addEventListener("change", (event) => {
  page.view.tiles.setChannel(Number(event.target.value));
  contrast.open(page.info, Number(event.target.value));
});
byId("radius").addEventListener("input", (event) => setRadius(Number(event.target.value)));
byId("zoom-in").addEventListener("click", () => page.view.zoom(1.4));
byId("zoom-out").addEventListener("click", () => page.view.zoom(1 / 1.4));
byId("zoom-fit").addEventListener("click", () => page.view.tiles && page.view.fit());
byId("export-labels").addEventListener("click", () => save("export/labels.zip"));
byId("export-model").addEventListener("click", () => save("export/model.safetensors"));
byId("export-segmentation").addEventListener("click", () => save("export/segmentation.tif", { name: page.info.name }));
byId("panel-toggle").addEventListener("click", (event) => {
  const shown = byId("panel").classList.toggle("shown");
  event.currentTarget.setAttribute("aria-expanded", String(shown));
});

// ---- beginning

async function refresh() {
  page.state = await getJson("api/state");
  loss.set(page.state.losses);
  showStatus(page.state.status);
  showImages();
}

async function begin() {
  byId("hint").textContent = "Draw the outline of a cell: it is filled when it closes.";
  setTool("new");
  setRadius(6);
  await refresh();
  const asked = decodeURIComponent(location.hash.slice(1));
  const first = page.state.images.find((image) => image.name === asked) ?? page.state.images.find((image) => !image.problem);
  if (first) await open(first.name);
}

await attempt(begin);

let wasLost = false;
listen({
  hello: () => {
    if (wasLost) attempt(refresh);
    wasLost = false;
  },
  status: showStatus,
  loss: (point) => loss.add(point.step, point.loss),
  prediction: ({ name }) => name === page.info?.name && attempt(loadPrediction),
  annotation: async ({ name, version }) => {
    const annotation = page.annotation;
    if (name !== annotation?.name) return;
    await annotation.saving;
    if (version > annotation.version && annotation === page.annotation && !annotation.snapshot) {
      await attempt(() => annotation.reload());
      byId("rest").checked = annotation.rest;
      page.view.redraw();
    }
  },
  lost: () => {
    wasLost = true;
    byId("status").textContent = "The studio cannot be reached. Is it still running?";
  },
});

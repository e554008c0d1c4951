// The page: opens images, connects tools, panel and server.

import { Annotation, BACKGROUND, NONE } from "./annotation.js";
import { Overlay } from "./overlay.js";
import { attempt, page, say } from "./page.js";
import { byId, Contrast, listImages } from "./panel.js";
import { getJson, listen, post } from "./server.js";
import { Tiles } from "./tiles.js";
import "./tips.js";
import {
  loadPrediction, loss, save, showPredictionNote, showStatus, takeAll, trainOrStop,
} from "./training.js";
import { setRadius, setTool } from "./keys.js";
import { Planes } from "./planes.js";
import { Hand } from "./tools.js";
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
    showStatus(page.state.status); // there is something to export
  }
  byId("hint").hidden = true;
  if (page.nPlanes > 1) planes.mark(page.plane, page.annotation.labels.some((v) => v !== NONE));
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

const planes = new Planes((plane) => attempt(() => showPlane(plane)));
page.turn = (by) => planes.step(by);
page.step = step;
const MOST_KEPT_PIXELS = 2 ** 25;
let kept = new Map(); // the annotations of the open image's planes, with what can be undone

function annotationOf(info, plane) {
  const annotation = kept.get(plane) ?? new Annotation(
    info, plane,
    (...box) => page.annotation === annotation && page.overlay.invalidate(...box),
    (told) => page.annotation === annotation && showSaved(told),
  );
  return annotation;
}

function keep(annotation) {
  kept.delete(annotation.plane);
  kept.set(annotation.plane, annotation);
  const most = Math.max(1, Math.floor(MOST_KEPT_PIXELS / annotation.labels.length));
  while (kept.size > most) kept.delete(kept.keys().next().value);
}

/** Everything painted is saved; else it is said why not, and nothing else is opened. */
async function settle() {
  hand.finish();
  if (!page.annotation) return;
  await page.annotation.flush();
  if (page.annotation.pending.length) {
    throw new Error(`The strokes on ${page.annotation.name} are not saved yet: ${page.annotation.problem}`);
  }
}

let turning = 0;
async function showPlane(plane) {
  const mine = ++turning; // one that is on its way to another slice gives up
  if (!page.info || plane === page.plane) return;
  const annotation = annotationOf(page.info, plane);
  try {
    await settle();
    await annotation.load();
  } catch (error) {
    if (mine === turning) planes.show(page.plane);
    throw error;
  }
  if (mine !== turning || annotation.name !== page.info.name) return;
  hand.finish(); // what was begun meanwhile
  const { selected } = page.overlay;
  page.plane = plane;
  page.annotation = annotation;
  keep(annotation);
  page.overlay = new Overlay(annotation);
  page.overlay.showPrediction = byId("show-prediction").checked;
  page.overlay.selected = selected; // a cell goes on in the next slice
  page.view.showPlane(plane, page.overlay);
  planes.show(plane);
  showPlaneState();
}

function showPlaneState() {
  const { annotation } = page;
  byId("rest").checked = annotation.rest;
  history.replaceState(null, "", `#${encodeURIComponent(page.info.name)}${page.plane ? `:${page.plane}` : ""}`);
  annotation.tell();
  showPredictionNote();
  count();
  if (page.segmented.has(page.plane)) attempt(loadPrediction);
}

function showImages() {
  listImages(page.state.images, (name) => attempt(() => open(name)), page.info?.name);
}

let opening = 0;
async function open(name, plane = 0) {
  await settle();
  const mine = ++opening;
  turning++;
  byId("where").textContent = "opening …";
  let info, annotation;
  try {
    info = await getJson("api/image", { name });
    const nPlanes = info.page_sizes.reduce((n, size) => n * size, 1);
    plane = Math.min(plane, nPlanes - 1);
    kept = new Map();
    annotation = annotationOf(info, plane);
    await annotation.load();
    page.nPlanes = nPlanes;
  } finally {
    if (mine === opening) byId("where").textContent = page.info ? sizeOf(page.info) : "";
  }
  if (mine !== opening) return;
  hand.finish(); // what was begun meanwhile
  page.view.tiles?.close();
  page.info = info;
  page.plane = plane;
  page.segmented = new Set(info.segmented_planes);
  page.annotation = annotation;
  keep(annotation);
  page.overlay = new Overlay(annotation);
  page.overlay.showPrediction = byId("show-prediction").checked;
  const tiles = new Tiles(info, () => page.view.redraw(), (words) => say(words));
  tiles.plane = tiles.planeBefore = plane;
  page.view.open(tiles, page.overlay);
  const channels = byId("channel");
  byId("channel-row").hidden = info.n_channels === 1 || info.is_colour;
  channels.replaceChildren(...Array.from({ length: info.n_channels }, (_, k) =>
    new Option(info.channel_names?.[k] || `${k + 1}`, k)));
  contrast.open(info);
  byId("title").textContent = name;
  document.title = `${name} – biounet studio`;
  byId("where").textContent = sizeOf(info);
  byId("hint").hidden = page.state.images.some((one) => one.annotated);
  const isStack = page.nPlanes > 1;
  byId("segment").textContent = isStack ? "This slice" : "Segment image";
  byId("segment-all").hidden = !isStack;
  planes.open(info, plane);
  showImages();
  showStatus(page.state.status);
  showPlaneState();
  moved();
}

function sizeOf(info) {
  const channels = info.n_channels > 1 ? `, ${info.n_channels} channels` : "";
  const slices = info.page_sizes.length ? `, ${info.page_sizes.join(" × ")} slices` : "";
  return `${info.width} × ${info.height} px${slices}${channels}, ${info.n_bits} bit`;
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
    post("api/view", { name: page.info.name, plane: page.plane, ...page.view.inSight() }).catch(() => {});
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
  const where = page.nPlanes > 1 ? " in this slice" : "";
  byId("counts").textContent = `${ids.size} ${ids.size === 1 ? "cell" : "cells"}${where}, ${percent} % background`
    + (rest ? "" : "; the rest is not annotated");
}

// ---- buttons

byId("train").addEventListener("click", () => attempt(trainOrStop));
const segment = (plane) => attempt(() => post("api/segment", { name: page.info.name, plane }));
byId("segment").addEventListener("click", () => segment(page.plane));
byId("segment-all").addEventListener("click", () => segment(null));
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
  const [asked, plane] = location.hash.slice(1).split(":").map(decodeURIComponent);
  const first = page.state.images.find((image) => image.name === asked) ?? page.state.images.find((image) => !image.problem);
  if (first) await open(first.name, (first.name === asked && Number(plane)) || 0);
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
  prediction: ({ name, plane }) => {
    if (name !== page.info?.name) return;
    page.segmented.add(plane);
    if (plane === page.plane) attempt(loadPrediction);
    else showPredictionNote();
  },
  annotation: async ({ name, plane, version }) => {
    const annotation = page.annotation;
    if (name !== annotation?.name) return;
    if (plane !== annotation.plane) {
      planes.mark(plane, true);
      return;
    }
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

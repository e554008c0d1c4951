// Training, the segmentation that it shows, and what is exported.

import { acceptAll } from "./painting.js";
import { byId, LossCurve } from "./panel.js";
import { attempt, page, say } from "./page.js";
import { address, getBytes, post } from "./server.js";

export const loss = new LossCurve();

const DOING = { preparing: "Preparing", training: "Training", segmenting: "Segmenting" };

export function showStatus(status) {
  page.state.status = status;
  const isBusy = status.state !== "idle";
  const button = byId("train");
  button.textContent = isBusy ? "Stop" : status.model ? "Train on" : "Train";
  button.classList.toggle("stop", isBusy);
  const progress = byId("progress");
  if (status.state === "preparing") progress.removeAttribute("value");
  else progress.value = isBusy ? status.progress : 0;
  progress.classList.toggle("quietly", !isBusy);
  byId("segment").disabled = byId("segment-all").disabled = isBusy || !status.model;
  byId("export-model").disabled = !status.model;
  byId("export-labels").disabled = !page.state.images.some((image) => image.annotated);
  byId("afresh").closest("label").hidden = !status.model;
  byId("problem").hidden = !status.problem;
  const words = status.problem ?? "";
  byId("problem").textContent = words.slice(0, 1).toUpperCase() + words.slice(1);
  if (isBusy) {
    const steps = status.state === "training" ? `, step ${status.step}` : "";
    byId("status").textContent = `${DOING[status.state]}${steps}`;
  } else if (!status.problem) {
    byId("status").textContent = status.model
      ? `Model ${status.model} is ready.`
      : "Paint a few cells and some background, then train.";
  } else byId("status").textContent = "Stopped:";
}

export async function trainOrStop() {
  if (page.state.status.state !== "idle") return post("api/stop", {});
  page.hand.finish();
  await page.annotation?.flush();
  const afresh = byId("afresh").checked;
  if (afresh) loss.set([]);
  byId("afresh").checked = false;
  return post("api/train", { minutes: Number(byId("minutes").value), afresh });
}

export async function loadPrediction() {
  const { name } = page.info, { plane } = page;
  const { bytes, about } = await getBytes("api/prediction", { name, plane });
  if (page.info.name !== name || page.plane !== plane) return;
  page.overlay.setPrediction({ ...about, labels: new Uint16Array(bytes) });
  page.view.redraw();
  showPredictionNote();
}

export function showPredictionNote() {
  const p = page.overlay?.prediction;
  const ids = p ? new Set(p.labels) : new Set();
  ids.delete(0);
  const isWhole = p && p.width === page.info.width && p.height === page.info.height;
  byId("accept-all").disabled = !ids.size;
  byId("export-segmentation").disabled = !isWhole || page.segmented.size < page.nPlanes;
  byId("prediction-note").textContent = p
    ? `${ids.size} ${ids.size === 1 ? "cell" : "cells"} after ${p.step} steps${isWhole ? "" : ", in a part of the image"}.`
    : "Nothing yet: train, or segment with the last model.";
}

export function takeAll() {
  if (!page.overlay?.prediction) return say("There is no segmentation yet.");
  page.annotation.begin();
  let n = 0;
  try {
    n = acceptAll(page.annotation, page.overlay.prediction);
  } catch (error) {
    say(error.message);
  }
  page.annotation.commit();
  page.view.redraw();
  page.painted();
  return say(`${n} ${n === 1 ? "cell" : "cells"} accepted. Correct what is wrong, then train on.`);
}

export function save(path, parameters) {
  attempt(async () => {
    await page.annotation?.flush();
    const response = await fetch(address(path, parameters));
    if (!response.ok) {
      const { found, wanted, remedy } = await response.json();
      throw new Error(`Found ${found}; wanted ${wanted}; ${remedy}.`);
    }
    const link = document.createElement("a");
    const disposition = response.headers.get("Content-Disposition") ?? "";
    const named = /filename\*=utf-8''([^;]+)|filename="([^"]+)"/i.exec(disposition);
    link.download = named ? decodeURIComponent(named[1] ?? named[2]) : path.split("/").at(-1);
    link.href = URL.createObjectURL(await response.blob());
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
}

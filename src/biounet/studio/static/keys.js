// The tools' buttons, and every key.

import { attempt, page, say } from "./page.js";
import { removeCell } from "./painting.js";
import { byId } from "./panel.js";
import { TOOLS } from "./tools.js";
import { trainOrStop } from "./training.js";

function undo(isRedo) {
  page.hand.finish();
  const worked = isRedo ? page.annotation?.redo() : page.annotation?.undo();
  if (!worked) return say(isRedo ? "Nothing to redo." : "Nothing to undo.", 1500);
  page.view.redraw();
  page.painted();
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

export function setTool(id) {
  page.hand.setTool(id);
  for (const button of document.querySelectorAll("#tools [data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === id));
  }
}

export function setRadius(radius) {
  const r = Math.max(1, Math.min(60, radius));
  byId("radius").value = r;
  byId("radius-px").textContent = `${r} px`;
  page.hand.setRadius(r);
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
  ["[", "Smaller brush", () => setRadius(page.hand.radius - (page.hand.radius > 12 ? 3 : 1))],
  ["]", "Larger brush", () => setRadius(page.hand.radius + (page.hand.radius >= 12 ? 3 : 1))],
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
  [".", "Next slice of a stack (also Alt and the wheel)", () => page.turn(1)],
  [",", "Slice before", () => page.turn(-1)],
  ["PageDown", "Next image", () => page.step(1)],
  ["PageUp", "Previous image", () => page.step(-1)],
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
    page.hand.isSpaceDown = true;
    page.hand.showRing(null);
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
  page.hand.isSpaceDown = false;
  byId("canvas").classList.remove("movable");
});
addEventListener("beforeunload", (event) => {
  if (page.annotation?.pending.length) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) page.hand.finish();
});

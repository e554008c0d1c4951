// What is open, and how the page speaks: shared by main.js and training.js.

import { byId } from "./panel.js";

export const page = {
  state: null, // what the server told: images, status
  info: null, // of the open image
  plane: 0, // of a stack
  nPlanes: 1,
  segmented: new Set(), // planes of which the server has a segmentation
  annotation: null,
  overlay: null,
  view: null,
  hand: null,
  select(id) {
    this.overlay?.select(id);
    this.view.redraw();
  },
  say,
  // main.js fills these in
  painted() {},
  turn() {}, // to another slice
  step() {}, // to another image
};

let sayTimer;
export function say(words, lasts = 5000) {
  const toast = byId("toast");
  toast.textContent = words;
  toast.hidden = false;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => (toast.hidden = true), lasts);
}

/** Run something that asks the server; what it refuses is said. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    say(error.message, 9000);
    return undefined;
  }
}

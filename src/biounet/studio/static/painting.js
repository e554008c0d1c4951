// What the tools do to the labels: pure work on an annotation, no events, no drawing.

import { BACKGROUND, NONE } from "./annotation.js";

const MOST_FLOODED = 2 ** 24;
const GAP = 5;

const isCell = (v) => v !== NONE && v !== BACKGROUND;

/** Give the pixels within `radius` of the segment a value; `may(old)` says which. Box painted. */
export function paintSegment(annotation, from, to, radius, value, may) {
  const { width, height, labels } = annotation;
  const x0 = Math.max(0, Math.floor(Math.min(from[0], to[0]) - radius));
  const y0 = Math.max(0, Math.floor(Math.min(from[1], to[1]) - radius));
  const x1 = Math.min(width, Math.ceil(Math.max(from[0], to[0]) + radius) + 1);
  const y1 = Math.min(height, Math.ceil(Math.max(from[1], to[1]) + radius) + 1);
  if (x0 >= x1 || y0 >= y1) return null;
  annotation.touch(x0, y0, x1, y1);
  const dx = to[0] - from[0], dy = to[1] - from[1];
  const length2 = dx * dx + dy * dy, r2 = radius * radius;
  const alone = Math.floor(to[1]) * width + Math.floor(to[0]); // the finest brush is one pixel
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const px = x + 0.5 - from[0], py = y + 0.5 - from[1];
      const t = length2 ? Math.max(0, Math.min(1, (px * dx + py * dy) / length2)) : 0;
      const ex = px - t * dx, ey = py - t * dy, i = y * width + x;
      if ((ex * ex + ey * ey <= r2 || i === alone) && labels[i] !== value && may(labels[i])) labels[i] = value;
    }
  }
  annotation.changed(x0, y0, x1, y1);
  return [x0, y0, x1, y1];
}

/** Fill what an outline of a cell encloses within a box; other cells inside stay. */
export function fillEnclosed(annotation, id, box) {
  const x0 = Math.max(0, box[0] - 1), y0 = Math.max(0, box[1] - 1);
  const x1 = Math.min(annotation.width, box[2] + 1), y1 = Math.min(annotation.height, box[3] + 1);
  const w = x1 - x0, h = y1 - y0;
  if (w * h > MOST_FLOODED) return;
  const value = (k) => annotation.labels[(y0 + Math.floor(k / w)) * annotation.width + x0 + (k % w)];
  const outside = new Uint8Array(w * h);
  const stack = [];
  const reach = (k) => {
    if (!outside[k] && value(k) !== id) {
      outside[k] = 1;
      stack.push(k);
    }
  };
  for (let x = 0; x < w; x++) reach(x), reach((h - 1) * w + x);
  for (let y = 0; y < h; y++) reach(y * w), reach(y * w + w - 1);
  while (stack.length) {
    const k = stack.pop(), x = k % w;
    if (x > 0) reach(k - 1);
    if (x < w - 1) reach(k + 1);
    if (k >= w) reach(k - w);
    if (k < w * (h - 1)) reach(k + w);
  }
  annotation.touch(x0, y0, x1, y1);
  for (let k = 0; k < w * h; k++) {
    if (outside[k] || isCell(value(k))) continue;
    annotation.labels[(y0 + Math.floor(k / w)) * annotation.width + x0 + (k % w)] = id;
  }
  annotation.changed(x0, y0, x1, y1);
}

/** Unmarked pixels in gaps of at most `GAP` px between two cells are background.
 *
 * Where cells lie close together, this is what the network has to learn, and nobody paints it. */
export function markGaps(annotation, box) {
  if (annotation.rest) return;
  const { width, height, labels } = annotation;
  const x0 = Math.max(0, box[0] - GAP), y0 = Math.max(0, box[1] - GAP);
  const x1 = Math.min(width, box[2] + GAP), y1 = Math.min(height, box[3] + GAP);
  const gaps = [];
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      if (labels[y * width + x] === NONE && liesBetween(annotation, x, y)) gaps.push(y * width + x);
    }
  }
  annotation.touch(x0, y0, x1, y1);
  for (const i of gaps) labels[i] = BACKGROUND;
  annotation.changed(x0, y0, x1, y1);
}

/** Whether the distances to the two nearest cells, along the axes, add up to no more than a gap. */
function liesBetween({ width, height, labels }, x, y) {
  let nearest = 0, d1 = GAP + 1, d2 = GAP + 1;
  for (let v = Math.max(0, y - GAP); v <= Math.min(height - 1, y + GAP); v++) {
    for (let u = Math.max(0, x - GAP); u <= Math.min(width - 1, x + GAP); u++) {
      const id = labels[v * width + u];
      if (id === NONE || id === BACKGROUND) continue;
      const d = Math.max(Math.abs(u - x), Math.abs(v - y));
      if (id === nearest) d1 = Math.min(d, d1);
      else if (d < d1) {
        if (nearest) d2 = d1;
        nearest = id;
        d1 = d;
      } else if (d < d2) d2 = d;
    }
  }
  return d1 + d2 <= GAP + 1;
}

/** The connected pixels of one value about (x, y), their box, and the cells around them. */
function flood(labels, width, height, x, y) {
  const start = y * width + x, value = labels[start];
  const seen = new Uint8Array(width * height);
  const pixels = [start], around = new Map();
  let x0 = x, y0 = y, x1 = x + 1, y1 = y + 1, touchesEdge = false;
  seen[start] = 1;
  for (let n = 0; n < pixels.length && n < MOST_FLOODED; n++) {
    const i = pixels[n], ix = i % width, iy = (i - ix) / width;
    if (ix < x0) x0 = ix;
    if (ix >= x1) x1 = ix + 1;
    if (iy < y0) y0 = iy;
    if (iy >= y1) y1 = iy + 1;
    if (ix === 0 || iy === 0 || ix === width - 1 || iy === height - 1) touchesEdge = true;
    for (const [j, isInside] of [[i - 1, ix > 0], [i + 1, ix < width - 1], [i - width, iy > 0], [i + width, iy < height - 1]]) {
      if (!isInside || seen[j]) continue;
      if (labels[j] === value) {
        seen[j] = 1;
        pixels.push(j);
      } else around.set(labels[j], (around.get(labels[j]) ?? 0) + 1);
    }
  }
  return { value, pixels, around, box: [x0, y0, x1, y1], touchesEdge };
}

function assign(annotation, region, value, may = () => true) {
  annotation.touch(...region.box);
  for (const i of region.pixels) if (may(annotation.labels[i])) annotation.labels[i] = value;
  annotation.changed(...region.box);
}

/** Fill: an enclosed hole goes to the cell around it, a cell to the selected one. Returns words or null. */
export function fillAt(annotation, x, y, selected) {
  const region = flood(annotation.labels, annotation.width, annotation.height, x, y);
  if (isCell(region.value)) {
    if (!selected || selected === region.value) return "Select another cell first (V): this one will join it.";
    assign(annotation, region, selected);
    return null;
  }
  if (region.touchesEdge) return "This is not enclosed by a cell: it reaches the edge of the image.";
  const cells = [...region.around].filter(([v]) => isCell(v)).sort((a, b) => b[1] - a[1]);
  if (!cells.length) return "There is no cell around this.";
  assign(annotation, region, cells[0][0]);
  return null;
}

/** Take away a whole cell. */
export function removeCell(annotation, id) {
  const { labels, width, height } = annotation;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (labels[y * width + x] !== id) continue;
      annotation.touch(x, y, x + 1, y + 1);
      labels[y * width + x] = annotation.empty;
    }
  }
  annotation.changed(0, 0, width, height);
}

/** Copy the segmented cell under a point as a new cell; its id, or 0. */
export function acceptAt(annotation, prediction, x, y) {
  const px = x - prediction.x, py = y - prediction.y;
  if (px < 0 || py < 0 || px >= prediction.width || py >= prediction.height) return 0;
  if (!prediction.labels[py * prediction.width + px]) return 0;
  const region = flood(prediction.labels, prediction.width, prediction.height, px, py);
  const id = annotation.newId();
  const there = inImage(annotation, prediction, region);
  assign(annotation, there, id, (v) => !isCell(v));
  markGaps(annotation, there.box);
  return id;
}

function inImage(annotation, prediction, region) {
  const move = (i) => {
    const x = i % prediction.width;
    return ((i - x) / prediction.width + prediction.y) * annotation.width + x + prediction.x;
  };
  const [x0, y0, x1, y1] = region.box;
  const { x, y } = prediction;
  return { pixels: region.pixels.map(move), box: [x0 + x, y0 + y, x1 + x, y1 + y] };
}

/** Copy every segmented cell of which little is painted yet; how many.
 *
 * What somebody marked as background stays, unless all the rest counts as such. */
export function acceptAll(annotation, prediction) {
  const { labels, width, rest } = annotation;
  const sizes = new Map(), taken = new Map();
  const each = (act) => {
    for (let y = 0; y < prediction.height; y++) {
      for (let x = 0; x < prediction.width; x++) {
        const q = prediction.labels[y * prediction.width + x];
        if (q) act(q, (y + prediction.y) * width + x + prediction.x);
      }
    }
  };
  const isFree = (v) => v === NONE || (rest && v === BACKGROUND);
  each((q, i) => {
    sizes.set(q, (sizes.get(q) ?? 0) + 1);
    if (!isFree(labels[i])) taken.set(q, (taken.get(q) ?? 0) + 1);
  });
  const ids = new Map();
  for (const [q, size] of sizes) if ((taken.get(q) ?? 0) < 0.3 * size) ids.set(q, annotation.newId());
  annotation.touch(prediction.x, prediction.y, prediction.x + prediction.width, prediction.y + prediction.height);
  each((q, i) => {
    if (ids.has(q) && isFree(labels[i])) labels[i] = ids.get(q);
  });
  markGaps(annotation, [prediction.x, prediction.y, prediction.x + prediction.width, prediction.y + prediction.height]);
  return ids.size;
}

export { isCell };

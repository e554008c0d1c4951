// What lies over the image: the annotation in colours, the segmentation as amber outlines.
//
// One canvas per tile and zoom level, painted again only where pixels changed.

import { BACKGROUND, NONE } from "./annotation.js";

const TILE = 512;
const MOST_TILES = 160;
const BUDGET_MS = 6;

const N_COLOURS = 512;
const FILL = 0x66, EDGE = 0xff;
const COLOURS = Uint32Array.from({ length: N_COLOURS }, (_, k) => colourOf(k));
const BACKGROUND_TINT = rgba(110, 160, 255, 0x2e);
const BACKGROUND_STRIPE = rgba(120, 170, 255, 0x80); // on what was painted by hand
const STRIPES = 8; // px of a tile
const SELECTED_EDGE = rgba(255, 255, 255, 0xff);
const PREDICTED_EDGE = rgba(255, 190, 70, 0xf0);
const PREDICTED_FILL = rgba(255, 190, 70, 0x24);

function rgba(r, g, b, a) {
  return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** Hues by the golden angle, so that cells that follow each other differ; amber is left out. */
function colourOf(k) {
  const hue = (80 + ((k * 137.508) % 300)) % 360;
  const light = 0.6 + 0.08 * ((k % 3) - 1);
  const f = (n) => {
    const a = (n + hue / 30) % 12;
    return Math.round(255 * (light - 0.75 * Math.min(light, 1 - light) * Math.max(-1, Math.min(a - 3, 9 - a, 1))));
  };
  return rgba(f(0), f(8), f(4), 0);
}

export class Overlay {
  constructor(annotation) {
    this.annotation = annotation;
    this.prediction = null;
    this.showPrediction = true;
    this.selected = 0;
    this.tiles = new Map();
  }

  setPrediction(prediction) {
    this.prediction = prediction;
    this.invalidate(0, 0, this.annotation.width, this.annotation.height);
  }

  setShown(shown) {
    if (shown === this.showPrediction) return;
    this.showPrediction = shown;
    this.invalidate(0, 0, this.annotation.width, this.annotation.height);
  }

  select(id) {
    if (id === this.selected) return;
    this.selected = id;
    this.invalidate(0, 0, this.annotation.width, this.annotation.height);
  }

  /** Pixels of this box (end exclusive) must be painted again. */
  invalidate(x0, y0, x1, y1) {
    for (const tile of this.tiles.values()) {
      const k = tile.level;
      const left = Math.max((x0 >> k) - 1 - tile.x, 0), top = Math.max((y0 >> k) - 1 - tile.y, 0);
      const right = Math.min(((x1 - 1) >> k) + 2 - tile.x, tile.width);
      const bottom = Math.min(((y1 - 1) >> k) + 2 - tile.y, tile.height);
      if (left >= right || top >= bottom) continue;
      const d = tile.dirty;
      tile.dirty = d
        ? [Math.min(d[0], left), Math.min(d[1], top), Math.max(d[2], right), Math.max(d[3], bottom)]
        : [left, top, right, bottom];
    }
  }

  /** A canvas to draw, or null where there is nothing; `late()` says whether time is up. */
  get(level, row, column, frame, late) {
    const key = `${level}/${row}/${column}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = this.make(level, row, column);
      this.tiles.set(key, tile);
      this.forgetOld();
    }
    tile.frame = frame;
    if (tile.dirty) {
      const small = (tile.dirty[2] - tile.dirty[0]) * (tile.dirty[3] - tile.dirty[1]) < 40000;
      if (small || !late()) this.paint(tile);
    }
    return { canvas: tile.painted && !tile.isEmpty ? tile.canvas : null, isLate: Boolean(tile.dirty) };
  }

  make(level, row, column) {
    const size = (n, k) => Math.min(TILE, Math.ceil(n / 2 ** level) - k * TILE);
    const width = size(this.annotation.width, column), height = size(this.annotation.height, row);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    return {
      level, width, height, canvas, context, x: column * TILE, y: row * TILE,
      dirty: [0, 0, width, height], painted: false, isEmpty: true, frame: 0,
    };
  }

  paint(tile) {
    const [x0, y0, x1, y1] = tile.dirty;
    const w = x1 - x0, h = y1 - y0;
    const picture = tile.context.createImageData(w, h);
    const out = new Uint32Array(picture.data.buffer);
    const any = this.colours(tile, x0, y0, w, h, out);
    tile.context.putImageData(picture, x0, y0);
    tile.isEmpty = !any && (tile.isEmpty || w * h === tile.width * tile.height);
    tile.dirty = null;
    tile.painted = true;
  }

  colours(tile, x0, y0, w, h, out) {
    const { labels, width, height, rest } = this.annotation;
    const k = tile.level, step = 1 << k, half = step >> 1;
    const p = this.showPrediction ? this.prediction : null;
    const inside = p && p.x < (tile.x + x0 + w) << k && p.x + p.width > (tile.x + x0) << k
      && p.y < (tile.y + y0 + h) << k && p.y + p.height > (tile.y + y0) << k;
    let any = false;
    for (let y = 0; y < h; y++) {
      const iy = Math.min(((tile.y + y0 + y) << k) + half, height - 1);
      const up = iy >= step ? -step * width : 0, down = iy + step < height ? step * width : 0;
      for (let x = 0; x < w; x++) {
        const ix = Math.min(((tile.x + x0 + x) << k) + half, width - 1);
        const i = iy * width + ix;
        const id = labels[i];
        let colour = 0;
        if (id !== NONE) {
          if (id === BACKGROUND) {
            const isStripe = !rest && (x0 + x + y0 + y) % STRIPES < 2;
            colour = isStripe ? BACKGROUND_STRIPE : BACKGROUND_TINT;
          }
          else {
            const left = ix >= step ? step : 0, right = ix + step < width ? step : 0;
            const edge = labels[i - left] !== id || labels[i + right] !== id
              || labels[i + up] !== id || labels[i + down] !== id;
            colour = edge && id === this.selected
              ? SELECTED_EDGE
              : (COLOURS[id % N_COLOURS] | ((edge ? EDGE : FILL) << 24)) >>> 0;
          }
        }
        if (inside && (id === NONE || id === BACKGROUND || colour >>> 24 === FILL)) {
          const py = iy - p.y, px = ix - p.x;
          if (py >= 0 && px >= 0 && py < p.height && px < p.width) {
            const j = py * p.width + px, q = p.labels[j];
            if (q) {
              const edge = (px >= step && p.labels[j - step] !== q)
                || (px + step < p.width && p.labels[j + step] !== q)
                || (py >= step && p.labels[j - step * p.width] !== q)
                || (py + step < p.height && p.labels[j + step * p.width] !== q);
              if (edge) colour = PREDICTED_EDGE;
              else if (id === NONE || (rest && id === BACKGROUND)) colour = PREDICTED_FILL;
            }
          }
        }
        if (colour) {
          out[y * w + x] = colour;
          any = true;
        }
      }
    }
    return any;
  }

  forgetOld() {
    if (this.tiles.size <= MOST_TILES) return;
    const old = [...this.tiles.entries()].sort((a, b) => a[1].frame - b[1].frame);
    for (const [key] of old.slice(0, this.tiles.size - MOST_TILES)) this.tiles.delete(key);
  }
}

/** A function that says whether this frame's time for painting tiles is used up. */
export function frameBudget() {
  const end = performance.now() + BUDGET_MS;
  return () => performance.now() > end;
}

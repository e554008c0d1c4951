// Pan, zoom, and drawing: tiles of the image, over them those of the overlay.

import { frameBudget } from "./overlay.js";

const LARGEST = 40; // screen pixels per image pixel

export class View {
  /** `moved()` is called when another part of the image is shown. */
  constructor(canvas, moved) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.moved = moved;
    this.tiles = null;
    this.overlay = null;
    this.opacity = 0.8;
    this.scale = 1; // CSS pixels per image pixel
    this.x = 0; // image position at the left and upper edge of the canvas
    this.y = 0;
    this.frame = 0;
    this.asked = false;
    this.isFitted = true;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  open(tiles, overlay) {
    this.tiles = tiles;
    this.overlay = overlay;
    this.fit();
  }

  /** Another plane of the same image: what is in sight stays. */
  showPlane(plane, overlay) {
    this.tiles.setPlane(plane);
    this.overlay = overlay;
    this.moved();
    this.redraw();
  }

  resize() {
    this.ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * this.ratio));
    if (this.isFitted && this.tiles) this.fit();
    this.draw(); // at once: a resized canvas is empty
  }

  get fitting() {
    const { width, height } = this.tiles.info;
    return Math.min(this.width / width, this.height / height) * 0.96;
  }

  fit() {
    const { width, height } = this.tiles.info;
    this.scale = this.fitting;
    this.x = (width - this.width / this.scale) / 2;
    this.y = (height - this.height / this.scale) / 2;
    this.changed();
    this.isFitted = true;
  }

  /** Zoom by a factor; the image stays put under the point (CSS pixels of the canvas). */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    if (!this.tiles) return;
    const scale = Math.min(LARGEST, Math.max(Math.min(this.fitting, 1) / 2, this.scale * factor));
    this.x += px / this.scale - px / scale;
    this.y += py / this.scale - py / scale;
    this.scale = scale;
    this.changed();
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.changed();
  }

  changed() {
    if (!this.tiles) return;
    this.isFitted = false;
    // some of the image always stays in sight
    const { width, height } = this.tiles.info;
    const inX = this.width / this.scale, inY = this.height / this.scale;
    this.x = Math.min(Math.max(this.x, -0.8 * inX), width - 0.2 * inX);
    this.y = Math.min(Math.max(this.y, -0.8 * inY), height - 0.2 * inY);
    this.moved();
    this.redraw();
  }

  toImage(px, py) {
    return [this.x + px / this.scale, this.y + py / this.scale];
  }

  /** What is in sight, in image pixels. */
  inSight() {
    return {
      x: Math.floor(this.x),
      y: Math.floor(this.y),
      width: Math.max(1, Math.ceil(this.width / this.scale)),
      height: Math.max(1, Math.ceil(this.height / this.scale)),
    };
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const context = this.context;
    this.frame++;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0d0f12";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.tiles) return;
    const scale = this.scale * this.ratio; // canvas pixels per image pixel
    const level = Math.max(0, Math.min(this.tiles.info.n_levels - 1, Math.floor(Math.log2(1 / scale) + 0.01)));
    context.imageSmoothingEnabled = scale < 2;
    context.imageSmoothingQuality = "low";
    if (!this.drawImage(level, scale)) {
      // something is missing: the plane before, coarser tiles on it, then what there is
      this.eachTile(level, (row, column, box) => {
        const canvas = this.tiles.getBefore(level, row, column);
        if (canvas) this.place(canvas, box, scale);
      });
      for (let k = this.tiles.info.n_levels - 1; k >= level; k--) this.drawImage(k, scale, true);
    }
    context.globalAlpha = this.opacity;
    const late = frameBudget();
    let isLate = false;
    this.eachTile(level, (row, column, box) => {
      const drawn = this.overlay.get(level, row, column, this.frame, late);
      isLate ||= drawn.isLate;
      if (drawn.canvas) this.place(drawn.canvas, box, scale);
    });
    context.globalAlpha = 1;
    if (isLate) this.redraw();
  }

  /** Draw the tiles of a level; false when not all of them are here. */
  drawImage(level, scale, partly = false) {
    const found = [];
    let complete = true;
    this.eachTile(level, (row, column, box) => {
      const canvas = this.tiles.get(level, row, column, this.frame);
      if (canvas) found.push([canvas, box]);
      else complete = false;
    });
    if (complete || partly) for (const [canvas, box] of found) this.place(canvas, box, scale);
    return complete;
  }

  eachTile(level, act) {
    const { width, height, tile_px } = this.tiles.info;
    const side = tile_px * 2 ** level;
    const sight = this.inSight();
    const end = (start, size, n) => Math.min(Math.floor((start + size) / side), Math.ceil(n / side) - 1);
    for (let row = Math.max(0, Math.floor(sight.y / side)); row <= end(sight.y, sight.height, height); row++) {
      for (let column = Math.max(0, Math.floor(sight.x / side)); column <= end(sight.x, sight.width, width); column++) {
        act(row, column, { x: column * side, y: row * side, step: 2 ** level });
      }
    }
  }

  /** Edges on whole canvas pixels, so that no seam shows between tiles. */
  place(canvas, box, scale) {
    const left = Math.round((box.x - this.x) * scale), top = Math.round((box.y - this.y) * scale);
    const right = Math.round((box.x + canvas.width * box.step - this.x) * scale);
    const bottom = Math.round((box.y + canvas.height * box.step - this.y) * scale);
    this.context.drawImage(canvas, left, top, right - left, bottom - top);
  }
}

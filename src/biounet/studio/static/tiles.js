// The image as tiles: raw grey values from the server, stretched to the contrast here.

import { getBytes, Problem } from "./server.js";

const MOST_TILES = 200;
const MOST_REQUESTS = 8;

export class Tiles {
  /** `arrived()` is called when there is something new to draw. */
  constructor(info, arrived, failed) {
    this.info = info;
    this.arrived = arrived;
    this.failed = failed;
    this.tiles = new Map();
    this.wanted = [];
    this.n_requests = 0;
    this.stretch = 0;
    this.channel = 0;
    this.plane = 0;
    this.planeBefore = 0; // shown until the new one is here
    this.closing = new AbortController();
    this.setContrast(0, 1);
  }

  close() {
    this.closing.abort();
    this.tiles.clear();
    this.wanted = [];
  }

  setChannel(channel) {
    this.channel = channel;
    this.tiles.clear();
  }

  setPlane(plane) {
    this.planeBefore = this.plane;
    this.plane = plane;
  }

  setContrast(low, high) {
    const values = new Uint8ClampedArray(this.info.limit);
    const factor = 255 / Math.max(high - low, 1);
    for (let v = 0; v < values.length; v++) values[v] = (v - low) * factor;
    this.values = values;
    this.stretch++;
  }

  levelSize(level) {
    const half = (n) => {
      for (let k = 0; k < level; k++) n = Math.ceil(n / 2);
      return n;
    };
    return [half(this.info.width), half(this.info.height)];
  }

  /** The tile if it is here, else null; it is asked for then. */
  get(level, row, column, frame) {
    const plane = this.plane, key = `${plane}/${level}/${row}/${column}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = { key, plane, level, row, column, raw: null, canvas: null, stretch: -1, frame };
      this.tiles.set(key, tile);
      this.wanted.push(tile);
      this.request();
    }
    tile.frame = frame;
    if (!tile.raw) return null;
    if (tile.stretch !== this.stretch) this.paint(tile);
    return tile.canvas;
  }

  /** The tile of the plane before, if it is here. */
  getBefore(level, row, column) {
    const tile = this.tiles.get(`${this.planeBefore}/${level}/${row}/${column}`);
    if (!tile?.raw) return null;
    if (tile.stretch !== this.stretch) this.paint(tile);
    return tile.canvas;
  }

  request() {
    while (this.n_requests < MOST_REQUESTS && this.wanted.length) {
      this.wanted.sort((a, b) => a.frame - b.frame); // what was looked at last comes first
      const tile = this.wanted.pop();
      if (this.tiles.get(tile.key) !== tile) continue;
      this.n_requests++;
      this.fetch(tile).finally(() => {
        this.n_requests--;
        this.request();
      });
    }
  }

  async fetch(tile) {
    const { name, tile_px, n_bits, is_colour } = this.info;
    const where = { name, plane: tile.plane, level: tile.level, row: tile.row, column: tile.column };
    if (!is_colour) where.channel = this.channel;
    try {
      const { bytes } = await getBytes("api/tile", where, this.closing.signal);
      const [width, height] = this.levelSize(tile.level);
      tile.width = Math.min(tile_px, width - tile.column * tile_px);
      tile.height = Math.min(tile_px, height - tile.row * tile_px);
      tile.raw = n_bits === 8 ? new Uint8Array(bytes) : new Uint16Array(bytes);
      this.forgetOld();
      this.arrived();
    } catch (error) {
      this.tiles.delete(tile.key);
      if (!this.closing.signal.aborted && error instanceof Problem) this.failed(error.message);
    }
  }

  paint(tile) {
    const { width, height, raw } = tile;
    if (!tile.canvas) {
      tile.canvas = document.createElement("canvas");
      tile.canvas.width = width;
      tile.canvas.height = height;
      tile.context = tile.canvas.getContext("2d", { alpha: false });
    }
    const picture = tile.context.createImageData(width, height);
    const out = new Uint32Array(picture.data.buffer);
    const n = width * height, values = this.values;
    if (this.info.is_colour) {
      for (let k = 0; k < n; k++) {
        out[k] = 0xff000000 | (values[raw[2 * n + k]] << 16) | (values[raw[n + k]] << 8) | values[raw[k]];
      }
    } else {
      for (let k = 0; k < n; k++) out[k] = 0xff000000 | (values[raw[k]] * 0x010101);
    }
    tile.context.putImageData(picture, 0, 0);
    tile.stretch = this.stretch;
  }

  forgetOld() {
    if (this.tiles.size <= MOST_TILES) return;
    const old = [...this.tiles.values()].filter((t) => t.raw).sort((a, b) => a.frame - b.frame);
    for (const tile of old.slice(0, this.tiles.size - MOST_TILES)) this.tiles.delete(tile.key);
  }
}

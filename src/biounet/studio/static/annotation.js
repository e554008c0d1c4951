// The labels of the open image: painted here at once, then saved on the server stroke by stroke.
//
// Every tool comes down to patches: boxes of pixels with their values before and after. They are
// what is undone, what is sent, and what is put on top again when another tab was faster.

import { getBytes, post, Problem } from "./server.js";

export const NONE = 65535; // not annotated
export const KEEP = 65534; // in a patch: stays as it is
export const BACKGROUND = 0;
const LAST_ID = 65533;
const BLOCK = 128;
const MOST_UNDO_BYTES = 2 ** 27;
const RETRY_MS = 3000;

export class Annotation {
  /** `changed(x0, y0, x1, y1)` is called after pixels changed, `told(state)` when saving goes on. */
  constructor(info, plane, changed, told) {
    this.name = info.name;
    this.plane = plane;
    this.width = info.width;
    this.height = info.height;
    this.changed = changed;
    this.told = told;
    this.labels = new Uint16Array(this.width * this.height);
    this.version = 0;
    this.rest = false;
    this.lastId = 0;
    this.savedId = 0; // the largest id that the server knows, in all planes
    this.undone = [];
    this.done = [];
    this.pending = [];
    this.nSent = 0;
    this.saving = null;
    this.snapshot = null;
    this.closed = false;
    this.problem = null;
  }

  /** Read it from the server, if it changed there; strokes not yet saved are put on top. */
  async load() {
    const { bytes, about } = await getBytes("api/labels", {
      name: this.name, plane: this.plane, known: this.version,
    });
    const before = this.savedId;
    this.rest = about.rest_is_background;
    this.savedId = about.last_id;
    this.lastId = Math.max(this.lastId, this.savedId);
    if (about.version === this.version) return;
    this.labels = new Uint16Array(bytes);
    this.version = about.version;
    this.lastId = this.savedId;
    this.done = [];
    this.undone = [];
    this.snapshot = null;
    const shift = this.savedId - before;
    for (const patch of this.pending) {
      // a cell that was new here may have got its number elsewhere meanwhile
      if (shift > 0) patch.after = patch.after.map((v) => (v > before && v <= LAST_ID ? v + shift : v));
      if (this.rest) patch.after = patch.after.map((v) => (v === NONE ? BACKGROUND : v));
      this.write(patch, "after");
    }
    if (this.pending.length) this.lastId = Math.max(this.savedId, this.findLastId());
    this.changed(0, 0, this.width, this.height);
  }

  findLastId() {
    let last = 0;
    for (const v of this.labels) if (v > last && v <= LAST_ID) last = v;
    return last;
  }

  /** The value of pixels that nobody marked. */
  get empty() {
    return this.rest ? BACKGROUND : NONE;
  }

  at(x, y) {
    return x < 0 || y < 0 || x >= this.width || y >= this.height ? NONE : this.labels[y * this.width + x];
  }

  newId() {
    if (this.lastId >= LAST_ID) throw new Error(`No more than ${LAST_ID} cells in one image.`);
    return ++this.lastId;
  }

  begin() {
    this.snapshot = new Map();
  }

  /** To be called before pixels of a box are written (end exclusive). */
  touch(x0, y0, x1, y1) {
    const perRow = Math.ceil(this.width / BLOCK);
    for (let by = Math.floor(y0 / BLOCK); by * BLOCK < y1; by++) {
      for (let bx = Math.floor(x0 / BLOCK); bx * BLOCK < x1; bx++) {
        const key = by * perRow + bx;
        if (this.snapshot.has(key)) continue;
        const box = {
          x: bx * BLOCK,
          y: by * BLOCK,
          width: Math.min(BLOCK, this.width - bx * BLOCK),
          height: Math.min(BLOCK, this.height - by * BLOCK),
        };
        box.before = new Uint16Array(box.width * box.height);
        for (let y = 0; y < box.height; y++) {
          const from = (box.y + y) * this.width + box.x;
          box.before.set(this.labels.subarray(from, from + box.width), y * box.width);
        }
        this.snapshot.set(key, box);
      }
    }
  }

  /** End a stroke: remember it for undo, and save it. False when it changed nothing. */
  commit() {
    const patches = [...(this.snapshot?.values() ?? [])].map((b) => this.difference(b)).filter(Boolean);
    this.snapshot = null;
    if (!patches.length) return false;
    this.done.push(patches);
    this.undone = [];
    this.forgetOld();
    this.send(patches);
    return true;
  }

  /** Take back a stroke that has not ended. */
  cancel() {
    for (const box of this.snapshot?.values() ?? []) this.write(box, "before");
    this.snapshot = null;
  }

  difference(box) {
    let x0 = box.width, y0 = box.height, x1 = -1, y1 = -1;
    for (let y = 0; y < box.height; y++) {
      const row = (box.y + y) * this.width + box.x;
      for (let x = 0; x < box.width; x++) {
        if (this.labels[row + x] === box.before[y * box.width + x]) continue;
        if (x < x0) x0 = x;
        if (x > x1) x1 = x;
        if (y < y0) y0 = y;
        y1 = y;
      }
    }
    if (x1 < 0) return null;
    const width = x1 - x0 + 1, height = y1 - y0 + 1;
    const before = new Uint16Array(width * height).fill(KEEP);
    const after = before.slice();
    for (let y = 0; y < height; y++) {
      const row = (box.y + y0 + y) * this.width + box.x + x0;
      for (let x = 0; x < width; x++) {
        const old = box.before[(y0 + y) * box.width + x0 + x];
        if (this.labels[row + x] === old) continue;
        before[y * width + x] = old;
        after[y * width + x] = this.labels[row + x];
      }
    }
    return { x: box.x + x0, y: box.y + y0, width, height, before, after };
  }

  write(patch, which) {
    const values = patch[which];
    for (let y = 0; y < patch.height; y++) {
      const row = (patch.y + y) * this.width + patch.x;
      for (let x = 0; x < patch.width; x++) {
        const value = values[y * patch.width + x];
        if (value !== KEEP) this.labels[row + x] = value === NONE ? this.empty : value;
      }
    }
    this.changed(patch.x, patch.y, patch.x + patch.width, patch.y + patch.height);
  }

  undo() {
    return this.replay(this.done, this.undone, "before");
  }

  redo() {
    return this.replay(this.undone, this.done, "after");
  }

  replay(from, to, which) {
    const patches = from.pop();
    if (!patches || this.snapshot) return false;
    to.push(patches);
    for (const patch of patches) this.write(patch, which);
    this.send(patches.map((p) => ({ ...p, after: this.rest ? p[which].map((v) => (v === NONE ? 0 : v)) : p[which] })));
    return true;
  }

  forgetOld() {
    const bytes = (patches) => patches.reduce((n, p) => n + 4 * p.width * p.height, 0);
    let total = this.done.reduce((n, patches) => n + bytes(patches), 0);
    while (total > MOST_UNDO_BYTES && this.done.length > 1) total -= bytes(this.done.shift());
  }

  send(patches) {
    this.nSent++;
    for (const patch of patches) this.pending.push({ ...patch, stroke: this.nSent });
    this.flush();
  }

  /** Save what waits; resolves when nothing waits any more, or saving has failed for now. */
  flush() {
    this.saving ??= this.saveAll().finally(() => {
      this.saving = null;
      this.tell();
    });
    this.tell();
    return this.saving;
  }

  async saveAll() {
    clearTimeout(this.retry);
    while (this.pending.length && !this.closed) {
      const sent = this.pending.slice(0, 1000);
      try {
        const { version } = await post("api/strokes", {
          name: this.name,
          plane: this.plane,
          version: this.version,
          known_id: this.savedId,
          patches: await Promise.all(sent.map(packed)),
        });
        this.version = version;
        this.pending.splice(0, sent.length);
        this.problem = null;
        for (const patch of sent) {
          for (const v of patch.after) if (v > this.savedId && v <= LAST_ID) this.savedId = v;
        }
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        try {
          if (error.status !== 409) throw error;
          await this.reload();
        } catch (failure) {
          this.problem = failure.message;
          this.retry = setTimeout(() => this.flush(), RETRY_MS);
          return;
        }
      }
      this.tell();
    }
  }

  async reload() {
    if (this.snapshot) this.commit();
    const own = this.pending.length > 0;
    this.version = 0; // whatever the server has, with the ids that it gave
    await this.load();
    this.told({ kind: "outdated", own });
  }

  tell() {
    const waiting = new Set(this.pending.map((patch) => patch.stroke)).size;
    this.told({ kind: this.problem ? "failed" : waiting ? "saving" : "saved", waiting, problem: this.problem });
  }

  /** Whether unmarked pixels count as background. */
  async setRest(isBackground) {
    await this.flush();
    await post("api/rest", {
      name: this.name, plane: this.plane, version: this.version, is_background: isBackground,
    });
    this.version = 0;
    await this.load();
  }
}

async function packed(patch) {
  const stream = new Blob([patch.after]).stream().pipeThrough(new CompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let text = "";
  for (let k = 0; k < bytes.length; k += 4096) text += String.fromCharCode(...bytes.subarray(k, k + 4096));
  return { y: patch.y, x: patch.x, height: patch.height, width: patch.width, pixels: btoa(text) };
}

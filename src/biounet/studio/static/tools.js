// The tools, and how pointer, pen, fingers and wheel drive them.

import { BACKGROUND, NONE } from "./annotation.js";
import { acceptAt, fillAt, fillEnclosed, isCell, markGaps, paintSegment } from "./painting.js";

// drawn on 24 x 24, strokes only
export const TOOLS = [
  { id: "new", key: "n", name: "New cell", tip: "Each stroke is a new cell; closed outlines are filled, narrow gaps between cells become background",
    icon: "M12 4a7 7 0 1 0 7 7 M19 3v6 M16 6h6" },
  { id: "add", key: "a", name: "Add", tip: "Paint on the cell in which the stroke begins",
    icon: "M4 20c3 0 4-1 4-3a2.5 2.5 0 0 1 4 2c0 2-3 3-8 1 M11 15l8.5-9.5a1.8 1.8 0 0 1 2.5 2.5L13 17" },
  { id: "erase", key: "e", name: "Erase", tip: "Back to not annotated",
    icon: "M8 20l-5-5 10-10a2 2 0 0 1 3 0l4 4a2 2 0 0 1 0 3l-8 8z M8 10l8 7 M8 20h12" },
  { id: "background", key: "g", name: "Backgr.", tip: "Paint what is no cell",
    icon: "M4 4h16v16H4z M4 11l7-7 M4 18L18 4 M9 20L20 9 M16 20l4-4" },
  { id: "fill", key: "f", name: "Fill", tip: "Fill an enclosed hole; on a cell: join it to the selected one",
    icon: "M5 11l7-7 8 8-7 7a2 2 0 0 1-3 0l-5-5a2 2 0 0 1 0-3z M5 12h15 M21 16c1 2 1 4 0 4s-1-2 0-4" },
  { id: "accept", key: "t", name: "Accept", tip: "Take the segmented cell under the pointer into the annotation",
    icon: "M4 12l5 6L20 5" },
  { id: "select", key: "v", name: "Select", tip: "Select a cell: Delete removes it",
    icon: "M6 3l12 10-6 1 4 6-3 1-3-6-4 4z" },
  { id: "move", key: "h", name: "Move", tip: "Drag the image; also: space, middle button, two fingers",
    icon: "M12 3v18 M3 12h18 M12 3l-3 3 M12 3l3 3 M12 21l-3-3 M12 21l3-3 M3 12l3-3 M3 12l3 3 M21 12l-3-3 M21 12l-3 3" },
];

const PAINTS = new Set(["new", "add", "erase", "background"]);

export class Hand {
  /** `page` has: view, annotation, overlay, select(id), say(words). */
  constructor(canvas, ring, page) {
    this.canvas = canvas;
    this.ring = ring;
    this.page = page;
    this.tool = "new";
    this.radius = 6;
    this.isSpaceDown = false;
    this.hasPen = false;
    this.fingers = new Map();
    this.stroke = null;
    this.drag = null;
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointercancel", (e) => this.cancel(e));
    canvas.addEventListener("pointerleave", () => this.showRing(null));
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
  }

  setTool(tool) {
    this.finish();
    this.tool = tool;
    this.canvas.dataset.tool = tool;
    this.showRing(this.last);
  }

  setRadius(radius) {
    this.radius = radius;
    this.showRing(this.last);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    const { view, annotation } = this.page;
    if (!annotation) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.point(event);
    if (event.pointerType === "pen") this.hasPen = true;
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, at);
      if (this.fingers.size > 1) {
        this.takeBack(); // the first finger was the beginning of a pinch
        this.drag = null;
        return;
      }
    }
    const moves = this.tool === "move" || this.isSpaceDown || event.button === 1
      || (event.pointerType === "touch" && this.hasPen);
    if (moves) {
      this.drag = at;
      this.canvas.classList.add("dragging");
      return;
    }
    if (event.button !== 0 && event.button !== 5) return;
    const [x, y] = view.toImage(...at);
    if (PAINTS.has(this.tool)) this.begin(x, y, event.button === 5 ? "erase" : this.tool);
    else this.click(Math.floor(x), Math.floor(y));
  }

  begin(x, y, tool) {
    const page = this.page, annotation = page.annotation;
    const under = annotation.at(Math.floor(x), Math.floor(y));
    let value, may;
    if (tool === "erase") {
      value = annotation.empty;
      may = () => true;
    } else if (tool === "background") {
      value = BACKGROUND;
      may = (v) => v === NONE;
    } else {
      if (tool === "add" && isCell(under)) value = under;
      else if (tool === "add" && page.overlay.selected) value = page.overlay.selected;
      else {
        try {
          value = annotation.newId();
        } catch (error) {
          page.say(error.message);
          return;
        }
      }
      may = (v) => !isCell(v);
      page.select(value);
    }
    annotation.begin();
    this.stroke = { tool, value, may, last: [x, y], box: null };
    this.paint([x, y]);
  }

  paint(to) {
    const s = this.stroke;
    const box = paintSegment(this.page.annotation, s.last, to, this.radius - 0.5, s.value, s.may);
    s.last = to;
    if (box) {
      const b = s.box ?? box;
      s.box = [Math.min(b[0], box[0]), Math.min(b[1], box[1]), Math.max(b[2], box[2]), Math.max(b[3], box[3])];
    }
    this.page.view.redraw();
  }

  move(event) {
    const at = this.point(event);
    this.last = at;
    this.showRing(event.pointerType === "touch" ? null : at);
    if (event.pointerType === "touch" && this.fingers.size > 1) return this.pinch(event.pointerId, at);
    if (this.drag) {
      this.page.view.pan(at[0] - this.drag[0], at[1] - this.drag[1]);
      this.drag = at;
    } else if (this.stroke) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const e of events.length ? events : [event]) this.paint(this.page.view.toImage(...this.point(e)));
    }
  }

  pinch(id, at) {
    const old = [...this.fingers.values()];
    this.fingers.set(id, at);
    const now = [...this.fingers.values()];
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
    const [from, to] = [middle(old), middle(now)];
    this.page.view.pan(to[0] - from[0], to[1] - from[1]);
    this.page.view.zoom(apart(now) / apart(old), ...to);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    this.drag = null;
    this.canvas.classList.remove("dragging");
    this.finish();
  }

  cancel(event) {
    this.fingers.delete(event.pointerId);
    this.drag = null;
    this.finish(); // what was painted stays
  }

  finish() {
    const s = this.stroke, { annotation } = this.page;
    this.stroke = null;
    if (!s || !annotation.snapshot) return;
    if ((s.tool === "new" || s.tool === "add") && s.box) {
      fillEnclosed(annotation, s.value, s.box);
      markGaps(annotation, s.box);
    }
    annotation.commit();
    this.page.view.redraw();
    this.page.painted();
  }

  takeBack() {
    if (!this.stroke) return;
    this.stroke = null;
    this.page.annotation.cancel();
    this.page.view.redraw();
  }

  click(x, y) {
    const { annotation, overlay } = this.page;
    if (x < 0 || y < 0 || x >= annotation.width || y >= annotation.height) return;
    const under = annotation.at(x, y);
    if (this.tool === "select") return this.page.select(isCell(under) ? under : 0);
    annotation.begin();
    let words = null;
    try {
      if (this.tool === "fill") words = fillAt(annotation, x, y, overlay.selected);
      else {
        const id = overlay.prediction ? acceptAt(annotation, overlay.prediction, x, y) : 0;
        if (id) this.page.select(id);
        else words = "There is no segmented cell here.";
      }
    } catch (error) {
      words = error.message;
    }
    if (words) this.page.say(words);
    annotation.commit();
    this.page.view.redraw();
    this.page.painted();
  }

  wheel(event) {
    event.preventDefault();
    const { view } = this.page;
    const unit = event.deltaMode === 1 ? 20 : 1;
    if (event.altKey) return this.page.turn(Math.sign(event.deltaY));
    if (event.shiftKey) return view.pan(-(event.deltaX || event.deltaY) * unit, 0);
    const strength = event.ctrlKey ? 0.01 : 0.0018;
    const delta = Math.max(-200, Math.min(200, event.deltaY * unit));
    view.zoom(Math.exp(-delta * strength), ...this.point(event));
    this.showRing(this.last);
    return undefined;
  }

  showRing(at) {
    const shown = at && PAINTS.has(this.tool) && !this.isSpaceDown && this.page.annotation;
    this.ring.hidden = !shown;
    if (!shown) return;
    const side = Math.max(3, (2 * this.radius - 1) * this.page.view.scale);
    this.ring.style.width = this.ring.style.height = `${side}px`;
    this.ring.style.transform = `translate(${at[0] - side / 2}px, ${at[1] - side / 2}px)`;
  }
}

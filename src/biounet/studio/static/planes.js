// The slices of a stack: a slider for each of its axes, with marks where something is painted.

import { byId } from "./panel.js";

const MARKS_PX = 3, TRACK_PX = 1200;

export class Planes {
  /** `turned(plane)` is called when another slice is asked for. */
  constructor(turned) {
    this.turned = turned;
    this.sizes = [];
    this.sliders = [];
    this.painted = new Set();
  }

  open(info, plane) {
    this.sizes = info.page_sizes;
    this.painted = new Set(info.annotated_planes);
    this.wanted = plane;
    byId("planes").hidden = !this.sizes.length;
    this.sliders = this.sizes.map((size, axis) => slider(info.page_axes[axis], size, () => this.moved()));
    byId("planes").replaceChildren(...this.sliders.map(({ row }) => row));
    this.show(plane);
  }

  /** The position along each axis; the last one runs fastest. */
  index(plane) {
    return this.sizes.map((size, axis) => {
      const inner = this.sizes.slice(axis + 1).reduce((n, one) => n * one, 1);
      return Math.floor(plane / inner) % size;
    });
  }

  show(plane) {
    this.wanted = plane;
    this.index(plane).forEach((position, axis) => {
      const { input, output } = this.sliders[axis];
      input.value = position;
      output.textContent = `${position + 1} / ${this.sizes[axis]}`;
    });
    this.drawMarks();
  }

  moved() {
    const plane = this.sliders.reduce((n, { input }, axis) => n * this.sizes[axis] + Number(input.value), 0);
    this.show(plane);
    this.turned(plane);
  }

  step(by) {
    if (!this.sizes.length) return;
    const [last] = this.sizes.slice(-1);
    const position = (this.wanted % last) + by;
    if (position < 0 || position >= last) return;
    this.show(this.wanted + by);
    this.turned(this.wanted);
  }

  mark(plane, isPainted) {
    if (!this.sizes.length || this.painted.has(plane) === isPainted) return;
    if (isPainted) this.painted.add(plane);
    else this.painted.delete(plane);
    this.drawMarks();
  }

  /** Which positions of each axis hold something painted, the others being as they are. */
  drawMarks() {
    const here = this.index(this.wanted);
    this.sliders.forEach(({ marks }, axis) => {
      const inner = this.sizes.slice(axis + 1).reduce((n, one) => n * one, 1);
      const context = marks.getContext("2d"), size = this.sizes[axis];
      context.clearRect(0, 0, marks.width, marks.height);
      context.fillStyle = "#3fb8a5";
      for (let k = 0; k < size; k++) {
        const plane = this.wanted + (k - here[axis]) * inner;
        const x = (size > 1 ? k / (size - 1) : 0) * (marks.width - MARKS_PX);
        if (this.painted.has(plane)) context.fillRect(x, 0, MARKS_PX, marks.height);
      }
    });
  }
}

function slider(name, size, moved) {
  const row = document.createElement("label"), words = document.createElement("span");
  const input = document.createElement("input"), output = document.createElement("output");
  const track = document.createElement("span"), marks = document.createElement("canvas");
  words.textContent = name;
  input.type = "range";
  input.min = 0;
  input.max = size - 1;
  input.dataset.axis = name;
  input.setAttribute("aria-label", `Position along ${name}`);
  input.addEventListener("input", moved);
  marks.width = TRACK_PX;
  marks.height = 4;
  marks.setAttribute("aria-hidden", "true");
  track.className = "track";
  track.append(input, marks);
  row.append(words, track, output);
  return { row, input, output, marks };
}

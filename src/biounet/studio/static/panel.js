// The panel on the right: contrast, loss, list of images.

const SVG_LEFT = 2, SVG_WIDTH = 236, SVG_HEIGHT = 56;

export const byId = (id) => document.getElementById(id);

/** Short words or numbers for a grey value. */
function grey(info, value) {
  const g = info.offset + info.scale * value;
  return Math.abs(g) >= 1000 || Number.isInteger(g) ? String(Math.round(g)) : g.toPrecision(3);
}

export class Contrast {
  constructor(changed) {
    this.changed = changed;
    this.info = null;
    for (const id of ["low", "high"]) byId(id).addEventListener("input", () => this.moved(id));
    byId("auto").addEventListener("click", () => this.set(...this.info.contrast[this.channel]));
    byId("full").addEventListener("click", () => this.set(0, this.info.limit - 1));
  }

  open(info, channel = 0) {
    this.info = info;
    this.channel = channel;
    byId("low").max = byId("high").max = info.limit - 1;
    const counts = info.is_colour
      ? info.histogram[0].map((_, k) => info.histogram.reduce((sum, one) => sum + one[k], 0))
      : info.histogram[channel];
    const most = Math.log1p(Math.max(...counts));
    const points = counts.map((n, k) => `L${k} ${40 - (38 * Math.log1p(n)) / most}`);
    byId("histogram").firstElementChild.setAttribute("d", `M0 40${points.join("")}L128 40Z`);
    const contrasts = info.is_colour ? info.contrast : [info.contrast[channel]];
    this.set(Math.min(...contrasts.map((c) => c[0])), Math.max(...contrasts.map((c) => c[1])));
  }

  moved(id) {
    let low = Number(byId("low").value), high = Number(byId("high").value);
    if (low >= high) {
      if (id === "low") high = Math.min(low + 1, this.info.limit - 1);
      else low = Math.max(high - 1, 0);
    }
    this.set(low, high);
  }

  set(low, high) {
    byId("low").value = low;
    byId("high").value = high;
    for (const [id, value] of [["low", low], ["high", high]]) {
      byId(`${id}-value`).textContent = grey(this.info, value);
      byId(id).setAttribute("aria-valuetext", grey(this.info, value));
    }
    const unit = 128 / this.info.limit;
    byId("window").setAttribute("x", low * unit);
    byId("window").setAttribute("width", Math.max(1, (high - low) * unit));
    this.changed(low, high);
  }
}

export class LossCurve {
  constructor() {
    this.points = [];
  }

  set(points) {
    this.points = points;
    this.draw();
  }

  add(step, loss) {
    if (this.points.length && step <= this.points.at(-1)[0]) this.points = [];
    this.points.push([step, loss]);
    if (this.points.length > 600) this.points = this.points.filter((_, k) => k % 2 || k > 500);
    this.draw();
  }

  draw() {
    const shown = this.points;
    byId("loss").hidden = shown.length < 2;
    if (shown.length < 2) return;
    const smooth = [];
    let mean = shown[0][1];
    for (const [, loss] of shown) smooth.push((mean += (loss - mean) * Math.max(0.08, 1 / (smooth.length + 1))));
    const log = (v) => Math.log(Math.max(v, 1e-6));
    const values = shown.map(([, loss]) => log(loss));
    const sorted = values.toSorted((a, b) => a - b); // a patch may have next to no loss: left out
    const low = Math.min(sorted[Math.floor(0.12 * sorted.length)], ...smooth.map(log));
    const high = Math.max(sorted.at(-1 - Math.floor(0.03 * sorted.length)), ...smooth.map(log));
    const first = shown[0][0], last = shown.at(-1)[0];
    const x = (step) => (SVG_LEFT + (SVG_WIDTH * (step - first)) / Math.max(last - first, 1)).toFixed(1);
    const share = (v) => Math.min(Math.max((v - low) / Math.max(high - low, 1e-6), 0), 1);
    const y = (v) => (3 + (SVG_HEIGHT - 6) * (1 - share(v))).toFixed(1);
    const path = (ys) => `M${shown.map(([step], k) => `${x(step)} ${y(ys[k])}`).join("L")}`;
    byId("loss-raw").setAttribute("d", path(values));
    byId("loss-line").setAttribute("d", path(smooth.map(log)));
    byId("loss-now").textContent = `${smooth.at(-1).toPrecision(3)} at step ${last}`;
  }
}

export function listImages(images, open, openName) {
  const items = images.map((image) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.textContent = image.name;
    button.title = image.problem ?? (image.annotated ? "annotated" : "not annotated yet");
    button.dataset.annotated = image.annotated;
    button.disabled = Boolean(image.problem);
    if (image.name === openName) button.setAttribute("aria-current", "true");
    const state = document.createElement("span");
    state.className = "hidden-words";
    state.textContent = image.annotated ? ", annotated" : "";
    button.append(state);
    button.addEventListener("click", () => open(image.name));
    item.append(button);
    return item;
  });
  byId("images").replaceChildren(...items);
}

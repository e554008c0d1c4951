// What a button does and its key, shown on hover and on keyboard focus.

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);
let timer;

function show(target) {
  const [words, key] = target.dataset.tip.split("  ");
  tip.replaceChildren(words);
  if (key) {
    const kbd = document.createElement("kbd");
    kbd.textContent = key;
    tip.append(kbd);
  }
  tip.hidden = false;
  const box = target.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const middle = box.top + box.height / 2 - own.height / 2;
  let [x, y] = [box.left + box.width / 2 - own.width / 2, box.bottom + 8];
  if (target.closest("#tools")) [x, y] = [box.right + 8, middle];
  if (target.closest("#panel")) [x, y] = [target.closest("#panel").getBoundingClientRect().left - own.width - 8, middle];
  tip.style.left = `${Math.max(6, Math.min(x, innerWidth - own.width - 6))}px`;
  tip.style.top = `${Math.max(6, Math.min(y, innerHeight - own.height - 6))}px`;
}

function later(event) {
  hide();
  const target = event.target.closest?.("[data-tip]");
  if (!target || event.pointerType === "touch") return;
  if (event.type === "focusin" && !target.matches(":focus-visible")) return;
  timer = setTimeout(() => show(target), 350);
}

function hide() {
  clearTimeout(timer);
  tip.hidden = true;
}

addEventListener("pointerover", later);
addEventListener("focusin", later);
addEventListener("focusout", hide);
addEventListener("pointerdown", hide);

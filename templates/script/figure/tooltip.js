// The tooltip, where the details pane does not say the same.
import { $ } from "../data/page.js";
import { dockedDetails } from "../data/state.js";

// Milliseconds that a pointer rests on a cell before the tooltip covers others.
const REST = 600;

let restTimer = 0;

export function showTip(lines, event) {
  clearTimeout(restTimer);
  const tip = $("tip");
  tip.replaceChildren(...lines.map((line) => {
    const row = document.createElement("div");
    row.textContent = line;
    return row;
  }));
  tip.hidden = false;
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const y = event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, y)}px`;
}

export function hideTip() {
  clearTimeout(restTimer);
  $("tip").hidden = true;
}

// Whether the reader sees the details pane next to the figure.
function seesDetails() {
  const box = dockedDetails.matches && $("details")?.getBoundingClientRect();
  return Boolean(box) && box.height > 0 && box.top < innerHeight - 120 && box.bottom > 120;
}

// Show what `describe` returns at a finger at once, and at a pointer once it rests, unless the reader sees
// the details pane.
export function tipAtRest(describe, event) {
  if (event.pointerType === "touch") { showTip(describe(), event); return; }
  hideTip();
  if (!seesDetails()) restTimer = setTimeout(() => showTip(describe(), event), REST);
}

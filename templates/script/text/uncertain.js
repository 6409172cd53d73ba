// Buttons that lead to the passages with the highest mean entropy.
import { $, makeElement, N, report } from "../data/page.js";
import { formatSpan } from "../data/format.js";
import { planes } from "../data/planes.js";
import { state } from "../data/state.js";
import { selectCell } from "../data/section.js";
import { drawFigure } from "../figure/figure.js";
import { revealToken } from "./reader.js";

const PASSAGE = 32;
const MOST_PASSAGES = 5;
const LEAST_READ = PASSAGE / 4;

// The `PASSAGE` positions each with the highest means in the last row of a view, apart from one another.
function passages(view) {
  const plane = planes[view], row = report.layers.length - 1;
  const sums = new Float64Array(N + 1), counts = new Int32Array(N + 1);
  for (let p = 0; p < N; p++) {
    let value = plane.at(row, p);
    if (value === undefined) value = view === "lens" ? NaN : plane.over(row, p, p + 1, 0);
    const isRead = Number.isFinite(value);
    sums[p + 1] = sums[p] + (isRead ? value : 0);
    counts[p + 1] = counts[p] + (isRead ? 1 : 0);
  }
  const all = [];
  for (let from = 0; from + PASSAGE <= N; from += PASSAGE / 4) {
    const many = counts[from + PASSAGE] - counts[from];
    if (many >= LEAST_READ) all.push({ from, mean: (sums[from + PASSAGE] - sums[from]) / many });
  }
  all.sort((a, b) => b.mean - a.mean || a.from - b.from);
  const best = [];
  for (const passage of all) {
    if (best.length < MOST_PASSAGES && best.every(({ from }) => Math.abs(from - passage.from) >= PASSAGE)) best.push(passage);
  }
  return best;
}

// One button is a stop of the Tab key; arrow keys lead to the others.
function moveFocus(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], all = [...$("text-unsure").querySelectorAll("button")];
  if (!by) return;
  event.preventDefault();
  const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
  for (const button of all) button.tabIndex = button === next ? 0 : -1;
  next.focus();
}

export function listUncertain() {
  const views = [state.view, "attention"].filter((view) => planes[view]);
  const [view, best] = views.map((name) => [name, passages(name)]).find(([, all]) => all.length) ?? ["", []];
  const what = view === "lens" ? "entropy of the model's output" : "attention entropy";
  for (const button of $("text-unsure").querySelectorAll("button")) button.remove();
  $("text-unsure").append(...best.map(({ from, mean }, i) => {
    const title = `positions ${formatSpan(from, from + PASSAGE)}: mean ${what} ${mean.toFixed(2)} nats`;
    const button = makeElement("button", `${i + 1}`, { type: "button", title, tabIndex: i ? -1 : 0 });
    button.setAttribute("aria-label", `Passage ${i + 1}, ${title}`);
    button.addEventListener("click", () => {
      revealToken(from, true);
      selectCell(from);
      drawFigure();
    });
    return button;
  }));
  $("text-unsure").addEventListener("keydown", moveFocus);
  $("text-unsure").hidden = !best.length;
}

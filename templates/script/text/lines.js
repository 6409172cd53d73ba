// The strip next to a long text: each line in view as a row of cells, one per layer.
import { $ } from "../data/page.js";
import { paintCells } from "../data/images.js";
import { state, theme } from "../data/state.js";
import { fractionOf, SHARE } from "../data/colours.js";
import { statisticReady } from "../data/statistics.js";
import { rowsShown } from "../data/rows.js";
import { openChart, showLive } from "../figure/chart.js";
import { textColours } from "./colours.js";

let linesView = null;

// The lines of text in view: their edges in pixels, and their tokens.
function linesInView() {
  const view = $("text").getBoundingClientRect(), lines = [];
  for (const token of $("text").querySelectorAll(".line .t")) {
    const box = token.getClientRects()[0];
    if (!box || box.bottom <= view.top || box.top >= view.bottom) continue;
    const y0 = box.top - view.top, y1 = box.bottom - view.top, last = lines[lines.length - 1];
    if (last && Math.abs(last.y0 - y0) < 6) last.tokens.push(Number(token.dataset.at));
    else lines.push({ y0, y1, tokens: [Number(token.dataset.at)] });
  }
  return lines;
}

// The mean place of the tokens between the ends of their scale, from 0 to 1.
function meanPlace(read, tokens) {
  let sum = 0, many = 0;
  for (const p of tokens) {
    const { value, scale } = read(p, p + 1);
    if (Number.isFinite(value)) { sum += fractionOf(value, scale); many++; }
  }
  return many ? sum / many : NaN;
}

export function drawLines() {
  if (!linesView || !statisticReady()) return;
  const readers = rowsShown().map((row) => textColours(row)), many = readers.length;
  linesView.data("lineparts", linesInView().map(({ y0, y1, tokens }) => ({
    x0: 0, x1: many, y0, y1, image: paintCells(1, many, (r, c) => meanPlace(readers[c], tokens), SHARE, state.palette),
  })));
  for (const [name, value] of Object.entries(theme())) linesView.signal(name, value);
  linesView.height($("text").clientHeight).run();
}

export async function startLines() {
  linesView = await openChart("lines", "lines");
  drawLines();
  showLive("lines");
}

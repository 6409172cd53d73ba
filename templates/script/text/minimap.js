// The map next to a long text: the whole of it, with its turns, entropies, search hits and the part in view.
import { $, N, report } from "../data/page.js";
import { paintCells } from "../data/images.js";
import { state, theme } from "../data/state.js";
import { statisticReady, scaleShown } from "../data/statistics.js";
import { entropyOver, rowsShown } from "../data/rows.js";
import { openChart, showLive } from "../figure/chart.js";
import { pictureKey } from "../figure/pictures.js";
import { matches } from "../figure/matches.js";
import { readingTurns, revealToken, visibleTokens } from "./reader.js";

const MAP_ROWS = 512;
const MOST_HITS = 400;
const TURN_COLOURS = { template: "#8a919f", system: "#8a919f", reasoning: "#b35806", image: "#8a919f", answer: "#17803d", words: "#c9d3e6" };

let minimapView = null;
let paintedKey = "";

// The entropies, one row per some positions, one column per layer.
function paintMap() {
  const rows = rowsShown(), bin = Math.ceil(N / MAP_ROWS), many = Math.ceil(N / bin);
  const image = paintCells(many, rows.length, (r, c) => entropyOver(rows[c], r * bin, Math.min(N, (r + 1) * bin)), scaleShown(), state.palette);
  return [{ y0: 0, y1: many * bin, image }];
}

function turnRows() {
  return readingTurns().map(({ start, stop, kind }) => ({ y0: start, y1: stop, fill: TURN_COLOURS[kind === "words" && start >= report.prompt ? "answer" : kind] }));
}

// Draw the map again; cheap where only the part in view has changed.
export function drawMinimap() {
  if (!minimapView || !statisticReady()) return;
  const key = [pictureKey(), report.later].join();
  if (key !== paintedKey) {
    paintedKey = key;
    minimapView.data("miniparts", paintMap());
  }
  const [from, to] = visibleTokens(), { starts } = matches, every = Math.ceil(starts.length / MOST_HITS) || 1;
  minimapView.data("miniview", [{ y0: from, y1: Math.max(to, from + N / 60) }]);
  minimapView.data("minihits", starts.filter((_, i) => i % every === 0).map((y0) => ({ y0 })));
  minimapView.data("miniselected", [{ y0: state.col + 0.5 }]);
  for (const [name, value] of Object.entries(theme())) minimapView.signal(name, value);
  minimapView.height($("text").clientHeight).run();
}

function goTo(event) {
  const box = $("minimap").querySelector("canvas").getBoundingClientRect();
  revealToken(Math.max(0, Math.min(N - 1, Math.floor(((event.clientY - box.top) / box.height) * N))), true);
}

export async function startMinimap() {
  minimapView = await openChart("minimap", "minimap");
  minimapView.data("miniturns", turnRows());
  const canvas = $("minimap");
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    goTo(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) goTo(event); });
  drawMinimap();
  showLive("minimap");
}

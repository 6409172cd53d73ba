// The figure's pictures: the overview, and the section in cached pieces, so that moving the frame
// paints only what comes into view.
import { N, report } from "../data/page.js";
import { paintCells } from "../data/images.js";
import { state } from "../data/state.js";
import { keyShown, scaleShown } from "../data/statistics.js";
import { entropyOver } from "../data/rows.js";
import { fullRuns, rowEdges } from "../data/readable.js";
import { layout } from "./canvas.js";

const PIECE = 512;
const MOST_PIECES = 96;
export const pieces = new Map();

export const pictureKey = () => [keyShown(), state.rows, state.layer, state.head, state.palette, state.how, state.dots].join();

function paintRows(rows, a, bin, columns) {
  return paintCells(rows.length, columns, (r, c) => {
    const from = a + c * bin;
    return entropyOver(rows[rows.length - 1 - r], from, Math.min(N, from + bin));
  }, scaleShown(), state.palette);
}

// The number of positions per column of the overview.
export function overviewBin() {
  const heads = state.view === "attention" && (state.rows === "heads" || state.head >= 0);
  return Math.max((heads && report.headStep) || 1, report.steps[state.view] || report.overviewSteps[state.view]);
}

// A picture of the whole prompt, one column per tile.
export function overviewPicture(rows) {
  const bin = overviewBin(), columns = Math.ceil(N / bin);
  const edges = rowEdges(rows.length);
  return fullRuns(edges).map(([r0, r1]) => ({ x0: 0, x1: columns * bin, y0: edges[r0], y1: edges[r1], image: paintRows(rows.slice(r0, r1), 0, bin, columns) }));
}

// Whether less than half of the section's positions have a value in any row.
function isSparse(rows) {
  const probes = 64, every = Math.max(1, Math.floor((state.b - state.a) / probes));
  let filled = 0, probed = 0;
  for (let p = state.a; p < state.b; p += every) {
    probed++;
    if (rows.some((row) => { const value = row.plane.at(row.at, p); return value === undefined || value === value; })) filled++;
  }
  return filled * 2 < probed;
}

// The number of positions per column of the section's picture: about as many as a pixel covers, and
// of a sampled lens so many that a column has a value.
export function sectionBinOf(rows) {
  let bin = 1;
  while ((state.b - state.a) / bin > 2 * layout.section) bin *= 2;
  if (state.view === "lens" && isSparse(rows)) {
    while (bin < report.overviewSteps.lens) bin *= 2;
  }
  return bin;
}

export function sectionPieces(rows) {
  const bin = sectionBinOf(rows), positions = PIECE * bin, inView = [], edges = rowEdges(rows.length);
  for (let first = Math.floor(state.a / positions); first * positions < state.b; first++) {
    const columns = Math.min(PIECE, Math.ceil((N - first * positions) / bin));
    for (const [r0, r1] of fullRuns(edges)) {
      const key = `${pictureKey()},${bin},${first},${r0}`;
      if (!pieces.has(key)) {
        if (pieces.size >= MOST_PIECES) pieces.delete(pieces.keys().next().value);
        pieces.set(key, paintRows(rows.slice(r0, r1), first * positions, bin, columns));
      }
      inView.push({ key, x0: first * positions, x1: first * positions + columns * bin, y0: edges[r0], y1: edges[r1], image: pieces.get(key) });
    }
  }
  return inView;
}

// The figure's pictures: the overview, and the section in cached pieces, so that moving the frame
// paints only what comes into view.
import { N, report } from "../data/page.js";
import { paintCells } from "../data/images.js";
import { hatchRows } from "../data/hatch.js";
import { countValue, newCounts } from "../data/histogram.js";
import { readPositions, readShare } from "../data/read.js";
import { state } from "../data/state.js";
import { keyShown, scaleShown } from "../data/statistics.js";
import { entropyOver } from "../data/rows.js";
import { fullRuns, isThin, rowEdges, rowKindOf } from "../data/readable.js";
import { layout } from "./canvas.js";

const PIECE = 512;
const MOST_PIECES = 96;
export const pieces = new Map();

export const pictureKey = () => [keyShown(), state.rows, state.layer, state.head, state.palette, state.how, state.dots, state.fit].join();

// A picture of rows, and what was painted: how many of its cells have which colour, whether any is missing,
// and which: `gaps` has one value per cell, by row and column.
function paintRows(rows, a, bin, columns) {
  const scale = scaleShown(), counts = newCounts(), gaps = new Uint8Array(rows.length * columns), counted = rows.map((row) => rowKindOf(row) !== "unreadable");
  let hasGaps = false;
  const image = paintCells(rows.length, columns, (up, c) => {
    const from = a + c * bin, r = rows.length - 1 - up, value = entropyOver(rows[r], from, Math.min(N, from + bin));
    if (value !== value) hasGaps = gaps[r * columns + c] = true;
    else if (counted[r]) countValue(counts, value, scale);
    return value;
  }, scale, state.palette);
  return { image, counts, gaps, hasGaps };
}

// The lines over a view of [a, b) where values are missing, which `isGap(row, column)` says; `bin` positions share a column.
function hatchOver(rows, { a, b, bin, width, height }, isGap) {
  const edges = rowEdges(rows.length), first = Math.floor(a / bin), columns = Math.ceil(b / bin) - first;
  const spans = Array.from({ length: columns }, (_, c) => [(first + c) * bin, Math.min(N, (first + c + 1) * bin)]);
  const read = spans.map(([from, to]) => readShare(from, to));
  const shareOf = (r, c) => {
    if (isThin(edges, r)) return 1;
    return isGap(r, c, spans[c]) ? 0 : read[c];
  };
  return hatchRows({ edges, columns, columnAt: (x) => Math.floor((a + (x * (b - a)) / width) / bin) - first, shareOf, width, height, x0: a, x1: b });
}

// The lines over the overview, which is painted in `parts`.
export function overviewHatch(rows, parts) {
  if (!parts.some((part) => part.hasGaps) && !readPositions()) return [];
  const isGap = (r, c) => {
    const { r0, gaps, image } = parts.find((part) => r >= part.r0 && r < part.r1);
    return gaps[(r - r0) * image.width + c];
  };
  return hatchOver(rows, { a: 0, b: N, bin: overviewBin(), width: layout.total, height: layout.overview }, isGap);
}

// The lines over the section: over single cells, or over the `parts` of its picture.
export function sectionHatch(rows, parts = null) {
  if (parts && !parts.some((part) => part.hasGaps) && !(state.view === "lens" && readPositions())) return [];
  const isGap = (r, c, [from, to]) => Number.isNaN(entropyOver(rows[r], from, to));
  return hatchOver(rows, { a: state.a, b: state.b, bin: parts ? sectionBinOf(rows) : 1, width: layout.section, height: layout.height }, isGap);
}

// How many of the section's single cells have which colour.
export function countCells(rows) {
  const scale = scaleShown(), counts = newCounts();
  for (const row of rows) {
    if (rowKindOf(row) === "unreadable") continue;
    for (let p = state.a; p < state.b; p++) countValue(counts, entropyOver(row, p, p + 1), scale);
  }
  return counts;
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
  return fullRuns(edges).map(([r0, r1]) => ({ r0, r1, x0: 0, x1: columns * bin, y0: edges[r0], y1: edges[r1], ...paintRows(rows.slice(r0, r1), 0, bin, columns) }));
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
      inView.push({ key, x0: first * positions, x1: first * positions + columns * bin, y0: edges[r0], y1: edges[r1], ...pieces.get(key) });
    }
  }
  return inView;
}

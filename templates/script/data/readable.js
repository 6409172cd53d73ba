// How far the lens can be read at each layer, and the heights of the figure's rows, which follow from it.
import { report } from "./page.js";
import { state } from "./state.js";
import { siteShown, statShown } from "./statistics.js";

// The statistics that say little where the lens cannot be read; report/read/readability.py has the same.
const ENTROPY_LIKE = ["entropy", "probability"];

// What is known of the lens that is shown; null for attention, and where nobody knows.
export const readableLens = () => (state.view === "lens" ? report.readable[siteShown()] ?? null : null);

// Whether the statistic that is shown says little where the lens cannot be read.
export const marksRows = () => readableLens() !== null && ENTROPY_LIKE.includes(statShown());

// The same, as far as the figure marks its rows; null where all rows are alike.
export const markedLens = () => (state.dots && marksRows() ? readableLens() : null);

// The lower edge of each of `many` rows and the upper one of the last, from 0, in units of a full row.
export const rowEdges = (many) => markedLens()?.edges ?? Array.from({ length: many + 1 }, (_, i) => i);

export const isThin = (edges, r) => edges[r + 1] - edges[r] < 0.999;

const TEXT_ROW = 12.5;
const ROW_FONT = 0.8;

// Of how many rows one has texts and a label, in a view of `height` pixels with rows up to `total`.
export const textStep = (total, height) => Math.max(1, Math.ceil((TEXT_ROW * Math.max(1, total)) / height));

// Whether row r of `many` has texts and a label: of many rows only some have room, counted from the top.
export const hasText = (r, many, step) => (many - 1 - r) % step === 0;

export const cellFont = (total, height, largest) => Math.min(largest, (height / Math.max(1, total)) * textStep(total, height) * ROW_FONT);

// The neighbouring rows [first, stop) that are not collapsed, which share a picture.
export function fullRuns(edges) {
  const runs = [];
  for (let r = 0; r < edges.length - 1; r++) {
    if (isThin(edges, r)) continue;
    if (runs.length && runs[runs.length - 1][1] === r) runs[runs.length - 1][1] = r + 1;
    else runs.push([r, r + 1]);
  }
  return runs;
}

// The row at a height, as a share of all rows' height from the bottom: its index and the part below.
export function rowAt(share, many) {
  const edges = rowEdges(many), height = Math.max(0, Math.min(1, share)) * edges[many];
  let r = 0;
  while (r < many - 1 && height >= edges[r + 1]) r++;
  return r + Math.min(0.999, (height - edges[r]) / (edges[r + 1] - edges[r]));
}

// How a row of the lens can be read: "well", "pale", "unreadable", or "" where nobody knows.
export const rowKindOf = (row) => markedLens()?.kinds[row.entry] ?? "";

// The bars of the rows' skill.
export function skillBars(many) {
  const lens = readableLens(), edges = rowEdges(many);
  if (!lens) return [];
  return lens.skill.flatMap((skill, r) => (skill === null ? [] : [{ y0: edges[r], y1: edges[r + 1], share: Math.max(0, Math.min(1, skill)) }]));
}

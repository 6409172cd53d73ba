// The figure's inset: the magnified column, or exact weights of the selected query.
import { report } from "../data/page.js";
import { texts } from "../data/texts.js";
import { labelOf, shortenMiddle } from "../data/format.js";
import { colourOf, SHARE } from "../data/colours.js";
import { state } from "../data/state.js";
import { scaleShown } from "../data/statistics.js";
import { entropyAt } from "../data/rows.js";
import { isThin, rowEdges } from "../data/readable.js";
import { hatchRows } from "../data/hatch.js";
import { attentionWeight, exactWindow, hasHead } from "../data/windows.js";
import { layout } from "./canvas.js";
import { columnCells, insetText, makeCell } from "./cells.js";

// Of the lens, the magnified column; of attention, where the page has exact weights, those of some
// queries over the keys that the last of them attends to most, besides the layer's sink keys unless the reader asks
// for these.
export function makeInset(rows) {
  const own = rows[Math.min(state.row, rows.length - 1)], hasWeights = state.view === "attention" && hasHead(own.entry, own.head);
  const exact = hasWeights ? exactWindow(state.col) : null;
  if (!exact) {
    const height = rowEdges(rows.length)[rows.length], pixels = layout.height / height, twoLines = pixels >= 2 * (layout.insetFont + 2);
    const colour = (row) => colourOf(entropyAt(row, state.col), scaleShown(), state.palette);
    // Two lines start higher than one line; a line is two pixels higher than its font.
    const cells = columnCells(rows, 0, state.col, (row) => insetText(row, twoLines), colour)
      .map((base) => (Array.isArray(base.text) ? { ...base, yc: base.yc + (layout.insetFont + 2) / 2 / pixels } : base));
    const edges = rowEdges(rows.length), shareOf = (r) => (isThin(edges, r) || Number.isFinite(entropyAt(rows[r], state.col)) ? 1 : 0);
    const hatch = hatchRows({ edges, columns: 1, columnAt: () => 0, shareOf, width: layout.inset, height: layout.height, x0: 0, x1: 1 });
    return { cells, hatch, width: 1, height, rowLabels: [], columns: [{ xc: 0.5, text: labelOf(texts.token(state.col), Math.min(16, Math.floor(layout.inset / 6.5))) }], weights: false };
  }
  const row = own;
  const head = row.head < 0 ? -1 : report.headNames[row.head];
  // As many queries as there is room for.
  const shown = Math.max(1, Math.min(3, Math.floor(layout.inset / 36)));
  const queries = [state.col - 2, state.col - 1, state.col].slice(-shown).filter((q) => q >= exact.firstQuery);
  const last = Math.min(state.col, exact.firstKey + exact.keys - 1);
  const all = Array.from({ length: last + 1 - exact.firstKey }, (_, i) => i + exact.firstKey);
  const others = state.sinks ? all : all.filter((k) => !report.sinkKeys[row.entry].includes(k));
  const keys = (others.length ? others : all)
    .sort((i, j) => attentionWeight(exact, row.entry, head, state.col, j) - attentionWeight(exact, row.entry, head, state.col, i) || i - j)
    .slice(0, 6).sort((i, j) => j - i);
  const cells = [];
  queries.forEach((q, x) => keys.forEach((k, y) => {
    const p = attentionWeight(exact, row.entry, head, q, k);
    cells.push(makeCell(x, y, Number.isFinite(p) ? p.toFixed(2) : "", colourOf(p, SHARE, "weight")));
  }));
  return {
    cells, hatch: [], width: queries.length, height: keys.length, weights: true,
    exact, row, head, queries, keys,
    rowLabels: keys.map((k, y) => ({ yc: y + 0.5, text: shortenMiddle(texts.token(k), shown > 1 ? 7 : 5) })),
    columns: queries.map((q, x) => ({ xc: x + 0.5, text: labelOf(texts.token(q), 6) })),
  };
}

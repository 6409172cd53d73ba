// What the grids of all heads show: the score, the order of the heads, and where each head stands.
import { report } from "../data/page.js";
import { headTable } from "./heads.js";

export const gridState = { score: 0, order: "head" };

// The columns of a layer in the order that the reader chose: [column of the trace at each place].
export function orderOf(layer) {
  const columns = report.gridHeads.map((_, c) => c), { score, kind } = headTable;
  const value = (c) => { const own = score(gridState.score, layer, c); return Number.isFinite(own) ? own : -Infinity; };
  if (gridState.order === "score") return columns.sort((a, b) => value(b) - value(a) || a - b);
  // A head without a kind comes last.
  const rank = (c) => { const own = kind(layer, c); return own === 0 ? report.headKinds.length : own; };
  if (gridState.order === "kind") return columns.sort((a, b) => rank(a) - rank(b) || value(b) - value(a) || a - b);
  return columns;
}

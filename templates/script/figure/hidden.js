// The columns next to the section: p(word) when a source is hidden from a layer on; report/figures/hidden_sources.py
// makes the same rows.
import { hatchRows } from "../data/hatch.js";
import { report } from "../data/page.js";
import { hasText, isThin, rowEdges, textStep } from "../data/readable.js";
import { rowKind } from "../data/rows.js";
import { columnsWord } from "../data/sources.js";
import { figureView, layout } from "./canvas.js";

const LEAST_BAR = 2;

// The cells of one column, whose left edge is at the pixel `column.left`.
function hiddenCells(probability, column, edges) {
  const { probabilities, left } = column, many = probabilities.length, step = textStep(edges[many], layout.height), [width] = report.sources.column;
  return probabilities.map((p, r) => {
    const hasRoom = p !== null && !isThin(edges, r) && hasText(r, many, step);
    return {
      x0: left, x1: left + width, bar: left + (p === null ? 0 : Math.max(LEAST_BAR, width * p)), y0: edges[r], y1: edges[r + 1], yc: (edges[r] + edges[r + 1]) / 2,
      kind: p === null ? "untested" : p < probability / 2 ? "lost" : "kept", text: hasRoom ? column.texts[r] : "",
    };
  });
}

// The lines over the layers of one column that were not tested.
function untestedHatch({ probabilities, left }, edges) {
  const [width] = report.sources.column, shareOf = (r) => (probabilities[r] === null ? 0 : 1);
  return hatchRows({ edges, columns: 1, columnAt: () => 0, shareOf, width, height: layout.height, x0: left, x1: left + width });
}

// The columns that stand next to the section: on a wide page those of the word shown, where the rows are layers.
export const shownColumns = () => (layout.hidden && rowKind() === "layer" ? columnsWord()?.hidden : undefined);

// Draw the columns, or take away those that stood there.
export function drawHidden(rows) {
  if (!layout.hidden) return;
  const own = shownColumns(), [width, gap] = report.sources.column;
  const columns = (own?.columns ?? []).map((column, i) => ({ ...column, left: i * (width + gap) })), edges = rowEdges(rows.length);
  const datasets = {
    hidden: columns.flatMap((column) => hiddenCells(own.probability, column, edges)),
    hiddenhatch: columns.flatMap((column) => untestedHatch(column, edges)),
    hiddenbands: columns.filter(({ band }) => band).map(({ band: [first, last], left }) => ({ x0: left, x1: left + width, y0: edges[first], y1: edges[last + 1] })),
    hiddennames: columns.map(({ name, left }) => ({ x: left + width / 2, text: name })),
    hiddennotes: columns.map(({ note, left }) => ({ x: left + width / 2, text: note })),
    hiddentitle: own ? [{ text: own.title }] : [],
  };
  for (const [name, values] of Object.entries(datasets)) figureView.data(name, values);
}

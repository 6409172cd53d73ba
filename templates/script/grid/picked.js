// The head that the figure shows, in the grid of all heads.
import { report } from "../data/page.js";
import { state } from "../data/state.js";
import { selectCell } from "../data/section.js";
import { reflect } from "../figure/choosers.js";
import { drawFigure } from "../figure/figure.js";

// The layer and the column of the figure's head; null where it shows none.
export function pickedHead() {
  if (state.view !== "attention") return null;
  const [layer, head] = state.rows === "heads" ? [state.layer, state.row] : [state.row, state.head];
  const column = head < 0 ? -1 : report.gridHeads.indexOf(report.headNames[head]);
  return column < 0 || layer >= report.layers.length ? null : { layer, column };
}

// Make a head the figure's: the attention view of that head, with its layer selected.
export function pickHead(layer, column) {
  const head = report.headNames.indexOf(report.gridHeads[column]);
  if (head < 0 || !report.views.includes("attention")) return;
  Object.assign(state, { view: "attention", rows: "layers", layer, head });
  selectCell(state.col, layer);
  reflect();
  drawFigure();
}

// The selected cell, and the one that all parts of the page mark meanwhile.
import { hovered } from "./selection.js";
import { state } from "./state.js";
import { rowKind, rowsShown } from "./rows.js";

// The selected cell as {position, entry, head}: the entry of its layer, and −1 for the mean over heads.
export function selectedCell() {
  const rows = rowsShown(), { entry, head } = rows[Math.min(state.row, rows.length - 1)];
  return { position: state.col, entry, head };
}

const isKnown = (value) => value !== undefined && value !== null;

// The hovered cell, whose unknown parts are those of the selected one; that itself where nothing is hovered.
export function cellInFocus() {
  const cell = selectedCell();
  for (const [name, value] of Object.entries(hovered ?? {})) if (isKnown(value)) cell[name] = value;
  return cell;
}

// The index of a cell's row among the rows that the figure shows; −1 where it is none of them.
export function rowOf(cell) {
  if (!cell || !isKnown(cell.entry)) return -1;
  if (rowKind() === "layer") return cell.entry;
  return cell.entry === state.layer && cell.head >= 0 && cell.head < rowsShown().length ? cell.head : -1;
}

// Moving the section and the selected cell.
import { N } from "./page.js";
import { state } from "./state.js";
import { rowsShown } from "./rows.js";

export function moveSection(a, b) {
  const columns = Math.max(1, Math.min(N, Math.round(b - a)));
  state.a = Math.max(0, Math.min(N - columns, Math.round(a)));
  state.b = state.a + columns;
}

// Change the section's width; the position `about` stays where it is on the screen.
export function zoomTo(wanted, about) {
  const share = (about - state.a) / (state.b - state.a), columns = Math.max(1, Math.min(N, wanted));
  moveSection(about - share * columns, about + (1 - share) * columns);
}

export function selectCell(position, row) {
  state.col = Math.max(0, Math.min(N - 1, position));
  if (row !== undefined) state.row = Math.max(0, Math.min(rowsShown().length - 1, row));
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  if (state.col >= state.b) moveSection(state.col + 1 - (state.b - state.a), state.col + 1);
}

// Zoom in (by > 0) or out by a fifth, about the selected cell where it is in view.
export function zoomBy(by) {
  const columns = state.b - state.a, inView = state.col >= state.a && state.col < state.b;
  const other = by > 0 ? Math.min(columns - 1, Math.round(columns * 0.8)) : Math.max(columns + 1, Math.round(columns * 1.25));
  zoomTo(other, inView ? state.col + 0.5 : (state.a + state.b) / 2);
  if (inView) selectCell(state.col);
}

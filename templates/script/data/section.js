// Moving the section and the selected cell.
import { N, report } from "./page.js";
import { nearestRead } from "./read.js";
import { state } from "./state.js";
import { rowsShown } from "./rows.js";

export function moveSection(a, b) {
  const columns = Math.max(1, Math.min(N, Math.round(b - a)));
  state.a = Math.max(0, Math.min(N - columns, Math.round(a)));
  state.b = state.a + columns;
}

// Move a section in which the view has no values to the nearest position that has some.
export function snapSection() {
  const half = (state.b - state.a) / 2, read = nearestRead(Math.floor(state.a + half));
  if (read < state.a || read >= state.b) moveSection(read + 0.5 - half, read + 0.5 + half);
}

// Change the section's width; the position `about` stays where it is on the screen.
export function zoomTo(wanted, about) {
  const share = (about - state.a) / (state.b - state.a), columns = Math.max(1, Math.min(N, wanted));
  moveSection(about - share * columns, about + (1 - share) * columns);
}

// Let the map show the layer and the head of the selected row, where it has that head.
function leadMap() {
  const { entry, head } = rowsShown()[state.row], mapHeads = report.map?.heads;
  state.mapLayer = entry;
  if (state.view !== "attention") return;
  const at = mapHeads ? mapHeads.indexOf(head < 0 ? -1 : report.headNames[head]) : head;
  if (!mapHeads || at >= 0) state.mapHead = at;
}

export function selectCell(position, row) {
  state.col = Math.max(0, Math.min(N - 1, position));
  if (row !== undefined) {
    state.row = Math.max(0, Math.min(rowsShown().length - 1, row));
    leadMap();
  }
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  if (state.col >= state.b) moveSection(state.col + 1 - (state.b - state.a), state.col + 1);
}

let drawAgain = null;

// The caller that starts the page passes the function that draws the figure, which needs this module.
export function redrawWith(draw) {
  drawAgain = draw;
}

// Select a position, and a row where one is given, with the section around it where it was not in view,
// and draw the figure again.
export function selectPosition(position, row) {
  const half = (state.b - state.a) / 2;
  if (position < state.a || position >= state.b) moveSection(position + 0.5 - half, position + 0.5 + half);
  selectCell(position, row);
  drawAgain();
}

// Move the section by a share of its width; the selected cell stays where it is.
export function panBy(share) {
  const by = Math.sign(share) * Math.max(1, Math.round(Math.abs(share) * (state.b - state.a)));
  moveSection(state.a + by, state.b + by);
}

// Zoom in (by > 0) or out by a fifth, about the position `pointed` or the selected cell where it is in view.
export function zoomBy(by, pointed = -1) {
  const columns = state.b - state.a, inView = state.col >= state.a && state.col < state.b;
  const about = pointed >= state.a && pointed < state.b ? pointed + 0.5 : null;
  const other = by > 0 ? Math.min(columns - 1, Math.round(columns * 0.8)) : Math.max(columns + 1, Math.round(columns * 1.25));
  zoomTo(other, about ?? (inView ? state.col + 0.5 : (state.a + state.b) / 2));
  if (inView && about === null) selectCell(state.col);
}

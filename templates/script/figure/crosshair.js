// The marks of the selected cell and of the hovered one in the figure; see report/figures/crosshair.py.
import { texts } from "../data/texts.js";
import { formatCount, labelOf, shorten } from "../data/format.js";
import { rowOf, selectedCell } from "../data/cell.js";
import { hovered } from "../data/selection.js";
import { rowsShown } from "../data/rows.js";
import { rowEdges } from "../data/readable.js";
import { state } from "../data/state.js";
import { figureView, layout } from "./canvas.js";

// Milliseconds for which a cell that was looked up is framed.
const FLASH = 1500;

// Letters of a label that may be wider than its column, and fewest of one that is cut to it.
const TAG_LETTERS = 10;
const FEWEST_LETTERS = 4;

let hoverFrame = 0;
let flashTimer = 0;
let flashing = { flash: 0, flashrow: 0 };

// The edges of a row as two parameters; no row for −1.
function edgesOf(name, row, rows) {
  const edges = rowEdges(rows.length), isRow = row >= 0 && row < rows.length;
  return { [`${name}0`]: isRow ? edges[row] : -1, [`${name}1`]: isRow ? edges[row + 1] : -1 };
}

// Columns that are wide enough for it are labelled with their token, the others with their position. Where
// the labels next to it can be read it covers none of them.
function columnTag(position) {
  const pixels = layout.section / (state.b - state.a), letters = Math.floor(pixels / 7.2), token = texts.token(position);
  if (pixels < 15 || !token) return formatCount(position);
  return letters < FEWEST_LETTERS ? shorten(token, TAG_LETTERS) : labelOf(token, letters);
}

function hoverSignals() {
  const rows = rowsShown(), row = rowOf(hovered), position = hovered?.position ?? -1;
  return {
    ...edgesOf("hover", row, rows), hovercol: position,
    hoverrowtag: rows[row]?.label ?? "", hovercolumntag: position < 0 ? "" : columnTag(position),
  };
}

// All parameters of the marks, for the rows that the figure shows and an inset `box`.
export function crosshairSignals(box) {
  const rows = rowsShown(), row = rowOf(selectedCell());
  return {
    ...hoverSignals(), ...edgesOf("sel", row, rows), ...flashing, inrows: box.weights ? 0 : 1,
    rowtag: String(rows[row]?.label ?? ""), columntag: columnTag(state.col),
  };
}

function setSignals(signals) {
  if (!figureView) return;
  for (const [name, value] of Object.entries(signals)) figureView.signal(name, value);
  figureView.run();
}

// Mark the hovered cell, at most once per animation frame.
export function drawHover() {
  if (!hoverFrame) hoverFrame = requestAnimationFrame(() => { hoverFrame = 0; setSignals(hoverSignals()); });
}

function setFlash(cell, row) {
  flashing = { flash: cell, flashrow: row };
  setSignals(flashing);
}

// Frame the selected cell or its whole row for a moment, because the reader was led to it.
export function flashCell(part) {
  clearTimeout(flashTimer);
  setFlash(part === "cell" ? 1 : 0, part === "row" ? 1 : 0);
  flashTimer = setTimeout(() => setFlash(0, 0), FLASH);
}

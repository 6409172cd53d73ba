// The frames of the pins in the figure, and of the rectangle that is being drawn.
import { N } from "../data/page.js";
import { state } from "../data/state.js";
import { rowsShown } from "../data/rows.js";
import { rowEdges } from "../data/readable.js";
import { layout } from "./canvas.js";

export let markedCells = null;

export function markCells(rectangle) {
  markedCells = rectangle;
}

// Frames in the rows that the figure shows: where it shows layers, a head is framed as its layer;
// where it shows heads, a layer is framed as all of its heads. Frames of the other view are faint.
export function pinFrames() {
  const heads = state.view === "attention" && state.rows === "heads", many = rowsShown().length;
  const framed = state.pins.map(({ r0, r1, p0, p1, reading }, i) => {
    const ofHeads = reading.view === "attention" && reading.rows === "heads";
    let rows = [r0, r1];
    if (ofHeads && !heads) rows = [reading.layer, reading.layer + 1];
    else if (heads && !(ofHeads && reading.layer === state.layer)) rows = [0, many];
    const same = reading.view === state.view;
    return { p0, p1, rows, number: `${i + 1}`, shown: same ? 1 : 0.45, dash: [1, 0] };
  });
  // Numbers below the overview that would overlap are written as one text.
  const numbersBelow = new Map();
  let last = null;
  for (const { p0, p1, number } of [...framed].sort((one, two) => one.p0 + one.p1 - two.p0 - two.p1)) {
    const x = (((p0 + p1) / 2) * layout.total) / N;
    if (last && x - last.x < 14) numbersBelow.set(last.number, `${numbersBelow.get(last.number)} ${number}`);
    else {
      last = { x, number };
      numbersBelow.set(number, number);
    }
  }
  if (markedCells) framed.push({ ...markedCells, rows: [markedCells.r0, markedCells.r1], number: "", shown: 1, dash: [5, 3] });
  const edges = rowEdges(many);
  return framed.map(({ p0, p1, rows, number, shown, dash }) => ({
    x0: p0, x1: p1, xc: (p0 + p1) / 2, xs: Math.max(p0, state.a), y0: edges[rows[0]], y1: edges[Math.min(many, rows[1])], number, shown, dash, below: numbersBelow.get(number) ?? "",
    inside: number && p1 > state.a && p0 < state.b ? shown : 0,
  }));
}

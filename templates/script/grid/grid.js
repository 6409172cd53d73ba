// The grids of all heads: a small one on the first screen and a large one in the section of the heads.
import { $, report } from "../data/page.js";
import { countOf } from "../data/format.js";
import { selectedCell } from "../data/cell.js";
import { afterHover, hover, hovered } from "../data/selection.js";
import { theme } from "../data/state.js";
import { openChart, pageWidth, pointerOn } from "../figure/chart.js";
import { afterDraw } from "../figure/figure.js";
import { noteHover } from "../figure/details.js";
import { hideTip, tipAtRest } from "../figure/tooltip.js";
import { gridState, orderOf } from "./choice.js";
import { describeHead, nameHead } from "./describe.js";
import { headTable, readHeads } from "./heads.js";
import { pickedHead, pickHead } from "./picked.js";
import { frameOf, gridRows } from "./rows.js";
import { paintSprite } from "./sprite.js";

const charts = {};

const sizeOf = (id) => report.gridSizes[id][pageWidth] ?? report.gridSizes[id].wide;

// The frame of a cell's head, or a line before its layer where it is the mean over heads.
function framesOf(size, cell) {
  if (!cell || !(cell.entry >= 0)) return [];
  const column = cell.head >= 0 ? report.gridHeads.indexOf(report.headNames[cell.head]) : -1;
  if (column < 0) return [{ x0: 0, x1: 0, y0: cell.entry, y1: cell.entry + 1 }];
  return [frameOf(size, cell.entry, orderOf(cell.entry).indexOf(column))];
}

// Outline the selected head, and the hovered one.
function drawPicked(id) {
  const size = sizeOf(id);
  charts[id].data("picked", framesOf(size, selectedCell())).data("pointed", framesOf(size, hovered));
  charts[id].run();
}

function drawGrid(id) {
  if (!charts[id]) return;
  const size = sizeOf(id), rows = gridRows(size);
  charts[id].data("sprite", [{ x0: 0, x1: size.heads, y0: 0, y1: size.layers, image: paintSprite(size) }]);
  for (const [name, values] of Object.entries(rows)) charts[id].data(name, values);
  const isByNumber = gridState.order === "head";
  charts[id].data("headlabels", size.has_axes && isByNumber ? headLabels(size) : []);
  charts[id].data("headtitle", size.has_axes ? [{ text: isByNumber ? "head" : `heads of each layer, by ${gridState.order}` }] : []);
  for (const [name, value] of Object.entries(theme())) charts[id].signal(name, value);
  drawPicked(id);
  if (id === "roster") writeNote();
}

function headLabels({ heads, width }) {
  const step = Math.max(1, Math.ceil(heads / Math.max(1, Math.floor(width / 24))));
  return report.gridHeads.flatMap((head, i) => (i % step ? [] : [{ at: i + 0.5, text: head < 0 ? "mean" : `${head}` }]));
}

// What is known of the score that the numbers show.
function writeNote() {
  if (!report.scores) return;
  const { names, thresholds } = report.scores, s = gridState.score, threshold = thresholds[s], values = [], uniforms = [];
  for (let layer = 0; layer < report.layers.length; layer++) {
    if (Number.isFinite(headTable.uniform(s, layer))) uniforms.push(headTable.uniform(s, layer));
    report.gridHeads.forEach((_, c) => { const value = headTable.score(s, layer, c); if (Number.isFinite(value)) values.push(value); });
  }
  const above = values.filter((value) => value > threshold).length, parts = [];
  if (!values.length) parts.push(`The score ${names[s]} was not measured.`);
  else if (threshold === null) parts.push("This score has no threshold.");
  else parts.push(above ? `${above} of ${countOf(values.length, "head")} above ${threshold}.` : `No head is above ${threshold}.`);
  if (uniforms.length) parts.push(`Uniform attention: ${(uniforms.reduce((a, b) => a + b, 0) / uniforms.length).toPrecision(2)} (mean over layers).`);
  $("roster-note").textContent = parts.join(" ");
}

// The layer and the column under the pointer; null outside of the grid.
function headAt(id, event) {
  const size = sizeOf(id), { x, y } = pointerOn(charts[id], $(id).querySelector("canvas"), event);
  const place = Math.floor(x / size.cell[0]), layer = size.layers - 1 - Math.floor(y / size.cell[1]);
  if (place < 0 || place >= size.heads || layer < 0 || layer >= size.layers) return null;
  return { layer, column: orderOf(layer)[place] };
}

// The head under the pointer is described in the details pane, and at the pointer where that is not seen.
function hoverHead({ layer, column }, event) {
  const describe = () => describeHead(layer, column);
  hover({ entry: layer, head: report.headNames.indexOf(report.gridHeads[column]) });
  noteHover(describe());
  tipAtRest(describe, event);
}

function leaveHeads() {
  hover(null);
  noteHover();
  hideTip();
}

function listenToGrid(id) {
  const canvas = $(id).querySelector("canvas");
  canvas.addEventListener("pointermove", (event) => {
    const at = headAt(id, event);
    if (at) hoverHead(at, event);
    else leaveHeads();
  });
  canvas.addEventListener("pointerleave", leaveHeads);
  canvas.addEventListener("click", (event) => {
    const at = headAt(id, event);
    if (at) pickHead(at.layer, at.column);
  });
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] };

// The arrow keys move from head to head, as they stand in the grid.
function onGridKey(event) {
  const step = STEPS[event.key];
  if (!step || event.metaKey || event.ctrlKey || event.altKey) return;
  event.preventDefault();
  const picked = pickedHead(), within = (value, end) => Math.max(0, Math.min(end - 1, value));
  const layer = picked ? within(picked.layer + step[0], report.layers.length) : 0;
  const place = picked ? within(orderOf(picked.layer).indexOf(picked.column) + step[1], report.gridHeads.length) : 0;
  const column = orderOf(layer)[place];
  pickHead(layer, column);
  $("grid-live").textContent = nameHead(layer, column);
}

async function startGrid(id) {
  await readHeads();
  const isFirst = !charts[id];
  charts[id] = await openChart(id, id);
  listenToGrid(id);
  if (isFirst) {
    $(id).parentElement.addEventListener("keydown", onGridKey);
    afterDraw(() => drawPicked(id));
    afterHover(() => drawPicked(id));
  }
  drawGrid(id);
}

// Each: the id of its place, the function that starts it, and the one that draws it again.
export const GRIDS = ["grid", "roster"].map((id) => [id, () => startGrid(id), () => drawGrid(id)]);

const redraw = () => { for (const [, , draw] of GRIDS) draw(); };

// The choosers of score and order stand at both grids, and show the same.
export function listenToGridControls() {
  for (const name of ["score", "order"]) {
    const choosers = [...document.querySelectorAll(`[data-grid="${name}"]`)];
    for (const chooser of choosers) {
      chooser.addEventListener("change", () => {
        gridState[name] = name === "score" ? Number(chooser.value) : chooser.value;
        for (const other of choosers) other.value = chooser.value;
        redraw();
      });
    }
  }
}

// Drawing the figure for the current state: its datasets and its parameters, nothing else.
import { N, report } from "../data/page.js";
import { attempt } from "../data/browser.js";
import { texts } from "../data/texts.js";
import { countOf, formatCount, labelOf, positionLabels } from "../data/format.js";
import { readPositions } from "../data/read.js";
import { state, theme } from "../data/state.js";
import { prepareStatistic, statisticReady } from "../data/statistics.js";
import { rowKind, rowsShown } from "../data/rows.js";
import { cellFont, hasText, markedLens, readableLens, rowEdges, skillBars, textStep } from "../data/readable.js";
import { figureView, layout, runView } from "./canvas.js";
import { pageWidth } from "./chart.js";
import { sectionCells } from "./cells.js";
import { makeInset } from "./inset.js";
import { countCells, overviewBin, overviewHatch, overviewPicture, pictureKey, pieces, sectionBinOf, sectionHatch, sectionPieces } from "./pictures.js";
import { drawHistogram, drawLegend } from "./legend.js";
import { chartCaption, inLines } from "./caption.js";
import { drawMatches } from "./matches.js";
import { pinFrames } from "./frames.js";
import { crosshairSignals } from "./crosshair.js";
import { drawHidden } from "./hidden.js";
import { whyNoAttention } from "./missing.js";

let frameRequest = 0;
export let sectionBin = 1;
export let shownInset = null;
let overviewKey = null;
let overviewCounts = [];
let shownPieces = null;
const drawListeners = [];

// Call `listener` after each drawing of the figure, except while something is dragged.
export function afterDraw(listener) {
  drawListeners.push(listener);
}

// Draw all pictures again at the next drawing, because the view or its values are new.
export function forgetPictures() {
  pieces.clear();
  overviewKey = shownPieces = null;
}

function drawOverview(rows) {
  const parts = overviewPicture(rows);
  overviewCounts = parts.map((part) => part.counts);
  figureView.data("tile", parts).data("overviewhatch", overviewHatch(rows, parts));
  drawLegend();
  drawRows(rows);
  figureView.data("rowtitle", [{ text: rowKind() }]);
  figureView.data("overviewlabels", [{ y: 0.06, text: rows[0].label }, { y: 0.94, text: rows[rows.length - 1].label }]);
  figureView.data("overviewtitle", [{ text: overviewTitle() }]);
}

function overviewTitle() {
  const bin = overviewBin(), read = state.view === "lens" ? readPositions() : null, heads = rowKind() === "head";
  const summary = { mean: "mean", low: "minimum", high: "maximum" }[state.how];
  const each = bin > 1 ? `; a column is the ${summary} of ${read ? "those read among " : ""}${bin}` : "", readable = markedLens() && pageWidth === "wide" ? `; ${markedLens().title}` : "";
  const which = read ? `${formatCount(read.length)} of ` : N > 1 ? "all " : "", counted = `${which}${countOf(N, "position")}${read ? (report.compare ? " compared" : " read") : ""}`;
  // A title that is wider than the figure would shrink its labels.
  if (bin > 1 && pageWidth === "narrow") return `${counted}; ${summary} of ${bin} per column`;
  if (heads && rowsShown()[0].head < 0 && whyNoAttention(state.layer)) return `${counted}; ${whyNoAttention(state.layer)}`;
  return `${counted}, every ${heads ? `head of layer ${report.layers[state.layer]}` : "layer"}${each}${readable}`;
}

// The labels of the rows, the marks of those whose lens cannot be read, and the bars of their skill.
function drawRows(rows) {
  const marks = markedLens()?.marks[pageWidth] ?? {}, step = textStep(rows.length, layout.height);
  figureView.data("rows", marks.rows ?? rows.map((row, r) => ({ yc: r + 0.5, text: row.label })).filter((_, r) => hasText(r, rows.length, step)));
  for (const name of ["unread", "specks", "overviewspecks", "pale", "notes"]) figureView.data(name, marks[name] ?? []);
  figureView.data("strip", skillBars(rows.length));
  figureView.data("striptitle", readableLens() ? [{ text: "skill" }] : []);
}

function drawSection(rows) {
  const letters = Math.floor(layout.section / (state.b - state.a) / 7.2);
  const live = letters >= 2 && (state.b - state.a) * rows.length <= report.liveCells;
  sectionBin = live ? 1 : sectionBinOf(rows);
  figureView.data("cells", live ? sectionCells(rows, letters) : []);
  const parts = live ? [] : sectionPieces(rows), key = parts.map((piece) => piece.key).join(";");
  if (key !== shownPieces) figureView.data("part", parts);
  shownPieces = key;
  figureView.data("hatch", sectionHatch(rows, live ? null : parts));
  drawHistogram(...overviewCounts, ...(live ? [countCells(rows)] : parts.map((part) => part.counts)));
  let columns = [];
  if (letters < 2) columns = positionLabels(state.a, state.b, layout.section);
  else {
    // The columns of one character share a label.
    for (let p = state.a; p < state.b;) {
      const { from, to } = texts.characterOf(p), stop = Math.min(to, state.b);
      columns.push({ xc: (p + stop) / 2, text: labelOf(texts.token(from), letters * (stop - p)) });
      p = stop;
    }
  }
  figureView.data("columns", columns);
}

function insetTitle(box, row) {
  const wide = layout.inset > 100;
  if (box.weights) return `${wide ? "weights, " : ""}layer ${report.layers[row.entry]}`;
  return `${report.compare ? "column" : wide ? "position" : "pos."} ${formatCount(state.col)}`;
}

// Draw the figure. While something is dragged (not `settled`), the listeners must wait.
export function drawFigure(settled = true) {
  if (!figureView) return;
  if (!statisticReady()) { prepareStatistic().then(() => drawFigure(settled)); return; }
  const rows = rowsShown();
  if (pictureKey() !== overviewKey) {
    overviewKey = pictureKey();
    drawOverview(rows);
  }
  drawSection(rows);
  const box = shownInset = makeInset(rows);
  figureView.data("inset", box.cells).data("insethatch", box.hatch).data("insetrows", box.rowLabels).data("insetcolumns", box.columns);
  const row = rows[Math.min(state.row, rows.length - 1)];
  figureView.data("insettitle", [{ text: insetTitle(box, row) }]);
  figureView.data("caption", [{ text: inLines(chartCaption()) }]);
  figureView.data("pins", pinFrames());
  drawHidden(rows);
  drawMatches();
  const height = rowEdges(rows.length)[rows.length], largest = box.weights ? 12 : layout.insetFont;
  const signals = {
    rowcount: height, a: state.a, b: state.b, col: state.col, insetwidth: box.width, insetheight: box.height,
    section: layout.section, total: layout.total, cellfont: cellFont(height, layout.height, 11), insetfont: cellFont(box.height, layout.height, largest),
    box0: state.box ? report.placement.box[0] : 0, box1: state.box ? report.placement.box[1] : 0,
    ...theme(), ...crosshairSignals(box),
  };
  for (const [name, value] of Object.entries(signals)) figureView.signal(name, value);
  runView();
  if (!settled) return;
  for (const listener of drawListeners) attempt(listener);
}

// Draw at most once per animation frame, however many events come.
export function drawSoon() {
  if (!frameRequest) frameRequest = requestAnimationFrame(() => { frameRequest = 0; drawFigure(false); });
}

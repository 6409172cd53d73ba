// Moving the section and the selected cell with the pointer, the wheel and fingers.
import { $, N } from "../data/page.js";
import { state } from "../data/state.js";
import { hover } from "../data/selection.js";
import { rowsShown } from "../data/rows.js";
import { moveSection, selectCell, zoomTo, snapSection } from "../data/section.js";
import { readableLens, rowAt } from "../data/readable.js";
import { pointerOn } from "./chart.js";
import { figureView, layout } from "./canvas.js";
import { overviewBin } from "./pictures.js";
import { describeCell, describeDrawn, describeInset, describeSkill } from "./describe.js";
import { noteHover } from "./details.js";
import { hideTip, showTip, tipAtRest } from "./tooltip.js";
import { addPin } from "./pins.js";
import { markCells, markedCells } from "./frames.js";
import { drawFigure, drawSoon, sectionBin, shownInset } from "./figure.js";

// Pixels that the inset's labels take, to its left.
const INSET_LABELS = 44;

// Pixels that the pointer may move during a click.
const CLICK = 5;

// The position and row of a point of the section; of a point outside, those of the nearest one inside.
function inSection(sx, sy) {
  const across = Math.max(0, Math.min(layout.section - 1, sx)) / layout.section, down = Math.max(0, Math.min(layout.height - 1, sy)) / layout.height;
  return { x: state.a + across * (state.b - state.a), y: rowAt(1 - down, rowsShown().length) };
}

// Where in the figure the pointer is: {part, x, y}, x in positions, y in rows. In the inset, x is the
// position that the inset shows; y and `across` are shares of its height and width.
function locate(event) {
  const { x, y } = pointerOn(figureView, $("canvas").querySelector("canvas"), event);
  if (y >= -8 && y <= layout.overview + 8 && x >= -6 && x <= layout.total + 6) {
    return { part: "overview", x: (x / layout.total) * N, y: rowAt(1 - y / layout.overview, rowsShown().length), bin: overviewBin() };
  }
  const sx = x - layout.left, sy = y - layout.overview - layout.above;
  if (sy >= 0 && sy < layout.height && x >= -INSET_LABELS && x < layout.inset) return { part: "inset", x: state.col + 0.5, y: 1 - sy / layout.height, across: Math.max(0, x) / layout.inset };
  if (sy >= 0 && sy < layout.height && sx >= 0 && sx < layout.section) return { part: "section", ...inSection(sx, sy), bin: sectionBin };
  const strip = sx - layout.strip;
  if (sy >= 0 && sy < layout.height && strip >= -2 && strip < layout.stripWidth + 2 && readableLens()) return { part: "strip", x: 0, y: rowAt(1 - sy / layout.height, rowsShown().length) };
  return { part: null };
}

const nearestInSection = (canvas, event) => {
  const { x, y } = pointerOn(figureView, canvas, event);
  return inSection(x - layout.left, y - layout.overview - layout.above);
};

// A drag handles events of the pointer: `move` during the drag, `end` when the pointer is released.
// Dragging in the overview moves the frame, or one of its edges.
function dragFrame(at) {
  const edge = (8 / layout.total) * N, inside = at.x > state.a - edge && at.x < state.b + edge;
  // A frame that is too narrow to grab its edges can be moved, but not stretched.
  const wide = state.b - state.a > 3 * edge;
  const kind = wide && Math.abs(at.x - state.a) < edge ? "a" : wide && Math.abs(at.x - state.b) < edge ? "b" : "move";
  if (kind === "move" && !inside) moveSection(at.x - (state.b - state.a) / 2, at.x + (state.b - state.a) / 2);
  const { a, b } = state;
  return {
    move(canvas, event) {
      const by = (pointerOn(figureView, canvas, event).x / layout.total) * N - at.x;
      if (kind === "move") moveSection(a + by, b + by);
      if (kind === "a") moveSection(Math.max(0, Math.min(a + by, b - 1)), b);
      if (kind === "b") state.b = Math.max(state.a + 1, Math.min(N, Math.round(b + by)));
    },
    end: snapSection,
  };
}

// A drag over cells frames them, to be pinned; a click selects one cell. A finger moves the section.
function dragCells(at, pressed) {
  const { a, b } = state;
  let moved = false;
  return {
    move(canvas, event) {
      moved ||= Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > CLICK;
      if (!moved) return;
      if (pressed.pointerType === "touch") {
        const by = ((pressed.clientX - event.clientX) / layout.section) * (b - a);
        moveSection(a + by, b + by);
        return;
      }
      const to = nearestInSection(canvas, event), floor = Math.floor, { min, max } = Math;
      markCells({ r0: floor(min(at.y, to.y)), r1: min(floor(max(at.y, to.y)) + 1, rowsShown().length), p0: floor(min(at.x, to.x)), p1: floor(max(at.x, to.x)) + 1 });
    },
    end(event) {
      if (!moved && event.pointerType === "touch") hoverPart(event);
      if (!moved) selectCell(Math.floor(at.x), Math.min(rowsShown().length - 1, Math.floor(at.y)));
      if (markedCells) addPin("r", markedCells.r0, markedCells.r1, markedCells.p0, markedCells.p1);
    },
  };
}

// Two fingers: the closer they are, the wider the section; the point between them stays in place.
function dragPinch(canvas, fingers) {
  const distance = () => { const [one, two] = [...fingers.values()]; return Math.max(20, Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY)); };
  const [one, two] = [...fingers.values()], first = distance(), width = state.b - state.a;
  const about = nearestInSection(canvas, { clientX: (one.clientX + two.clientX) / 2, clientY: one.clientY }).x;
  return { move() { zoomTo((width * first) / distance(), about); }, end() {} };
}

let currentDrag = null;

function leave() {
  hideTip();
  noteHover();
  hover(null);
}

// Tell all parts of the page which cell is under the pointer: its row and its position.
function hoverRow(row, position, event, extra, describe) {
  noteHover(extra);
  hover({ position, entry: row.entry, head: row.head });
  tipAtRest(describe, event);
}

function hoverInset(at, event) {
  const lines = describeInset(shownInset, at);
  if (!shownInset.weights) {
    const rows = rowsShown();
    hoverRow(rows[Math.floor(rowAt(at.y, rows.length))], state.col, event, [], () => lines);
    return;
  }
  const { queries, width, row } = shownInset;
  hoverRow(row, queries[Math.min(width - 1, Math.floor(at.across * width))], event, lines.slice(0, 3), () => lines);
}

function hoverPart(event) {
  const at = locate(event), rows = rowsShown();
  if (at.part === null) { leave(); return; }
  if (at.part === "inset") { hoverInset(at, event); return; }
  const row = rows[Math.max(0, Math.min(rows.length - 1, Math.floor(at.y)))];
  if (at.part === "strip") { hoverRow(row, undefined, event, [], () => describeSkill(row)); return; }
  const position = Math.max(0, Math.min(N - 1, Math.floor(at.x))), drawn = describeDrawn(row, position, at.bin);
  hoverRow(row, position, event, drawn, () => [...describeCell(row, position), ...drawn]);
}

// Cancel the current drag; false where there is none.
export function dropDrag() {
  const dragged = currentDrag !== null;
  markCells(null);
  currentDrag = null;
  return dragged;
}

export function listenFigure(canvas) {
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = locate(event);
    fingers.set(event.pointerId, event);
    markCells(null);
    if (fingers.size === 2) currentDrag = dragPinch(canvas, fingers);
    else currentDrag = { overview: dragFrame, section: dragCells }[at.part]?.(at, event) ?? null;
    if (at.part === "inset" && event.pointerType === "touch") showTip(describeInset(shownInset, at), event);
    if (!currentDrag) return;
    leave();
    canvas.setPointerCapture(event.pointerId);
    drawSoon();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
    if (currentDrag) {
      currentDrag.move(canvas, event);
      drawSoon();
      return;
    }
    hoverPart(event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (!currentDrag) return;
      if (name === "pointerup") currentDrag.end(event);
      dropDrag();
      drawFigure();
    });
  }
  // A finger leaves when it is lifted: what it showed stays until it touches the page again.
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  // A finger on the overview drags the frame; elsewhere it may scroll the page.
  canvas.addEventListener("touchstart", (event) => {
    if (locate(event.touches[0]).part === "overview") event.preventDefault();
  }, { passive: false });
  listenWheel(canvas);
}

// Pixels of a line and of a page, in which some wheels count.
const WHEEL_UNITS = [1, 16, 400];

// The wheel zooms with Ctrl, as which a pinch on a touchpad counts too, and over the section of a focused
// figure without it. Where it would change nothing it scrolls the page.
function listenWheel(canvas) {
  let wanted = null, settle = 0;
  canvas.addEventListener("wheel", (event) => {
    const at = locate(event), by = Math.max(-50, Math.min(50, event.deltaY * WHEEL_UNITS[event.deltaMode]));
    if (!event.ctrlKey && (at.part !== "section" || document.activeElement !== $("figure"))) return;
    const columns = wanted ?? state.b - state.a, next = Math.max(1, Math.min(N, columns * Math.exp(by / 100)));
    if (next === columns && !event.ctrlKey) return;
    event.preventDefault();
    wanted = next;
    zoomTo(wanted, at.part ? at.x : (state.a + state.b) / 2);
    drawSoon();
    clearTimeout(settle);
    settle = setTimeout(() => { wanted = null; drawFigure(); }, 200);
  }, { passive: false });
}

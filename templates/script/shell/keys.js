// The figure's keys, in one table: the handler runs it and the help lists it.
import { $, N, report } from "../data/page.js";
import { state } from "../data/state.js";
import { rowKind } from "../data/rows.js";
import { hovered } from "../data/selection.js";
import { panBy, selectCell, zoomBy } from "../data/section.js";
import { reflect } from "../figure/choosers.js";
import { pinColumn, pinSection, pinWeights } from "../figure/pins.js";
import { drawFigure } from "../figure/figure.js";
import { dropDrag } from "../figure/moving.js";
import { openHelp } from "./help.js";

const stepOf = (event) => (event.shiftKey ? 10 : 1);

function changeLayer(by) {
  if (rowKind() === "layer") selectCell(state.col, state.row + by);
  else state.layer = Math.max(0, Math.min(report.layers.length - 1, state.layer + by));
  reflect();
}

// Each: the label of the keys, what they do, and the action per name of a key. Keys that also scroll the
// page (`scrolls`) belong to the figure only while it has the focus.
export const KEYS = [
  { label: "← →", meaning: "previous or next position (with Shift: ten positions)", scrolls: true,
    actions: { ArrowLeft: (event) => selectCell(state.col - stepOf(event)), ArrowRight: (event) => selectCell(state.col + stepOf(event)) } },
  { label: "↑ ↓", meaning: "row above or below (with Shift: ten rows)", scrolls: true,
    actions: { ArrowUp: (event) => selectCell(state.col, state.row + stepOf(event)), ArrowDown: (event) => selectCell(state.col, state.row - stepOf(event)) } },
  { label: "Home End", meaning: "first or last position", scrolls: true, actions: { Home: () => selectCell(0), End: () => selectCell(N - 1) } },
  { label: "+ -", meaning: "zoom in or out around the selected cell", actions: { "+": () => zoomBy(1), "-": () => zoomBy(-1) } },
  { label: "A D", meaning: "move the section to the left or to the right", actions: { a: () => panBy(-0.25), d: () => panBy(0.25) } },
  { label: "W S", meaning: "zoom in or out around the pointer", actions: { w: () => zoomBy(1, hovered?.position), s: () => zoomBy(-1, hovered?.position) } },
  { label: "[ ]", meaning: "previous or next layer", actions: { "[": () => changeLayer(-1), "]": () => changeLayer(1) } },
  { label: "i", meaning: "pin the selected column as an inset", actions: { i: pinColumn } },
  { label: "r", meaning: "pin the section as an inset", actions: { r: pinSection } },
  { label: "Shift W", meaning: "pin the exact attention weights of the selected position", actions: { W: pinWeights } },
  { label: "/", meaning: "search for a token or a phrase (Enter: next match, Shift + Enter: previous)", actions: { "/": () => $("search").focus() } },
  { label: "Esc", meaning: "close or cancel", actions: { Escape: () => { if (!dropDrag()) document.activeElement.blur(); } } },
  { label: "?", meaning: "show this list", actions: { "?": () => openHelp() } },
];

// A key with a modifier belongs to the browser; except AltGr, which some keyboards need for brackets.
const hasModifier = (event) => event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));

// Act on a key where the figure has the focus, or nothing has: a key typed elsewhere belongs there.
export function onKey(event) {
  const onFigure = event.target === $("figure"), nowhere = event.target === document.body || event.target === document.documentElement;
  const binding = KEYS.find(({ actions, scrolls }) => Object.hasOwn(actions, event.key) && (onFigure || (nowhere && !scrolls)));
  if (!binding || hasModifier(event) || $("help")?.open) return;
  event.preventDefault();
  binding.actions[event.key](event);
  drawFigure();
}

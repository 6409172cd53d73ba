// The figure's keys, in one table: the handler runs it and the help lists it.
import { $, N, report } from "../data/page.js";
import { state } from "../data/state.js";
import { rowKind } from "../data/rows.js";
import { selectCell, zoomBy } from "../data/section.js";
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

// Each: how the keys are written, what they do, and the doing by name of the key. `scrolls`: keys
// that move the page itself, and are the figure's only while it has the focus.
export const KEYS = [
  { shown: "← →", says: "the position before or after; with shift ten further", scrolls: true,
    does: { ArrowLeft: (event) => selectCell(state.col - stepOf(event)), ArrowRight: (event) => selectCell(state.col + stepOf(event)) } },
  { shown: "↑ ↓", says: "the row above or below; with shift ten further", scrolls: true,
    does: { ArrowUp: (event) => selectCell(state.col, state.row + stepOf(event)), ArrowDown: (event) => selectCell(state.col, state.row - stepOf(event)) } },
  { shown: "Home End", says: "the first and the last position", scrolls: true, does: { Home: () => selectCell(0), End: () => selectCell(N - 1) } },
  { shown: "+ -", says: "closer and further, about the selected cell", does: { "+": () => zoomBy(1), "-": () => zoomBy(-1) } },
  { shown: "[ ]", says: "the layer before or after: of the heads shown, or of the selected row", does: { "[": () => changeLayer(-1), "]": () => changeLayer(1) } },
  { shown: "i", says: "pin the selected column as an inset", does: { i: pinColumn } },
  { shown: "r", says: "pin the section as an inset", does: { r: pinSection } },
  { shown: "w", says: "pin the exact attention weights of the selected position", does: { w: pinWeights } },
  { shown: "/", says: "search for a token or a phrase; Enter goes on, shift and Enter back", does: { "/": () => $("search").focus() } },
  { shown: "Escape", says: "leave: the figure, the search, this list; drop a rectangle that is being drawn", does: { Escape: () => { if (!dropDrag()) document.activeElement.blur(); } } },
  { shown: "?", says: "this list", does: { "?": () => openHelp() } },
];

// A modifier makes a key the browser's; AltGr is how some keyboards write brackets.
const hasModifier = (event) => event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));

// Keys are the figure's when it has the focus or nothing has: what is typed elsewhere stays there.
export function onKey(event) {
  const onFigure = event.target === $("figure"), nowhere = event.target === document.body || event.target === document.documentElement;
  const binding = KEYS.find(({ does, scrolls }) => Object.hasOwn(does, event.key) && (onFigure || (nowhere && !scrolls)));
  if (!binding || hasModifier(event) || $("help").open) return;
  event.preventDefault();
  binding.does[event.key](event);
  drawFigure();
}

// The keys of the figure, in one table: the handler runs it and the help lists it.
const step = (event) => (event.shiftKey ? 10 : 1);

function otherLayer(by) {
  if (rowKind() === "layer") select(state.col, state.row + by);
  else state.layer = Math.max(0, Math.min(report.layers.length - 1, state.layer + by));
  reflect();
}

// Each: how the keys are written, what they do, and the doing by name of the key. `scrolls`: keys
// that move the page itself, and are the figure's only while it has the focus.
const KEYS = [
  { shown: "← →", says: "the position before or after; with shift ten further", scrolls: true,
    does: { ArrowLeft: (event) => select(state.col - step(event)), ArrowRight: (event) => select(state.col + step(event)) } },
  { shown: "↑ ↓", says: "the row above or below; with shift ten further", scrolls: true,
    does: { ArrowUp: (event) => select(state.col, state.row + step(event)), ArrowDown: (event) => select(state.col, state.row - step(event)) } },
  { shown: "Home End", says: "the first and the last position", scrolls: true, does: { Home: () => select(0), End: () => select(N - 1) } },
  { shown: "+ -", says: "closer and further, about the selected cell", does: { "+": () => zoom(1), "-": () => zoom(-1) } },
  { shown: "[ ]", says: "the layer before or after: of the heads shown, or of the selected row", does: { "[": () => otherLayer(-1), "]": () => otherLayer(1) } },
  { shown: "i", says: "pin the selected column as an inset", does: { i: pinColumn } },
  { shown: "r", says: "pin the section as an inset", does: { r: pinSection } },
  { shown: "w", says: "pin the exact attention weights of the selected position", does: { w: pinWeights } },
  { shown: "/", says: "search for a token or a phrase; Enter goes on, shift and Enter back", does: { "/": () => $("search").focus() } },
  { shown: "Escape", says: "leave: the figure, the search, this list; drop a rectangle that is being drawn", does: { Escape: () => { if (drag) dropDrag(); else document.activeElement.blur(); } } },
  { shown: "?", says: "this list", does: { "?": () => openHelp() } },
];

// A modifier makes a key the browser's; AltGr is how some keyboards write brackets.
const modified = (event) => event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));

// Keys are the figure's when it has the focus or nothing has: what is typed elsewhere stays there.
function keys(event) {
  const onFigure = event.target === $("figure"), nowhere = event.target === document.body || event.target === document.documentElement;
  const found = KEYS.find(({ does, scrolls }) => Object.hasOwn(does, event.key) && (onFigure || (nowhere && !scrolls)));
  if (!found || modified(event) || $("help").open) return;
  event.preventDefault();
  found.does[event.key](event);
  draw();
}

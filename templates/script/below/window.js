// The map of a short prompt: one window of exact weights.
import { $, report } from "../data/page.js";
import { SHARE } from "../data/colours.js";
import { paintCells } from "../data/images.js";
import { state, theme } from "../data/state.js";
import { attentionWeight, entropyShare, exactValues } from "../data/windows.js";
import { isUnseenKey } from "../data/visible.js";
import { hover, hovered } from "../data/selection.js";
import { formatCount } from "../data/format.js";
import { texts } from "../data/texts.js";
import { formatNats, formatWeight } from "../figure/amounts.js";
import { openChart, pageWidth, pointerOn } from "../figure/chart.js";
import { missingAttention } from "../figure/missing.js";
import { hideTip, showTip } from "../figure/tooltip.js";
import { LOG_TICKS, logFraction } from "./map_values.js";
import { selectOnMap } from "./map_selection.js";
import { headLabel, writeLater } from "./live_tables.js";
import { writeWindowTable } from "./window_table.js";

let windowView = null;
let windowKey = null;

export function drawWindow() {
  if (!windowView) return;
  const exact = exactValues[0], n = exact.queries;
  const key = [state.mapLayer, state.mapHead, state.values].join(), shares = state.values === "entropy";
  if (key !== windowKey) {
    windowKey = key;
    const value = shares ? entropyShare : attentionWeight;
    const read = (r, c) => value(exact, state.mapLayer, state.mapHead, exact.firstQuery + r, exact.firstKey + c);
    const at = shares ? read : (r, c) => logFraction(read(r, c));
    const empty = (r, c) => !read(r, c) && isUnseenKey(state.mapLayer, exact.firstQuery + r, exact.firstKey + c);
    let high = 1;
    if (shares) {
      high = 0;
      for (let r = 0; r < n; r++) for (let c = 0; c < exact.keys; c++) if (!empty(r, c)) high = Math.max(high, at(r, c) || 0);
    }
    windowView.data("map", [{ x0: 0, x1: n, y0: 0, y1: n, image: paintCells(n, exact.keys, at, { ...SHARE, high }, "weight", empty) }]);
    windowView.data("ticks", shares ? [0, 0.5, 1].map((y) => ({ y, text: (y * high).toFixed(2) })) : LOG_TICKS);
    windowView.data("legendtitle", [{ text: shares ? "Contribution to the row's entropy (nats)" : "Attention weight (log scale)" }]);
    $("map-missing").textContent = missingAttention(state.mapLayer, state.mapHead);
    $("map-scale").textContent = shares
      ? `Colour: contribution to the row's entropy, from white (0) to dark blue (${high.toFixed(2)} nats); empty: not visible.`
      : "Colour: attention weight on a logarithmic scale, from white (0.0001 and less) to dark blue (1); empty: not visible.";
  }
  for (const [name, value] of Object.entries({ col: state.col, hovercol: hovered?.position ?? -1, ...theme() })) windowView.signal(name, value);
  windowView.run();
  writeLater("table-window", key, () => writeWindowTable(exact, state.mapHead, shares));
}

export function drawWindowHover() {
  if (windowView) windowView.signal("hovercol", hovered?.position ?? -1).run();
}

// The query and the key under the pointer; null outside of the map.
function onWindow(canvas, event) {
  const { x, y } = pointerOn(windowView, canvas, event), side = report.windowSides[pageWidth], exact = exactValues[0];
  if (x < 0 || y < 0 || x >= side || y >= side) return null;
  return { query: exact.firstQuery + Math.floor((y / side) * exact.queries), key: exact.firstKey + Math.floor((x / side) * exact.keys) };
}

function describeWindow({ query, key }) {
  const exact = exactValues[0], name = (p) => `${formatCount(p)} · ${texts.full(p)} (${texts.role(p)})`;
  const lines = [`layer ${report.layers[state.mapLayer]}, ${headLabel(state.mapHead)}`, `query ${name(query)}`, `key ${name(key)}`];
  if (isUnseenKey(state.mapLayer, query, key)) return [...lines, `not visible: the key comes ${key > query ? "later" : "before the window"}`];
  const p = attentionWeight(exact, state.mapLayer, state.mapHead, query, key), share = entropyShare(exact, state.mapLayer, state.mapHead, query, key);
  return [...lines, `weight ${Number.isFinite(p) ? formatWeight(p, exact) : "missing"}`, `contribution to the row's entropy ${formatNats(share, 0)}`];
}

function listenWindow(canvas) {
  const leaveMap = () => { hideTip(); hover(null); };
  canvas.addEventListener("pointermove", (event) => {
    const at = onWindow(canvas, event);
    if (!at) { leaveMap(); return; }
    showTip(describeWindow(at), event);
    hover({ position: at.query, entry: state.mapLayer, head: state.mapHead });
  });
  canvas.addEventListener("pointerleave", leaveMap);
  canvas.addEventListener("click", (event) => {
    const at = onWindow(canvas, event);
    if (at) selectOnMap(at.query, state.mapHead);
  });
}

export async function startWindow() {
  windowView = await openChart("map", "window");
  listenWindow($("map").querySelector("canvas"));
  drawWindow();
}

// The map of a short prompt: one window of exact weights.
import { $ } from "../data/page.js";
import { SHARE } from "../data/colours.js";
import { paintCells } from "../data/images.js";
import { state, theme } from "../data/state.js";
import { attentionWeight, entropyShare, exactValues } from "../data/windows.js";
import { isUnseenKey } from "../data/visible.js";
import { openChart } from "../figure/chart.js";
import { writeLater } from "./live_tables.js";
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
    const at = (r, c) => value(exact, state.mapLayer, state.mapHead, exact.firstQuery + r, exact.firstKey + c);
    const empty = (r, c) => !at(r, c) && isUnseenKey(state.mapLayer, exact.firstQuery + r, exact.firstKey + c);
    let high = 1;
    if (shares) {
      high = 0;
      for (let r = 0; r < n; r++) for (let c = 0; c < exact.keys; c++) if (!empty(r, c)) high = Math.max(high, at(r, c) || 0);
    }
    windowView.data("map", [{ x0: 0, x1: n, y0: 0, y1: n, image: paintCells(n, exact.keys, at, { ...SHARE, high }, "weight", empty) }]);
    $("map-scale").textContent = shares
      ? `Colour: contribution to the row's entropy, from white (0) to dark blue (${high.toFixed(2)} nats); empty: not visible.`
      : "Colour: attention weight, from white (0) to dark blue (1); empty: not visible.";
  }
  for (const [name, value] of Object.entries({ col: state.col, ...theme() })) windowView.signal(name, value);
  windowView.run();
  writeLater("table-window", key, () => writeWindowTable(exact, state.mapHead, shares));
}

export async function startWindow() {
  windowView = await openChart("map", "window");
  drawWindow();
}

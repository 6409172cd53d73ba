// Entropy against position: the heads of one layer under the logarithm of the visible keys.
import { $, N, report } from "../data/page.js";
import { unpack } from "../data/values.js";
import { visibleKeys } from "../data/visible.js";
import { formatRange } from "../data/format.js";
import { aggregate, HOW } from "../data/planes.js";
import { theme } from "../data/state.js";
import { openChart } from "../figure/chart.js";
import { missingAttention } from "../figure/missing.js";
import { fourDigits, MOST_ROWS, writeLater, writeTable } from "./live_tables.js";

let spreadView = null;
let spreadValues = null;
const spreadState = { layer: 0 };

function writeSpreadTable() {
  const { layer } = spreadState, { every } = report.spread, tiles = spreadValues.shape[2], each = Math.ceil(tiles / MOST_ROWS.spread), rows = [];
  for (let t = 0; t < tiles; t += each) {
    const end = Math.min(tiles, t + each), start = t * every, stop = Math.min(N, end * every);
    const values = [HOW.mean, HOW.low, HOW.high].map((how) => aggregate(t, end, how, (i) => spreadValues.at(how, layer, i)));
    const visible = visibleKeys(layer, (start + stop) >> 1);
    if (Number.isFinite(values[0])) rows.push([formatRange(start, stop), ...values.map((value) => fourDigits(value, spreadValues.error)), fourDigits(visible >= 1 ? Math.log(visible) : NaN)]);
  }
  const columns = [["positions", false], ["mean over heads", true], ["lowest head", true], ["highest head", true], ["ln(visible keys) in the middle", true]];
  writeTable("table-spread", `Attention entropy (nats) by position, layer ${report.layers[layer]}`, columns, rows);
}

export function drawSpread() {
  if (!spreadView) return;
  const { every } = report.spread, tiles = spreadValues.shape[2], points = [];
  for (let t = 0; t < tiles; t++) {
    const [mean, low, high] = [0, 1, 2].map((kind) => spreadValues.at(kind, spreadState.layer, t));
    if (Number.isFinite(mean)) points.push({ x: Math.min(N, (t + 0.5) * every), mean, low, high });
  }
  $("spread-missing").textContent = missingAttention(spreadState.layer);
  spreadView.data("heads", points);
  const ceiling = [];
  for (let i = 0; i <= 130; i++) {
    const p = Math.min(N - 1, Math.round((i / 130) ** 3 * (N - 1))), visible = visibleKeys(spreadState.layer, p);
    if (visible >= 1) ceiling.push({ x: p + 0.5, y: Math.log(visible) });
  }
  spreadView.data("ceiling", ceiling);
  for (const [name, value] of Object.entries(theme())) spreadView.signal(name, value);
  spreadView.run();
  writeLater("table-spread", String(spreadState.layer), writeSpreadTable);
}

export async function startSpread() {
  spreadValues ??= await unpack(report.spread);
  spreadView = await openChart("spread", "spread");
  drawSpread();
}

export function listenToSpreadControls() {
  spreadState.layer = report.spread.layer;
  $("spread-layer").value = String(spreadState.layer);
  $("spread-layer").addEventListener("change", (event) => {
    spreadState.layer = Number(event.target.value);
    drawSpread();
  });
}

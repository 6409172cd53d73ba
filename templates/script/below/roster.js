// Every head's score, framed above its threshold, next to what uniform attention would give.
import { $, report } from "../data/page.js";
import { countOf } from "../data/format.js";
import { unpack } from "../data/values.js";
import { legendRows, legendTicks, SHARE } from "../data/colours.js";
import { paintCells } from "../data/images.js";
import { theme } from "../data/state.js";
import { openChart, pageWidth, pointerOn } from "../figure/chart.js";
import { hideTip, showTip } from "../figure/tooltip.js";

let rosterView = null;
let scoreValues = null;
let uniformValues = null;
const rosterState = { score: 0 };

export function drawRoster() {
  if (!rosterView) return;
  const { names, thresholds, titles } = report.scores, s = rosterState.score;
  const [, layers, heads] = scoreValues.shape, threshold = thresholds[s];
  const isEntropy = names[s].endsWith("entropy"), scale = (isEntropy && report.scales.attention) || SHARE, palette = isEntropy ? "diverging" : "weight";
  const values = [], passing = [];
  for (let l = 0; l < layers; l++) {
    for (let h = 0; h < heads; h++) {
      const value = scoreValues.at(s, l, h);
      if (Number.isFinite(value)) values.push(value);
      if (threshold !== null && value > threshold) passing.push({ x0: h + 0.06, x1: h + 0.94, y0: l + 0.06, y1: l + 0.94 });
    }
  }
  const uniform = Array.from({ length: layers }, (_, l) => uniformValues.at(s, l)), uniforms = uniform.filter(Number.isFinite);
  const column = paintCells(layers, 1, (r) => uniform[layers - 1 - r], scale, palette);
  rosterView.data("scores", [{ x0: 0, x1: heads, y0: 0, y1: layers, image: paintCells(layers, heads, (r, c) => scoreValues.at(s, layers - 1 - r, c), scale, palette) }]);
  rosterView.data("uniform", uniforms.length ? [{ x0: 0, x1: 1, y0: 0, y1: layers, image: column }] : []);
  rosterView.data("uniformtitle", uniforms.length ? [{ text: "uniform" }] : []);
  rosterView.data("passing", passing.length <= report.liveCells ? passing : []);
  rosterView.data("scoretitle", [{ text: titles[s] }]);
  rosterView.data("legend", legendRows(palette));
  rosterView.data("ticks", legendTicks(scale));
  for (const [name, value] of Object.entries(theme())) rosterView.signal(name, value);
  rosterView.run();
  const parts = [];
  if (!values.length) parts.push(`The score ${names[s]} was not measured.`);
  else if (threshold === null) parts.push("This score has no threshold.");
  else if (!passing.length) parts.push(`No head is above ${threshold}.`);
  else parts.push(`${passing.length > report.liveCells ? "Not framed, because there are too many" : "Framed"}: ${passing.length} of ${countOf(values.length, "head")} above ${threshold}.`);
  if (uniforms.length) parts.push(`Uniform attention: ${(uniforms.reduce((a, b) => a + b, 0) / uniforms.length).toPrecision(2)} (mean over layers; right column).`);
  $("roster-note").textContent = `${parts.join(" ")} Grey: missing.`;
}

function listenRoster(canvas) {
  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = pointerOn(rosterView, canvas, event), [wide, high] = report.rosterSizes[pageWidth];
    const [, layers, heads] = scoreValues.shape, h = Math.floor((x / wide) * heads), l = Math.floor((1 - y / high) * layers);
    if (h < 0 || l < 0 || h >= heads || l >= layers) { hideTip(); return; }
    const lines = report.scores.names.map((name, s) => {
      const value = scoreValues.at(s, l, h), uniform = uniformValues.at(s, l);
      const beside = Number.isFinite(uniform) ? ` (uniform: ${uniform.toPrecision(2)})` : "";
      return `${name} ${Number.isFinite(value) ? value.toPrecision(3) : "not measured"}${beside}`;
    });
    showTip([`layer ${report.layers[l]} · head ${h}`, ...lines], event);
  });
  canvas.addEventListener("pointerleave", hideTip);
}

export async function startRoster() {
  scoreValues ??= await unpack(report.scores.values);
  uniformValues ??= await unpack(report.scores.uniform);
  rosterView = await openChart("roster", "roster");
  listenRoster($("roster").querySelector("canvas"));
  drawRoster();
}

export function listenToRosterControls() {
  $("score").addEventListener("change", (event) => {
    rosterState.score = Number(event.target.value);
    drawRoster();
  });
}

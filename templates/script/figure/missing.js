// Why a cell has no value of its own.
import { N, report } from "../data/page.js";
import { countOf, formatCount, formatFixed } from "../data/format.js";
import { hasHead } from "../data/windows.js";
import { withUnit } from "./amounts.js";

export function whyNotReached(position) {
  const { partial } = report;
  if (!partial || position < partial.done) return "";
  return `not recorded: the run stopped after ${countOf(partial.done, "token")}${partial.reason ? ` (${partial.reason})` : ""}`;
}

const headsOf = (entry) => countOf(report.headCounts[entry], "head");

// Why there is no head at the index `head` in a layer, or none at all for the mean over them; "" where there is.
function whyNoHead(entry, head = -1) {
  if (hasHead(entry, head)) return "";
  const layer = `layer ${report.layers[entry]}`;
  if (!report.headCounts[entry]) return `${layer}: ${report.notes[entry] || "no attention recorded"}`;
  return `${layer} has ${headsOf(entry)}, so it has no head ${report.headNames[head]}`;
}

// Why a layer, or its head at the index `head`, has no entropy of attention at any position.
export function whyNoAttention(entry, head = -1) {
  const note = report.notes[entry];
  return whyNoHead(entry, head) || (note && `layer ${report.layers[entry]}: ${note}`);
}

// The same as a sentence of a chart.
export function missingAttention(entry, head) {
  const why = whyNoHead(entry, head);
  return why && `Nothing to show for ${why}.`;
}

// Why the lens has no value here. A column or a row without any value was not read at all.
export function whyNotRead(row, position) {
  const inColumn = report.layers.some((_, entry) => Number.isFinite(row.plane.over(entry, position, position + 1, 0)));
  if (!inColumn) return whyNotReached(position) || "the lens did not read this position";
  for (let p = 0; p < N; p += Math.max(1, Math.floor(N / 4096))) {
    if (Number.isFinite(row.plane.over(row.at, p, p + 1, 0))) return "not read by the lens";
  }
  return "the lens did not read this layer";
}

// The tile that stands for a position that the page does not have.
export function describeTile(row, position, kind) {
  const tile = row.plane.tile(row.at, position);
  if (!tile) return [`the page has no ${kind} of single heads here`];
  const { mean, low, high, from, to } = tile;
  const where = `mean of positions ${formatCount(from)} to ${formatCount(to - 1)}`;
  if (!Number.isFinite(mean)) return [`${kind} missing at ${where.slice(8)}`, whyNotReached(position)].filter(Boolean);
  const range = low === undefined ? "" : `, min ${formatFixed(low, 2)}, max ${formatFixed(high, 2)}`;
  return [`${kind}: ${where} ${withUnit(formatFixed(mean, 2))}${range}`, "the page has no values of single positions here"];
}

// Why a cell has no value of its own.
import { N, report } from "../data/page.js";
import { countOf, formatCount, formatFixed } from "../data/format.js";
import { withUnit } from "./amounts.js";

export function whyNotReached(position) {
  const { partial } = report;
  if (!partial || position < partial.done) return "";
  return `not recorded: the run stopped after ${countOf(partial.done, "token")}${partial.reason ? ` (${partial.reason})` : ""}`;
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

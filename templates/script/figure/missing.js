// Why a cell has no value of its own.
import { N, report } from "../data/page.js";
import { formatCount } from "../data/format.js";
import { withUnit } from "./amounts.js";

export function whyNotReached(position) {
  const { partial } = report;
  if (!partial || position < partial.done) return "";
  return `not recorded: the run stopped after ${formatCount(partial.done)} tokens${partial.reason ? ` (${partial.reason})` : ""}`;
}

// Why the lens has no value: a whole column or a whole row without any was left out.
export function whyNotRead(row, position) {
  const there = report.layers.some((_, entry) => Number.isFinite(row.plane.over(entry, position, position + 1, 0)));
  if (!there) return whyNotReached(position) || "the lens did not read this position";
  for (let p = 0; p < N; p += Math.max(1, Math.floor(N / 4096))) {
    if (Number.isFinite(row.plane.over(row.at, p, p + 1, 0))) return "not read";
  }
  return "the lens did not read this layer";
}

// What stands for a position that the page does not hold.
export function describeTile(row, position, kind) {
  const tile = row.plane.tile(row.at, position);
  if (!tile) return [`${kind} of single heads is not in the page here`];
  const { mean, low, high, from, to } = tile;
  const where = `mean of positions ${formatCount(from)} to ${formatCount(to - 1)}`;
  if (!Number.isFinite(mean)) return [`${kind} missing at ${where.slice(8)}`, whyNotReached(position)].filter(Boolean);
  const range = low === undefined ? "" : `, least ${low.toFixed(2)}, largest ${high.toFixed(2)}`;
  return [`${kind}: ${where} ${withUnit(mean.toFixed(2))}${range}`, "single positions are not in the page here"];
}

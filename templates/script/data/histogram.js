// How many of the values shown have which colour; report/figures/histogram.py counts the same.
import { fractionOf } from "./colours.js";

const BINS = 32;

export const newCounts = () => new Float64Array(BINS);

export function countValue(counts, value, scale) {
  if (value === value) counts[Math.min(BINS - 1, Math.floor(fractionOf(value, scale) * BINS))]++;
}

// A bar per step of the scale, from low to high; `share` is 1 for the longest.
export function barsOf(...all) {
  const sums = newCounts();
  for (const counts of all) counts.forEach((count, i) => { sums[i] += count; });
  const most = Math.max(...sums);
  return [...sums].flatMap((count, i) => (count ? [{ y0: i / BINS, y1: (i + 1) / BINS, share: count / most }] : []));
}

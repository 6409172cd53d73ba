// How many keys each query can attend to.
import { report } from "./page.js";

// Lines are [start, count, rise] each: from `start` on, the count rises by `rise` per position.
function countOnLine(lines, position) {
  let low = 0, high = lines.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (lines[middle][0] <= position) low = middle; else high = middle - 1;
  }
  const [start, count, rise] = lines[low];
  return count + rise * (position - start);
}

// Whether no query of [q0, q1) sees a key of [k0, k1): the keys come later, or before all that q0 sees.
export function isUnseen(entry, [q0, q1], [k0, k1]) {
  if (!report.causal) return false;
  return k0 >= q1 || (report.visible && k1 <= q0 + 1 - countOnLine(report.visible[entry], q0));
}

export const isUnseenKey = (entry, q, k) => isUnseen(entry, [q, q + 1], [k, k + 1]);

// The number of keys that a query can attend to; null where that was not recorded.
export function visibleKeys(entry, position, lines = report.visible) {
  if (!lines) return null;
  return countOnLine(lines[entry], position);
}

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

// The number of keys that a query can attend to; null where that was not recorded.
export function visibleKeys(entry, position, lines = report.visible) {
  if (!lines) return null;
  return countOnLine(lines[entry], position);
}

// Which positions the lens read: all of a short prompt, a sample of a long one.
import { N } from "./page.js";
import { data } from "./values.js";
import { state } from "./state.js";

let positions = null;

// The positions that the lens read, ascending; null where it read all of them.
export function readPositions() {
  if (!data.lensRead) return null;
  if (!positions) {
    let last = 0;
    positions = Int32Array.from({ length: data.lensRead.shape[0] }, (_, i) => (last += data.lensRead.get(i)));
  }
  return positions;
}

// The index of the first position read that is not before `position`.
function indexFrom(position) {
  let low = 0, high = positions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (positions[middle] < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The share of the positions from `a` to `b` that the view has values for.
export function readShare(a, b) {
  if (state.view !== "lens" || !readPositions()) return 1;
  return (indexFrom(b) - indexFrom(a)) / Math.max(1, b - a);
}

// The position nearest to `position` that the view has a value for. With a `direction`, the nearest one
// from there to the right (1) or to the left (-1), where there is one.
export function nearestRead(position, direction = 0) {
  const wanted = Math.max(0, Math.min(N - 1, position));
  if (state.view !== "lens" || !readPositions()?.length) return wanted;
  const at = indexFrom(wanted), after = positions[at], before = after === wanted ? wanted : positions[at - 1];
  if (direction > 0) return after ?? before;
  if (direction < 0) return before ?? after;
  if (after === undefined || before === undefined) return after ?? before;
  return after - wanted < wanted - before ? after : before;
}

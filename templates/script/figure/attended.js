// The keys that a cell attends to most, where the page has exact weights of its query.
import { report } from "../data/page.js";
import { state } from "../data/state.js";
import { attentionWeight, exactWindow, isMean } from "../data/windows.js";

// At most `many` keys with their weights, {key, p} each, the largest first, and whether these are means
// over heads. Sink keys are left out unless the reader asks for them. Null where the page has no weights.
export function attendedKeys({ position, entry, head }, many) {
  const exact = report.compare ? null : exactWindow(position);
  if (!exact) return null;
  const sinks = state.sinks ? [] : report.sinkKeys[entry] ?? [], keys = [];
  const stop = Math.min(position + 1, exact.firstKey + exact.keys), own = isMean(exact) ? -1 : head;
  for (let key = exact.firstKey; key < stop; key++) {
    const p = attentionWeight(exact, entry, own, position, key);
    if (Number.isFinite(p) && p > 0 && !sinks.includes(key)) keys.push({ key, p });
  }
  keys.sort((a, b) => b.p - a.p || a.key - b.key);
  return { keys: keys.slice(0, many), isMean: own < 0, leavesOut: sinks.length };
}

// The token that a cell names: the most attended key, or the lens's top token.
import { report } from "./page.js";
import { data, details, headDetails, MISSING } from "./values.js";
import { state } from "./state.js";
import { lensDetail } from "./statistics.js";
import { inLayer } from "./rows.js";

// The key that most heads attend to most, or that the row's one head does; MISSING where there is none.
// Sink keys are left out unless the reader asks for them, or the page does not know what else is attended to.
export function topKey(row, position, keys = data.topKey, withSinks = state.sinks) {
  const slot = headDetails.slot(position), { size } = headDetails;
  if (!keys || slot < 0) return MISSING;
  const others = withSinks || keys !== data.topKey ? undefined : data.topKeyWithoutSinks;
  const read = (h) => {
    const at = (row.entry * report.heads + h) * size + slot, other = others ? others.get(at) : MISSING;
    return other >= 0 ? other : keys.get(at);
  };
  if (row.head >= 0) return inLayer(row) ? read(row.head) : MISSING;
  const votes = new Map();
  for (let h = 0; h < report.headCounts[row.entry]; h++) {
    const key = read(h);
    if (key >= 0) votes.set(key, (votes.get(key) || 0) + 1);
  }
  let best = MISSING;
  for (const [key, heads] of votes) {
    if (best === MISSING || heads > votes.get(best) || (heads === votes.get(best) && key < best)) best = key;
  }
  return best;
}

// Whether the key that a cell names has the row's largest weight: a sink key that is left out may have it.
export const hasLargestWeight = (row, position) => topKey(row, position) === topKey(row, position, data.topKey, true);

export function topToken(row, position, k) {
  const slot = details.slot(position);
  return slot < 0 || !lensDetail("topIds") ? null : { id: lensDetail("topIds").at(row.entry, slot, k), p: Math.exp(lensDetail("topLogprobs").at(row.entry, slot, k)) };
}

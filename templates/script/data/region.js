// The region of the attention map that its frame magnifies.
import { PROMPT } from "./page.js";

export const region = { q0: 0, q1: PROMPT, k0: 0, k1: PROMPT };

export function moveRegion(q0, k0, queries, keys) {
  const fit = (from, wanted) => {
    const size = Math.max(1, Math.min(PROMPT, Math.round(wanted)));
    const start = Math.max(0, Math.min(PROMPT - size, Math.round(from)));
    return [start, start + size];
  };
  [region.q0, region.q1] = fit(q0, queries);
  [region.k0, region.k1] = fit(k0, keys);
}

export const coversRegion = (w) => region.q0 >= w.firstQuery && region.q1 <= w.firstQuery + w.queries && region.k0 >= w.firstKey && region.k1 <= w.firstKey + w.keys;

// Exact attention weights: windows of queries × keys.
import { report } from "./page.js";
import { unpack } from "./values.js";

export let exactValues = [];

export async function readWindows() {
  exactValues = await Promise.all(report.windows.map(async (window) => ({
    ...window,
    values: await unpack(window.values),
    shares: window.shares ? await unpack(window.shares) : null,
  })));
  for (const window of exactValues) [, , window.keys, window.queries] = window.values.shape;
}

export const isMean = (window) => window.heads.length === 1 && window.heads[0] < 0;

const holdsQuery = (window, query) => query >= window.firstQuery && query < window.firstQuery + window.queries;

// The window with the weights of a query over the keys up to the query itself; null where none has them.
export const exactWindow = (query) => exactValues.find((window) => holdsQuery(window, query) && query >= window.firstKey) || null;

// Whether a layer has attention, and a head at an index: a window has as many heads in all layers.
export const hasHead = (entry, head = -1) => !report.views.includes("attention") || report.headCounts[entry] > Math.max(0, head);

export function attentionWeight(window, entry, head, query, key) {
  if (!hasHead(entry)) return NaN;
  const q = query - window.firstQuery, k = key - window.firstKey;
  if (q < 0 || k < 0 || q >= window.queries || k >= window.keys) return NaN;
  if (isMean(window)) return window.values.at(entry, 0, k, q);
  if (head >= 0) return window.values.at(entry, head, k, q);
  const heads = Math.min(report.headCounts[entry] || window.heads.length, window.heads.length);
  let sum = 0;
  for (let h = 0; h < heads; h++) sum += window.values.at(entry, h, k, q);
  return sum / (heads || 1);
}

// What a key adds to the entropy of a query, in nats.
export function entropyShare(window, entry, head, query, key) {
  if (!hasHead(entry)) return NaN;
  const one = (p) => (p > 0 ? -p * Math.log(p) : p === 0 ? 0 : NaN);
  if (isMean(window)) return window.shares ? window.shares.at(entry, 0, key - window.firstKey, query - window.firstQuery) : NaN;
  if (head >= 0) return one(attentionWeight(window, entry, head, query, key));
  const heads = Math.min(report.headCounts[entry] || window.heads.length, window.heads.length);
  let sum = 0;
  for (let h = 0; h < heads; h++) sum += one(attentionWeight(window, entry, h, query, key));
  return sum / (heads || 1);
}

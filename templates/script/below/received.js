// What keys receive from all queries, as a curve on a logarithmic scale.
import { report } from "../data/page.js";
import { aggregate } from "../data/planes.js";
import { state } from "../data/state.js";
import { received } from "./map_values.js";

export let receivedRange = [0.1, 1];

// Powers of ten around what this layer's keys receive, no more than six of them.
export function findReceivedRange() {
  receivedRange = [0.1, 1];
  const there = [];
  for (let i = 0; i < received.shape[2]; i++) there.push(received.at(state.mapLayer, 0, i));
  const positive = there.filter((y) => y > 0);
  if (!positive.length) return;
  const high = 10 ** Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b)))), low = 10 ** Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b))));
  receivedRange = [Math.max(low, high / 1e6), Math.max(high, low * 10)];
}

// Means of what the keys from a to b receive, no more than one a pixel.
export function receivedOver(a, b) {
  if (!received) return [];
  const { every, heads } = report.received, head = Math.max(0, heads.indexOf(report.map.heads[Math.max(0, state.mapHead)]));
  const columns = received.shape[2], first = Math.floor(a / every), last = Math.min(columns, Math.ceil(b / every));
  const bin = Math.max(1, Math.ceil((last - first) / 512)), points = [];
  for (let t = first; t < last; t += bin) {
    const y = aggregate(t, Math.min(last, t + bin), 0, (i) => received.at(state.mapLayer, head, i));
    if (Number.isFinite(y)) points.push({ x: t * every, y: Math.max(receivedRange[0], y) });
  }
  if (points.length) points.push({ x: last * every, y: points[points.length - 1].y });
  return points;
}

// A power of ten as it is written.
export const powerOfTen = (y) => `10${[...String(Math.round(Math.log10(y)))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`;

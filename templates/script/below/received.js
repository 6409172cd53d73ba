// What keys receive from all queries, as a curve on a logarithmic scale.
import { report } from "../data/page.js";
import { aggregate } from "../data/planes.js";
import { state } from "../data/state.js";
import { received } from "./map_values.js";

export let receivedRange = [0.1, 1];

// Set the curve's range to the powers of ten around the values of this layer, at most six of them.
export function findReceivedRange() {
  receivedRange = [0.1, 1];
  const values = [];
  for (let i = 0; i < received.shape[2]; i++) values.push(received.at(state.mapLayer, 0, i));
  const positive = values.filter((y) => y > 0);
  if (!positive.length) return;
  const high = 10 ** Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b)))), low = 10 ** Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b))));
  receivedRange = [Math.max(low, high / 1e6), Math.max(high, low * 10)];
}

// The curve over the keys from a to b: means, at most one per pixel.
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

// A power of ten: as a number near 1, else with its exponent raised.
export const powerOfTen = (y) => (y > 0.9e-3 && y < 1.1e3 ? String(Number(y.toPrecision(1))) : `10${[...String(Math.round(Math.log10(y)))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`);

// The values of the attention map of a long prompt, and of the map's head.
import { report } from "../data/page.js";
import { unpack } from "../data/values.js";
import { state } from "../data/state.js";

export let mapValues = null;
export let received = null;

export async function readMap() {
  mapValues ??= await unpack(report.map);
  if (report.received) received ??= await unpack(report.received);
}

export const mapHead = () => report.map.heads[Math.max(0, state.mapHead)];

const LEAST_SHARE = 1e-4;

// The place of a share on the logarithmic scale of the maps, from 0 to 1; NaN for a missing one.
export const logFraction = (p) => 1 + Math.log10(Math.max(p, LEAST_SHARE)) / -Math.log10(LEAST_SHARE);

// The legend of that scale.
export const LOG_TICKS = [0.0001, 0.001, 0.01, 0.1, 1].map((share, i) => ({ y: i / 4, text: String(share) }));

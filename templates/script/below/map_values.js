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

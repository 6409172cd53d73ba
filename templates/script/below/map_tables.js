// The tables of the attention map.
import { PROMPT, report } from "../data/page.js";
import { texts } from "../data/texts.js";
import { countOf, formatRange } from "../data/format.js";
import { state } from "../data/state.js";
import { attentionWeight, exactValues } from "../data/windows.js";
import { coversRegion, region } from "../data/region.js";
import { fourDigits, headLabel, MOST_ROWS, withToken, writeTable } from "./live_tables.js";
import { mapHead, mapValues, received } from "./map_values.js";

// The `many` entries [value, …] with the largest values above zero; of equals, the first.
const largest = (entries, many) => entries.filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, many);

const shareRows = (entries, error) => largest(entries, MOST_ROWS.map).map(([value, queries, keys]) => [queries, keys, fourDigits(value, error)]);

function tilesWithin(q0, q1, k0, k1) {
  const { queries, keys } = report.map, head = Math.max(0, state.mapHead), entries = [];
  for (let r = 0; r < queries.length - 1; r++) {
    if (queries[r] >= q1 || queries[r + 1] <= q0) continue;
    for (let c = 0; c < keys.length - 1; c++) {
      if (keys[c] >= k1 || keys[c + 1] <= k0) continue;
      entries.push([mapValues.at(state.mapLayer, head, r, c), formatRange(queries[r], queries[r + 1]), formatRange(keys[c], keys[c + 1])]);
    }
  }
  return entries;
}

function weightsWithin(exact, { q0, q1, k0, k1 }) {
  const entries = [];
  for (let q = q0; q < q1; q++) for (let k = k0; k < k1; k++) entries.push([attentionWeight(exact, state.mapLayer, mapHead(), q, k), withToken(q), withToken(k)]);
  return entries;
}

export function writeMapTables() {
  const columns = [["queries", false], ["keys", false], ["share of the queries' attention", true]];
  const of = `layer ${report.layers[state.mapLayer]}, ${headLabel(mapHead())}`, rows = shareRows(tilesWithin(0, PROMPT, 0, PROMPT), mapValues.error);
  writeTable("table-map", `The ${countOf(rows.length, "tile")} of the map with the largest shares, ${of}`, columns, rows);
  const covering = exactValues.find(coversRegion), { q0, q1, k0, k1 } = region;
  const within = covering ? shareRows(weightsWithin(covering, region), covering.values.error) : shareRows(tilesWithin(q0, q1, k0, k1), mapValues.error);
  const frame = `queries ${formatRange(q0, q1)}, keys ${formatRange(k0, k1)}`;
  writeTable("table-region", `The ${countOf(within.length, covering ? "largest exact weight" : "tile")}${covering ? "" : " with the largest shares"} in the purple frame (${frame}), ${of}`, columns, within);
}

export function writeReceivedTable() {
  const { every, heads } = report.received, head = Math.max(0, heads.indexOf(mapHead())), entries = [];
  for (let i = 0; i < received.shape[2]; i++) entries.push([received.at(state.mapLayer, head, i), i * every]);
  const rows = largest(entries, MOST_ROWS.received).map(([value, p]) => [
    every === 1 ? String(p) : formatRange(p, Math.min(PROMPT, p + every)), every === 1 ? texts.token(p) : `mean of ${every} keys`, fourDigits(value, received.error),
  ]);
  const title = `The ${countOf(rows.length, every === 1 ? "key" : "run")}${every === 1 ? "" : ` of ${every} keys`} that ${rows.length === 1 ? "receives" : "receive"} most attention from all queries, layer ${report.layers[state.mapLayer]}, ${headLabel(heads[head])}`;
  writeTable("table-received", title, [["key", false], ["token", false], ["attention received", true]], rows);
}

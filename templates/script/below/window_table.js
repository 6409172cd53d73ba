// The table of a window of exact weights.
import { report } from "../data/page.js";
import { countOf } from "../data/format.js";
import { state } from "../data/state.js";
import { attentionWeight, entropyShare, isMean } from "../data/windows.js";
import { fourDigits, headLabel, MOST_ROWS, withToken, writeTable } from "./live_tables.js";

// Write the last queries and keys of a window: their weights, or what each adds to the row's entropy.
export function writeWindowTable(exact, head, shares) {
  const { queries, keys, firstQuery, firstKey } = exact, value = shares ? entropyShare : attentionWeight;
  const last = (first, many) => Array.from({ length: Math.min(many, MOST_ROWS.window) }, (_, i) => first + many - Math.min(many, MOST_ROWS.window) + i);
  const [down, across] = [last(firstQuery, queries), last(firstKey, keys)];
  const { error } = isMean(exact) && shares && exact.shares ? exact.shares : exact.values;
  // What a weight of this error may add to an entropy.
  const certain = shares && !isMean(exact) && error > 0 ? -error * Math.log(error) : error;
  const rows = down.map((q) => [withToken(q), ...across.map((k) => fourDigits(value(exact, state.mapLayer, head, q, k), certain))]);
  const what = shares ? "Contributions (nats) of keys to the entropy of a query" : "Attention weights";
  const excerpt = down.length < queries || across.length < keys ? `: the last ${down.length} of ${countOf(queries, "query", "queries")}` : "";
  const title = `${what} of layer ${report.layers[state.mapLayer]}, ${headLabel(head, isMean(exact))}, from queries (rows) to keys${excerpt}`;
  writeTable("table-window", title, [["query", false], ...across.map((k) => [withToken(k), true])], rows);
}

// A head in words.
import { report } from "../data/page.js";
import { headTable, kindName, roleLabel } from "./heads.js";

const MEANINGS = {
  previous: "previous token", induction: "induction", sink: "attends to a sink", local: "local: the last 64 keys", diffuse: "diffuse: nearly uniform",
  source: "reads a source", open: "attends to a word: hiding it here was not tested", seen: "attends to a word: hiding it here changes nothing",
};

// The lines about one head, by layer and column: its name, what it does, and all its scores.
export function describeHead(layer, column) {
  const number = report.gridHeads[column], kind = kindName(layer, column), attended = headTable.word(layer, column);
  const lines = [`layer ${report.layers[layer]} · ${number < 0 ? "mean over heads" : `head ${number}`}`];
  if (MEANINGS[kind]) lines.push(MEANINGS[kind]);
  if (attended) lines.push(`${report.roles.where}: attends most to \u2068${attended}\u2069`);
  const names = report.scores?.names ?? [];
  return [...lines, ...names.map((name, s) => {
    const value = headTable.score(s, layer, column), uniform = headTable.uniform(s, layer);
    const comparison = Number.isFinite(uniform) ? ` (uniform: ${uniform.toPrecision(2)})` : "";
    return `${name} ${Number.isFinite(value) ? value.toPrecision(3) : "not measured"}${comparison}`;
  })];
}

// The same on one line, for readers who hear it.
export const nameHead = (layer, column) => [describeHead(layer, column)[0], roleLabel(layer, column)].filter(Boolean).join(", ");

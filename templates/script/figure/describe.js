// A cell in words: the lines of the tooltip.
import { N, report } from "../data/page.js";
import { data, details, headDetails } from "../data/values.js";
import { visibleKeys } from "../data/visible.js";
import { texts, wordFull } from "../data/texts.js";
import { countOf, formatCount, formatFixed, formatPercent, shorten } from "../data/format.js";
import { planes } from "../data/planes.js";
import { state } from "../data/state.js";
import { lensDetail, otherSite, statName, statShown } from "../data/statistics.js";
import { readableLens, rowAt } from "../data/readable.js";
import { headName, inLayer, rowName, rowsShown } from "../data/rows.js";
import { hasLargestWeight, topKey, topToken } from "../data/tokens.js";
import { attentionWeight, hasHead, isMean } from "../data/windows.js";
import { formatAmount, formatNats, formatWeight, withUnit } from "./amounts.js";
import { describeTile, whyNoAttention, whyNotReached, whyNotRead } from "./missing.js";
import { describeBoth } from "./compare.js";

// A cell as its place, its value with what else is known of it, and the tokens that the lens would say.
export function cellFacts(row, position) {
  if (report.compare) {
    const [place, ...facts] = describeBoth(row, position);
    return { place, facts, tokens: [], words: [] };
  }
  const text = texts.full(position), role = texts.role(position);
  const place = `${rowName(row)} · position ${formatCount(position)}${text ? ` · ${text} (${role})` : ""}`;
  const value = inLayer(row) ? row.plane.at(row.at, position) : NaN;
  if (value === undefined) return { place, facts: describeTile(row, position, statName()), tokens: [], words: [] };
  const lens = state.view === "lens", tokens = lens && Number.isFinite(value) ? topTokens(row, position) : [];
  return { place, facts: lens ? describeLens(row, position, value) : describeAttention(row, position, value), tokens, words: describeText(row, position) };
}

// The same as lines.
export function describeCell(row, position) {
  const { place, facts, tokens, words } = cellFacts(row, position);
  return [place, ...facts, ...tokens.map(({ id, p }) => `${Number.isFinite(p) ? formatPercent(p) : "missing"}  ${wordFull(id)}`), ...words];
}

// The tokens that the lens gives the largest probabilities, {id, p} each.
function topTokens(row, position) {
  const slot = details.slot(position), ids = lensDetail("topIds");
  if (slot < 0 || !ids) return [];
  return Array.from({ length: ids.shape[2] }, (_, k) => topToken(row, position, k)).filter(({ id }) => id >= 0);
}

// The sum of the surprisals of the tokens from `a` to `b`; NaN where the page does not have all of them.
// The first token of a text has none.
function surprisalOf(a, b) {
  let sum = 0;
  for (let p = Math.max(a, Math.min(1, b - 1)); p < b; p++) sum += data.surprisal && details.slot(p) >= 0 ? data.surprisal.get(details.slot(p)) : NaN;
  return sum;
}

// The surprisal of the token, and what is known of its word where that has more tokens.
function describeText(row, position) {
  const own = surprisalOf(position, position + 1), error = data.surprisal?.error ?? 0, named = texts.wordAt(position);
  const lines = Number.isFinite(own) ? [`surprisal ${formatNats(own, error)}`] : [];
  if (!named) return lines;
  const positions = Array.from({ length: named.to - named.from }, (_, i) => named.from + i);
  const values = positions.map((p) => (inLayer(row) ? row.plane.at(row.at, p) : NaN)), sum = surprisalOf(named.from, named.to);
  const mean = values.reduce((a, b) => a + b, 0) / values.length, parts = [];
  if (Number.isFinite(sum)) parts.push(`surprisal ${formatNats(sum, error)}`);
  if (Number.isFinite(mean)) parts.push(`mean ${statName()} ${formatAmount(mean, row.plane.error)}`);
  // A token that is the rest of a character has no text of its own.
  const text = positions.map((p) => texts.full(p)).filter((part) => part !== "·").join("").replace(/^_/, "");
  return [...lines, `word \u2068${shorten(text, 60)}\u2069 (${countOf(values.length, "token")})${parts.length ? `: ${parts.join(", ")}` : ""}`];
}

// The entropy of the same cell, next to another statistic, where the page has it.
function describeEntropy(row, position) {
  if (statShown() === "entropy" || otherSite()) return [];
  const own = row.head < 0 ? planes[state.view] : planes.heads, value = own.at(row.at, position);
  return Number.isFinite(value) ? [`entropy ${formatNats(value, own.error)}`] : [];
}

function describeLens(row, position, value) {
  const lines = [`${statName()} ${formatAmount(value, row.plane.error)}`, ...describeEntropy(row, position)];
  if (!Number.isFinite(value)) return [...lines, whyNotRead(row, position)];
  const slot = details.slot(position), [kl, ranks] = ["lensKl", "lensRank"].map(lensDetail), stat = statShown();
  if (slot < 0 || !lensDetail("topIds")) return [...lines, "the page has no top tokens for this position"];
  if (kl && stat !== "lens_kl") lines.push(`KL to the last layer ${formatNats(kl.at(row.entry, slot), kl.error)}`);
  if (ranks) lines.push(`rank ${formatCount(ranks.at(row.entry, slot) + 1)}: ${wordFull(lensDetail("targets").at(slot))}, the model's prediction`);
  const rehearsed = otherSite() ? undefined : report.rehearsals[position]?.[row.entry];
  if (rehearsed) lines.push(rehearsed);
  return [...lines, ...(readableLens()?.words[row.entry] ?? [])];
}

// How far the lens of a row can be read, with the row's name.
export const describeSkill = (row) => [rowName(row), ...(readableLens()?.words[row.entry] ?? [])];

// The key that a row's head, or most heads of its layer, attend to most; nothing where that is not known.
export function mostAttended(row, position) {
  const key = topKey(row, position), besides = data.topKeyWithoutSinks && !state.sinks && !report.compare ? "besides sink keys, " : "";
  return key < 0 ? [] : [`${besides}${row.head < 0 ? "most heads attend most to" : "attends most to"} ${texts.full(key)} (position ${formatCount(key)})`];
}

// Why the entropy of a row of attention is undefined.
const whyUndefined = (visible) => (visible === 0 ? "undefined: no key is visible" : visible === 1 ? "undefined: only one key is visible" : "not recorded");

function describeAttention(row, position, value) {
  const visible = visibleKeys(row.entry, position);
  const visibleText = visible === null || !hasHead(row.entry) ? "" : `, ${countOf(visible, "visible key")}${visible ? ` (ln = ${Math.log(visible).toFixed(3)})` : ""}`;
  const lines = [`${statName()} ${formatAmount(value, row.plane.error)}${visibleText}`, ...describeEntropy(row, position)];
  if (!Number.isFinite(value)) return [...lines, whyNoAttention(row.entry, row.head) || whyNotReached(position) || whyUndefined(visible)];
  lines.push(...mostAttended(row, position));
  const slot = headDetails.slot(position);
  if (row.head >= 0 && data.maxProb && slot >= 0 && statShown() !== "max_prob") {
    const sink = hasLargestWeight(row, position) ? "" : ` (on the sink key ${texts.full(topKey(row, position, data.topKey, true))})`;
    lines.push(`largest weight ${data.maxProb.at(row.entry, row.head, slot).toFixed(3)}${sink}`);
  }
  return lines;
}

// The cell of the magnified column under a point of the inset `box`, or the weight with the full texts of
// its query and its key.
export function describeInset(box, { y, across }) {
  const { weights, width: columns, height: rows, exact, row, head, queries, keys } = box;
  if (!weights) return describeCell(rowsShown()[Math.floor(rowAt(y, rowsShown().length))], state.col);
  const at = Math.min(rows - 1, Math.floor(y * rows));
  const q = queries[Math.min(columns - 1, Math.floor(across * columns))], k = keys[at];
  const p = attentionWeight(exact, row.entry, head, q, k), mean = isMean(exact) || row.head < 0;
  const named = (position) => `${texts.full(position)} (position ${formatCount(position)}, ${texts.role(position)})`;
  return [
    `exact weight ${Number.isFinite(p) ? formatWeight(p, exact) : "missing"}`, `query ${named(q)}`, `key ${named(k)}`,
    `layer ${report.layers[row.entry]}, ${mean ? "mean over heads" : `head ${headName(row.head)}`}`,
  ];
}

// What is drawn in a column that stands for `bin` positions.
export function describeDrawn(row, position, bin) {
  if (bin < 2 || !inLayer(row) || row.plane.at(row.at, position) === undefined) return [];
  const from = Math.floor(position / bin) * bin, to = Math.min(N, from + bin);
  const [mean, low, high] = [0, 1, 2].map((how) => row.plane.over(row.at, from, to, how));
  if (!Number.isFinite(mean)) return [];
  return [`this column: positions ${formatCount(from)} to ${formatCount(to - 1)}, mean ${withUnit(formatFixed(mean, 2))}, min ${formatFixed(low, 2)}, max ${formatFixed(high, 2)}`];
}

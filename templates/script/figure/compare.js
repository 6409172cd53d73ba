// A cell of a comparison: its values in A and in B. `data.kind` says which columns both have (0), only
// A has (1), only B has (2).
import { N, report } from "../data/page.js";
import { data, details, headDetails } from "../data/values.js";
import { visibleKeys } from "../data/visible.js";
import { texts, wordFull } from "../data/texts.js";
import { countOf, formatCount, formatPercent, formatSigned } from "../data/format.js";
import { state } from "../data/state.js";
import { readableLens } from "../data/readable.js";
import { inLayer, rowName } from "../data/rows.js";
import { topKey, topToken } from "../data/tokens.js";
import { formatNats } from "./amounts.js";
import { describeTile, whyNoAttention } from "./missing.js";

const SIDES = ["A", "B"];
let columnPlaces = null;

// The positions of a column in A and in B; -1 where the side has no token here.
function placesOf(column) {
  if (!columnPlaces) {
    columnPlaces = [new Int32Array(N), new Int32Array(N)];
    const next = [0, 0];
    for (let i = 0; i < N; i++) {
      const kind = data.kind.get(i);
      columnPlaces.forEach((at, side) => { at[i] = kind === 2 - side ? -1 : next[side]++; });
    }
  }
  return columnPlaces.map((at) => at[column]);
}

// The value of one side (0: A, 1: B); undefined where the page does not have it.
function sideValue(side, row, column) {
  const single = row.head >= 0, packed = data[single ? "headsSides" : `${state.view}Sides`];
  const slot = (single ? headDetails : details).slot(column);
  if (!packed || slot < 0) return undefined;
  return single ? packed.at(side, row.entry, row.head, slot) : packed.at(side, row.entry, slot);
}

function sideToken(side, row, column) {
  if (state.view === "lens") {
    const best = topToken(row, column, side);
    if (!best || best.id < 0) return "";
    return `, top token ${wordFull(best.id)}${Number.isFinite(best.p) ? ` (${formatPercent(best.p)})` : ""}`;
  }
  const key = topKey(row, column, side ? data.topKeyB : data.topKey);
  const besides = report.compare.leavesSinksOut ? "besides sink keys, " : "";
  return key < 0 ? "" : `, ${besides}${row.head < 0 ? "most heads attend most to" : "attends most to"} ${texts.full(key)} (position ${formatCount(placesOf(key)[side])})`;
}

export function describeBoth(row, column) {
  const at = placesOf(column), kind = data.kind.get(column), role = texts.role(column);
  const where = kind ? `position ${formatCount(at[kind - 1])}, only in ${SIDES[kind - 1]}` : at[0] === at[1] ? `position ${formatCount(at[0])}` : `position ${formatCount(at[0])} in A, ${formatCount(at[1])} in B`;
  const lines = [`${rowName(row)} · ${where} · ${texts.full(column)} (${role})`];
  const what = state.view === "lens" ? "lens entropy" : "attention entropy";
  const value = inLayer(row) ? row.plane.at(row.at, column) : NaN;
  if (kind) lines.push(`no difference: ${SIDES[2 - kind]} has no token here`);
  else if (value === undefined) lines.push(...describeTile(row, column, `B − A of ${what}`));
  else if (Number.isFinite(value)) lines.push(`B − A = ${formatSigned(value, 3)} nats`);
  else lines.push(`no difference: ${(state.view === "attention" && whyNoAttention(row.entry, row.head)) || "not measured on both sides"}`);
  const shares = SIDES.map((name, side) => {
    if (at[side] < 0 || !inLayer(row)) return NaN;
    const own = sideValue(side, row, column);
    if (own === undefined) return NaN;
    const visible = state.view === "attention" ? visibleKeys(row.entry, at[side], report.compare.visible[side]) : null;
    const normalized = visible > 1 ? own / Math.log(visible) : NaN;
    const range = Number.isFinite(normalized) ? `, normalized ${normalized.toFixed(3)} (${countOf(visible, "visible key")})` : "";
    lines.push(`${name}: ${what} ${formatNats(own, 0)}${range}${sideToken(side, row, column)}`);
    return normalized;
  });
  const change = shares[1] - shares[0];
  if (at[0] !== at[1] && Number.isFinite(change)) lines.push(`B − A of normalized entropy = ${formatSigned(change, 3)}`);
  return [...lines, ...(readableLens()?.words[row.entry] ?? [])];
}

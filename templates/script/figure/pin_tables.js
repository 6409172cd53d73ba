// The values of a pin as a table.
import { makeElement, report } from "../data/page.js";
import { data, headDetails } from "../data/values.js";
import { texts } from "../data/texts.js";
import { formatCount, formatFixed, formatSpan, shorten } from "../data/format.js";
import { colourOf, inkOn, SHARE, toHex } from "../data/colours.js";
import { aggregate } from "../data/planes.js";
import { state } from "../data/state.js";
import { scaleShown, statName, statShown } from "../data/statistics.js";
import { readableLens, rowKindOf } from "../data/readable.js";
import { entropyAt, entropyOver, inLayer, rowKind } from "../data/rows.js";
import { hasLargestWeight, topToken } from "../data/tokens.js";
import { attentionWeight, exactWindow, isMean } from "../data/windows.js";
import { cellText } from "./cells.js";
import { formatDigits, formatWeight } from "./amounts.js";
import { describeCell } from "./describe.js";
import { missingAttention } from "./missing.js";
import { listWindows } from "./pins.js";

const PIN_ROWS = 40;
const PIN_COLUMNS = 12;

const headerCell = (text, scope) => {
  const cell = makeElement("th", "", { scope });
  cell.append(makeElement("bdi", text));
  return cell;
};

// A cell in the colour of its value, with the value below the cell's text; dotted without `colours`.
function shadedCell(number, colours, { text = "", title = "", isPale = false } = {}) {
  const cell = makeElement("td", "", { title });
  if (text) cell.append(makeElement("bdi", text));
  cell.append(makeElement("span", number));
  if (!colours) return Object.assign(cell, { className: "unread" });
  cell.style.background = isPale ? `color-mix(in srgb, ${toHex(colours)} 36%, var(--card))` : toHex(colours);
  cell.style.color = isPale ? "var(--ink)" : inkOn(colours);
  return cell;
}

const valueColour = (value) => colourOf(value, scaleShown(), state.palette);

// A cell with its value: `≈` marks the mean of several positions, a dash a missing value.
function valueCell(row, position, text = "") {
  const value = entropyAt(row, position), isSingle = !inLayer(row) || row.plane.at(row.at, position) !== undefined;
  const number = Number.isFinite(value) ? `${isSingle ? "" : "≈ "}${formatDigits(value, row.plane.error, 2)}` : "–";
  const kind = rowKindOf(row);
  return shadedCell(number, kind === "unreadable" ? null : valueColour(value), { isPale: kind === "pale", text, title: isSingle && Number.isFinite(value) ? "" : describeCell(row, position).join("\n") });
}

export function tableOf(title, head, body) {
  const table = makeElement("table"), top = makeElement("tr"), tableHead = makeElement("thead"), tableBody = makeElement("tbody");
  top.append(...head.map((name) => headerCell(name, "col")));
  tableHead.append(top);
  tableBody.append(...body.map(([name, ...cells]) => {
    const line = makeElement("tr");
    line.append(headerCell(name, "row"), ...cells);
    return line;
  }));
  table.append(makeElement("caption", title, { className: "off" }), tableHead, tableBody);
  return table;
}

function columnTable(pin, rows) {
  const lens = state.view === "lens", p = pin.p0;
  const probability = (row) => {
    if (lens) return topToken(row, p, 0)?.p;
    return row.head >= 0 && data.maxProb && headDetails.slot(p) >= 0 && hasLargestWeight(row, p) ? data.maxProb.at(row.entry, row.head, headDetails.slot(p)) : undefined;
  };
  const hasShares = !["probability", "max_prob"].includes(statShown()) && rows.some((row) => probability(row) !== undefined), { unit } = scaleShown();
  const names = rows.map((row) => cellText(row, p)), hasTexts = names.some(Boolean), skill = readableLens()?.skill;
  const head = [rowKind(), ...(hasTexts ? [lens ? "top token" : "attends most to"] : []), `${statName()}${unit ? ` (${unit})` : ""}`, ...(hasShares ? [lens ? "probability" : "weight"] : []), ...(skill ? ["lens skill"] : [])];
  const body = rows.map((row, r) => {
    const share = probability(row), cells = [valueCell(row, p)];
    if (hasTexts) {
      cells.unshift(makeElement("td"));
      cells[0].append(makeElement("bdi", names[r]));
    }
    if (hasShares) cells.push(makeElement("td", Number.isFinite(share) ? share.toFixed(3) : "–", { className: "number" }));
    if (skill) cells.push(makeElement("td", Number.isFinite(skill[row.entry]) ? formatFixed(skill[row.entry], 2) : "–", { className: "number" }));
    return [row.label, ...cells];
  });
  return { head, body: body.reverse(), note: "" };
}

// Single cells where the table has room for all of them, else the means of blocks of equal size.
function rectangleTable({ r0, r1, p0, p1 }, rows) {
  const tall = Math.ceil((r1 - r0) / PIN_ROWS), wide = Math.ceil((p1 - p0) / PIN_COLUMNS), one = tall * wide === 1;
  const head = [rowKind()], body = [];
  for (let p = p0; p < p1; p += wide) head.push(wide === 1 ? shorten(texts.token(p), 12) || formatCount(p) : formatSpan(p, Math.min(p1, p + wide)));
  for (let r = r0; r < r1; r += tall) {
    const group = rows.slice(r, Math.min(r1, r + tall)), cells = [group.length > 1 ? `${group[0].label}–${group[group.length - 1].label}` : group[0].label];
    for (let p = p0; p < p1; p += wide) {
      if (one) cells.push(valueCell(group[0], p, shorten(cellText(group[0], p), 12)));
      else {
        const mean = aggregate(0, group.length, 0, (i) => entropyOver(group[i], p, Math.min(p1, p + wide)));
        const isUnread = group.every((row) => rowKindOf(row) === "unreadable");
        cells.push(shadedCell(Number.isFinite(mean) ? formatFixed(mean, 2) : "–", isUnread ? null : valueColour(mean)));
      }
    }
    body.push(cells);
  }
  const what = [tall > 1 ? `${tall} ${rowKind()}s` : "", wide > 1 ? `${formatCount(wide)} positions` : ""].filter(Boolean).join(" × ");
  return { head, body: body.reverse(), note: one ? "" : `Too large to show every cell: each cell is the mean of ${what}.` };
}

// Queries × the keys that the last query attends to most, and the rest of each query's attention.
function weightTable({ r0, p0, p1 }, rows) {
  const exact = exactWindow(p1 - 1), row = rows[r0];
  if (!exact) return { head: [], body: [], note: `The page has no exact weights of these queries. ${listWindows()}` };
  const why = missingAttention(row.entry, row.head);
  if (why) return { head: [], body: [], note: why };
  const read = (q, k) => attentionWeight(exact, row.entry, row.head, q, k), last = Math.min(p1, exact.firstKey + exact.keys);
  const keys = Array.from({ length: last - exact.firstKey }, (_, i) => i + exact.firstKey)
    .sort((i, j) => read(p1 - 1, j) - read(p1 - 1, i) || i - j).slice(0, PIN_COLUMNS).sort((i, j) => i - j);
  const name = (p) => `${formatCount(p)} ${shorten(texts.token(p), 12)}`.trim();
  const cellOf = (p) => shadedCell(Number.isFinite(p) ? formatWeight(p, exact) : "–", colourOf(p, SHARE, "weight"));
  const body = [];
  for (let q = p0; q < p1; q++) {
    const visible = keys.filter((k) => k <= q || !report.causal), sum = visible.reduce((all, k) => all + read(q, k), 0);
    body.push([name(q), ...keys.map((k) => (visible.includes(k) ? cellOf(read(q, k)) : makeElement("td", "", { title: "not visible: the key comes later" }))), makeElement("td", Number.isFinite(sum) ? formatWeight(Math.max(0, 1 - sum), exact) : "–", { className: "number" })]);
  }
  const meanNote = isMean(exact) && row.head >= 0 ? " Shown as the mean over heads, because the trace has no single heads here." : "";
  return { head: ["query", ...keys.map(name), "all other keys"], body, note: `Columns: the keys that query ${formatCount(p1 - 1)} attends to most.${meanNote}` };
}

export const PIN_TABLES = { c: columnTable, r: rectangleTable, w: weightTable };

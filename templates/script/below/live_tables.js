// Tables that follow their charts. Without scripts they show what the charts open with; see
// report/content/tables.py.
import { $ } from "../data/page.js";
import { texts } from "../data/texts.js";
import { headName } from "../data/rows.js";
import { markRows } from "./selected_rows.js";

export const MOST_ROWS = { spread: 64, map: 64, received: 32, window: 24 };

// Milliseconds without a change before a table is written, so that none is written during a drag.
const SETTLED = 150;

let writeTimer = 0;
const writtenKeys = new Map();
const waitingTables = new Map();

// A value in four digits, or in fewer where its error leaves fewer certain.
export function fourDigits(value, error = 0) {
  if (!Number.isFinite(value)) return null;
  const places = error > 0 ? Math.max(0, Math.min(20, Math.floor(-Math.log10(2 * error)))) : 20;
  const rounded = Number(Number(value.toFixed(places)).toPrecision(4)), size = Math.abs(rounded);
  const sign = rounded < 0 ? "−" : "";
  if (size >= 1e4) return sign + Math.abs(value).toFixed(0);
  return sign + (size > 0 && size < 1e-4 ? size.toExponential().replace(/e-(\d)$/, "e-0$1") : String(size));
}

export const withToken = (p) => `${p} ${texts.token(p)}`.trim();

export const headLabel = (head, mean) => (head < 0 || mean ? "mean over heads" : `head ${headName(head)}`);

function tableCell(tag, text, { number = false, scope = "" } = {}) {
  const cell = document.createElement(tag);
  if (scope) cell.scope = scope;
  if (text === null) cell.className = "missing";
  else if (number) cell.className = "number";
  if (number || text === null) cell.textContent = text ?? "missing";
  else cell.append(Object.assign(document.createElement("bdi"), { textContent: text }));
  return cell;
}

// Write the table `id`. `columns` are [name, whether its cells are numbers]; the first cell of a row is
// its heading.
export function writeTable(id, title, columns, rows) {
  const table = $(id), twin = table.closest(".twin"), line = (cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  };
  for (const named of twin.querySelectorAll("summary bdi, caption bdi")) named.textContent = title;
  twin.querySelector(".scroll").setAttribute("aria-label", title);
  twin.querySelector(".csv").setAttribute("aria-label", `Export as CSV: ${title}`);
  table.tHead.replaceChildren(line(columns.map(([name, number]) => {
    const cell = tableCell("th", name, { scope: "col" });
    if (number) cell.className = "number";
    return cell;
  })));
  table.tBodies[0].replaceChildren(...rows.map((row) => line(row.map((text, i) =>
    i ? tableCell("td", text, { number: columns[i][1] }) : tableCell("th", text, { scope: "row" })))));
  twin.hidden = false;
  markRows();
}

export function writeTables() {
  clearTimeout(writeTimer);
  for (const [id, { key, write }] of waitingTables) {
    if (!$(id) || writtenKeys.get(id) === key) continue;
    writtenKeys.set(id, key);
    write();
  }
  waitingTables.clear();
}

// Call `write` soon to write the table `id`, unless it was last written with the same `key`.
export function writeLater(id, key, write) {
  waitingTables.set(id, { key, write });
  clearTimeout(writeTimer);
  writeTimer = setTimeout(writeTables, SETTLED);
}

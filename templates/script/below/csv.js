// CSV (RFC 4180) of a table as its chart shows it, and of what the figure shows.
import { $, N, report } from "../data/page.js";
import { texts } from "../data/texts.js";
import { state } from "../data/state.js";
import { saveFile } from "../data/saving.js";
import { readableLens } from "../data/readable.js";
import { entropyOver, headName, rowsShown } from "../data/rows.js";
import { sectionBinOf } from "../figure/pictures.js";
import { writeTables } from "./live_tables.js";

const FORMULA = /^[=+\-@\t\r]/;

// An apostrophe precedes a text that a spreadsheet would run as a formula; numbers stay as they are.
function csvText(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvNumber = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(9))) : "");

const csvLines = (lines) => lines.map((line) => `${line.join(",")}\r\n`).join("");

// The heading of each column, joined from all rows of the table's head.
function csvHead(table) {
  const rows = [...table.tHead.rows].map((row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(cell.textContent)));
  return rows[0].map((_, column) => csvText(rows.map((row) => row[column]).filter(Boolean).join(" · ")));
}

function csvOfTable(table) {
  const format = (cell) => {
    if (cell.classList.contains("missing")) return "";
    const isNumber = cell.classList.contains("number") && !/[",]/.test(cell.textContent);
    return isNumber ? cell.textContent.replace(/^−/, "-") : csvText(cell.textContent);
  };
  return csvLines([csvHead(table), ...[...table.tBodies[0].rows].map((row) => [...row.cells].map(format))]);
}

// One line per cell of the section, with as many positions per column as the figure draws. The last field
// is the number of positions that the value is the mean of.
function csvOfFigure() {
  const rows = rowsShown(), bin = sectionBinOf(rows), skill = readableLens()?.skill;
  const lines = [["layer", "head", "position", "token", "value", "positions", ...(skill ? ["lens skill"] : [])]];
  for (const row of rows) {
    const head = row.head < 0 ? "mean" : headName(row.head);
    for (let p = Math.floor(state.a / bin) * bin; p < state.b; p += bin) {
      const tile = bin === 1 && row.plane.at(row.at, p) === undefined ? row.plane.tile(row.at, p) : null;
      const end = Math.min(N, p + bin), many = tile ? tile.to - tile.from : end - p;
      const layer = csvText(String(report.layers[row.entry]));
      lines.push([layer, head, p, csvText(bin === 1 ? texts.full(p) : ""), csvNumber(entropyOver(row, p, end)), many, ...(skill ? [csvNumber(skill[row.entry] ?? NaN)] : [])]);
    }
  }
  return csvLines(lines);
}

export function listenToCsvButtons() {
  for (const button of document.querySelectorAll("button[data-csv]")) {
    const { csv } = button.dataset, makeCsv = () => {
      writeTables();
      return csv === "figure" ? csvOfFigure() : csvOfTable($(csv));
    };
    button.addEventListener("click", () => saveFile(`${csv.replace("table-", "")}.csv`, new Blob([makeCsv()], { type: "text/csv" })));
  }
}

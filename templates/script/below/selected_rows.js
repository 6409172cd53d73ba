// The rows of the tables in which the selected cell is.
import { report } from "../data/page.js";
import { headName } from "../data/rows.js";
import { selectedCell } from "../data/cell.js";

// Whether a row that is named by a position, or by a span of them, contains the cell's.
function isWithin(name, { position }) {
  const [, first, last] = /^([\d,]+)(?: to ([\d,]+))?/.exec(name) ?? [];
  const toNumber = (text) => Number(text.replaceAll(",", ""));
  return first !== undefined && position >= toNumber(first) && position <= toNumber(last ?? first);
}

// Of each kind of row, by the heading of its column: whether a row of that name is the cell's.
const IS_OWN = {
  layer: (name, { entry }) => name === report.layers[entry],
  head: (name, { entry, head }) => head >= 0 && name === `layer ${report.layers[entry]} head ${headName(head)}`,
  position: isWithin, positions: isWithin, query: isWithin, queries: isWithin, key: isWithin,
};

function markRowsOf(table, cell) {
  const heading = table.tHead?.rows[table.tHead.rows.length - 1]?.cells[0]?.textContent, isOwn = IS_OWN[heading];
  if (!isOwn) return;
  for (const row of table.tBodies[0].rows) row.classList.toggle("selected", isOwn(row.cells[0].textContent, cell));
}

// Mark the rows of all open tables.
export function markRows() {
  const cell = selectedCell();
  for (const table of document.querySelectorAll(".twin details[open] table")) markRowsOf(table, cell);
}

// Mark a table's rows as well when the reader opens it.
export function listenToTables() {
  for (const element of document.querySelectorAll(".twin details")) element.addEventListener("toggle", markRows);
}

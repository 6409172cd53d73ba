// The details pane: the hovered cell, or the selected one while nothing is hovered.
import { $, makeElement, report } from "../data/page.js";
import { texts, wordFull } from "../data/texts.js";
import { countOf, formatCount, formatPercent } from "../data/format.js";
import { cellInFocus } from "../data/cell.js";
import { hovered } from "../data/selection.js";
import { headName } from "../data/rows.js";
import { state, theme } from "../data/state.js";
import { statisticReady } from "../data/statistics.js";
import { openChart } from "./chart.js";
import { attendedKeys } from "./attended.js";
import { cellFacts, mostAttended } from "./describe.js";
import { isHit } from "./matches.js";
import { currentReading, withReading } from "./reading.js";

const MOST_BARS = 5;
const barCharts = {};
let shownText = null;
let detailsFrame = 0;
let notes = [];

// Add lines about what is hovered, besides its cell.
export function noteHover(lines = []) {
  if (lines.join("\n") === notes.join("\n")) return;
  notes = lines;
  drawDetailsSoon();
}

// What the pane says of a cell, in the reading of the figure; a single head is read in attention, whatever
// the figure shows.
function readCell(cell) {
  const isHead = cell.head >= 0 && report.views.includes("attention"), attention = state.view === "attention";
  const reading = { ...currentReading(), ...(isHead || attention ? { view: "attention", rows: "layers", head: cell.head } : {}) };
  const stat = withReading(reading, () => (statisticReady() ? reading.stat : "entropy"));
  return withReading({ ...reading, stat }, (rows) => {
    const row = rows[cell.entry], read = cellFacts(row, cell.position);
    if (state.view === "lens" && !report.compare) read.words = [...mostAttended(row, cell.position), ...read.words];
    return read;
  });
}

function writeBars(id, title, entries) {
  const list = $(`${id}-list`);
  $(`${id}-title`).textContent = title;
  $(id).closest(".bars").hidden = !entries.length;
  list.replaceChildren(...entries.map(({ text, p }) => {
    const row = makeElement("li");
    row.append(makeElement("bdi", text), makeElement("span", Number.isFinite(p) ? formatPercent(p) : "missing"));
    return row;
  }));
  const view = barCharts[id];
  if (!view) return;
  view.data("bars", entries.map(({ p }, y) => ({ y, p: Number.isFinite(p) ? p : 0 })));
  for (const [name, value] of Object.entries(theme())) view.signal(name, value);
  view.run();
}

function writeKeys(cell) {
  const attended = attendedKeys(cell, MOST_BARS);
  const head = attended?.isMean ? "mean over heads" : `head ${headName(cell.head)}`, which = attended?.leavesOut ? `, ${countOf(attended.leavesOut, "sink key")} left out` : "";
  writeBars("details-keys", `Attends to (${head}${which})`, (attended?.keys ?? []).map(({ key, p }) => ({ text: `${texts.full(key)} (${formatCount(key)})`, p })));
}

const writeLines = (id, lines) => $(id).replaceChildren(...lines.map((line) => makeElement("li", line)));

// Write the pane. Its height stays the same, and a screen reader is told of nothing: the live region is.
export function drawDetails() {
  if (!$("details")) return;
  const cell = cellInFocus(), { place, facts, tokens, words } = readCell(cell), [value = "", ...more] = facts;
  const text = JSON.stringify([cell, place, facts, notes, tokens, words, isHit(cell.position), state.sinks, Boolean(hovered), theme()]);
  if (text === shownText) return;
  shownText = text;
  const token = texts.full(cell.position), role = texts.role(cell.position);
  $("details-which").textContent = hovered ? "under the pointer" : "selected";
  $("details-token").textContent = token || "text not in the page";
  $("details-role").textContent = isHit(cell.position) ? `${role} · matches the search` : role;
  $("details-place").textContent = token ? place.replace(` · ${token} (${role})`, "") : place;
  $("details-value").textContent = value;
  writeLines("details-notes", notes);
  writeBars("details-top", "Top tokens", tokens.slice(0, MOST_BARS).map(({ id, p }) => ({ text: wordFull(id), p })));
  writeKeys(cell);
  writeLines("details-facts", [...more, ...words]);
  if (hovered) $("details-body").scrollTop = 0;
}

export function drawDetailsSoon() {
  if (!detailsFrame) detailsFrame = requestAnimationFrame(() => { detailsFrame = 0; drawDetails(); });
}

// Open the barCharts of the bars.
export async function openDetails() {
  if (!$("details")) return;
  for (const id of ["details-top", "details-keys"]) barCharts[id] = await openChart(id, "bars");
  shownText = null;
  drawDetails();
}

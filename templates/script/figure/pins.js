// Pins: a column, a rectangle of cells or exact weights, each with the reading that it was pinned in.
import { $, N, report } from "../data/page.js";
import { texts } from "../data/texts.js";
import { formatCount, formatSpan } from "../data/format.js";
import { state } from "../data/state.js";
import { otherSite, siteWords, statName } from "../data/statistics.js";
import { headName, rowName, rowsShown } from "../data/rows.js";
import { exactValues, exactWindow } from "../data/windows.js";
import { FIELDS } from "../data/fields.js";
import { currentReading, READING_DEFAULTS, READING_FIELDS, readingText, withReading } from "./reading.js";

export const MOST_PINS = 8;
const PIN_QUERIES = 6;

export const pinText = ({ kind, r0, r1, p0, p1, reading }) =>
  [kind, ...(kind === "c" ? [p0] : [`${r0}:${r1}`, `${p0}:${p1}`]), readingText(reading)].join(",");

// The pin that a text of the address describes; null for any other text.
export function pinFrom(text) {
  const match = /^(?:c,(\d{1,9})|([rw]),(\d{1,9}):(\d{1,9}),(\d{1,9}):(\d{1,9})),([\w.-]{1,99})$/.exec(text);
  if (!match) return null;
  const fields = match[7].split("."), reading = { ...READING_DEFAULTS };
  READING_FIELDS.forEach((name, i) => { if (i < fields.length || !(name in READING_DEFAULTS)) reading[name] = FIELDS[name].read(fields[i] ?? ""); });
  if (fields.length > READING_FIELDS.length || Object.values(reading).includes(undefined)) return null;
  if (withReading(reading, () => readingText(currentReading())) !== readingText(reading)) return null;
  const rows = withReading(reading, (shown) => shown.length);
  const [r0, r1, p0, p1] = match[1] ? [0, rows, Number(match[1]), Number(match[1]) + 1] : match.slice(3, 7).map(Number);
  if (!(r0 < r1 && r1 <= rows && p0 < p1 && p1 <= N)) return null;
  if (match[2] === "w" && (r1 - r0 > 1 || p1 - p0 > PIN_QUERIES || reading.view !== "attention")) return null;
  return { kind: match[2] ?? "c", r0, r1, p0, p1, reading };
}

export function pinReading({ kind, r0, reading }) {
  return withReading(reading, (rows) => {
    if (kind === "w") return `attention weights of ${rowName(rows[r0])}`;
    if (state.view === "lens") return `${statName()}${otherSite() ? `, ${siteWords()}` : ""}, one row per layer`;
    if (state.rows === "heads") return `${statName()} of layer ${report.layers[state.layer]}, one row per head`;
    return `${statName()}, ${state.head < 0 ? "mean over heads" : `head ${headName(state.head)}`}, one row per layer`;
  });
}

export function pinTitle(pin) {
  const { kind, r0, r1, p0, p1 } = pin;
  const positions = p1 - p0 === 1 ? `position ${formatCount(p0)}` : `positions ${formatSpan(p0, p1)}`;
  if (kind === "c") return `${positions}${texts.full(p0) ? ` · ${texts.full(p0)}` : ""}`;
  if (kind === "w") return p1 - p0 === 1 ? `query ${formatCount(p0)}` : `queries ${formatSpan(p0, p1)}`;
  return withReading(pin.reading, (rows) => {
    const [low, high] = [rows[r0].label, rows[r1 - 1].label];
    const what = state.view === "attention" && state.rows === "heads" ? "head" : "layer";
    return `${positions}, ${low === high ? `${what} ${low}` : `${what}s ${low}–${high}`}`;
  });
}

export const notePins = (text) => { $("pins-note").textContent = text; };

export function addPin(kind, r0, r1, p0, p1, reading = currentReading()) {
  const pin = { kind, r0, r1, p0, p1, reading };
  if (state.pins.some((other) => pinText(other) === pinText(pin))) notePins("Already pinned.");
  else if (state.pins.length >= MOST_PINS) notePins(`There are already ${MOST_PINS} insets, the most that fit. Remove one first.`);
  else {
    state.pins.push(pin);
    notePins(`Inset ${state.pins.length} added below: ${pinTitle(pin)}.`);
  }
}

export const pinColumn = () => addPin("c", 0, rowsShown().length, state.col, state.col + 1);

export const pinSection = () => addPin("r", 0, rowsShown().length, state.a, state.b);

export function listWindows() {
  if (!exactValues.length) return "The trace has none.";
  return `It has those of queries ${exactValues.map((w) => formatSpan(w.firstQuery, w.firstQuery + w.queries)).join(", ")}.`;
}

// Pin the exact weights of the selected query and of those before it, in the selected row.
export function pinWeights() {
  const exact = exactWindow(state.col);
  if (!exact) {
    notePins(`The page has no exact weights of position ${formatCount(state.col)}. ${listWindows()}`);
    return;
  }
  const row = Math.min(state.row, rowsShown().length - 1);
  const reading = state.view === "attention" ? currentReading() : { ...currentReading(), view: "attention", rows: "layers", head: -1, ...READING_DEFAULTS };
  addPin("w", row, row + 1, Math.max(exact.firstQuery, state.col + 1 - PIN_QUERIES), state.col + 1, reading);
}

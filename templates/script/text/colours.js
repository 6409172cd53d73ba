// The colours of the running text: those of the figure's view, statistic and palette, in one row.
import { $, N, report } from "../data/page.js";
import { colourOf, inkOn, toHex } from "../data/colours.js";
import { planes } from "../data/planes.js";
import { state } from "../data/state.js";
import { scaleShown, statName } from "../data/statistics.js";
import { markedLens } from "../data/readable.js";
import { inLayer, rowName, rowsShown } from "../data/rows.js";
import { texts } from "../data/texts.js";
import { whyNotReached } from "../figure/missing.js";
import { colouringWord, effectColours, effectHint, effectTitle } from "./effects.js";

let openingRow = 0;
let rowChosen = false;

// Note the row that the page opens with: another one is the reader's choice.
export function noteOpeningRow() {
  openingRow = state.row;
}

// The row whose values colour the text: the reader's, or the last one, which is of the lens the model's output.
function textRow() {
  rowChosen ||= state.row !== openingRow;
  const rows = rowsShown();
  if (rowChosen || (state.view === "attention" && state.rows === "heads")) return rows[Math.min(state.row, rows.length - 1)];
  return rows[rows.length - 1];
}

// The value of one position in a row; NaN where the trace has none, or the page has only a mean of several.
function valueAt(row, p) {
  if (!inLayer(row)) return NaN;
  const own = row.plane.at(row.at, p);
  if (own !== undefined) return own;
  return state.view === "lens" ? NaN : row.plane.over(row.at, p, p + 1, 0);
}

function attentionAt(entry, p) {
  const plane = planes.attention;
  if (!plane) return NaN;
  const own = plane.at(entry, p);
  return own === undefined ? plane.over(entry, p, p + 1, 0) : own;
}

function meanOver(from, to, read) {
  let sum = 0, many = 0;
  for (let p = from; p < to; p++) {
    const value = read(p);
    if (Number.isFinite(value)) { sum += value; many++; }
  }
  return many ? sum / many : NaN;
}

// A function that gives the value of the tokens [from, to), its colours and what it is. The mean of the tokens
// of one character; attention's entropy where the lens did not read.
export function textColours(row = textRow()) {
  const scale = scaleShown(), other = state.view === "lens" ? report.scales.attention : null;
  return (from, to) => {
    const value = meanOver(from, to, (p) => valueAt(row, p));
    if (Number.isFinite(value)) return { value, colour: colourOf(value, scale, state.palette), kind: "shown", scale, name: statName() };
    const instead = other && !report.compare ? meanOver(from, to, (p) => attentionAt(row.entry, p)) : NaN;
    if (Number.isFinite(instead)) return { value: instead, colour: colourOf(instead, other, state.palette), kind: "other", scale: other, name: "attention entropy" };
    return { value: NaN, colour: null, kind: "missing", scale, name: statName() };
  };
}

// Colour the tokens below `element`.
export function colourTokens(element) {
  const answerWord = colouringWord(), read = answerWord ? effectColours(answerWord) : textColours();
  for (const token of element.querySelectorAll(".t")) {
    const from = Number(token.dataset.at), { colour, kind } = read(from, from + Number(token.dataset.many ?? 1));
    token.classList.toggle("missing", kind === "missing");
    token.classList.toggle("other", kind === "other");
    const bare = kind === "plain" ? ["transparent", "inherit"] : ["", ""];
    [token.style.backgroundColor, token.style.color] = colour ? [toHex(colour), inkOn(colour)] : bare;
  }
}

// What a tooltip says of a token.
export function tokenTitle(from, many) {
  const answerWord = colouringWord();
  if (answerWord) return effectTitle(answerWord, from);
  const { value, kind, name, scale } = textColours()(from, from + many);
  const where = many > 1 ? `positions ${from} to ${from + many - 1} (one character of ${many} tokens)` : `position ${from}`;
  const unit = scale.unit ? ` ${scale.unit}` : "", mean = many > 1 ? "mean " : "";
  const why = whyNotReached(from) || (state.view === "lens" ? "the lens did not read this position" : "not measured");
  const amount = kind === "missing" ? `missing (${why})` : `${mean}${name} ${value.toFixed(2)}${unit}${kind === "other" ? ` (${why})` : ""}`;
  return `${where}, ${texts.role(from)}: ${amount}`;
}

// Write below the text which row colours it.
export function writeHint() {
  const answerWord = colouringWord();
  if (answerWord) { $("text-hint").textContent = effectHint(answerWord); return; }
  const row = textRow(), output = state.view === "lens" && row.entry === report.layers.length - 1 && !rowChosen && Boolean(markedLens());
  const what = output ? "doubt about the next token (entropy of the model's output)" : `${statName()}, ${rowName(row)}`;
  const other = state.view === "lens" && report.scales.attention && !isAllRead(row);
  $("text-hint").textContent = `Colour: ${what}, on the figure's scale${other ? "; underlined, where the lens did not read: attention entropy" : ""}.`;
}

// Whether the lens read all of some hundred positions, evenly over the text.
function isAllRead(row) {
  for (let p = 0; p < N; p += Math.max(1, Math.floor(N / 300))) if (!Number.isFinite(valueAt(row, p))) return false;
  return Number.isFinite(valueAt(row, N - 1));
}

// Search for a text in the tokens, also across neighbouring ones: a match is a run of tokens.
import { $, N } from "../data/page.js";
import { texts } from "../data/texts.js";
import { countOf, formatCount } from "../data/format.js";
import { state } from "../data/state.js";
import { figureView } from "./canvas.js";

const MOST_TICKS = 500;
const GAP = "\0";
let promptText = null;
export let matches = { text: "", starts: [], ends: [] };

// A blank and its marks count as the same letter, because the page writes a token's leading blank `_`.
const foldText = (text) => text.replace(/[\u2066-\u2069\0]/g, "").replace(/[␣⍽_]/g, " ").toLowerCase();

// All tokens as one text, and where each starts in it. A gap stands for tokens whose text the page does
// not have, so that no match spans it.
function joinTokens() {
  const foldedTexts = new Map(), parts = new Array(N), starts = new Int32Array(N + 1);
  let at = 0, missing = 0;
  for (let p = 0; p < N; p++) {
    const text = texts.full(p);
    if (!foldedTexts.has(text)) foldedTexts.set(text, text ? foldText(text) : GAP);
    parts[p] = foldedTexts.get(text);
    if (!text) missing++;
    starts[p] = at;
    at += parts[p].length;
  }
  starts[N] = at;
  return { all: parts.join(""), tokenStarts: starts, missing };
}

function findMatches(text) {
  promptText ??= joinTokens();
  const { all, tokenStarts } = promptText, pattern = foldText(text), starts = [], ends = [];
  let token = 0;
  for (let at = pattern ? all.indexOf(pattern) : -1; at >= 0; at = all.indexOf(pattern, at + pattern.length)) {
    while (tokenStarts[token + 1] <= at) token++;
    let end = token + 1;
    while (tokenStarts[end] < at + pattern.length) end++;
    if (starts[starts.length - 1] !== token) { starts.push(token); ends.push(end); }
  }
  return { text, starts, ends };
}

// Search again at the next drawing, because more texts are there.
export function forgetMatches() {
  promptText = null;
  matches = { text: "", starts: [], ends: [] };
}

// The index of the first match that starts at `position` or after it, by binary search.
export function matchFrom(position) {
  let low = 0, high = matches.starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches.starts[middle] < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Whether a position belongs to a match.
export function isHit(position) {
  const at = matchFrom(position + 1) - 1;
  return at >= 0 && position < matches.ends[at];
}

// The columns of the section between its matches `part`, which a search leaves out.
function columnsBetween(part) {
  if (!matches.starts.length || part.length >= MOST_TICKS) return [];
  const between = [];
  let from = state.a;
  for (const { x0, x1 } of part) {
    if (x0 > from) between.push({ x0: from, x1: x0 });
    from = Math.max(from, x1);
  }
  return from < state.b ? [...between, { x0: from, x1: state.b }] : between;
}

function countMatches(here) {
  const many = matches.starts.length, where = here >= 0 ? `${formatCount(here + 1)} of ${formatCount(many)}` : countOf(many, "match", "matches");
  const missing = promptText?.missing ? ` (${countOf(promptText.missing, "token")} not searched: text not in the page)` : "";
  const text = state.find ? `${many ? where : "no matches"}${missing}` : "";
  if ($("search-count").textContent !== text) $("search-count").textContent = text;
  for (const id of ["search-previous", "search-next"]) $(id).disabled = !many;
}

// The match that the reader went to, and the position that stands for it: the nearest one that was read.
let visited = { text: "", index: -1, position: -1 };

// Note that `position` is selected for the match at `index`.
export function visitMatch(index, position) {
  visited = { text: matches.text, index, position };
}

// The index of the match that is selected; -1 for none.
export function matchHere() {
  if (visited.text === matches.text && visited.position === state.col) return visited.index;
  const at = matchFrom(state.col);
  return matches.starts[at] === state.col ? at : -1;
}

export function drawMatches() {
  if (matches.text !== state.find) matches = findMatches(state.find);
  const { starts, ends } = matches, every = Math.ceil(starts.length / MOST_TICKS) || 1;
  const here = matchHere();
  const tick = (i) => ({ xc: (starts[i] + ends[i]) / 2, wide: i === here ? 4 : starts.length > 150 ? 1 : 1.5 });
  const ticks = [];
  for (let i = 0; i < starts.length; i += every) ticks.push(tick(i));
  if (here >= 0) ticks.push(tick(here));
  figureView.data("matches", ticks);
  const part = [];
  // The last match before the section may end in it.
  for (let i = Math.max(0, matchFrom(state.a) - 1); i < starts.length && starts[i] < state.b && part.length < MOST_TICKS; i++) {
    part.push({ x0: starts[i], x1: ends[i] });
  }
  figureView.data("matchespart", part).data("dimmed", columnsBetween(part));
  countMatches(here);
}

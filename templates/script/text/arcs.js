// Arcs in the text, from the selected token to the words that it attends to most.
import { $, N, PROMPT, report } from "../data/page.js";
import { data } from "../data/values.js";
import { texts } from "../data/texts.js";
import { formatCount } from "../data/format.js";
import { shownWord } from "../data/sources.js";
import { state } from "../data/state.js";
import { topKey } from "../data/tokens.js";
import { attentionWeight, exactWindow, isMean } from "../data/windows.js";
import { tokenAt } from "./reader.js";

const MOST_ARCS = 3;
const LEAST_WEIGHT = 0.03;
const LABEL_GAP = 14; // pixels
const SVG_NAMES = "http://www.w3.org/2000/svg";
// A word has a letter or a digit.
const WORDLIKE = /[\p{L}\p{N}]/u;

const shape = (name, attributes) => {
  const element = document.createElementNS(SVG_NAMES, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

// The layers of the upper half, or the one that is shown for a head or a layer of heads.
function layersRead() {
  const many = report.layers.length;
  if (state.view === "attention" && (state.head >= 0 || state.rows === "heads")) return [state.rows === "heads" ? state.layer : Math.min(state.row, many - 1)];
  return Array.from({ length: many - Math.floor(many / 2) }, (_, i) => Math.floor(many / 2) + i);
}

function headRead() {
  if (state.view !== "attention") return -1;
  return state.rows === "heads" ? state.row : state.head;
}

// The start of the word that has a position.
function wordStart(position) {
  let start = position;
  while (start > 0 && !texts.startsWord(start)) start--;
  return start;
}

const isContent = (p) => !["template", "bos", "eos", "padding"].includes(texts.role(p)) && WORDLIKE.test(texts.plain(p));

// {key, weight} of the words that a query attends to most, the largest first, without sink keys and itself;
// `key` is where the word starts.
// From exact weights where the page has them, else as the share of heads that attend to the word most.
function attendedWords(query) {
  const head = headRead(), entries = layersRead(), weights = new Map(), exact = exactWindow(query);
  const add = (key, weight) => {
    if (key < 0 || key >= query || !isContent(wordStart(key))) return;
    const start = wordStart(key);
    weights.set(start, (weights.get(start) ?? 0) + weight);
  };
  for (const entry of entries) {
    if (exact) {
      const sinks = state.sinks ? [] : report.sinkKeys[entry] ?? [], own = isMean(exact) ? -1 : head;
      for (let key = exact.firstKey; key < Math.min(query, exact.firstKey + exact.keys); key++) {
        const p = sinks.includes(key) ? 0 : attentionWeight(exact, entry, own, query, key);
        if (p > 0) add(key, p / entries.length);
      }
    } else if (data.topKey) {
      const heads = head >= 0 ? [head] : Array.from({ length: report.headCounts[entry] }, (_, h) => h);
      for (const h of heads) add(topKey({ entry, head: h }, query), 1 / heads.length / entries.length);
    }
  }
  const own = wordStart(query), all = [...weights].map(([key, weight]) => ({ key, weight })).filter(({ key }) => key !== own);
  return all.filter(({ weight }) => weight >= LEAST_WEIGHT).sort((a, b) => b.weight - a.weight || a.key - b.key).slice(0, MOST_ARCS);
}

let openingColumn = -1;

// Note the column that the page opens with.
export function noteOpeningColumn() {
  openingColumn = state.col;
}

export const hasOpeningColumn = () => state.col === openingColumn;

// The query whose arcs are drawn: the selected token, or until the reader selects another one that before
// the answer's decisive word.
function arcQuery() {
  return hasOpeningColumn() && texts.decisive ? texts.decisive[0] - 1 : state.col;
}

// Where the arcs of a query begin: at the next token, where the model wrote that one, because the query's output
// is that token.
const arcEnd = (query) => (query + 1 < N && query + 1 >= PROMPT ? query + 1 : query);

function overlay() {
  const card = $("text").parentElement;
  let own = card.querySelector("svg.arcs");
  if (!own) {
    own = shape("svg", { class: "arcs", "aria-hidden": "true" });
    card.append(own);
  }
  return own;
}

// Where a token stands on the card: {x, y, state}, which is "in" or, where it is out of view, "above" or "below".
function placeOf(position, box, view) {
  const token = tokenAt(position), closed = token?.closest("details:not([open])");
  const own = (closed ?? token)?.getClientRects()[0];
  if (!own) {
    const shown = $("text").querySelector(".t");
    return { x: 0, y: 0, state: shown && position < Number(shown.dataset.at) ? "above" : "below" };
  }
  const x = own.left + own.width / 2 - box.left, state_ = own.bottom < view.top + 4 ? "above" : own.top > view.bottom - 4 ? "below" : "in";
  return { x, y: own.top - box.top, state: state_ };
}

// The spans that a word rests on and the words that its row attends to besides, each with its place and width.
function arcsOf(answerWord, query) {
  const spans = answerWord ? answerWord.sources.map((i) => report.sources.spans[i]) : [];
  const attended = attendedWords(query).filter(({ key }) => !spans.some(({ at: [from, to] }) => key >= from && key < to));
  const kind = report.sources ? "attended" : "";
  return [
    ...attended.map(({ key, weight }) => ({ key, kind, width: kind ? 1.2 : 1 + 2 * Math.min(1, weight * 2) })),
    ...spans.slice(0, MOST_ARCS).map(({ at: [key], short }) => ({ key, kind: "tested", width: 2.2, name: short })),
  ];
}

// Write the names of keys that are out of view, from the right, as far as there is room for them.
function nameKeys(svg, keys, box, view) {
  let right = view.right - box.left - 8;
  for (const { key, kind, name, state: side } of keys) {
    const y = side === "above" ? view.top - box.top + 10 : view.bottom - box.top - 6;
    const label = shape("text", { x: right.toFixed(1), y: y.toFixed(1), "text-anchor": "end", "data-key": key, class: kind });
    label.textContent = `${side === "above" ? "↑" : "↓"} ${name ? `${name} ·` : texts.plain(key).trim()} ${formatCount(key)}`;
    svg.append(label);
    right -= label.getComputedTextLength() + LABEL_GAP;
    if (right + LABEL_GAP < view.left - box.left) { label.remove(); return; }
  }
}

// Draw the arcs of the selected token over the text: solid to what was tested, dashed to what is attended alone.
export function drawArcs() {
  if (!$("text") || report.compare) return;
  const svg = overlay(), card = svg.parentElement, box = card.getBoundingClientRect(), view = $("text").getBoundingClientRect();
  svg.replaceChildren();
  const answerWord = shownWord(), query = answerWord ? answerWord.at[0] - 1 : arcQuery(), from = placeOf(answerWord ? answerWord.at[0] : arcEnd(query), box, view);
  if (from.state !== "in") return;
  const ends = arcsOf(answerWord, query).map((arc) => ({ ...arc, ...placeOf(arc.key, box, view) }));
  for (const { key, kind, width, x, y } of ends.filter((end) => end.state === "in")) {
    const height = Math.min(26, 8 + Math.abs(from.x - x) / 14), top = Math.max(2, Math.min(from.y, y) - height);
    const path = `M${from.x.toFixed(1)},${from.y.toFixed(1)} C${from.x.toFixed(1)},${top.toFixed(1)} ${x.toFixed(1)},${top.toFixed(1)} ${x.toFixed(1)},${y.toFixed(1)}`;
    svg.append(shape("path", { d: path, "stroke-width": width.toFixed(1), "data-key": key, class: kind }));
  }
  nameKeys(svg, ends.filter((end) => end.state !== "in").sort((a, b) => Number(b.kind === "tested") - Number(a.kind === "tested")), box, view);
}

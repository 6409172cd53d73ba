// The running text made live: colours, hover, selection.
import { $, report } from "../data/page.js";
import { watchSize } from "../data/browser.js";
import { hover, hovered, afterHover } from "../data/selection.js";
import { state } from "../data/state.js";
import { selectPosition } from "../data/section.js";
import { choosePlace, chosenWord, noteOpeningPlace } from "../data/sources.js";
import { texts } from "../data/texts.js";
import { keyShown } from "../data/statistics.js";
import { matches, matchFrom } from "../figure/matches.js";
import { drawArcs, hasOpeningColumn, noteOpeningColumn } from "./arcs.js";
import { colourTokens, noteOpeningRow, tokenTitle, writeHint } from "./colours.js";
import { afterReading, chipAt, isReading, recolour, revealToken, startReader, tokenAt } from "./reader.js";
import { drawEffectLegend, markSources } from "./effects.js";
import { drawLines, startLines } from "./lines.js";
import { drawMinimap, startMinimap } from "./minimap.js";
import { listUncertain } from "./uncertain.js";

let colourKey = "";
let selected = -1;

const tokenOf = (event) => (event.target instanceof Element ? event.target.closest("#text .t") : null);

function mark(name, position) {
  for (const element of $("text").querySelectorAll(`.${name}`)) element.classList.remove(name);
  if (position === null || position < 0) return;
  const token = tokenAt(position), chip = token ? token.closest("details:not([open])") : chipAt(position);
  (chip ?? token)?.classList.add(name);
}

const markHovered = () => mark("hovered", hovered?.position ?? null);

// Mark the tokens of the search's matches; the others are dimmed.
function markHits() {
  const { starts, ends } = matches, isSearching = Boolean(state.find) && starts.length > 0;
  if (!isSearching && !$("text").classList.contains("searched")) return;
  $("text").classList.toggle("searched", isSearching);
  for (const token of $("text").querySelectorAll(".t")) {
    const p = Number(token.dataset.at), match = matchFrom(p + 1) - 1;
    token.classList.toggle("hit", isSearching && match >= 0 && ends[match] > p);
  }
}

function markAll() {
  for (const chip of $("text").querySelectorAll("summary")) chip.tabIndex = -1;
  markHits();
  markSources();
  mark("chosen", state.col);
  markHovered();
  drawArcs();
  drawStrips();
}

let stripFrame = 0;

// Draw the strips next to the text, at most once per animation frame.
function drawStrips() {
  if (!isReading() || stripFrame) return;
  stripFrame = requestAnimationFrame(() => { stripFrame = 0; drawMinimap(); drawLines(); });
}

// Colour the text and mark the selected token; scroll to it where it is another one.
export function drawText() {
  if (!$("text")) return;
  const key = [keyShown(), state.rows, state.layer, state.head, state.palette, state.fit, state.row, report.later, chosenWord()].join();
  if (key !== colourKey) {
    colourKey = key;
    if (isReading()) recolour();
    else colourTokens($("text"));
    writeHint();
    drawEffectLegend();
  }
  if (selected !== state.col) {
    if (selected >= 0) revealToken(state.col);
    selected = state.col;
  }
  markAll();
}

// Colour the text again at the next drawing, because the values have changed.
export function forgetText() {
  colourKey = "";
}

// Make the card of a long text a reading view, or small again.
function listenToExpand() {
  const button = $("text-expand");
  button?.addEventListener("click", () => {
    const isOpen = $("section-text").classList.toggle("expanded");
    button.setAttribute("aria-expanded", String(isOpen));
    button.textContent = isOpen ? "Reduce" : "Expand";
  });
}

function listenToText() {
  const text = $("text");
  text.addEventListener("pointerover", (event) => {
    const token = tokenOf(event);
    hover(token ? { position: Number(token.dataset.at) } : null);
    if (token && event.pointerType !== "touch") token.title = tokenTitle(Number(token.dataset.at), Number(token.dataset.many ?? 1));
  });
  text.addEventListener("pointerleave", () => hover(null));
  // Chips are no stops of the Tab key: there may be many. Enter opens or closes those of the text.
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== text) return;
    const chips = [...text.querySelectorAll("details")], isOpen = chips.some((chip) => chip.open);
    for (const chip of chips) chip.open = !isOpen;
  });
  text.addEventListener("click", (event) => {
    const token = tokenOf(event);
    if (!token || String(getSelection())) return;
    selected = Number(token.dataset.at);
    choosePlace();
    selectPosition(selected);
  });
  text.addEventListener("scroll", () => { drawArcs(); drawStrips(); });
  text.addEventListener("toggle", drawArcs, true);
  watchSize(text, () => { drawArcs(); drawStrips(); });
  afterHover(markHovered);
  afterReading(markAll);
}

// Note the cell that the page opens with, before the address selects another one.
export function noteOpening() {
  noteOpeningRow();
  noteOpeningColumn();
  noteOpeningPlace();
}

// Make the text live; a long one is read from the packed tokens where the page has all of them.
export async function startText() {
  const text = $("text");
  if (!text) return;
  if (text.classList.contains("long") && texts.turns.length) {
    startReader();
    listUncertain();
    await Promise.all([startMinimap(), startLines()]);
    const position = hasOpeningColumn() ? texts.decisive?.[0] : state.col;
    if (position !== undefined) revealToken(position, true);
  }
  listenToExpand();
  listenToText();
  forgetText();
  drawText();
}
